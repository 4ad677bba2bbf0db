package series_test

import (
	"fmt"
	"math"
	"math/big"
	"slices"
	"strconv"
	"strings"
	"testing"

	"github.com/cockroachdb/datadriven"
	"pgregory.net/rapid"

	"github.com/barkeepdb/barkeep/series"
)

// TestResampleScripts runs testdata/resample. A line of input is the time of a
// bar, on the date of the command, then open, high, low, close, volume and
// marks: n for no trade, f for forming, c for corrected, s for synthetic, @3
// for source 3, q=8 for a quote volume, t=8 for a number of trades. A line
// --- starts another batch.
func TestResampleScripts(t *testing.T) {
	datadriven.RunTest(t, "testdata/resample", func(t *testing.T, d *datadriven.TestData) string {
		var from, to, date, now, phase string
		name := "24x7"
		d.ScanArgs(t, "from", &from)
		d.ScanArgs(t, "to", &to)
		d.MaybeScanArgs(t, "calendar", &name)
		d.MaybeScanArgs(t, "date", &date)
		d.MaybeScanArgs(t, "now", &now)
		d.MaybeScanArgs(t, "phase", &phase)
		fine, coarse := grid(t, from), grid(t, to)
		if phase != "" {
			minutes, err := strconv.Atoi(phase)
			if err != nil {
				t.Fatal(err)
			}
			coarse.Phase = series.Time(minutes) * series.Minute
		}
		r, err := series.NewResampler(fine, coarse, exchange(t, name))
		if err != nil {
			return err.Error() + "\n"
		}
		if now != "" {
			r.Now = moment(date + "T" + now + ":00Z")
		}
		var dst series.Columns
		for batch := range strings.SplitSeq(d.Input, "---\n") {
			var src series.Columns
			for line := range strings.Lines(batch) {
				src.Append(readBar(t, date, line))
			}
			r.Add(&dst, &src)
		}
		r.Flush(&dst)
		var out strings.Builder
		for i, p := range r.Parts {
			b := dst.Bar(i)
			fmt.Fprintf(&out, "%s %v %v %v %v %v%s  %s\n", b.Time, b.Open, b.High, b.Low, b.Close, b.Volume, marks(b), describe(p))
		}
		if r.Outside > 0 {
			fmt.Fprintf(&out, "%d outside\n", r.Outside)
		}
		return out.String()
	})
}

func describe(p series.Part) string {
	s := fmt.Sprintf("%d/%d", p.Present, p.Expected)
	if p.Expected < 0 {
		s = fmt.Sprintf("%d/?", p.Present)
	}
	if p.Extra > 0 {
		s += fmt.Sprintf(" +%d", p.Extra)
	}
	if !p.Complete() {
		s += " incomplete"
	}
	return s
}

func marks(b series.Bar) string {
	var s string
	if !math.IsNaN(b.QuoteVolume) {
		s += fmt.Sprintf(" q=%v", b.QuoteVolume)
	}
	if !math.IsNaN(b.Trades) {
		s += fmt.Sprintf(" t=%v", b.Trades)
	}
	if b.Prov.Kind() != series.Observed {
		s += " " + b.Prov.Kind().String()
	}
	if b.Prov.Source() != 0 {
		s += fmt.Sprintf(" @%d", b.Prov.Source())
	}
	if b.Prov.Forming() {
		s += " forming"
	}
	if b.Prov.NoTrade() {
		s += " no trade"
	}
	return s
}

func readBar(t *testing.T, date, line string) series.Bar {
	t.Helper()
	f := strings.Fields(line)
	if len(f) < 6 {
		t.Fatalf("bar %q has too few fields", line)
	}
	at := f[0]
	if len(at) == len("09:30") {
		at = date + "T" + at + ":00Z"
	}
	number := func(s string) float64 { return must(strconv.ParseFloat(s, 64)) }
	b := series.Bar{
		Time: moment(at), Open: number(f[1]), High: number(f[2]), Low: number(f[3]), Close: number(f[4]),
		Volume: number(f[5]), QuoteVolume: nan, Trades: nan,
	}
	kind, src := series.Observed, 0
	for _, m := range f[6:] {
		switch {
		case m == "n":
			b.Prov |= series.ProvNoTrade
		case m == "f":
			b.Prov |= series.ProvForming
		case m == "c":
			kind = series.Corrected
		case m == "s":
			kind = series.Synthetic
		case m[0] == '@':
			src = must(strconv.Atoi(m[1:]))
		case strings.HasPrefix(m, "q="):
			b.QuoteVolume = number(m[2:])
		case strings.HasPrefix(m, "t="):
			b.Trades = number(m[2:])
		default:
			t.Fatalf("mark %q is unknown", m)
		}
	}
	b.Prov |= series.NewProv(kind, series.SourceID(src))
	return b
}

