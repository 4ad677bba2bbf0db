package fetch_test

import (
	"context"
	"errors"
	"net/http"
	"runtime"
	"strconv"
	"strings"
	"testing"
	"testing/synctest"
	"time"

	"github.com/barkeepdb/barkeep/fetch"
	"github.com/barkeepdb/barkeep/series"
)

// respond answers every question for bars with a status.
func respond(code int) func(int, http.ResponseWriter, *http.Request, *reply) bool {
	return func(_ int, w http.ResponseWriter, _ *http.Request, _ *reply) bool {
		w.WriteHeader(code)
		return true
	}
}

// What each kind of error leads to, where another endpoint is there and where
// none is.
func TestKindsDecide(t *testing.T) {
	for _, c := range []struct {
		status int
		kind   fetch.Kind
		alone  int64 // requests to the only endpoint, for one page
		again  bool  // whether there is a moment to try again
	}{
		{404, fetch.UnknownSymbol, 1, false},
		{400, fetch.BadRequest, 1, false},
		{401, fetch.NotEntitled, 1, false},
		{451, fetch.GeoBlocked, 1, true},
		{418, fetch.Banned, 1, true},
		{429, fetch.RateLimited, 1, true},
		{500, fetch.Unavailable, 1, true},
		{501, fetch.Unavailable, 1, true},
	} {
		t.Run(c.kind.String()+strconv.Itoa(c.status), func(t *testing.T) {
			synctest.Test(t, func(t *testing.T) {
				a, b := &server{name: "a.test", spoil: respond(c.status)}, &server{name: "b.test"}
				w := newWorld(t, a, b)
				wait(24 * time.Hour)
				q := askFor(lastMinutes(100))
				q.Patience = -1
				_, r, err := collect(t, w.pool(fetch.Options{}, newVendor(nil), a.name), q)
				u, ok := errors.AsType[*fetch.UnansweredError](err)
				if !ok || u.Kind() != c.kind || u.RetryAt.IsZero() == c.again || len(r.Unanswered) != 1 || r.Unanswered[0] != q.Span {
					t.Errorf("alone: error %v, report %+v", err, r)
				}
				if n := a.hits.Load(); n != c.alone {
					t.Errorf("%d requests", n)
				}
				if n, _, err := collect(t, w.pool(fetch.Options{}, newVendor(nil), a.name, b.name), q); n != 100 || err != nil {
					t.Errorf("with another one: %d bars, error %v", n, err)
				}
			})
		})
	}
}

func TestRangeTooBroadIsSplit(t *testing.T) {
	synctest.Test(t, func(t *testing.T) {
		a := &server{name: "a.test"}
		a.spoil = func(_ int, w http.ResponseWriter, _ *http.Request, b *reply) bool {
			if len(b.rows) > 100 {
				w.WriteHeader(http.StatusRequestEntityTooLarge)
				return true
			}
			return false
		}
		p := newWorld(t, a).pool(fetch.Options{}, newVendor(nil), a.name)
		wait(24 * time.Hour)
		n, r, err := collect(t, p, askFor(lastMinutes(1000)))
		if n != 1000 || err != nil || r.Attempts > 40 {
			t.Errorf("%d bars in %d requests, error %v", n, r.Attempts, err)
		}
	})
}

