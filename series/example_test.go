package series_test

import (
	"fmt"
	"math"
	"time"

	"github.com/barkeepdb/barkeep/series"
)

// The gap of the package documentation: what was expected, less what is there.
func ExampleSubtract() {
	minute := series.Grid{Interval: series.Interval1m}
	slot := func(clock string) series.Slot {
		t, _ := series.ParseTime("2024-01-02T" + clock + ":00Z")
		return minute.SlotAt(t)
	}
	expected := []series.Run{{From: slot("09:00"), To: slot("09:06")}}
	present := []series.Run{
		{From: slot("09:00"), To: slot("09:02")},
		{From: slot("09:05"), To: slot("09:06")},
	}
	for _, gap := range series.Subtract(nil, expected, present) {
		fmt.Println(minute.Span(gap), gap.Len(), "bars")
	}
	// Output:
	// [2024-01-02T09:02:00Z, 2024-01-02T09:05:00Z) 3 bars
}

// A day without a session is no gap: the calendar does not expect it.
func ExampleCalendar_AppendExpected() {
	nyse, err := series.CalendarByName("XNYS")
	if err != nil {
		fmt.Println(err)
		return
	}
	day := series.Grid{Interval: series.Interval1d}
	week := series.Span{
		From: series.TimeOf(time.Date(2001, 9, 10, 0, 0, 0, 0, time.UTC)),
		To:   series.TimeOf(time.Date(2001, 9, 18, 0, 0, 0, 0, time.UTC)),
	}
	for _, run := range nyse.AppendExpected(nil, day, day.Run(week)) {
		fmt.Println(day.Span(run))
	}
	for x := range nyse.Exceptions(week) {
		fmt.Println(x.Date.Std().Format(time.DateOnly), x.Reason, "-", x.Notice)
	}
	// Output:
	// [2001-09-10T00:00:00Z, 2001-09-11T00:00:00Z)
	// [2001-09-17T00:00:00Z, 2001-09-18T00:00:00Z)
	// 2001-09-11 attacks on the World Trade Center - unannounced
	// 2001-09-12 attacks on the World Trade Center - announced
	// 2001-09-13 attacks on the World Trade Center - announced
	// 2001-09-14 attacks on the World Trade Center - announced
}

func ExampleCalendar_SessionOn() {
	nyse, err := series.CalendarByName("XNYS")
	if err != nil {
		fmt.Println(err)
		return
	}
	eve, _ := series.ParseTime("2026-12-24")
	s, ok := nyse.SessionOn(eve)
	fmt.Println(ok, s.Span())
	_, known := nyse.OpenAt(series.MaxTime)
	fmt.Println("known in 9999:", known)
	// Output:
	// true [2026-12-24T14:30:00Z, 2026-12-24T18:00:00Z)
	// known in 9999: false
}

// A further exchange is data.
func ExampleNewCalendar() {
	tokyo, err := series.NewCalendar(series.CalendarData{
		Name: "XTKS", Zone: "Asia/Tokyo", From: "2024-11-05", To: "2025-01-01",
		Sessions: []series.SessionRule{{
			Days: series.MondayToFriday, Open: "09:00", Close: "15:30",
			Breaks: []series.Break{{From: "11:30", To: "12:30"}},
			Source: "JPX, Trading Hours",
		}},
		Yearly: []series.YearlyChange{
			{Reason: "market holiday", On: series.DayRule{Month: time.December, Day: 31}, Source: "JPX, Market Holidays"},
		},
		Dated: []series.DatedChange{
			{Date: "2024-11-23", Reason: "Labor Thanksgiving Day", Source: "JPX, Market Holidays"},
		},
	})
	if err != nil {
		fmt.Println(err)
		return
	}
	last, _ := tokyo.PreviousClose(tokyo.Valid().To - 1)
	fmt.Println(last)
	// Output:
	// 2024-12-30T06:30:00Z
}

// Five minutes into one bar, of which the third minute is missing. The no-trade
// minute sets no price, and the volumes add up as decimals.
func ExampleResample() {
	nan := math.NaN()
	var minutes series.Columns
	for _, b := range []series.Bar{
		{Time: 0 * series.Minute, Open: 10, High: 12, Low: 9, Close: 11, Volume: 0.1},
		{Time: 1 * series.Minute, Open: 11, High: 15, Low: 11, Close: 14, Volume: 0.2},
		{Time: 3 * series.Minute, Open: 14, High: 14, Low: 13, Close: 13, Volume: 0.3},
		{Time: 4 * series.Minute, Open: 8, High: 8, Low: 8, Close: 8, Prov: series.ProvNoTrade},
	} {
		b.QuoteVolume, b.Trades = nan, nan
		minutes.Append(b)
	}
	var five series.Columns
	parts, err := series.Resample(&five, &minutes,
		series.Grid{Interval: series.Interval1m}, series.Grid{Interval: series.Interval5m}, series.Always())
	if err != nil {
		fmt.Println(err)
		return
	}
	b, p := five.Bar(0), parts[0]
	fmt.Println(b.Open, b.High, b.Low, b.Close, b.Volume)
	fmt.Println(p.Present, "of", p.Expected, "complete:", p.Complete())
	// Output:
	// 10 15 9 13 0.6
	// 4 of 5 complete: false
}
