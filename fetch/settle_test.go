package fetch_test

import (
	"encoding/binary"
	"fmt"
	"math"
	"slices"
	"strings"
	"testing"
	"time"

	"github.com/barkeepdb/barkeep/fetch"
	"github.com/barkeepdb/barkeep/series"
)

const noon = series.Time(1_700_000_000_000) / series.Hour * series.Hour

// row is minute m after noon.
func row(m int, o, h, l, c, v float64) fetch.Row {
	return fetch.Row{
		Time: noon + series.Time(m)*series.Minute, Open: o, High: h, Low: l, Close: c, Volume: v,
		QuoteVolume: math.NaN(), Trades: math.NaN(), VWAP: math.NaN(),
	}
}

func good(m int) fetch.Row {
	p := 100 + float64(m)
	return row(m, p, p+2, p-1, p+1, 5)
}

func goods(from, to int) (rows []fetch.Row) {
	for m := from; m < to; m++ {
		rows = append(rows, good(m))
	}
	return rows
}

func minutes(from, to int) series.Span {
	return series.Span{From: noon + series.Time(from)*series.Minute, To: noon + series.Time(to)*series.Minute}
}

// picture draws the answer minute by minute: # a bar, f a forming one, n one
// without trade, e empty, s silent, . spoken for otherwise, ? not spoken for.
func picture(s *fetch.Settled, from, to int) string {
	var b strings.Builder
	in := func(set []series.Span, t series.Time) bool {
		return slices.ContainsFunc(set, func(x series.Span) bool { return x.Contains(t) })
	}
	for m := from; m < to; m++ {
		t := noon + series.Time(m)*series.Minute
		i := slices.Index(s.Bars.Time, t)
		switch {
		case i >= 0 && !in(s.Spoken, t):
			b.WriteByte('!')
		case i >= 0 && s.Bars.Prov[i].Forming():
			b.WriteByte('f')
		case i >= 0 && s.Bars.Prov[i].NoTrade():
			b.WriteByte('n')
		case i >= 0:
			b.WriteByte('#')
		case in(s.Empty, t) && in(s.Silent, t):
			b.WriteByte('!')
		case in(s.Empty, t):
			b.WriteByte('e')
		case in(s.Silent, t):
			b.WriteByte('s')
		case in(s.Spoken, t):
			b.WriteByte('.')
		default:
			b.WriteByte('?')
		}
	}
	return b.String()
}

