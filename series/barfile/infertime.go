package barfile

import (
	"bytes"
	"fmt"
	"math"
	"strings"

	"github.com/barkeepdb/barkeep/series"
)

// inferSpec tells how the times of a text are written.
func (sm *sample) inferSpec(m mapping, o Options, date int64, hasDate bool) (timeSpec, []string, error) {
	var spec timeSpec
	var warnings []string
	if err := checkTimeFormat(o.TimeFormat); err != nil {
		return spec, nil, err
	}
	cells, clocks := sm.timeCells(m)
	kind := sm.classOf(m[fieldTime])
	switch {
	case o.TimeFormat == "ms-of-day" || kind == classSmall && o.TimeFormat == "" && (sm.columnNames == nil || hasDate):
		if !hasDate {
			return spec, nil, fmt.Errorf("times are milliseconds since midnight and the day is not in the file name: give it with --date YYYY-MM-DD")
		}
		spec.kind, spec.days = timeOfDay, date
		return spec, nil, sm.needZone(&spec, m, o, cells)
	case kind == classUnix || kind == classSmall || kind == classNumber || units[o.TimeFormat] != 0:
		spec.kind, spec.unit, spec.below = timeUnix, units[o.TimeFormat], belowIsOld
		if spec.unit == 0 {
			spec.unit, spec.below = inferUnit(cells, o.Interval)
		}
		return spec, nil, nil
	case kind == classOther && len(cells) > 0:
		return spec, nil, fmt.Errorf("times such as %q in column %s are not understood: give Unix times, RFC 3339 or dates, or name another column with --map time=COLUMN", clip(cells[0]), sm.columnName(m[fieldTime]))
	}
	spec.kind = timeWall
	if err := sm.inferOrder(&spec, o, cells); err != nil {
		return spec, nil, err
	}
	warnings = append(warnings, sm.inferLabel(&spec, o, cells, clocks)...)
	if spec.label {
		return spec, warnings, nil
	}
	for i, c := range cells {
		x, ok := parseWall(c, spec.order)
		if ok && clocks != nil {
			x.parseClock(clocks[i])
		}
		if ok && !x.zoned {
			return spec, warnings, sm.needZone(&spec, m, o, cells)
		}
	}
	if o.Zone != nil {
		spec.zone = &zone{loc: o.Zone} // later rows may lack the offset
	}
	return spec, warnings, nil
}

// inferUnit tells the unit of Unix times by the magnitude of most of them.
// Before 1973 magnitudes mislead: where the interval is known, and in that unit
// the steps are not of its width but in another they are, the other one it is.
func inferUnit(cells [][]byte, want series.Interval) (unit, below) {
	votes := make(map[unit]int)
	var raw []series.Time
	for _, c := range cells {
		if f, st := parseFloat(c, 0); st == number && math.Abs(f) < 9e18 {
			votes[unitOf(f)]++
			raw = append(raw, series.Time(f))
		}
	}
	u := seconds
	for _, try := range [...]unit{millis, micros, nanos} {
		if votes[try] > votes[u] {
			u = try
		}
	}
	if s := stepsOf(raw); want.Valid() && votes[seconds] > 0 && s.count > 0 {
		for _, try := range [...]unit{seconds, millis} {
			n := series.Time(try)
			if s.mode*1000/n == want.Width() || want == series.Interval1M && isMonth(s.mode*1000/n) {
				return try, belowIsOld
			}
		}
	}
	// does the file reach back to where magnitudes mislead?
	const since1980 = 315532800000
	coarser := 0
	for _, t := range raw {
		at, ok := fromUnix(int64(t), u, belowRefuse)
		switch {
		case at < since1980:
			return u, belowIsOld
		case !ok:
			coarser++
		}
	}
	if coarser > 0 {
		return u, belowIsCoarser
	}
	return u, belowRefuse
}

// units are the values of Options.TimeFormat for Unix times.
var units = map[string]unit{"s": seconds, "ms": millis, "us": micros, "ns": nanos}

func checkTimeFormat(s string) error {
	if s == "" || s == "mdy" || s == "dmy" || s == "ms-of-day" || units[s] != 0 {
		return nil
	}
	return fmt.Errorf("time format %q is not one of mdy dmy s ms us ns ms-of-day", s)
}

// timeCells are the cells of the time column that are not empty, and of the
// clock column beside them.
func (sm *sample) timeCells(m mapping) (cells, clocks [][]byte) {
	for _, r := range sm.rows {
		if m[fieldTime] >= len(r) || isMissing(r[m[fieldTime]]) {
			continue
		}
		cells = append(cells, r[m[fieldTime]])
		if m.has(fieldClock) {
			var c []byte
			if m[fieldClock] < len(r) {
				c = r[m[fieldClock]]
			}
			clocks = append(clocks, c)
		}
	}
	return cells, clocks
}

// needZone settles where naive times were written: by the option, or by a
// header or banner that says UTC. Anything else would be a guess.
func (sm *sample) needZone(spec *timeSpec, m mapping, o Options, cells [][]byte) error {
	if o.Zone != nil {
		spec.zone = &zone{loc: o.Zone}
		return nil
	}
	hint := strings.ToLower(sm.banner)
	if sm.columnNames != nil {
		hint += " " + strings.ToLower(sm.columnName(m[fieldTime]))
	}
	if strings.Contains(hint, "utc") || strings.Contains(hint, "gmt") {
		return nil
	}
	example := ""
	if spec.kind == timeOfDay {
		example = " in milliseconds since midnight"
	} else if len(cells) > 0 {
		example = fmt.Sprintf(" such as %q", clip(cells[0]))
	}
	return fmt.Errorf("times%s are local times without a zone: say where they were written with --tz, for example --tz America/New_York or --tz UTC", example)
}

