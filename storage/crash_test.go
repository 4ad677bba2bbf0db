package storage_test

import (
	"context"
	"fmt"
	"math/rand/v2"
	"sync/atomic"
	"testing"

	"github.com/cockroachdb/pebble/v2/vfs"

	"github.com/barkeepdb/barkeep/series"
	"github.com/barkeepdb/barkeep/storage"
)

// crashPlan is the sequence of writes of a crash test. Every write puts one bar
// into each of some slots of its own, so that what must have survived is easy
// to tell: write i is there with all its bars or with none.
type crashPlan struct {
	key    series.Key
	writes []*series.Columns
}

func planCrash(seed uint64, n int) crashPlan {
	r := rand.New(rand.NewPCG(seed, 3))
	p := crashPlan{key: btc}
	slot, late := 0, 2000000
	for i := range n {
		c := &series.Columns{}
		count := 1
		switch r.IntN(10) {
		case 0:
			count = 100 + r.IntN(3000)
		case 1:
			count = 2 + r.IntN(40)
		}
		if i == n/2 {
			count = 250000 // goes in as sorted tables
		}
		for range count {
			at := slot
			slot++
			if i > 3 && r.IntN(3) == 0 && count < 100 { // far from the tail
				at = -late
				late -= 1 + r.IntN(700)
				slot--
			}
			c.Append(series.Bar{Time: t0 + series.Time(at)*series.Minute, Open: float64(i), High: float64(i), Low: float64(i), Close: float64(i), Volume: 1})
		}
		p.writes = append(p.writes, c)
	}
	return p
}

// survivors opens what a crash left and returns which writes are there. It
// fails if one is there in part or if anything stored contradicts itself.
func (p *crashPlan) survivors(t *testing.T, fs vfs.FS) map[int]bool {
	t.Helper()
	s, err := storage.Open("store", storage.Options{FS: fs})
	if err != nil {
		t.Fatal("open after the crash:", err)
	}
	defer s.Close()
	ctx := context.Background()
	rep, err := s.Verify(ctx, storage.VerifyOptions{})
	if err != nil || !rep.OK() {
		t.Fatalf("verify after the crash: %+v, %v", rep, err)
	}
	count := map[int]int{}
	if _, err := s.Info(p.key); err == nil {
		for c, err := range s.Chunks(ctx, p.key, series.Span{}, storage.ReadOptions{Columns: storage.ColClose}) {
			if err != nil {
				t.Fatal(err)
			}
			for _, v := range c.Close {
				count[int(v)]++
			}
		}
	}
	there := map[int]bool{}
	for i, n := range count {
		if n != p.writes[i].Len() {
			t.Fatalf("write %d is there in part: %d of %d bars", i, n, p.writes[i].Len())
		}
		there[i] = true
	}
	return there
}

// TestCrash cuts the power at random moments of a run of writes, keeping a
// random share of what was not synced, and checks that every acknowledged bar
// is there and nothing is there by half.
func TestCrash(t *testing.T) {
	cuts := 60
	if testing.Short() {
		cuts = 15
	}
	for seed := range uint64(4) {
		t.Run(fmt.Sprint(seed), func(t *testing.T) {
			t.Parallel()
			fs := vfs.NewCrashableMem()
			s, err := storage.Open("store", storage.Options{FS: fs})
			if err != nil {
				t.Fatal(err)
			}
			p := planCrash(seed, 400)
			var acked atomic.Int64
			done := make(chan error, 1)
			go func() {
				var err error
				for i, c := range p.writes {
					if _, err = s.Write(context.Background(), p.key, c, storage.WriteOptions{Source: "crash"}); err != nil {
						break
					}
					if i%37 == 36 {
						if err = s.Compact(context.Background()); err != nil {
							break
						}
					}
					acked.Store(int64(i + 1))
				}
				done <- err
			}()
			r := rand.New(rand.NewPCG(seed, 4))
			next := int64(0)
			for running := true; running; {
				select {
				case err := <-done:
					if err != nil {
						t.Fatal(err)
					}
					running = false
				default:
					if acked.Load() < next {
						continue
					}
				}
				n := acked.Load()
				next = n + 1 + int64(r.IntN(2*len(p.writes)/cuts))
				clone := fs.CrashClone(vfs.CrashCloneCfg{UnsyncedDataPercent: r.IntN(101), RNG: r})
				there := p.survivors(t, clone)
				for i := range int(n) {
					if !there[i] {
						t.Fatalf("write %d of %d acknowledged is lost", i, n)
					}
				}
			}
			if err := s.Close(); err != nil {
				t.Fatal(err)
			}
			if there := p.survivors(t, fs); len(there) != len(p.writes) {
				t.Fatalf("%d of %d writes after a clean end", len(there), len(p.writes))
			}
		})
	}
}

// TestCrashRelaxed is the control of TestCrash: without the wait for the disk a
// crash must lose something, or the test could not fail.
func TestCrashRelaxed(t *testing.T) {
	fs := vfs.NewCrashableMem()
	s, err := storage.Open("store", storage.Options{FS: fs})
	if err != nil {
		t.Fatal(err)
	}
	defer s.Close()
	p := planCrash(1, 60)
	p.writes = p.writes[:20] // all small
	for _, c := range p.writes {
		if _, err := s.Write(context.Background(), p.key, c, storage.WriteOptions{Relaxed: true}); err != nil {
			t.Fatal(err)
		}
	}
	clone := fs.CrashClone(vfs.CrashCloneCfg{})
	if there := p.survivors(t, clone); len(there) == len(p.writes) {
		t.Fatal("nothing was lost: the crash tests prove nothing")
	}
}