func TestSettle(t *testing.T) {
	asc := fetch.Info{Daily: 0}
	clamped := fetch.Info{Horizon: map[series.Interval]fetch.Horizon{series.Interval1m: {Bars: 720}}}
	anchored := fetch.Info{EndAnchored: true}
	with := func(r fetch.Row, change func(*fetch.Row)) fetch.Row { change(&r); return r }
	cat := func(parts ...[]fetch.Row) []fetch.Row { return slices.Concat(parts...) }

	for _, c := range []struct {
		name string
		info fetch.Info
		page fetch.Page
		now  int // minute after noon; 0 is long after
		want string
		// What is counted: refused, conflicts, outside, duplicates, blank.
		counts [5]int
	}{
		{name: "whole", info: asc, page: fetch.Page{Rows: goods(0, 10)}, want: "##########"},
		{name: "newest first", info: asc, page: fetch.Page{Rows: func() []fetch.Row { r := goods(0, 10); slices.Reverse(r); return r }()}, want: "##########"},
		{name: "shuffled", info: asc, page: fetch.Page{Rows: cat(goods(5, 10), goods(2, 5), goods(0, 2))}, want: "##########"},
		{name: "a hole between bars is empty", info: asc, page: fetch.Page{Rows: cat(goods(0, 3), goods(6, 10))}, want: "###eee####"},
		{name: "the tail is silent", info: asc, page: fetch.Page{Rows: goods(0, 6)}, want: "######ssss"},
		{name: "the head is silent", info: asc, page: fetch.Page{Rows: goods(4, 10)}, want: "ssss######"},
		{name: "a clamped head is not spoken for", info: clamped, page: fetch.Page{Rows: goods(4, 10)}, want: "????######"},
		{name: "an end-anchored head neither", info: anchored, page: fetch.Page{Rows: goods(4, 10)}, want: "????######"},
		{name: "nothing", info: asc, want: "ssssssssss"},
		{name: "nothing of a vendor that clamps", info: clamped, want: "??????????"},
		{name: "nothing of what was asked", info: asc, page: fetch.Page{Rows: goods(50, 60)}, want: "??????????", counts: [5]int{2: 10}},
		{name: "rows outside are dropped", info: asc, page: fetch.Page{Rows: goods(-3, 12)}, want: "##########", counts: [5]int{2: 5}},
		{name: "more to come", info: asc, page: fetch.Page{Rows: goods(0, 6), Next: "x"}, want: "######????"},
		{name: "more to come, newest first", info: fetch.Info{Descending: true}, page: fetch.Page{Rows: goods(4, 10), Next: "x"}, want: "????######"},
		{name: "the vendor says where it cut", info: asc, page: fetch.Page{Rows: goods(0, 4), Spoken: minutes(0, 6)}, want: "####ss????"},
		{name: "repeated", info: asc, page: fetch.Page{Rows: cat(goods(0, 10), goods(3, 5))}, want: "##########", counts: [5]int{3: 2}},
		{
			name: "two different rows", info: asc, want: "##########", counts: [5]int{1: 1},
			page: fetch.Page{Rows: cat(goods(0, 10), []fetch.Row{row(3, 1, 1, 1, 1, 1)})},
		},
		{
			name: "a time between slots", info: asc, want: "##??######", counts: [5]int{0: 1},
			page: fetch.Page{Rows: cat(goods(0, 2), []fetch.Row{with(good(2), func(r *fetch.Row) { r.Time += 30 * series.Second })}, goods(4, 10))},
		},
		{
			name: "a time in seconds puts absence in doubt", info: asc, want: "###?######", counts: [5]int{0: 1},
			page: fetch.Page{Rows: cat(goods(0, 3), []fetch.Row{with(good(3), func(r *fetch.Row) { r.Time /= 1000 })}, goods(4, 10))},
		},
		{
			name: "all times in microseconds", info: asc, want: "??????????", counts: [5]int{0: 10},
			page: fetch.Page{Rows: func() []fetch.Row {
				r := goods(0, 10)
				for i := range r {
					r[i].Time *= 1000
				}
				return r
			}()},
		},
		{
			name: "a row that could not be read", info: asc, want: "###?######", counts: [5]int{0: 1},
			page: fetch.Page{Rows: cat(goods(0, 3), goods(4, 10)), Refused: []fetch.Refusal{{Time: noon + 3*series.Minute, Reason: "open is not a number"}}},
		},
		{
			name: "a row whose time could not be read", info: asc, want: "###?######", counts: [5]int{0: 1},
			page: fetch.Page{Rows: cat(goods(0, 3), goods(4, 10)), Refused: []fetch.Refusal{{Reason: "the time is null"}}},
		},
		{
			name: "wrong values", info: asc, want: "?????????#", counts: [5]int{0: 9},
			page: fetch.Page{Rows: []fetch.Row{
				row(0, 100, 99, 98, 98, 1), row(1, 100, 101, 100.5, 101, 1), row(2, 100, 101, 99, 101.5, 1), row(3, 100, 101, 99, 98, 1),
				row(4, math.NaN(), 1, 1, 1, 1), row(5, 1, math.Inf(1), 1, 1, 1), row(6, 1, 1, 1, 1, -1), row(7, 1, 1, 1, 1, math.NaN()),
				with(good(8), func(r *fetch.Row) { r.Trades = -1 }), good(9),
			}},
		},
		{name: "the last bar is forming", info: asc, now: 9, page: fetch.Page{Rows: goods(0, 10)}, want: "#########f"},
		{name: "grace", info: fetch.Info{Grace: 2 * time.Minute}, now: 10, page: fetch.Page{Rows: goods(0, 10)}, want: "########ff"},
		{name: "what has not ended is not absent", info: asc, now: 7, page: fetch.Page{Rows: goods(0, 5)}, want: "#####ss???"},
		{name: "the future", info: asc, now: 5, page: fetch.Page{Rows: goods(0, 10)}, want: "#####ff???", counts: [5]int{0: 3}},
		{
			name: "marks of the vendor", info: asc, now: 10, want: "#f########",
			page: fetch.Page{Rows: cat(goods(0, 1), []fetch.Row{with(good(1), func(r *fetch.Row) { r.Final = fetch.FinalNo })}, goods(2, 9),
				[]fetch.Row{with(good(9), func(r *fetch.Row) { r.Final = fetch.FinalYes })})},
		},
		{
			name: "marked final before its end", info: asc, now: 9, want: "#########f",
			page: fetch.Page{Rows: cat(goods(0, 9), []fetch.Row{with(good(9), func(r *fetch.Row) { r.Final = fetch.FinalYes })})},
		},
		{
			name: "the final one of two rows", info: asc, want: "##########", counts: [5]int{1: 1},
			page: fetch.Page{Rows: cat([]fetch.Row{with(row(0, 1, 1, 1, 1, 1), func(r *fetch.Row) { r.Final = fetch.FinalNo })}, goods(0, 10))},
		},
		{name: "flat without volume", info: fetch.Info{Empty: fetch.EmptyFlat}, page: fetch.Page{Rows: cat(goods(0, 4), []fetch.Row{row(4, 9, 9, 9, 9, 0)}, goods(5, 10))}, want: "####n#####"},
		{name: "moved without volume", info: fetch.Info{Empty: fetch.EmptyFlat}, page: fetch.Page{Rows: cat(goods(0, 4), []fetch.Row{row(4, 9, 10, 9, 9, 0)}, goods(5, 10))}, want: "##########"},
		{name: "flat without volumes at all", info: fetch.Info{Volume: fetch.VolumeNone}, page: fetch.Page{Rows: cat(goods(0, 4), []fetch.Row{row(4, 9, 9, 9, 9, math.NaN())}, goods(5, 10))}, want: "##########"},
		{
			name: "an invented price", info: fetch.Info{Empty: fetch.EmptyInvented, EndAnchored: true}, want: "e###e####e", counts: [5]int{4: 3},
			page: fetch.Page{Rows: cat([]fetch.Row{row(0, 9, 9, 9, 9, 0)}, goods(1, 4), []fetch.Row{row(4, 9, 9, 9, 9, 0)}, goods(5, 9), []fetch.Row{row(9, 9, 9, 9, 9, 0)})},
		},
		{
			name: "zeros are no evidence", info: asc, want: "ss##s#####", counts: [5]int{4: 3},
			page: fetch.Page{Rows: cat([]fetch.Row{row(0, 0, 0, 0, 0, 0), row(1, 0, 0, 0, 0, 0)}, goods(2, 4), []fetch.Row{row(4, 0, 0, 0, 0, 0)}, goods(5, 10))},
		},
	} {
		t.Run(c.name, func(t *testing.T) {
			now := noon + series.Time(c.now)*series.Minute
			if c.now == 0 {
				now += series.Day
			}
			q := fetch.Query{Symbol: "X", Interval: series.Interval1m, Span: minutes(0, 10)}
			s := fetch.Settle(&c.info, q, c.page, now)
			if got := picture(s, 0, 10); got != c.want {
				t.Errorf("got %s, want %s; refused %v", got, c.want, s.Refused)
			}
			if got := [5]int{len(s.Refused), len(s.Conflicts), s.Outside, s.Duplicates, s.Blank}; got != c.counts {
				t.Errorf("refused, conflicts, outside, duplicates, blank = %v, want %v", got, c.counts)
			}
		})
	}
}