// TestVolumesAreDecimals: sums that floats get wrong, or that nobody can get
// right.
func TestVolumesAreDecimals(t *testing.T) {
	for _, x := range []struct {
		volumes string
		want    float64
	}{
		{"0.1 0.2", 0.3},
		{"0.1 0.2 0.3 0.4 0.5 0.6", 2.1},
		{"1.1 2.2 3.3", 6.6},
		{"0.00000001 0.00000002", 0.00000003},
		{"321473.6791832 17399.71013114", 338873.38931434},
		{"1e-15 2e-15", 3e-15},
		{"100 200 0.5", 300.5},
		{"18600000000000.25 0.5", 18600000000000.75},
		{"1000000000000000 0.1", 1000000000000000.1}, // 2^50 units are passed: as floats
		{"-0.1 -0.2", -0.3},
		{"-0.1 0.3", 0.2},
		{"0 0", 0},
		{"0.30000000000000004 0", 0.30000000000000004},              // no decimal of 15 places
		{"0.30000000000000004 0.1", 0.30000000000000004 + 0.1},      // as floats, in order
		{"0.1 0.2 1e-16", sumFloats(0.1, 0.2, 1e-16)},               //
		{"1e300 1e300", 2e300},                                      //
		{"9007199254740993 0", 9007199254740992},                    // what the parser made of it
		{"90071992.54740993 90071992.54740993", 180143985.09481986}, // above 2^53 units
		{"NaN 1", nan},
	} {
		var bars []series.Bar
		for i, s := range strings.Fields(x.volumes) {
			v := must(strconv.ParseFloat(s, 64))
			bars = append(bars, series.Bar{Time: series.Time(i) * series.Minute, Volume: v, QuoteVolume: v, Trades: v})
		}
		for split := range len(bars) + 1 {
			var dst, a, b series.Columns
			for i, bar := range bars {
				if i < split {
					a.Append(bar)
				} else {
					b.Append(bar)
				}
			}
			r := must(series.NewResampler(grid(t, "1m"), grid(t, "1h"), series.Always()))
			r.Add(&dst, &a)
			r.Add(&dst, &b)
			r.Flush(&dst)
			got := dst.Bar(0)
			if !same(got.Volume, x.want) || !same(got.QuoteVolume, x.want) || !same(got.Trades, x.want) {
				t.Errorf("%s, cut after %d: %v %v %v, want %v", x.volumes, split, got.Volume, got.QuoteVolume, got.Trades, x.want)
			}
		}
	}
}

func sumFloats(values ...float64) float64 {
	var sum float64
	for _, v := range values {
		sum += v
	}
	return sum
}

// TestResampleLargeSums: a month of seconds whose units pass 2^53 and 2^63.
func TestResampleLargeSums(t *testing.T) {
	const n = 31 * 24 * 3600
	for _, text := range []string{"11258999.06842623", "123456.5"} {
		v := must(strconv.ParseFloat(text, 64))
		src := series.Columns{
			Time: make([]series.Time, n), Open: make([]float64, n), High: make([]float64, n), Low: make([]float64, n),
			Close: make([]float64, n), Volume: make([]float64, n),
		}
		for i := range n {
			src.Time[i] = series.Time(i) * series.Second
			src.Volume[i] = v
		}
		r, _ := new(big.Rat).SetString(text)
		want, _ := r.Mul(r, big.NewRat(n, 1)).Float64()
		for _, batch := range []int{n, 4096} {
			re := must(series.NewResampler(grid(t, "1s"), grid(t, "1M"), series.Always()))
			var dst series.Columns
			for i := 0; i < n; i += batch {
				j := min(i+batch, n)
				re.Add(&dst, &series.Columns{
					Time: src.Time[i:j], Open: src.Open[i:j], High: src.High[i:j], Low: src.Low[i:j],
					Close: src.Close[i:j], Volume: src.Volume[i:j],
				})
			}
			if dst.Len() != 1 || dst.Volume[0] != want || !re.Parts[0].Complete() {
				t.Errorf("%s in batches of %d: %v, want %v", text, batch, dst.Volume, want)
			}
		}
	}
}