// A vendor that keeps 720 bars is not asked for older ones, and another has
// them.
func TestHorizon(t *testing.T) {
	synctest.Test(t, func(t *testing.T) {
		a, b := &server{name: "a.test"}, &server{name: "b.test"}
		w := newWorld(t, a, b)
		short := newVendor(func(i *fetch.Info) {
			i.Name, i.MaxBars, i.EndAnchored = "short", 720, true
			i.Horizon = map[series.Interval]fetch.Horizon{series.Interval1m: {Bars: 720}}
		})
		p, err := fetch.New(fetch.Options{Transport: w.tr, Endpoints: []fetch.Endpoint{
			{Name: "a", URL: "http://a.test", Provider: short},
			{Name: "b", URL: "http://b.test", Provider: newVendor(nil)},
		}})
		if err != nil {
			t.Fatal(err)
		}
		defer p.Close(context.Background())
		wait(24 * time.Hour)
		q := askFor(lastMinutes(1400))
		q.Sources = []fetch.Source{{Provider: "short", Symbol: "X"}}
		n, r, err := collect(t, p, q)
		u, ok := errors.AsType[*fetch.UnansweredError](err)
		if !ok || u.Kind() != fetch.HistoryExhausted || n < 715 || n > 720 || int64(n)*60_000+series.Total(r.Unanswered) != q.Span.Len() || !u.RetryAt.IsZero() {
			t.Errorf("alone: %d bars, error %v", n, err)
		}
		if a.hits.Load() > 2 { // the bars, and once more where they begin
			t.Errorf("%d requests", a.hits.Load())
		}
		q.Sources = append(q.Sources, fetch.Source{Provider: "vendor", Symbol: "X", Grade: fetch.Mirror})
		n, r, err = collect(t, p, q)
		if n != 1400 || err != nil || r.Used["a"] < 500 || r.Used["b"] < 680 {
			t.Errorf("with another one: %d bars by %v, error %v", n, r.Used, err)
		}
	})
}

func TestGrades(t *testing.T) {
	synctest.Test(t, func(t *testing.T) {
		a, b := &server{name: "a.test"}, &server{name: "b.test"}
		w := newWorld(t, a, b)
		other := newVendor(func(i *fetch.Info) { i.Name = "other" })
		p, err := fetch.New(fetch.Options{Transport: w.tr, Endpoints: []fetch.Endpoint{
			{Name: "a", URL: "http://a.test", Provider: newVendor(nil)},
			{Name: "b", URL: "http://b.test", Provider: other},
		}})
		if err != nil {
			t.Fatal(err)
		}
		defer p.Close(context.Background())
		wait(24 * time.Hour)
		q := askFor(lastMinutes(100))
		q.Sources = append(q.Sources, fetch.Source{Provider: "other", Symbol: "Z", Grade: fetch.Proxy})
		q.Patience = -1
		a.down.Store(true)
		if n, _, err := collect(t, p, q); n != 0 || err == nil || b.hits.Load() != 0 {
			t.Errorf("another venue without leave: %d bars, error %v", n, err)
		}
		q.Proxies = true
		var batch fetch.Batch
		if _, err := p.Bars(t.Context(), q, func(b fetch.Batch) error { batch = b; return nil }); err != nil {
			t.Fatal(err)
		}
		if batch.Provider != "other" || batch.Symbol != "Z" || batch.Grade != fetch.Proxy || batch.Bars.Len() != 100 {
			t.Errorf("batch %+v", batch)
		}
		// A hiccup of the better one is waited for.
		a.down.Store(false)
		wait(10 * time.Minute)
		before := b.hits.Load()
		hiccup := true
		a.spoil = func(_ int, w http.ResponseWriter, _ *http.Request, _ *reply) bool {
			if hiccup {
				hiccup = false
				w.WriteHeader(500)
				return true
			}
			return false
		}
		q.Patience = time.Minute
		if n, r, err := collect(t, p, q); n != 100 || err != nil || r.Used["a"] != 100 || b.hits.Load() != before {
			t.Errorf("after a hiccup: %v, error %v", r.Used, err)
		}
	})
}

