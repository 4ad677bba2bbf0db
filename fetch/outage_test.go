package fetch_test

import (
	"context"
	"errors"
	"net/http"
	"path/filepath"
	"slices"
	"strings"
	"sync"
	"testing"
	"testing/synctest"
	"time"

	"github.com/barkeepdb/barkeep/fetch"
	"github.com/barkeepdb/barkeep/series"
)

// In an outage of everything the servers see hardly more requests than were
// asked for without any repetition.
func TestOutageIsNoStorm(t *testing.T) {
	synctest.Test(t, func(t *testing.T) {
		a, b := &server{name: "a.test"}, &server{name: "b.test"}
		w := newWorld(t, a, b)
		p := w.pool(fetch.Options{}, newVendor(nil), "a.test", "b.test")
		wait(24 * time.Hour)
		a.down.Store(true)
		b.down.Store(true)
		var work sync.WaitGroup
		asked := 0
		end := time.Now().Add(10 * time.Minute)
		for ; time.Now().Before(end); asked++ {
			work.Go(func() {
				q := askFor(lastMinutes(100))
				q.Patience = 10 * time.Second
				_, err := p.Bars(context.Background(), q, func(fetch.Batch) error { return nil })
				u, ok := errors.AsType[*fetch.UnansweredError](err)
				if !ok || u.Kind() != fetch.Unavailable || len(u.Causes) != 2 {
					t.Errorf("error %v", err)
				} else if u.RetryAt.Before(time.Now()) || u.RetryAt.After(time.Now().Add(10*time.Minute)) {
					t.Errorf("try again at %v, it is %v", u.RetryAt, time.Now())
				}
			})
			wait(time.Second)
		}
		work.Wait()
		sent := a.hits.Load() + b.hits.Load()
		// What a single try each would send is bounded by the breakers, too: count
		// the retries themselves, which are what piles up.
		t.Logf("%d questions in 10 minutes, %d requests: amplification %.3f", asked, sent, float64(sent)/float64(asked))
		if float64(sent) > 1.2*float64(asked) {
			t.Errorf("%d requests for %d questions", sent, asked)
		}
		a.down.Store(false)
		wait(6 * time.Minute) // the longest open time
		if n, _, err := collect(t, p, askFor(lastMinutes(100))); n != 100 || err != nil {
			t.Errorf("after the outage %d bars, error %v", n, err)
		}
	})
}

// What a vendor says of its limits and bans is obeyed by everybody, to the
// second, by hosts of its group, and after a restart.
func TestNothingIsSentBeforeRetryAfter(t *testing.T) {
	for name, c := range map[string]struct {
		status int
		after  string
		want   time.Duration
	}{
		"limit":        {429, "30", 30 * time.Second},
		"ban":          {418, "1800", 30 * time.Minute},
		"unavailable":  {503, "45", 45 * time.Second},
		"ban, no word": {403, "", 15 * time.Minute},
	} {
		t.Run(name, func(t *testing.T) {
			synctest.Test(t, func(t *testing.T) {
				var mu sync.Mutex // guards first and others
				var first, others time.Time
				a := &server{name: "api.vendor.test"}
				b := &server{name: "api2.vendor.test"}
				for _, s := range []*server{a, b} {
					s.spoil = func(_ int, w http.ResponseWriter, _ *http.Request, _ *reply) bool {
						told := &first
						if c.status == 503 && s == b { // it speaks for one host only
							told = &others
						}
						came := time.Now()
						wait(100 * time.Millisecond)
						mu.Lock()
						defer mu.Unlock()
						if !told.IsZero() && came.After(*told) { // else it was under way already
							if came.Before(told.Add(c.want)) {
								t.Errorf("a request to %s %v before the end", s.name, told.Add(c.want).Sub(came))
							}
							return false
						}
						*told = time.Now()
						if c.after != "" {
							w.Header().Set("Retry-After", c.after)
						}
						w.WriteHeader(c.status)
						return true
					}
				}
				w := newWorld(t, a, b)
				state := filepath.Join(t.TempDir(), "bans.json")
				p := w.pool(fetch.Options{State: state, ProbeEvery: 5 * time.Second}, newVendor(nil), a.name, b.name)
				wait(48 * time.Hour)
				var work sync.WaitGroup
				for range 50 {
					work.Go(func() {
						q := askFor(lastMinutes(100))
						q.Patience = time.Hour
						if n, _, err := collect(t, p, q); n != 100 || err != nil {
							t.Errorf("%d bars, error %v", n, err)
						}
					})
				}
				if c.status == 418 || c.status == 403 {
					wait(time.Minute)
					// Another process, or this one after a restart.
					again := w.pool(fetch.Options{State: state}, newVendor(nil), b.name)
					q := askFor(lastMinutes(100))
					q.Patience = -1
					_, _, err := collect(t, again, q)
					u, ok := errors.AsType[*fetch.UnansweredError](err)
					if !ok || u.Kind() != fetch.Banned || u.RetryAt.Sub(first.Add(c.want)).Abs() > time.Second {
						t.Errorf("after a restart: %v", err)
					}
				}
				work.Wait()
			})
		})
	}
}