func TestNewResamplerRefuses(t *testing.T) {
	half := series.Grid{Interval: series.Interval1h, Phase: 30 * series.Minute}
	xnys := calendar(t, "XNYS")
	for _, x := range []struct {
		fine, coarse series.Grid
		cal          *series.Calendar
		ok           bool
	}{
		{grid(t, "1m"), half, series.Always(), true},
		{grid(t, "1h"), half, series.Always(), false},
		{half, grid(t, "1d"), series.Always(), false},
		{half, grid(t, "1d"), xnys, true}, // by session, not by grid
		{half, grid(t, "4h"), xnys, false},
		{grid(t, "45m"), grid(t, "1h"), series.Always(), false},
		{grid(t, "1h"), grid(t, "1h"), series.Always(), false},
		{grid(t, "1d"), grid(t, "1h"), series.Always(), false},
		{grid(t, "1w"), grid(t, "1M"), xnys, false},
		{grid(t, "1d"), grid(t, "1w"), xnys, true},
		{series.Grid{}, grid(t, "1w"), xnys, false},
		{grid(t, "1d"), series.Grid{Interval: series.Interval1w, Phase: 5}, xnys, false},
	} {
		if _, err := series.NewResampler(x.fine, x.coarse, x.cal); (err == nil) != x.ok {
			t.Errorf("%v to %v on %s: %v", x.fine, x.coarse, x.cal, err)
		}
	}
}

// TestResampleSomeColumns: a reader that asked for few columns gets those.
func TestResampleSomeColumns(t *testing.T) {
	full := walk(grid(t, "1m"), 0, 600, true)
	var want series.Columns
	if _, err := series.Resample(&want, full, grid(t, "1m"), grid(t, "1h"), series.Always()); err != nil {
		t.Fatal(err)
	}
	for _, src := range []*series.Columns{
		{Time: full.Time, High: full.High},
		{Time: full.Time, Low: full.Low, Close: full.Close},
		{Time: full.Time, Open: full.Open, Volume: full.Volume, Trades: full.Trades},
		{Time: full.Time, Prov: full.Prov},
	} {
		var got series.Columns
		if _, err := series.Resample(&got, src, grid(t, "1m"), grid(t, "1h"), series.Always()); err != nil {
			t.Fatal(err)
		}
		for i := range want.Len() {
			g, w := got.Bar(i), want.Bar(i)
			for _, f := range []struct {
				has  bool
				g, w float64
			}{
				{src.Open != nil, g.Open, w.Open},
				{src.High != nil, g.High, w.High},
				{src.Low != nil, g.Low, w.Low},
				{src.Close != nil, g.Close, w.Close},
				{src.Volume != nil, g.Volume, w.Volume},
				{src.Trades != nil, g.Trades, w.Trades},
			} {
				if f.has && f.g != f.w {
					t.Fatalf("bar %d is %v, want %v", i, g, w)
				}
				if !f.has && f.g != 0 && !math.IsNaN(f.g) {
					t.Fatalf("bar %d invents %v", i, g)
				}
			}
		}
	}
}

