package barfile

import (
	"fmt"
	"math"
	"slices"
	"strconv"
	"strings"
)

var nan = math.NaN()

// columnName is how messages and Detection call a column.
func (sm *sample) columnName(c int) string {
	if c < len(sm.columnNames) && sm.columnNames[c] != "" {
		return sm.columnNames[c]
	}
	return strconv.Itoa(c)
}

// columnNames are all of them, for messages.
func (sm *sample) columnList() string {
	if sm.columnNames == nil {
		return fmt.Sprintf("%d columns without names", sm.width)
	}
	names := sm.columnNames
	if len(names) > 20 {
		return fmt.Sprintf("the columns %s and %d more", strings.Join(names[:20], ", "), len(names)-20)
	}
	return "the columns " + strings.Join(names, ", ")
}

// infer tells which column holds which field.
func (sm *sample) infer(o Options) (mapping, []string, error) {
	m, err := userMapping(o.Map, sm.columnNames, sm.width)
	if err != nil {
		return m, nil, err
	}
	var warnings []string
	if err := sm.inferTime(&m); err != nil {
		return m, nil, err
	}
	if sm.columnNames != nil {
		warnings = mapNames(&m, sm.columnNames)
	}
	if m[fieldOpen] == -1 && m[fieldHigh] == -1 && m[fieldLow] == -1 && m[fieldClose] == -1 {
		w, err := sm.inferPrices(&m)
		if err != nil {
			return m, nil, err
		}
		warnings = append(warnings, w...)
	}
	if sm.columnNames == nil && m[fieldVolume] == -1 && len(o.Map) > 0 {
		sm.inferVolume(&m)
	}
	sm.preferTraded(&m, o)
	for _, f := range []field{fieldOpen, fieldHigh, fieldLow, fieldClose} {
		if !m.has(f) {
			return m, nil, fmt.Errorf("no column for %s among %s: name it with --map %s=COLUMN", f, sm.columnList(), f)
		}
	}
	if !m.has(fieldVolume) && m[fieldVolume] != -2 {
		warnings = append(warnings, "no column for the volume: it is set to 0")
	}
	for f := range m {
		m[f] = max(m[f], -1)
	}
	return m, warnings, nil
}

// inferVolume finds the volume behind prices that the user named.
func (sm *sample) inferVolume(m *mapping) {
	last := max(m[fieldOpen], m[fieldHigh], m[fieldLow], m[fieldClose])
	if m[fieldHigh] < 0 || m[fieldLow] < 0 {
		return
	}
	var free []int
	for c := last + 1; c < sm.width; c++ {
		if k := sm.classOf(c); c != m[fieldTime] && c != m[fieldClock] && k != classOther && k != classClock {
			free = append(free, c)
		}
	}
	if len(free) < 6 { // else quotes, of which the user named one side
		sm.inferQuantities(m, free, sm.numbers(m[fieldHigh]), sm.numbers(m[fieldLow]))
	}
}

// preferTraded takes the number of ticks for the volume where the column of
// the volume is there and holds nothing, as MetaTrader writes it.
func (sm *sample) preferTraded(m *mapping, o Options) {
	if sm.columnNames == nil || !m.has(fieldVolume) || o.Map["volume"] != "" || len(sm.rows) == 0 {
		return
	}
	traded := func(c int) bool {
		return slices.ContainsFunc(sm.numbers(c), func(v float64) bool { return v > 0 })
	}
	if traded(m[fieldVolume]) {
		return
	}
	for c, n := range sm.columnNames {
		if k := canonical(n); (k == "tickvol" || k == "tickvolume" || k == "vol" || k == "volume" || k == "realvolume") && c != m[fieldVolume] && traded(c) {
			m[fieldVolume] = c
			return
		}
	}
}

