package main

import (
	"context"
	"errors"
	"fmt"
	"log/slog"
	"strconv"
	"strings"
	"time"

	"github.com/barkeepdb/barkeep/series"
	"github.com/barkeepdb/barkeep/storage"
)

// keeping says how long the bars of an interval are kept.
type keeping struct {
	interval series.Interval
	days     int
	coarse   series.Interval // what is made of them before they are deleted; 0 is nothing
}

func (k keeping) String() string {
	text := fmt.Sprintf("%v=%dd", k.interval, k.days)
	if k.coarse.Valid() {
		text += ">" + k.coarse.String()
	}
	return text
}

// parseKeeping reads a list of INTERVAL=DAYSd, each with >COARSER if wanted.
func parseKeeping(v string) ([]keeping, error) {
	var out []keeping
	seen := map[series.Interval]bool{}
	for text := range strings.SplitSeq(v, ",") {
		if text = strings.TrimSpace(text); text == "" {
			continue
		}
		const shape = `give INTERVAL=DAYSd or INTERVAL=DAYSd>COARSER, such as 1m=730d>1h`
		name, rest, ok := strings.Cut(text, "=")
		if !ok {
			return nil, fmt.Errorf("%q says for how long nothing is kept: %s", text, shape)
		}
		days, coarse, down := strings.Cut(rest, ">")
		var k keeping
		var err error
		if k.interval, err = series.ParseInterval(strings.TrimSpace(name)); err != nil {
			return nil, fmt.Errorf("%q: %w", text, err)
		}
		number, isDays := strings.CutSuffix(strings.TrimSpace(days), "d")
		if k.days, err = strconv.Atoi(number); err != nil || !isDays || k.days < 1 || k.days > 100_000 {
			return nil, fmt.Errorf("%q: %q is not a number of days from 1d to 100000d: %s", text, days, shape)
		}
		if down {
			if k.coarse, err = series.ParseInterval(strings.TrimSpace(coarse)); err != nil {
				return nil, fmt.Errorf("%q: %w", text, err)
			}
			if !k.interval.Divides(k.coarse) {
				return nil, fmt.Errorf("%q: bars of %v cannot be made of bars of %v", text, k.coarse, k.interval)
			}
		}
		if down && (k.coarse > series.Interval1d || k.days < 2) {
			return nil, fmt.Errorf("%q: coarser bars are made up to 1d, of bars that are kept for 2d or more", text)
		}
		if seen[k.interval] {
			return nil, fmt.Errorf("%q: %v is there twice", text, k.interval)
		}
		seen[k.interval] = true
		out = append(out, k)
	}
	return out, nil
}

// The sources of bars that were made of finer ones that are deleted. One that
// lacks a part of them says so.
const (
	sourceDownsampled = "downsampled"
	sourceDownPart    = "downsampled_incomplete"
)

const (
	retentionEvery = time.Hour
	// downWindow is how much is made coarser at a time: it bounds memory.
	downWindow = 64 * series.Day
)

// retention deletes bars that are older than they are to be kept.
type retention struct {
	store *storage.Store
	keep  []keeping
	now   func() series.Time
	log   *slog.Logger
}

func (r *retention) run(ctx context.Context) error {
	return atOnce(ctx, retentionEvery, func() error {
		_, err := r.pass(ctx)
		return err
	})
}

// pass looks at every series once and returns how many bars were deleted. A
// series that fails keeps its bars, and does not keep others from their turn.
func (r *retention) pass(ctx context.Context) (deleted int64, err error) {
	infos, err := r.store.Series()
	if err != nil {
		return 0, err
	}
	var errs []error
	for _, info := range infos {
		for _, k := range r.keep {
			if k.interval != info.Interval || info.Bars == 0 {
				continue
			}
			n, err := r.trim(ctx, info, k)
			deleted += n
			if ctx.Err() != nil {
				return deleted, ctx.Err()
			}
			if err != nil {
				errs = append(errs, fmt.Errorf("%s: %w", info.Key, err))
			} else if n > 0 {
				r.log.Info("old bars were deleted", "series", info.String(), "bars", n, "rule", k.String())
			}
		}
	}
	return deleted, errors.Join(errs...)
}

func (r *retention) trim(ctx context.Context, info storage.Info, k keeping) (deleted int64, err error) {
	ctx = storage.WithNote(ctx, storage.Note{Actor: "retention", Cause: "retention.keep " + k.String()})
	end := r.now() - series.Time(k.days)*series.Day
	// Only whole blocks of time are deleted, a day or a coarse bar: the start of
	// a series does not creep by single bars.
	unit := series.Grid{Interval: max(series.Interval1d, k.coarse)}
	end = unit.Time(unit.SlotAt(end))
	for from := info.First; from < end; {
		to := min(end, unit.Time(unit.SlotFrom(from+downWindow)))
		if k.coarse.Valid() {
			if err := r.coarsen(ctx, info.Key, k.coarse, series.Span{From: from, To: to}); err != nil {
				return deleted, err
			}
		}
		n, err := r.store.Delete(ctx, info.Key, series.Span{From: from, To: to})
		deleted += n
		if err != nil {
			return deleted, err
		}
		from = to
	}
	return deleted, nil
}

// coarsen writes the coarse bars of a span whose fine bars are to be deleted.
// Coarse bars that are there already are kept: a source may have said them.
func (r *retention) coarsen(ctx context.Context, key series.Key, coarse series.Interval, span series.Span) error {
	grid := series.Grid{Interval: coarse}
	span.From = grid.Time(grid.SlotAt(span.From)) // the coarse bar in which it begins
	if coarse == series.Interval1d {
		// A session may begin on the evening before its date: the day behind the
		// span is made while its evening is still there.
		span.To += series.Day
	}
	var cols, whole, part series.Columns
	parts, err := r.store.Resample(ctx, key, coarse, span, &cols)
	if err != nil {
		return err
	}
	for i := range parts {
		b := cols.Bar(i)
		b.Prov = 0 // made here, of bars of whatever sources
		if parts[i].Complete() {
			whole.Append(b)
		} else {
			part.Append(b)
		}
	}
	to := series.Key{Symbol: key.Symbol, Interval: coarse}
	for source, c := range map[string]*series.Columns{sourceDownsampled: &whole, sourceDownPart: &part} {
		if c.Len() == 0 {
			continue
		}
		res, err := r.store.Write(ctx, to, c, storage.WriteOptions{Source: source, OnConflict: storage.Keep})
		if err != nil {
			return err
		}
		if len(res.Refused) > 0 {
			return fmt.Errorf("%d bars of %v were refused, so those of %v are kept: %s", len(res.Refused), coarse, key.Interval, res.Refused[0].Reason)
		}
	}
	return nil
}