// inferOrder tells m/d/Y from d/m/Y.
func (sm *sample) inferOrder(spec *timeSpec, o Options, cells [][]byte) error {
	switch o.TimeFormat {
	case "mdy":
		spec.order = monthFirst
		return nil
	case "dmy":
		spec.order = dayFirst
		return nil
	}
	var first, second, yearLast bool
	var example []byte
	for _, c := range cells {
		w, ok := parseWall(c, orderUnknown)
		if !ok || !w.yearLast {
			continue
		}
		if !yearLast {
			example = c
		}
		yearLast = true
		first, second = first || w.a > 12, second || w.b > 12
	}
	switch {
	case !yearLast:
	case first && second:
		return fmt.Errorf("dates are written day first in some rows and month first in others: split the file, or reject one kind with --time-format mdy or dmy")
	case first:
		spec.order = dayFirst
	case second:
		spec.order = monthFirst
	case bytes.IndexByte(example, '.') > 0:
		spec.order = dayFirst // 31.01.2024 is never written month first
	default:
		if spec.order = orderBySteps(cells, o.Interval); spec.order == orderUnknown {
			return fmt.Errorf("dates such as %q can be month first or day first: say which with --time-format mdy or --time-format dmy", clip(example))
		}
	}
	return nil
}

// orderBySteps decides m/d/Y or d/m/Y where no number is above 12: only one of
// them gives days that follow each other, and either bars of a day are asked
// for or there are several bars a day.
func orderBySteps(cells [][]byte, want series.Interval) dateOrder {
	short := [...]bool{orderUnknown: false, monthFirst: false, dayFirst: false}
	for _, order := range [...]dateOrder{monthFirst, dayFirst} {
		var days []series.Time
		for _, c := range cells {
			if w, ok := parseWall(c, order); ok {
				if n := len(days); n == 0 || days[n-1] != series.Time(w.days)*series.Day {
					days = append(days, series.Time(w.days)*series.Day)
				}
			}
		}
		s := stepsOf(days)
		intraday := len(cells) > 2*len(days)
		if s.count < 2 || !intraday && want != series.Interval1d {
			return orderUnknown
		}
		short[order] = s.where(func(d series.Time) bool { return d <= 5*series.Day }) > 0.9
	}
	switch {
	case short[monthFirst] && !short[dayFirst]:
		return monthFirst
	case short[dayFirst] && !short[monthFirst]:
		return dayFirst
	}
	return orderUnknown
}

// inferLabel tells whether dates are labels of bars of a day or coarser: all
// clock times are midnight, or one and the same.
func (sm *sample) inferLabel(spec *timeSpec, o Options, cells, clocks [][]byte) []string {
	if o.Interval.Intraday() {
		return nil
	}
	midnight, clocked, zoned, n := 0, 0, 0, 0
	same := true
	var ms int64
	days := make(map[int64]bool)
	for i, c := range cells {
		w, ok := parseWall(c, spec.order)
		if !ok {
			continue
		}
		if clocks != nil && (len(clocks[i]) == 0 || !w.parseClock(clocks[i])) {
			continue
		}
		if n == 0 {
			ms = w.ms
		}
		same = same && w.ms == ms
		if w.ms == 0 {
			midnight++
		}
		if w.clock {
			clocked++
		}
		if w.zoned {
			zoned++
		}
		days[w.days] = true
		n++
	}
	coarse := o.Interval.Valid()
	switch {
	case n == 0:
		spec.label = true
	case midnight == n:
		spec.label = coarse || clocked == 0 || n > 1
	case coarse && midnight*10 >= n*9:
		spec.label = true
	case same && zoned == 0 && (coarse || n >= 5 && len(days) == n):
		spec.label, spec.dropClock = true, true
		return []string{fmt.Sprintf("every bar carries the clock time %s: taken as labels of their dates", series.Time(ms).Std().Format("15:04:05"))}
	}
	return nil
}

// inferDates tells whether instants are midnights of session dates in the zone
// of the options: bars of a day that open at 15:00 UTC are those of Tokyo.
func (sm *sample) inferDates(p *plan, o Options) {
	if o.Zone == nil || p.spec.label || o.Interval.Intraday() || p.spec.kind == timeOfDay {
		return
	}
	cells, clocks := sm.timeCells(p.columns)
	midnight, n := 0, 0
	for i, c := range cells {
		var clock []byte
		if clocks != nil {
			clock = clocks[i]
		}
		t, reason := p.spec.parse(c, clock)
		if reason != "" {
			continue
		}
		_, offset := t.Std().In(o.Zone).Zone()
		n++
		if (t+series.Time(offset)*series.Second)%series.Day == 0 {
			midnight++
		}
	}
	if midnight*10 >= n*9 && (n > 1 || n == 1 && o.Interval.Valid()) {
		p.spec.dates = o.Zone
	}
}

// looksEndStamped reports whether the sessions of a sample start one interval
// after and end at a half hour: such bars carry the time at which they ended.
func looksEndStamped(times []series.Time, i series.Interval) bool {
	const half = 30 * series.Minute
	w := i.Width()
	if !i.Intraday() || w > 15*series.Minute || half%w != 0 || len(times) < 20 {
		return false
	}
	sessions, late := 0, 0
	start := times[0]
	for k := 1; k <= len(times); k++ {
		if k < len(times) && times[k]-times[k-1] < series.Hour {
			continue
		}
		// the ends of a sample are cut anywhere, but a single session counts
		if end := times[k-1]; end-start > 2*series.Hour {
			sessions++
			if start%half == w && end%half == 0 {
				late++
			}
		}
		if k < len(times) {
			start = times[k]
		}
	}
	return sessions > 0 && late*2 > sessions
}
