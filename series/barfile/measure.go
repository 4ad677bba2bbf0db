package barfile

import (
	"fmt"
	"math"
	"slices"

	"github.com/barkeepdb/barkeep/series"
)

// measure reads the sample by plan p and notes order, interval and what looks
// odd. It returns an error if the sample contradicts the options.
func (sm *sample) measure(p *plan, d *Detection) error {
	var b bar
	var times []series.Time
	var seen evidence
	for _, r := range sm.rows {
		if !p.keeps(r) {
			continue
		}
		hasTime, reason := p.text(r, &b)
		if hasTime {
			times = append(times, b.time)
		}
		if reason == "" {
			seen.add(&b)
		}
	}
	d.TimeFormat = p.spec.describe()
	d.Zone = p.spec.zoneName()
	if err := settle(p, times, seen, d); err != nil {
		return err
	}
	lean := d.Format == CSV.String() && !d.Header && (p.spec.kind == timeOfDay || sm.compactTimes(p))
	if lean && p.shift == 0 && p.scale == 0 && seen.scaled() {
		d.Warnings = append(d.Warnings, "the prices are whole numbers of at least 10000, as Lean writes prices of equities times 10000: give --price-scale 10000 if they are")
	}
	return nil
}

// settle compares what the times of a sample show with the options. It serves
// typed columns as well as text.
func settle(p *plan, times []series.Time, seen evidence, d *Detection) error {
	s := stepsOf(times)
	d.Order = s.order
	if p.interval.Valid() {
		if err := s.contradicts(p.interval); err != nil {
			return err
		}
	} else if s.count > 0 {
		p.interval = s.interval()
		if !p.interval.Valid() {
			d.Warnings = append(d.Warnings, "the interval could not be told from the steps between rows: give it with --interval")
		}
	}
	d.Interval = p.interval
	if s.count > 0 {
		share := s.dist[p.interval.Width()]
		if p.interval == series.Interval1M {
			share = int(math.Round(s.where(isMonth) * float64(s.count)))
		}
		d.StepShare = float64(share) / float64(s.count)
	}
	if p.stampEnd && !p.interval.Valid() {
		return fmt.Errorf("times at the end of a bar need to know how wide a bar is: give --interval")
	}
	if !p.stampEnd && looksEndStamped(ordered(times), p.interval) {
		d.Warnings = append(d.Warnings, "the sessions start one interval late and end on the half hour: the times look like those at which bars ended; give --stamp end if they are")
	}
	if clock, n := offMidnight(times); p.interval.Valid() && !p.interval.Intraday() && n*2 > len(times) {
		d.Warnings = append(d.Warnings, fmt.Sprintf("the bars open at %s UTC: if they are session dates of another zone, give it with --tz, so that they become labels of these dates", clock.Std().Format("15:04")))
	}
	p.traded = seen.volume
	if seen.rows >= 10 && seen.odd*5 > seen.rows {
		d.Warnings = append(d.Warnings, fmt.Sprintf("in %d of %d rows high is not the highest or low not the lowest price: check the columns with --map", seen.odd, seen.rows))
	}
	return nil
}

// offMidnight counts the times that are not midnight UTC, and shows one.
func offMidnight(times []series.Time) (clock series.Time, n int) {
	for _, t := range times {
		if c := t % series.Day; c != 0 {
			clock = c
			n++
		}
	}
	return clock, n
}

func ordered(times []series.Time) []series.Time {
	t := slices.Clone(times)
	slices.Sort(t)
	return t
}

// evidence is what the bars of a sample have in common.
type evidence struct {
	rows   int
	odd    int  // rows whose high or low is not the extreme
	volume bool // some bar has volume
	uneven bool // some price is no multiple of 100
	least  float64
}

func (e *evidence) add(b *bar) {
	o, h, l, c := b.value[fieldOpen], b.value[fieldHigh], b.value[fieldLow], b.value[fieldClose]
	e.rows++
	if h < max(o, l, c) || l > min(o, c) {
		e.odd++
	}
	e.volume = e.volume || b.value[fieldVolume] > 0
	if e.rows == 1 || l < e.least {
		e.least = l
	}
	e.uneven = e.uneven || o != math.Trunc(o) || h != math.Trunc(h) || l != math.Trunc(l) || c != math.Trunc(c)
}

// scaled reports whether prices look like whole ten-thousandths.
func (e *evidence) scaled() bool { return e.rows > 0 && !e.uneven && e.least >= 10000 }

// compactTimes reports whether times are written yyyyMMdd HH:mm, as in Lean's
// daily and hourly files.
func (sm *sample) compactTimes(p *plan) bool {
	if p.spec.kind != timeWall || len(sm.rows) == 0 {
		return false
	}
	c := p.columns[fieldTime]
	return c < len(sm.rows[0]) && len(sm.rows[0][c]) == 14 && sm.rows[0][c][8] == ' '
}

// zoneName says in which zone times are, empty where dates are labels.
func (s *timeSpec) zoneName() string {
	switch {
	case s.label || s.dates != nil:
		return ""
	case s.zone != nil:
		return s.zone.loc.String()
	}
	return "UTC"
}
