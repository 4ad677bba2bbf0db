package barfile

import (
	"fmt"
	"slices"
	"time"

	"github.com/barkeepdb/barkeep/series"
)

// steps are the distances between neighbouring bars of a sample.
type steps struct {
	count int // of steps above 0
	mode  series.Time
	share float64 // of the steps that are the mode
	dist  map[series.Time]int
	order string
}

// stepsOf measures times in file order.
func stepsOf(times []series.Time) steps {
	s := steps{dist: make(map[series.Time]int)}
	if len(times) < 2 {
		return s
	}
	up, down := 0, 0
	for i, t := range times[1:] {
		switch {
		case t > times[i]:
			up++
		case t < times[i]:
			down++
		}
	}
	switch n := up + down; {
	case n == 0:
	case up*20 >= n*19:
		s.order = "ascending"
	case down*20 >= n*19:
		s.order = "descending"
	default:
		s.order = "mixed"
	}
	sorted := slices.Clone(times)
	slices.Sort(sorted)
	for i, t := range sorted[1:] {
		if d := t - sorted[i]; d > 0 {
			s.dist[d]++
			s.count++
		}
	}
	for d, n := range s.dist {
		if m := s.dist[s.mode]; n > m || n == m && d < s.mode {
			s.mode = d
		}
	}
	if s.count > 0 {
		s.share = float64(s.dist[s.mode]) / float64(s.count)
	}
	return s
}

// where counts the steps for which ok holds, as a share of all.
func (s steps) where(ok func(series.Time) bool) float64 {
	n := 0
	for d, c := range s.dist {
		if ok(d) {
			n += c
		}
	}
	return float64(n) / float64(max(s.count, 1))
}

// isMonth reports whether d is the length of some month; an hour more or less
// is the change of the clock.
func isMonth(d series.Time) bool {
	return d >= 28*series.Day-series.Hour && d <= 31*series.Day+series.Hour
}

// interval is the width of the bars: the mode of the steps or, where no step
// is frequent because most bars are absent, the widest interval of which
// nearly all steps are multiples.
func (s steps) interval() series.Interval {
	if s.count == 0 {
		return 0
	}
	if s.where(isMonth) > 0.9 {
		return series.Interval1M
	}
	var mode series.Interval
	for _, i := range series.Intervals() {
		if w := i.Width(); w > 0 && w == s.mode {
			mode = i
		}
	}
	if s.share >= 0.5 {
		return mode
	}
	return s.divisor()
}

// divisor is the widest interval that divides nearly all steps, 0 if none.
func (s steps) divisor() series.Interval {
	all := series.Intervals()
	for _, i := range slices.Backward(all) {
		w := i.Width()
		if w > 0 && s.where(func(d series.Time) bool { return d%w == 0 }) > 0.95 {
			return i
		}
	}
	return 0
}

// enough is how many steps show an interval even if a few bars stand off the
// grid; fewer may all be wide or odd by chance, such as bars that mend a hole.
const enough = 10

// contradicts returns an error if the sample evidently holds bars of another
// interval than want. Single bars off the grid of want are no evidence: whoever
// stores the bars refuses these and keeps the others.
func (s steps) contradicts(want series.Interval) error {
	if s.count == 0 || s.mode == want.Width() {
		return nil
	}
	found := s.interval()
	if found == want {
		return nil
	}
	odd := s.where(func(d series.Time) bool { return !fits(d, want) })
	crowded := s.share == 1 && s.mode > 0 && s.crowds(want)
	switch {
	case !found.Valid():
		if s.count < enough || odd < 0.9 {
			return nil
		}
		return fmt.Errorf("the interval %s does not fit the file: %.0f%% of its steps are %s", want, 100*s.share, time.Duration(s.mode)*time.Millisecond)
	case found < want && odd >= 0.5 && (s.count >= enough || crowded):
	case found > want && s.count >= enough && (found == series.Interval1M || s.divisor() > want):
	default:
		return nil
	}
	return fmt.Errorf("the interval %s does not fit the file, whose bars are %s: give --interval %s or another file", want, found, found)
}

// crowds reports whether even steps leave most bars no place on any grid of i,
// which no single bar off the grid does.
func (s steps) crowds(i series.Interval) bool {
	w := i.Width()
	if w == 0 {
		w = 28 * series.Day
	}
	bars := series.Time(s.count + 1)
	return bars > 2*((bars*s.mode+w-1)/w)
}

// fits reports whether two bars of interval i may be d apart. Days of a zone
// are an hour shorter or longer when its clock changes.
func fits(d series.Time, i series.Interval) bool {
	switch {
	case i == series.Interval1M:
		return d >= 28*series.Day-series.Hour
	case i.Intraday():
		return d%i.Width() == 0
	}
	return d >= i.Width()-series.Hour
}