// Bars that cannot stand beside each other are not put there.
func TestUnlikeProvidersDoNotMix(t *testing.T) {
	synctest.Test(t, func(t *testing.T) {
		a, b := &server{name: "a.test"}, &server{name: "b.test"}
		w := newWorld(t, a, b)
		for name, change := range map[string]func(*fetch.Info){
			"adjusted": func(i *fetch.Info) { i.Adjusted = fetch.SplitAdjusted },
			"volume":   func(i *fetch.Info) { i.Volume = fetch.VolumeContracts },
			"interval": func(i *fetch.Info) { delete(i.Intervals, series.Interval1m) },
		} {
			other := newVendor(func(i *fetch.Info) { i.Name = "other"; change(i) })
			p, err := fetch.New(fetch.Options{Transport: w.tr, Endpoints: []fetch.Endpoint{
				{Name: "a", URL: "http://a.test", Provider: newVendor(nil)},
				{Name: "b", URL: "http://b.test", Provider: other},
			}})
			if err != nil {
				t.Fatal(err)
			}
			a.down.Store(true)
			q := askFor(lastMinutes(100))
			q.Sources = append(q.Sources, fetch.Source{Provider: "other", Symbol: "X", Grade: fetch.Mirror})
			q.Patience = -1
			if n, _, err := collect(t, p, q); n != 0 || err == nil || b.hits.Load() != 0 {
				t.Errorf("%s: %d bars, error %v", name, n, err)
			}
			if err := p.Close(context.Background()); err != nil {
				t.Error(err)
			}
		}
	})
}

func TestHolesAreEvidenceOrSilence(t *testing.T) {
	synctest.Test(t, func(t *testing.T) {
		wait(24 * time.Hour)
		span := lastMinutes(1200)
		at := func(i, j int) series.Span {
			return series.Span{From: span.From + series.Time(i)*series.Minute, To: span.From + series.Time(j)*series.Minute}
		}
		// The head lies before the listing, one hole inside an answer, one over
		// the border of two windows (499 bars each), and the end is quiet.
		holes := []series.Span{at(0, 100), at(200, 203), at(490, 510), at(1190, 1200)}
		a := &server{name: "a.test", omit: func(t series.Time) bool {
			for _, h := range holes {
				if h.Contains(t) {
					return true
				}
			}
			return false
		}}
		p := newWorld(t, a).pool(fetch.Options{}, newVendor(nil), a.name)
		n, r, err := collect(t, p, askFor(span))
		if err != nil || n != 1200-100-3-20-10 {
			t.Errorf("%d bars, error %v", n, err)
		}
		if len(r.Spoken) != 1 || r.Spoken[0] != span {
			t.Errorf("spoken for %v", r.Spoken)
		}
		all := series.Union(nil, r.Empty, r.Silent)
		if got := series.Subtract(nil, holes, all); len(got) > 0 || series.Total(all) != series.Total(holes) {
			t.Errorf("empty %v and silent %v are not the holes %v", r.Empty, r.Silent, holes)
		}
		for _, s := range []series.Span{holes[1]} {
			if len(series.Subtract(nil, []series.Span{s}, r.Empty)) > 0 {
				t.Errorf("%v is not called empty: %v", s, r.Empty)
			}
		}
		if len(series.Intersect(nil, r.Empty, []series.Span{holes[0], holes[3]})) > 0 {
			t.Errorf("an edge is called empty: %v", r.Empty)
		}
	})
}

func TestHedge(t *testing.T) {
	synctest.Test(t, func(t *testing.T) {
		a, b := &server{name: "a.test"}, &server{name: "b.test"}
		slow := func(int, http.ResponseWriter, *http.Request, *reply) bool { wait(8 * time.Second); return false }
		a.spoil = slow
		p := newWorld(t, a, b).pool(fetch.Options{Hedge: 200 * time.Millisecond}, newVendor(nil), a.name, b.name)
		wait(24 * time.Hour)
		begun := time.Now()
		n, r, err := collect(t, p, askFor(lastMinutes(100)))
		if n != 100 || err != nil || r.Used["b.test"] != 100 || time.Since(begun) > time.Second {
			t.Errorf("%d bars by %v in %v, error %v", n, r.Used, time.Since(begun), err)
		}
		for _, e := range p.Endpoints() {
			if e.Breaker != fetch.Closed || len(e.Errors) > 0 {
				t.Errorf("who was given up is blamed: %+v", e)
			}
		}
	})
}

