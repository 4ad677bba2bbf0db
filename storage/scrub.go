package storage

import (
	"context"
	"slices"
	"time"
)

// The scrubber reads every block at a low rate, so that damage is found before
// a reader meets it. It also repairs tables that the engine reports as damaged,
// whoever met them.
const (
	defaultScrub = 4 << 20
	// scrubPause lies between the end of one pass and the next.
	scrubPause = 6 * time.Hour
	// scrubDelay lies between the opening and the first pass: a program that
	// answers one question and ends does not pay for it.
	scrubDelay = 10 * time.Second
	// mendDelay is how soon damage that a reader met is repaired.
	mendDelay = 200 * time.Millisecond
)

// ScrubStats are figures of the scrubber, for metrics.
type ScrubStats struct {
	Passes  int64 // over the whole store
	Bytes   int64 // of encoded blocks, all passes together
	Damaged int64 // blocks found damaged
	Tables  int64 // damaged table files replaced since the store was opened
}

func (s *Store) scrub() {
	defer s.work.Done()
	ctx, cancel := context.WithCancel(context.Background())
	defer cancel()
	go func() {
		<-s.stop
		cancel()
	}()
	next := time.NewTimer(scrubDelay)
	defer next.Stop()
	if s.opts.Scrub < 0 {
		next.Stop()
	}
	mend := time.NewTicker(mendDelay)
	defer mend.Stop()
	for {
		select {
		case <-s.stop:
			return
		case <-mend.C:
			if err := s.mendNow(ctx, foundRead); err != nil && ctx.Err() == nil {
				s.opts.Logger.Error("damage could not be repaired and will be tried again", "err", err)
			}
		case <-next.C:
			if err := s.scrubPass(ctx); err != nil && ctx.Err() == nil {
				s.opts.Logger.Error("scrubbing was interrupted", "err", err)
			}
			next.Reset(scrubPause)
		}
	}
}

// scrubPass reads every block once.
func (s *Store) scrubPass(ctx context.Context) error {
	sts := s.all()
	slices.SortFunc(sts, func(a, b *state) int { return int(a.id) - int(b.id) })
	begun := time.Now()
	var read int64
	pace := func(n int64) {
		read += n
		s.scrubbed.Add(n)
		due := time.Duration(float64(read) / float64(s.opts.Scrub) * float64(time.Second))
		if wait := due - time.Since(begun); wait > 10*time.Millisecond {
			t := time.NewTimer(wait)
			defer t.Stop()
			select {
			case <-t.C:
			case <-ctx.Done():
			}
		}
	}
	for _, st := range sts {
		rep := VerifyReport{}
		bad, err := s.verifySeries(ctx, st, &rep, VerifyOptions{pace: pace}, 0)
		if err != nil {
			return err
		}
		// A damaged table is repaired first: what it takes along is set aside then.
		if err := s.mendNow(ctx, foundScrub); err != nil {
			return err
		}
		if len(bad) > 0 {
			n, err := s.setAside(ctx, st, bad, foundScrub)
			s.scrubBad.Add(n)
			if err != nil {
				return err
			}
		}
		if rep.summaries != "" {
			if err := s.reconcile(ctx, st, rep.summaries, foundScrub); err != nil {
				return err
			}
		}
	}
	s.scrubs.Add(1)
	return nil
}