func TestOneProbeForAThousandCallers(t *testing.T) {
	synctest.Test(t, func(t *testing.T) {
		a := &server{name: "a.test"}
		var most, now int
		var mu sync.Mutex
		a.spoil = func(_ int, _ http.ResponseWriter, _ *http.Request, _ *reply) bool {
			mu.Lock()
			now++
			most = max(most, now)
			mu.Unlock()
			wait(100 * time.Millisecond)
			mu.Lock()
			now--
			mu.Unlock()
			return false
		}
		var opened []time.Time
		w := newWorld(t, a)
		p := w.pool(fetch.Options{PerHost: 8, Observe: func(e fetch.Event) {
			if e.Kind == fetch.BreakerOpened {
				mu.Lock()
				opened = append(opened, e.Until)
				mu.Unlock()
			}
		}}, newVendor(nil), a.name)
		wait(24 * time.Hour)
		a.down.Store(true)
		q := askFor(lastMinutes(10))
		q.Patience = 4 * time.Second
		first := func() (time.Time, bool) {
			mu.Lock()
			defer mu.Unlock()
			if len(opened) == 0 {
				return time.Time{}, false
			}
			return opened[0], true
		}
		atOnce := func() int {
			mu.Lock()
			defer mu.Unlock()
			return most
		}
		until, ok := first()
		for ; !ok; until, ok = first() {
			_, _, _ = collect(t, p, q)
		}
		a.down.Store(false)
		before := a.hits.Load()
		var work sync.WaitGroup
		for range 1000 {
			work.Go(func() {
				q := askFor(lastMinutes(10))
				if n, _, err := collect(t, p, q); n != 10 || err != nil {
					t.Errorf("%d bars, error %v", n, err)
				}
			})
		}
		wait(time.Until(until) + 50*time.Millisecond)
		if n := a.hits.Load() - before; n != 1 {
			t.Errorf("%d requests when the breaker let one through", n)
		}
		if n := atOnce(); n > 1 {
			t.Errorf("%d at a time", n)
		}
		work.Wait()
		if n := atOnce(); n > 8 {
			t.Errorf("%d requests at a time, 8 are allowed", n)
		}
	})
}

func TestFailover(t *testing.T) {
	synctest.Test(t, func(t *testing.T) {
		a, b := &server{name: "a.test"}, &server{name: "b.test"}
		w := newWorld(t, a, b)
		var mu sync.Mutex
		var events []fetch.Event
		p := w.pool(fetch.Options{Observe: func(e fetch.Event) {
			mu.Lock()
			events = append(events, e)
			mu.Unlock()
		}}, newVendor(nil), a.name, b.name)
		wait(300 * 24 * time.Hour)
		// It hangs half-way: connections stand, nothing comes.
		a.spoil = func(n int, _ http.ResponseWriter, r *http.Request, _ *reply) bool {
			if n < 50 {
				return false
			}
			<-r.Context().Done()
			return true
		}
		n, r, err := collect(t, p, askFor(lastMinutes(100_000)))
		if n != 100_000 || err != nil {
			t.Fatalf("%d bars, error %v", n, err)
		}
		if r.Used[a.name] == 0 || r.Used[b.name] == 0 {
			t.Errorf("used %v", r.Used)
		}
		var opened, over time.Time
		for _, e := range events {
			if e.Kind == fetch.BreakerOpened && opened.IsZero() {
				opened = e.Time
			}
			if e.Kind == fetch.FailedOver && over.IsZero() {
				over = e.Time
			}
		}
		if opened.IsZero() || over.IsZero() {
			t.Fatalf("events %+v", events)
		}
		// The first request that hung was asked elsewhere before the breaker
		// opened; what was under way then moved with it.
		late := slices.DeleteFunc(b.times(), func(x time.Time) bool { return x.Before(opened) })
		if len(late) == 0 || late[0].Sub(opened) > 2*time.Second {
			t.Errorf("the breaker opened at %v, the next request elsewhere was at %v", opened, late)
		} else {
			t.Logf("failover %v after the breaker opened", late[0].Sub(opened))
		}
	})
}