func TestBalance(t *testing.T) {
	for _, c := range []struct {
		balance fetch.Balance
		low, up int64 // of 300 requests, those to a, which is quick and has weight 3
	}{
		{fetch.ByPriority, 300, 300}, {fetch.Weighted, 225, 225}, {fetch.LeastLatency, 290, 299}, {fetch.PowerOfTwo, 200, 299},
	} {
		t.Run(c.balance.String(), func(t *testing.T) {
			synctest.Test(t, func(t *testing.T) {
				a, b := &server{name: "a.test"}, &server{name: "b.test"}
				a.spoil = func(int, http.ResponseWriter, *http.Request, *reply) bool { wait(10 * time.Millisecond); return false }
				b.spoil = func(int, http.ResponseWriter, *http.Request, *reply) bool { wait(50 * time.Millisecond); return false }
				w := newWorld(t, a, b)
				v := newVendor(nil)
				p, err := fetch.New(fetch.Options{Transport: w.tr, Balance: c.balance, Endpoints: []fetch.Endpoint{
					{Name: "a", URL: "http://a.test", Provider: v, Weight: 3},
					{Name: "b", URL: "http://b.test", Provider: v, Weight: 1},
				}})
				if err != nil {
					t.Fatal(err)
				}
				defer p.Close(context.Background())
				wait(24 * time.Hour)
				for range 300 {
					if n, _, err := collect(t, p, askFor(lastMinutes(10))); n != 10 || err != nil {
						t.Fatalf("%d bars, error %v", n, err)
					}
				}
				if n := a.hits.Load(); n < c.low || n > c.up || n+b.hits.Load() != 300 {
					t.Errorf("%d of %d requests went to the quick one", n, n+b.hits.Load())
				}
			})
		})
	}
}

func TestClose(t *testing.T) {
	synctest.Test(t, func(t *testing.T) {
		a := &server{name: "a.test"}
		a.spoil = func(int, http.ResponseWriter, *http.Request, *reply) bool { wait(time.Second); return false }
		w := newWorld(t, a)
		wait(300 * 24 * time.Hour)
		p, err := fetch.New(fetch.Options{Transport: w.tr, ProbeEvery: time.Second, Endpoints: []fetch.Endpoint{{Name: "a", URL: "http://a.test", Provider: newVendor(nil)}}})
		if err != nil {
			t.Fatal(err)
		}
		ended := make(chan error)
		got := 0
		go func() {
			_, err := p.Bars(context.Background(), askFor(lastMinutes(100_000)), func(b fetch.Batch) error { got += b.Bars.Len(); return nil })
			ended <- err
		}()
		wait(5500 * time.Millisecond)
		begun := time.Now()
		done := make(chan error)
		go func() { done <- p.Close(context.Background()) }()
		if err := <-ended; !errors.Is(err, fetch.ErrClosed) {
			t.Errorf("the question ends with %v", err)
		}
		if err := <-done; err != nil || time.Since(begun) > 3*time.Second {
			t.Errorf("closed after %v, error %v", time.Since(begun), err)
		}
		if got == 0 || got%499 != 0 {
			t.Errorf("%d bars", got)
		}
		if _, err := p.Bars(t.Context(), askFor(lastMinutes(10)), nil); !errors.Is(err, fetch.ErrClosed) {
			t.Errorf("a closed pool answers %v", err)
		}
		// One that has no patience.
		p = w.pool(fetch.Options{}, newVendor(nil), a.name)
		go func() {
			_, err := p.Bars(context.Background(), askFor(lastMinutes(100_000)), func(fetch.Batch) error { return nil })
			ended <- err
		}()
		wait(1500 * time.Millisecond)
		ctx, cancel := context.WithTimeout(context.Background(), 100*time.Millisecond)
		defer cancel()
		begun = time.Now()
		if err := p.Close(ctx); !errors.Is(err, context.DeadlineExceeded) || time.Since(begun) > 150*time.Millisecond {
			t.Errorf("closed after %v with %v", time.Since(begun), err)
		}
		if err := <-ended; !errors.Is(err, fetch.ErrClosed) {
			t.Errorf("the question ends with %v", err)
		}
	})
}

