package series_test

import (
	"math"
	"testing"

	"github.com/barkeepdb/barkeep/series"
)

// TestFactors: every bar is freed of the actions behind it, and those of its own
// time are not behind it.
func TestFactors(t *testing.T) {
	const day = series.Day
	fs := series.NewFactors([]series.Factor{
		{At: 30 * day, Keep: 1, Ratio: 4}, {At: 10 * day, Keep: 0.98, Ratio: 1}, {At: 20 * day, Keep: 1, Ratio: 0.5},
	})
	src := &series.Columns{}
	for _, d := range []series.Time{9, 10, 19, 20, 29, 30, 31} {
		src.Append(series.NewBar(d*day, 100, 110, 90, 105, 8))
	}
	var got series.Columns
	fs.Apply(&got, src)
	for i, want := range []struct{ open, volume float64 }{
		{100 * 0.98 / 2, 16}, {100 / 2.0, 16}, {50, 16}, {25, 32}, {25, 32}, {100, 8}, {100, 8},
	} {
		if b := got.Bar(i); math.Abs(b.Open-want.open) > 1e-12 || b.Volume != want.volume || math.Abs(b.High/b.Open-1.1) > 1e-12 {
			t.Errorf("bar %d is %v, want an open of %v and a volume of %v", i, b, want.open, want.volume)
		}
		if b := src.Bar(i); b.Open != 100 {
			t.Error("the raw bar was changed")
		}
	}
	// Only the close was read.
	got = series.Columns{}
	fs.Apply(&got, &series.Columns{Time: []series.Time{9 * day}, Close: []float64{100}})
	if len(got.Open) != 0 || got.Close[0] != 49 {
		t.Errorf("%+v", got)
	}
	series.NewFactors(nil).Apply(&got, src)
	if got.Bar(2).Open != 100 {
		t.Error("no action changed a bar")
	}
}

func TestActionCheck(t *testing.T) {
	for _, a := range []series.Action{
		{Kind: series.Split, Ex: series.Day, Ratio: 4}, {Kind: series.Split, Ex: series.Day, Ratio: 0.1}, {Kind: series.Dividend, Ex: series.Day, Amount: 0.5, Close: 10},
	} {
		if err := a.Check(); err != nil {
			t.Errorf("%+v: %v", a, err)
		}
	}
	for _, a := range []series.Action{
		{},
		{Kind: series.Split, Ex: series.Day},
		{Kind: series.Split, Ex: series.Day, Ratio: 1},
		{Kind: series.Split, Ex: series.Day, Ratio: -2},
		{Kind: series.Split, Ex: series.Day + 1, Ratio: 2},
		{Kind: series.Dividend, Ex: series.Day},
		{Kind: series.Dividend, Ex: series.Day, Amount: math.Inf(1)},
		{Kind: series.Dividend, Ex: series.Day, Amount: 1, Ratio: 2},
		{Kind: series.Dividend, Amount: 1},
		{Kind: series.Split, Ex: series.Day, Ratio: 2, Close: -1},
		{Kind: 9, Ex: series.Day, Ratio: 2},
	} {
		if a.Check() == nil {
			t.Errorf("%+v is taken", a)
		}
	}
}