// TestResampleAgainstModel compares with a model that looks at every bar by
// itself, and checks that cutting the input into batches changes nothing.
func TestResampleAgainstModel(t *testing.T) {
	calendars := []*series.Calendar{series.Always(), calendar(t, "XNYS"), exchange(t, "lunch"), exchange(t, "night")}
	rapid.Check(t, func(t *rapid.T) {
		cal := rapid.SampledFrom(calendars).Draw(t, "calendar")
		fine := series.Grid{Interval: rapid.SampledFrom([]series.Interval{
			series.Interval15m, series.Interval30m, series.Interval1h, series.Interval2h, series.Interval6h, series.Interval1d,
		}).Draw(t, "fine")}
		if fine.Interval == series.Interval1h && rapid.Bool().Draw(t, "phased") {
			fine.Phase = 30 * series.Minute
		}
		coarse := series.Grid{Interval: rapid.SampledFrom(slices.DeleteFunc(series.Intervals(), func(i series.Interval) bool { return !fine.Interval.Divides(i) })).Draw(t, "coarse")}
		if fine.Phase != 0 && coarse.Interval.Intraday() {
			coarse.Phase = fine.Phase
		}
		r, err := series.NewResampler(fine, coarse, cal)
		if err != nil {
			t.Skip(err)
		}
		center := rapid.SampledFrom([]series.Time{
			moment("2021-05-05"), moment("2021-11-04"), moment("2021-12-20"), moment("2024-07-01"), moment("2024-12-28"), moment("1990-01-01"),
		}).Draw(t, "center")
		slots := rapid.IntRange(1, 300).Draw(t, "slots")
		holes := rapid.IntRange(0, 3).Draw(t, "holes")
		decimals := rapid.IntRange(0, 8).Draw(t, "decimals")
		plain := rapid.Bool().Draw(t, "plain") // of one provenance
		var src series.Columns
		first := fine.SlotAt(center)
		for n := first; n < first+series.Slot(slots); n++ {
			if holes > 0 && rapid.IntRange(0, 9).Draw(t, "hole") < holes {
				continue
			}
			b := genBar(t, fine.Time(n), decimals)
			if plain {
				b.Prov = series.NewProv(series.Corrected, 7)
				b.QuoteVolume = b.Volume
			}
			src.Append(b)
		}
		r.Now = center + series.Time(rapid.Int64Range(0, int64(20*series.Day)).Draw(t, "now"))

		want, parts, outside := resampleSlowly(&src, fine, coarse, cal, r.Now)
		var got series.Columns
		for i := 0; i < src.Len(); {
			j := min(src.Len(), i+rapid.SampledFrom([]int{1, 2, 7, 50, 1000}).Draw(t, "batch"))
			r.Add(&got, cut(&src, i, j))
			i = j
		}
		r.Flush(&got)
		if err := got.Check(); err != nil {
			t.Fatal(err)
		}
		if r.Outside != outside || !slices.Equal(r.Parts, parts) || got.Len() != len(want) {
			t.Fatalf("%s %v to %v: %d bars, parts %v, %d outside\nwant %d, %v, %d", cal, fine, coarse, got.Len(), r.Parts, r.Outside, len(want), parts, outside)
		}
		for i, w := range want {
			g := got.Bar(i)
			if g.Time != w.Time || prices(g) != prices(w) || g.Prov != w.Prov || !same(g.QuoteVolume, w.QuoteVolume) || !same(g.Trades, w.Trades) {
				t.Fatalf("%s %v to %v: bar %d\n got %+v\nwant %+v", cal, fine, coarse, i, g, w)
			}
		}
	})
}

func genBar(t *rapid.T, at series.Time, decimals int) series.Bar {
	price := func(name string) float64 { return float64(rapid.IntRange(-300, 3000).Draw(t, name)) / 100 }
	volume := func(name string) float64 {
		n := rapid.Int64Range(0, 1e12).Draw(t, name)
		v, _ := big.NewRat(n, int64(math.Pow10(decimals))).Float64()
		return v
	}
	b := series.Bar{
		Time: at, Open: price("open"), High: price("high"), Low: price("low"), Close: price("close"),
		Volume: volume("volume"), QuoteVolume: nan, Trades: nan,
	}
	if rapid.IntRange(0, 3).Draw(t, "quoted") > 0 {
		b.QuoteVolume = volume("quote")
	}
	if rapid.IntRange(0, 9).Draw(t, "counted") > 0 {
		b.Trades = float64(rapid.IntRange(0, 100).Draw(t, "trades"))
	}
	b.Prov = series.NewProv(
		rapid.SampledFrom([]series.Kind{series.Observed, series.Observed, series.Observed, series.Corrected, series.Synthetic}).Draw(t, "kind"),
		series.SourceID(rapid.SampledFrom([]int{3, 3, 3, 3, 4}).Draw(t, "source")))
	if rapid.IntRange(0, 3).Draw(t, "no trade") == 0 {
		b.Prov |= series.ProvNoTrade
	}
	if rapid.IntRange(0, 19).Draw(t, "forming") == 0 {
		b.Prov |= series.ProvForming
	}
	return b
}

func cut(c *series.Columns, i, j int) *series.Columns {
	optional := func(col []float64) []float64 {
		if len(col) == 0 {
			return nil
		}
		return col[i:j]
	}
	return &series.Columns{
		Time: c.Time[i:j], Open: c.Open[i:j], High: c.High[i:j], Low: c.Low[i:j], Close: c.Close[i:j], Volume: c.Volume[i:j],
		QuoteVolume: optional(c.QuoteVolume), Trades: optional(c.Trades), Prov: c.Prov[i:j],
	}
}