// inferTime finds the column of the time, and that of the clock beside it.
func (sm *sample) inferTime(m *mapping) error {
	if m[fieldTime] >= 0 {
		if m[fieldClock] == -1 && sm.columnNames != nil && sm.classOf(m[fieldTime]) == classDate {
			sm.findClock(m)
		}
		return nil
	}
	candidates := timeCandidates(sm.columnNames)
	if sm.columnNames == nil {
		for c := range sm.width {
			candidates = append(candidates, c)
		}
	}
	// a Unix time or a full date and time first, then a date with its clock
	// beside it, then a date alone
	date, small := -1, -1
	for _, c := range candidates {
		switch sm.classOf(c) {
		case classUnix, classDateTime:
			if date >= 0 && sm.columnNames == nil {
				continue // a volume as large as a Unix time
			}
			m[fieldTime] = c
			return nil
		case classDate:
			if date < 0 {
				date = c
			}
		case classSmall:
			if small < 0 && (sm.columnNames != nil || c == 0) {
				small = c
			}
		case classNumber:
			if small < 0 && sm.columnNames != nil && canonical(sm.columnNames[c]) != "" {
				small = c // Unix times around 1970
			}
			if sm.columnNames == nil && c > 0 && date < 0 {
				date = -2 // no times after the first prices
			}
		}
		if date == -2 {
			break
		}
	}
	for c := 0; date < 0 && small < 0 && sm.columnNames != nil && c < sm.width; c++ {
		if k := sm.classOf(c); k == classDate || k == classDateTime {
			date = c // a name that says nothing
		}
	}
	switch {
	case date >= 0:
		m[fieldTime] = date
		if m[fieldClock] == -1 {
			sm.findClock(m)
		}
		return nil
	case small >= 0:
		m[fieldTime] = small
		return nil
	case len(sm.rows) == 0 && len(candidates) > 0:
		m[fieldTime] = candidates[0]
		return nil
	}
	return fmt.Errorf("no column holds times among %s: name it with --map time=COLUMN", sm.columnList())
}

// findClock finds clock times in the named column or, without names, in the
// column after the date.
func (sm *sample) findClock(m *mapping) {
	if sm.columnNames == nil {
		if c := m[fieldTime] + 1; c < sm.width && sm.classOf(c) == classClock {
			m[fieldClock] = c
		}
		return
	}
	for c, n := range sm.columnNames {
		if rank[canonical(n)][fieldClock] == 0 || c == m[fieldTime] {
			continue
		}
		if k := sm.classOf(c); k == classClock || k == classNumber || k == classSmall {
			if k != classClock && !sm.clockNumbers(c) {
				continue
			}
			m[fieldClock] = c
			return
		}
	}
}

// clockNumbers reports whether a column of numbers reads as hhmmss or hhmm.
func (sm *sample) clockNumbers(c int) bool {
	for _, r := range sm.rows {
		var w wall
		if c >= len(r) || len(r[c]) < 3 || !w.parseClock(r[c]) {
			return false
		}
	}
	return len(sm.rows) > 0
}

// layouts are the orders in which files without header hold the four prices,
// the usual first: that of nearly everyone, Bitfinex and KuCoin, Coinbase.
var layouts = []struct {
	name                   string
	open, high, low, close int
}{
	{"open,high,low,close", 0, 1, 2, 3},
	{"open,close,high,low", 0, 2, 3, 1},
	{"low,high,open,close", 2, 1, 0, 3},
	{"high,low,open,close", 2, 0, 1, 3},
}

// inferPrices tells the order of the columns without names. The prices are the
// first four columns of numbers after the time; only an order in which high is
// the highest and low the lowest price of nearly every row is taken.
func (sm *sample) inferPrices(m *mapping) ([]string, error) {
	var free []int
	for c := range sm.width {
		if c == m[fieldTime] || c == m[fieldClock] {
			continue
		}
		if k := sm.classOf(c); k == classNumber || k == classSmall || k == classUnix || len(sm.rows) == 0 {
			free = append(free, c)
		}
	}
	if len(free) < 4 {
		return nil, fmt.Errorf("the rows need a time and four prices, and this file has %s: name the columns with --map time=A,open=B,high=C,low=D,close=E,volume=F", sm.columnList())
	}
	var p [4][]float64
	for i := range p {
		p[i] = sm.numbers(free[i])
	}
	best, share, uneven := 0, 0.0, 0
	for i, l := range layouts {
		ok, n := sm.holds(p[l.open], p[l.high], p[l.low], p[l.close])
		uneven = n
		if n > 0 && float64(ok)/float64(n) > share {
			best, share = i, float64(ok)/float64(n)
		}
	}
	if uneven > 0 && share < 0.95 {
		return nil, fmt.Errorf("the order of the price columns cannot be told: in no usual order is high the highest and low the lowest price; name them with --map open=%d,high=%d,low=%d,close=%d,volume=... (numbers count from 0)", free[0], free[1], free[2], free[3])
	}
	l := layouts[best]
	m[fieldOpen], m[fieldHigh], m[fieldLow], m[fieldClose] = free[l.open], free[l.high], free[l.low], free[l.close]
	if best == 0 && sm.reversed(p[0], p[3]) {
		return nil, fmt.Errorf("open and close cannot be told apart: read as open,high,low,close no bar opens near the close before it, read as close,high,low,open they do; name them with --map open=%d,high=%d,low=%d,close=%d", free[3], free[1], free[2], free[0])
	}
	warnings := sm.inferQuantities(m, free[4:], p[l.high], p[l.low])
	if uneven == 0 && !sm.whole {
		warnings = append(warnings, "all prices of a row are equal in the sample, so their order could not be checked: taken as "+l.name)
	}
	return warnings, nil
}