func TestSettleKeepsTheFirstOfTwoRows(t *testing.T) {
	// As Bitstamp did on 2019-01-09, in either order of the answer.
	a, b := row(3, 4010, 4040, 3990, 4000.18, 7389.6677228), row(3, 4010, 4040, 3990, 4002.13, 7390.13399203)
	for _, rows := range [][]fetch.Row{{good(1), a, b, good(5)}, {good(5), a, b, good(1)}} {
		s := fetch.Settle(&fetch.Info{}, fetch.Query{Interval: series.Interval1m, Span: minutes(0, 10)}, fetch.Page{Rows: rows}, noon+series.Day)
		if got := s.Bars.Close[1]; got != a.Close {
			t.Errorf("kept close %v, want %v", got, a.Close)
		}
		if len(s.Conflicts) != 1 || s.Conflicts[0].Kept.Close != a.Close || s.Conflicts[0].Other.Close != b.Close {
			t.Errorf("conflicts %+v", s.Conflicts)
		}
	}
}

func TestSettleWithoutClockBelievesMarksOnly(t *testing.T) {
	rows := goods(0, 3)
	rows[0].Final, rows[2].Final = fetch.FinalYes, fetch.FinalNo
	s := fetch.Settle(&fetch.Info{}, fetch.Query{Interval: series.Interval1m, Span: minutes(0, 6)}, fetch.Page{Rows: rows}, 0)
	if got := picture(s, 0, 6); got != "#ff???" {
		t.Errorf("got %s", got)
	}
}

