package barfile

import (
	"time"

	"github.com/barkeepdb/barkeep/series"
)

// zone converts local times of one place. It remembers the stretch between
// two clock changes that it used last, because rows come in order.
type zone struct {
	loc      *time.Location
	from, to int64 // Unix ms; inside them the offset is known and unambiguous
	offset   int64 // ms
}

// margin keeps the remembered stretch away from clock changes, so that no
// local time in it exists twice.
const margin = 26 * int64(series.Hour)

// instants returns how many instants have the local time: 1 as a rule, 0 where
// the clock jumped over it, 2 where it ran twice; and the (first) instant.
func (z *zone) instants(local int64) (series.Time, int) {
	if u := local - z.offset; u >= z.from && u < z.to {
		return series.Time(u), 1
	}
	return z.lookup(local)
}

func (z *zone) lookup(local int64) (series.Time, int) {
	var found int64
	count := 0
	last := int64(-1 << 62)
	for _, probe := range [...]int64{local - margin, local - 3*int64(series.Hour), local + 3*int64(series.Hour), local + margin} {
		_, s := time.UnixMilli(probe).In(z.loc).Zone()
		offset := int64(s) * 1000
		u := local - offset
		if _, back := time.UnixMilli(u).In(z.loc).Zone(); int64(back)*1000 != offset || u == last || count > 0 && u == found {
			continue
		}
		last = u
		if count == 0 || u < found {
			found = u
		}
		count++
	}
	if count == 1 {
		z.remember(found)
	}
	return series.Time(found), count
}

func (z *zone) remember(u int64) {
	at := time.UnixMilli(u).In(z.loc)
	_, s := at.Zone()
	from, to := at.ZoneBounds()
	z.offset = int64(s) * 1000
	z.from, z.to = int64(series.MinTime), int64(series.MaxTime)
	if !from.IsZero() {
		z.from = from.UnixMilli() + margin
	}
	if !to.IsZero() {
		z.to = to.UnixMilli() - margin
	}
}