// holds counts the rows in which high is the highest and low the lowest price,
// among the n whose prices differ.
func (sm *sample) holds(o, h, l, c []float64) (ok, n int) {
	for i := range o {
		if o[i] == h[i] && h[i] == l[i] && l[i] == c[i] || math.IsNaN(o[i]+h[i]+l[i]+c[i]) {
			continue
		}
		n++
		if h[i] >= max(o[i], l[i], c[i]) && l[i] <= min(o[i], c[i]) {
			ok++
		}
	}
	return ok, n
}

// reversed reports whether bars clearly continue from first to last instead of
// from last to first, in whichever order the rows come.
func (sm *sample) reversed(first, last []float64) bool {
	asc, desc := sm.times()
	if asc == desc || len(first) < 30 {
		return false
	}
	var normal, swapped float64
	n := 0
	for i := 1; i < len(first); i++ {
		a, b := i-1, i // in time
		if desc {
			a, b = i, i-1
		}
		x, y := math.Abs(first[b]-last[a]), math.Abs(last[b]-first[a])
		if first[i] == last[i] || math.IsNaN(x+y) {
			continue
		}
		normal, swapped, n = normal+x, swapped+y, n+1
	}
	return n >= 30 && swapped*4 < normal
}

// times tells roughly whether the sample runs forward or backward, from the
// raw text of its first column of times.
func (sm *sample) times() (asc, desc bool) {
	first, last := sm.numbers(0), sm.numbers(0)
	if len(first) < 2 {
		return false, false
	}
	return first[0] < last[len(last)-1], first[0] > last[len(last)-1]
}

// inferQuantities tells volume, quote volume and trades apart in the columns
// after the prices.
func (sm *sample) inferQuantities(m *mapping, free []int, high, low []float64) (warnings []string) {
	set := func(f field, c int) {
		if m[f] == -1 {
			m[f] = c
		}
	}
	if len(free) == 0 {
		return nil
	}
	if len(free) >= 6 {
		o, h, l, c := sm.numbers(free[1]), sm.numbers(free[2]), sm.numbers(free[3]), sm.numbers(free[4])
		if ok, n := sm.holds(o, h, l, c); n > 0 && ok*20 >= n*19 && near(h, high) {
			if m[fieldVolume] == -1 {
				m[fieldVolume] = -2
			}
			return []string{fmt.Sprintf("the file holds quotes, bid and ask: the bid prices were taken; for the ask use --map open=%d,high=%d,low=%d,close=%d", free[1], free[2], free[3], free[4])}
		}
	}
	if len(free) >= 4 && sm.classOf(free[1]) == classUnix && sm.classOf(m[fieldTime]) == classUnix {
		// Binance: volume, close time, quote volume, trades
		set(fieldVolume, free[0])
		set(fieldQuoteVolume, free[2])
		set(fieldTrades, free[3])
		return nil
	}
	if len(free) >= 2 && within(sm.numbers(free[0]), nil, high, low) {
		// Kraken: the average price stands before the volume
		free = free[1:]
		if len(free) == 2 {
			set(fieldTrades, free[1])
		}
	}
	set(fieldVolume, free[0])
	volume := sm.numbers(free[0])
	for _, c := range free[1:] {
		if within(sm.numbers(c), volume, high, low) {
			set(fieldQuoteVolume, c)
			break
		}
	}
	return warnings
}

// within reports whether v, divided by per if that is not nil, lies between
// low and high in nearly every row.
func within(v, per, high, low []float64) bool {
	ok, n := 0, 0
	for i, x := range v {
		if per != nil {
			if per[i] <= 0 {
				continue
			}
			x /= per[i]
		}
		if math.IsNaN(x) || high[i] == low[i] && x == 0 {
			continue
		}
		n++
		if x <= high[i]*(1+1e-4) && x >= low[i]*(1-1e-4) {
			ok++
		}
	}
	return n > 0 && ok*10 >= n*9
}

// near reports whether two columns are prices of one thing: within a tenth of
// each other.
func near(a, b []float64) bool {
	for i := range a {
		if math.Abs(a[i]-b[i]) > 0.1*math.Abs(b[i]) {
			return false
		}
	}
	return true
}