// resampleSlowly is the model: the definition, bar by bar and slot by slot.
func resampleSlowly(src *series.Columns, fine, coarse series.Grid, cal *series.Calendar, now series.Time) (bars []series.Bar, parts []series.Part, outside int64) {
	bySession := !cal.AlwaysOpen() && !coarse.Interval.Intraday()
	// bucketOf is the coarse slot of a fine one, and whether it has one.
	bucketOf := func(n series.Slot) (series.Slot, bool) {
		t, end := fine.Time(n), fine.Time(n+1)
		switch {
		case !bySession:
			return coarse.SlotAt(t), true
		case !fine.Interval.Intraday():
			_, ok := cal.SessionOn(t)
			return coarse.SlotAt(t), ok && cal.Valid().Contains(t)
		}
		for s := range cal.Sessions(series.Span{From: t, To: end}) {
			overlap := series.Subtract(nil, []series.Span{s.Span().Intersect(series.Span{From: t, To: end})}, s.Breaks)
			return coarse.SlotAt(s.Date), len(overlap) > 0
		}
		return 0, false
	}
	members := make(map[series.Slot][]series.Bar)
	var order []series.Slot
	for i := range src.Len() {
		n, ok := bucketOf(fine.SlotAt(src.Time[i]))
		if !ok {
			outside++
			continue
		}
		if members[n] == nil {
			order = append(order, n)
		}
		members[n] = append(members[n], src.Bar(i))
	}
	for _, n := range order {
		var part series.Part
		end := coarse.Time(n + 1)
		// Sessions may open on the day before the slot.
		from, to := fine.SlotAt(coarse.Time(n)-2*series.Day), fine.SlotAt(end+2*series.Day)
		has := make(map[series.Time]bool)
		for _, b := range members[n] {
			has[b.Time] = true
		}
		last := series.Time(0)
		for k := from; k < to; k++ {
			if m, ok := bucketOf(k); !ok || m != n || !bySession && !expected(cal, fine, k) {
				continue
			}
			part.Expected++
			last = fine.Time(k + 1)
			if has[fine.Time(k)] {
				part.Present++
			}
		}
		part.Extra = int32(len(members[n])) - part.Present
		if v := cal.Valid(); coarse.Time(n) < v.From || end > v.To {
			part.Expected = -1
		}
		if bySession {
			end = last
		}
		bars = append(bars, gather(members[n], coarse.Time(n), end > now))
		parts = append(parts, part)
	}
	return bars, parts, outside
}

func gather(all []series.Bar, at series.Time, forming bool) series.Bar {
	traded := slices.DeleteFunc(slices.Clone(all), func(b series.Bar) bool { return b.Prov.NoTrade() })
	priced := traded
	var flags series.Prov
	if len(traded) == 0 {
		priced, flags = all, series.ProvNoTrade
	}
	out := series.Bar{Time: at, Open: priced[0].Open, High: math.Inf(-1), Low: math.Inf(1), Close: priced[len(priced)-1].Close}
	for _, b := range priced {
		out.High, out.Low = math.Max(out.High, b.High), math.Min(out.Low, b.Low)
	}
	kind, src := series.Observed, all[0].Prov.Source()
	for _, b := range all {
		kind = max(kind, b.Prov.Kind())
		if b.Prov.Source() != src {
			src = 0
		}
		flags |= b.Prov & series.ProvForming
	}
	if forming {
		flags |= series.ProvForming
	}
	out.Prov = series.NewProv(kind, src) | flags
	sum := func(field func(series.Bar) float64, skip bool) float64 {
		total, any := new(big.Rat), false
		for _, b := range all {
			v := field(b)
			if math.IsNaN(v) {
				if skip && b.Prov.NoTrade() {
					continue
				}
				return nan
			}
			any = true
			r, _ := new(big.Rat).SetString(strconv.FormatFloat(v, 'f', -1, 64))
			total.Add(total, r)
		}
		if !any {
			return nan
		}
		f, _ := total.Float64()
		return f
	}
	out.Volume = sum(func(b series.Bar) float64 { return b.Volume }, false)
	out.QuoteVolume = sum(func(b series.Bar) float64 { return b.QuoteVolume }, true)
	out.Trades = sum(func(b series.Bar) float64 { return b.Trades }, true)
	return out
}