func TestSettleLongIntervals(t *testing.T) {
	at := func(text string) series.Time {
		v, err := series.ParseTime(text)
		if err != nil {
			t.Fatal(err)
		}
		return v
	}
	for _, c := range []struct {
		name     string
		interval series.Interval
		daily    series.Time
		from, to string
		rows     []string
		now      string
		forming  int
		refused  int
	}{
		{"months", series.Interval1M, 0, "2024-01-01", "2024-05-01", []string{"2024-01-01", "2024-02-01", "2024-03-01", "2024-04-01"}, "2024-04-30T23:59:59Z", 1, 0},
		{"a month that opens on the second", series.Interval1M, 0, "2024-01-01", "2024-05-01", []string{"2024-01-01", "2024-02-02"}, "2024-06-01", 0, 1},
		{"weeks from Monday", series.Interval1w, 0, "2024-01-01", "2024-02-05", []string{"2024-01-01", "2024-01-08", "2024-01-11"}, "2024-06-01", 0, 1},
		{"days from 16:00", series.Interval1d, 16 * series.Hour, "2024-01-01T16:00:00Z", "2024-01-04T16:00:00Z", []string{"2024-01-01T16:00:00Z", "2024-01-02T16:00:00Z", "2024-01-03T00:00:00Z"}, "2024-06-01", 0, 1},
		{"session dates", series.Interval1d, -1, "2020-10-30", "2020-11-04", []string{"2020-10-30T13:30:00Z", "2020-11-02T14:30:00Z", "2020-11-03T14:30:00Z"}, "2020-11-03T22:00:00Z", 1, 0},
	} {
		t.Run(c.name, func(t *testing.T) {
			var rows []fetch.Row
			for _, text := range c.rows {
				r := good(0)
				r.Time = at(text)
				rows = append(rows, r)
			}
			q := fetch.Query{Interval: c.interval, Span: series.Span{From: at(c.from), To: at(c.to)}}
			s := fetch.Settle(&fetch.Info{Daily: c.daily}, q, fetch.Page{Rows: rows}, at(c.now))
			forming := 0
			for _, p := range s.Bars.Prov {
				if p.Forming() {
					forming++
				}
			}
			for n, at := range s.Bars.Time {
				if c.daily < 0 && at%series.Day != 0 {
					t.Errorf("bar %d of a session is stamped %s, want its date", n, at)
				}
			}
			if forming != c.forming || len(s.Refused) != c.refused || s.Bars.Len() != len(rows)-c.refused {
				t.Errorf("%d bars, %d forming, refused %v", s.Bars.Len(), forming, s.Refused)
			}
		})
	}
}

