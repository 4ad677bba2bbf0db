package barfile

import (
	"bytes"
	"fmt"
	"time"

	"github.com/barkeepdb/barkeep/series"
)

// timeKind is a way to write times.
type timeKind uint8

const (
	timeUnix    timeKind = iota // a number since 1970
	timeWall                    // a date, with or without clock and offset
	timeOfDay                   // milliseconds since midnight
	timeInstant                 // typed: milliseconds UTC (Parquet, Arrow)
	timeLocal                   // typed: milliseconds of a naive local time
)

// timeSpec says how the times of a file become instants.
type timeSpec struct {
	kind  timeKind
	unit  unit
	below below // of times that are small for unit
	order dateOrder
	// days is the base date of timeOfDay.
	days int64
	// label says that dates are labels: bars of a day or coarser.
	label bool
	// dropClock says that label also cuts clock times off: every bar of a day
	// carries the same one.
	dropClock bool
	zone      *zone // of naive times; nil is UTC
	// dates is where instants are midnight of session dates, nil if nowhere.
	dates *time.Location
}

// parse reads one time. The reason is empty if it could.
func (s *timeSpec) parse(cell, clock []byte) (t series.Time, reason string) {
	switch s.kind {
	case timeUnix:
		t, ok := parseUnix(cell, s.unit, s.below)
		if !ok {
			return 0, s.unreadableUnix(cell)
		}
		return s.session(t), inRange(t)
	case timeOfDay:
		n, k := leadingNumber(cell)
		if k == 0 || k != len(cell) || n > int(series.Day) {
			f, st := parseFloat(bytes.TrimSpace(cell), 0)
			if st != number || f < 0 || f > float64(series.Day) {
				return 0, fmt.Sprintf("time %.40q is not milliseconds since midnight", cell)
			}
			n = int(f)
		}
		return s.instant(wall{days: s.days, ms: int64(n), clock: true})
	}
	w, ok := parseWall(cell, s.order)
	if ok && clock != nil {
		c := wall{days: w.days}
		ok = c.parseClock(bytes.TrimSpace(clock))
		w.ms, w.clock = c.ms, true
		if c.zoned {
			w.zoned, w.offset = true, c.offset
		}
	}
	if !ok {
		if clock != nil {
			return 0, fmt.Sprintf("time %.40q %.40q is not understood", cell, clock)
		}
		return 0, unreadable(cell)
	}
	return s.instant(w)
}

// instant applies zone and label to what was written.
func (s *timeSpec) instant(w wall) (series.Time, string) {
	switch {
	case s.label && (w.ms == 0 || s.dropClock):
		return series.Time(w.days) * series.Day, ""
	case w.zoned:
		return s.session(series.Time(w.local() - w.offset)), ""
	case s.zone == nil || s.label:
		return series.Time(w.local()), ""
	}
	t, n := s.zone.instants(w.local())
	if n == 1 {
		return t, ""
	}
	local := series.Time(w.local()).Std().Format("2006-01-02 15:04:05")
	if n == 0 {
		return 0, fmt.Sprintf("local time %s does not exist in %s: the clock jumped over it", local, s.zone.loc)
	}
	return 0, fmt.Sprintf("local time %s exists twice in %s: the clock was set back", local, s.zone.loc)
}

// session turns the instant at which a bar of a day or more opens into the
// label of its session date, where instants stand for dates.
func (s *timeSpec) session(t series.Time) series.Time {
	if s.dates == nil || t < series.MinTime || t > series.MaxTime {
		return t
	}
	_, offset := t.Std().In(s.dates).Zone()
	return series.Time(floorDiv(int64(t)+int64(offset)*1000, int64(series.Day))) * series.Day
}

func unreadable(cell []byte) string {
	if isMissing(bytes.TrimSpace(cell)) {
		return "time is empty"
	}
	return fmt.Sprintf("time %.60q is not understood", cell)
}

func (s *timeSpec) unreadableUnix(cell []byte) string {
	if _, ok := parseUnix(cell, s.unit, belowIsOld); ok {
		return fmt.Sprintf("time %.40q is either of about 1970 or not in %s as the other times are: say which with --time-format", cell, s.unit)
	}
	return unreadable(cell)
}

func inRange(t series.Time) string {
	if t < series.MinTime || t > series.MaxTime {
		return fmt.Sprintf("time %d ms is outside the years 1 to 9999", int64(t))
	}
	return ""
}

// describe names the way times are written, for people.
func (s *timeSpec) describe() string {
	switch s.kind {
	case timeUnix:
		return s.unit.String()
	case timeOfDay:
		return "ms since midnight of " + series.Time(s.days*int64(series.Day)).Std().Format("2006-01-02")
	case timeInstant:
		return "timestamp UTC"
	case timeLocal:
		return "timestamp without zone"
	}
	d := "date"
	switch s.order {
	case monthFirst:
		d = "date m/d/Y"
	case dayFirst:
		d = "date d/m/Y"
	}
	if s.label || s.dates != nil {
		return d
	}
	return d + " and time"
}