func TestTheReceiverEndsTheQuestion(t *testing.T) {
	synctest.Test(t, func(t *testing.T) {
		a := &server{name: "a.test"}
		p := newWorld(t, a).pool(fetch.Options{}, newVendor(nil), a.name)
		wait(300 * 24 * time.Hour)
		full := errors.New("the disk is full")
		r, err := p.Bars(t.Context(), askFor(lastMinutes(100_000)), func(fetch.Batch) error { return full })
		if !errors.Is(err, full) || r.Bars != 0 || a.hits.Load() > 8 {
			t.Errorf("error %v, %d bars, %d requests", err, r.Bars, a.hits.Load())
		}
		ctx, cancel := context.WithCancel(t.Context())
		n := 0
		_, err = p.Bars(ctx, askFor(lastMinutes(100_000)), func(b fetch.Batch) error {
			if n += b.Bars.Len(); n > 5000 {
				cancel()
			}
			return nil
		})
		if !errors.Is(err, context.Canceled) {
			t.Errorf("error %v", err)
		}
	})
}

func TestWrongConfigurations(t *testing.T) {
	v := newVendor(nil)
	for name, c := range map[string]struct {
		e    fetch.Endpoint
		want string
	}{
		"no name":     {fetch.Endpoint{URL: "https://x.test", Provider: v}, "name"},
		"no provider": {fetch.Endpoint{Name: "x", URL: "https://x.test"}, "provider"},
		"no scheme":   {fetch.Endpoint{Name: "x", URL: "x.test", Provider: v}, "https://host"},
		"a file":      {fetch.Endpoint{Name: "x", URL: "file:///etc/passwd", Provider: v}, "https://host"},
		"a password":  {fetch.Endpoint{Name: "x", URL: "https://me:hunter22@x.test", Provider: v}, "api_key_env"},
		"a key":       {fetch.Endpoint{Name: "x", URL: "https://x.test?apikey=hunter22", Provider: v}, "api_key_env"},
	} {
		_, err := fetch.New(fetch.Options{Endpoints: []fetch.Endpoint{c.e}})
		if err == nil || !strings.Contains(err.Error(), c.want) || strings.Contains(err.Error(), "hunter22") {
			t.Errorf("%s: error %v", name, err)
		}
	}
}

// The memory for a span does not grow with its length.
func TestMemoryIsBounded(t *testing.T) {
	synctest.Test(t, func(t *testing.T) {
		a := &server{name: "a.test"}
		v := newVendor(func(i *fetch.Info) { i.MaxBars = 0 }) // the worst: all at once
		p := newWorld(t, a).pool(fetch.Options{}, v, a.name)
		wait(800 * 24 * time.Hour)
		var before, now runtime.MemStats
		runtime.GC()
		runtime.ReadMemStats(&before)
		most := uint64(0)
		q := askFor(lastMinutes(500_000))
		if *long {
			q = askFor(lastMinutes(1_000_000))
		}
		r, err := p.Bars(t.Context(), q, func(fetch.Batch) error {
			runtime.GC()
			runtime.ReadMemStats(&now)
			most = max(most, now.HeapAlloc-min(now.HeapAlloc, before.HeapAlloc))
			return nil
		})
		if err != nil || r.Bars*60_000 != q.Span.Len() {
			t.Fatalf("%d bars, error %v", r.Bars, err)
		}
		t.Logf("%d bars with at most %d MiB above base memory", r.Bars, most>>20)
		if most > 64<<20 {
			t.Errorf("%d MiB", most>>20)
		}
	})
}