// FuzzSettle checks what must hold whatever a vendor answers.
func FuzzSettle(f *testing.F) {
	seed := func(flags byte, rows ...fetch.Row) {
		b := []byte{flags, 60}
		for _, r := range rows {
			b = binary.LittleEndian.AppendUint64(b, uint64(r.Time))
			for _, v := range [...]float64{r.Open, r.High, r.Low, r.Close, r.Volume} {
				b = binary.LittleEndian.AppendUint32(b, math.Float32bits(float32(v)))
			}
		}
		f.Add(b)
	}
	seed(0, goods(0, 5)...)
	seed(3, good(4), good(2), good(2), row(2, 1, 1, 1, 1, 0))
	seed(7, fetch.Row{Time: math.MinInt64}, fetch.Row{Time: math.MaxInt64}, fetch.Row{Time: 1_700_000_000})
	f.Fuzz(func(t *testing.T, in []byte) {
		if len(in) < 2 {
			return
		}
		flags, width := in[0], int(in[1])
		info := fetch.Info{Empty: fetch.EmptySlots(flags & 3), EndAnchored: flags&4 != 0, Descending: flags&8 != 0}
		q := fetch.Query{Interval: series.Interval1m, Span: minutes(0, width)}
		now := noon + series.Time(width/2)*series.Minute
		if flags&16 != 0 {
			now = 0
		}
		page := fetch.Page{}
		if flags&32 != 0 {
			page.Next = "x"
		}
		for in = in[2:]; len(in) >= 28; in = in[28:] {
			v := func(i int) float64 { return float64(math.Float32frombits(binary.LittleEndian.Uint32(in[8+4*i:]))) }
			page.Rows = append(page.Rows, fetch.Row{
				Time: series.Time(binary.LittleEndian.Uint64(in)), Open: v(0), High: v(1), Low: v(2), Close: v(3), Volume: v(4),
				QuoteVolume: math.NaN(), Trades: math.NaN(), Final: fetch.Finality(in[0] % 3),
			})
		}
		rows := len(page.Rows)
		s := fetch.Settle(&info, q, page, now)
		if err := s.Bars.Check(); err != nil {
			t.Fatal(err)
		}
		if n := s.Bars.Len() + len(s.Refused) + len(s.Conflicts) + s.Outside + s.Duplicates + s.Blank; n != rows {
			t.Fatalf("%d of %d rows are accounted for", n, rows)
		}
		g := series.Grid{Interval: q.Interval}
		var held []series.Span
		for i := range s.Bars.Len() {
			b := s.Bars.Bar(i)
			switch {
			case !q.Span.Contains(b.Time), !g.On(b.Time), i > 0 && b.Time <= s.Bars.Time[i-1]:
				t.Fatalf("bar at %v is out of place", b.Time)
			case b.Check() != nil, b.Low > min(b.Open, b.Close), b.High < max(b.Open, b.Close), b.Volume < 0:
				t.Fatalf("bar %+v is wrong", b)
			}
			held = series.Join(held, series.Span{From: b.Time, To: b.Time + series.Minute})
		}
		for name, set := range map[string][]series.Span{"spoken": s.Spoken, "empty": s.Empty, "silent": s.Silent} {
			if !slices.Equal(set, series.Normalize(slices.Clone(set))) {
				t.Fatalf("%s is not a set: %v", name, set)
			}
		}
		// Bars, empty and silent slots are disjoint and make up what is spoken for.
		sum := series.Total(held) + series.Total(s.Empty) + series.Total(s.Silent)
		all := series.Union(nil, series.Union(nil, held, s.Empty), s.Silent)
		if sum != series.Total(s.Spoken) || fmt.Sprint(all) != fmt.Sprint(s.Spoken) {
			t.Fatalf("spoken %v is not bars %v, empty %v and silent %v", s.Spoken, held, s.Empty, s.Silent)
		}
		if len(series.Subtract(nil, s.Spoken, []series.Span{q.Span})) > 0 {
			t.Fatalf("spoken %v is outside of the question %v", s.Spoken, q.Span)
		}
	})
}

func BenchmarkSettle(b *testing.B) {
	rows := goods(0, 1000)
	q := fetch.Query{Interval: series.Interval1m, Span: minutes(0, 1000)}
	for b.Loop() {
		fetch.Settle(&fetch.Info{Empty: fetch.EmptyFlat}, q, fetch.Page{Rows: rows}, noon+series.Day)
	}
	b.ReportMetric(float64(b.N)*1000/b.Elapsed().Seconds(), "bars/s")
}