// A vendor that counts strictly never has to say no, in a year of 20 series.
func TestABackfillStaysBelowTheLimit(t *testing.T) {
	const most, window = 1200, time.Minute
	synctest.Test(t, func(t *testing.T) {
		a := &server{name: "a.test"}
		refused := 0
		var mu sync.Mutex
		var slide []time.Time
		fixed := map[int64]int{}
		a.spoil = func(_ int, w http.ResponseWriter, _ *http.Request, b *reply) bool {
			mu.Lock()
			defer mu.Unlock()
			now := time.Now()
			slide = append(slide, now)
			for now.Sub(slide[0]) >= window {
				slide = slide[1:]
			}
			fixed[now.Unix()/60]++
			if len(slide) > most || fixed[now.Unix()/60] > most {
				refused++
				w.WriteHeader(429)
				return true
			}
			return false
		}
		v := newVendor(func(i *fetch.Info) {
			i.MaxBars = 1000
			i.Limits = []fetch.Limit{{Cost: most, Window: window}}
		})
		p := newWorld(t, a).pool(fetch.Options{PerHost: 8}, v, a.name)
		wait(400 * 24 * time.Hour)
		begun := time.Now()
		var work sync.WaitGroup
		for range 20 {
			work.Go(func() {
				q := askFor(lastMinutes(60 * 1440))
				if *long {
					q = askFor(lastMinutes(365 * 1440))
				}
				n := 0
				_, err := p.Bars(t.Context(), q, func(b fetch.Batch) error { n += b.Bars.Len(); return nil })
				if int64(n) != q.Span.Len()/int64(series.Minute) || err != nil {
					t.Errorf("%d bars, error %v", n, err)
				}
			})
		}
		work.Wait()
		t.Logf("%d requests in %v, %d refused", a.hits.Load(), time.Since(begun), refused)
		if refused > 0 {
			t.Errorf("%d of %d requests were refused", refused, a.hits.Load())
		}
	})
}

func TestSecretsAreNowhere(t *testing.T) {
	const key = "k3y-0f-great-value"
	synctest.Test(t, func(t *testing.T) {
		a := &server{name: "a.test"}
		a.handler = http.HandlerFunc(func(w http.ResponseWriter, r *http.Request) {
			w.Header().Set("Content-Type", "text/html")
			w.WriteHeader(500)
			_, _ = w.Write([]byte("<p>" + r.URL.String()))
		})
		w := newWorld(t, a)
		var log strings.Builder
		var events []fetch.Event
		p, err := fetch.New(fetch.Options{
			Transport: w.tr, Logger: debugLog(&log), Observe: func(e fetch.Event) { events = append(events, e) },
			Endpoints: []fetch.Endpoint{
				{Name: "a", URL: "http://a.test", Provider: keyed{newVendor(nil)}, Credentials: fetch.Credentials{Key: fetch.NewSecret(key)}},
				{Name: "gone", URL: "http://gone.test", Provider: keyed{newVendor(nil)}, Credentials: fetch.Credentials{Key: fetch.NewSecret(key)}},
			},
		})
		if err != nil {
			t.Fatal(err)
		}
		defer p.Close(context.Background())
		q := askFor(lastMinutes(10))
		q.Patience = -1
		_, err = p.Bars(t.Context(), q, nil)
		if err == nil {
			t.Fatal("no error")
		}
		all := err.Error() + log.String()
		for _, e := range events {
			all += e.Detail
		}
		for _, s := range p.Endpoints() {
			all += s.URL
			if s.LastError != nil {
				all += s.LastError.Text
			}
		}
		if !strings.Contains(log.String(), "request_failed") || a.hits.Load() == 0 {
			t.Errorf("nothing happened: %s", log.String())
		}
		if strings.Contains(all, key) {
			t.Errorf("the key is told: %s", all)
		}
	})
}
