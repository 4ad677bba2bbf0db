package fetchtest

import (
	"errors"
	"net/http"
	"net/http/httptest"
	"sync/atomic"
	"testing"
	"time"

	"github.com/barkeepdb/barkeep/fetch"
	"github.com/barkeepdb/barkeep/fetch/vendors"
	"github.com/barkeepdb/barkeep/series"
)

// TestDelay: a vendor that withholds the last quarter of an hour is asked once
// more for what is older, and for that alone from then on.
func TestDelay(t *testing.T) {
	now := series.TimeOf(time.Now())
	i := series.Interval1m
	m := &Market{
		Symbol: "IBM", Bars: map[series.Interval]*series.Columns{i: truth(i, 200, now, 5)}, Now: func() series.Time { return series.TimeOf(time.Now()) },
		Delay: 15 * series.Minute,
	}
	refused := 0
	h := Vendor("alpaca", m)
	s := httptest.NewServer(http.HandlerFunc(func(w http.ResponseWriter, r *http.Request) {
		rec := httptest.NewRecorder()
		h.ServeHTTP(rec, r)
		if rec.Code == http.StatusForbidden {
			refused++
		}
		w.WriteHeader(rec.Code)
		_, _ = w.Write(rec.Body.Bytes()) // who asked may have gone
	}))
	defer s.Close()
	key := fetch.Credentials{Key: fetch.NewSecret("k"), Secret: fetch.NewSecret("s")}
	pool, err := fetch.New(fetch.Options{Endpoints: []fetch.Endpoint{{Name: "a", URL: s.URL, Provider: vendors.ByName("alpaca"), AllowPrivate: true, Credentials: key}}})
	if err != nil {
		t.Fatal(err)
	}
	defer func() { _ = pool.Close(t.Context()) }()
	c := m.Bars[i]
	span := series.Span{From: c.Time[0], To: c.Time[199] + series.Minute}
	for try := range 2 {
		var got series.Columns
		report, err := pool.Bars(t.Context(), fetch.Ask{Sources: []fetch.Source{{Provider: "alpaca", Symbol: "IBM"}}, Interval: i, Span: span, Patience: -1}, func(b fetch.Batch) error {
			for k := range b.Bars.Time {
				got.Append(b.Bars.Bar(k))
			}
			return nil
		})
		u, ok := errors.AsType[*fetch.UnansweredError](err)
		if !ok || u.Kind() != fetch.NotEntitled || time.Until(u.RetryAt) > 20*time.Minute || u.RetryAt.Before(time.Now()) {
			t.Fatalf("question %d: %v", try, err)
		}
		last := got.Time[got.Len()-1]
		if age := series.TimeOf(time.Now()) - last; age < 16*series.Minute || age > 22*series.Minute {
			t.Errorf("question %d: the last bar opens %d s ago", try, age/1000)
		}
		if un := report.Unanswered; len(un) != 1 || un[0].To != span.To || un[0].From < span.To-20*series.Minute {
			t.Errorf("question %d: unanswered %v", try, un)
		}
		if refused != 1 {
			t.Errorf("question %d: refused %d times, want 1", try, refused)
		}
	}
}

// TestRefused: a vendor that has no right plan is asked once, not for each
// question, but when it is to be asked anew; once it answers it is asked again.
func TestRefused(t *testing.T) {
	now := series.TimeOf(time.Now())
	i := series.Interval1m
	m := &Market{Symbol: "IBM", Bars: map[series.Interval]*series.Columns{i: truth(i, 200, now, 5)}, Now: func() series.Time { return now }}
	h := Vendor("alpaca", m)
	var denied atomic.Bool
	denied.Store(true)
	s := httptest.NewServer(http.HandlerFunc(func(w http.ResponseWriter, r *http.Request) {
		if denied.Load() {
			m.count()
			w.WriteHeader(http.StatusForbidden)
			return
		}
		h.ServeHTTP(w, r)
	}))
	defer s.Close()
	key := fetch.Credentials{Key: fetch.NewSecret("k"), Secret: fetch.NewSecret("s")}
	pool, err := fetch.New(fetch.Options{Endpoints: []fetch.Endpoint{{Name: "a", URL: s.URL, Provider: vendors.ByName("alpaca"), AllowPrivate: true, Credentials: key}}})
	if err != nil {
		t.Fatal(err)
	}
	defer func() { _ = pool.Close(t.Context()) }()
	c := m.Bars[i]
	for step, x := range []struct {
		denied, anew, asked, answered bool
	}{
		{denied: true, asked: true},
		{denied: true},
		{denied: true, anew: true, asked: true},
		{},
		{anew: true, asked: true, answered: true},
		{asked: true, answered: true},
	} {
		denied.Store(x.denied)
		was := m.Requests()
		_, err := pool.Bars(t.Context(), fetch.Ask{
			Sources: []fetch.Source{{Provider: "alpaca", Symbol: "IBM"}}, Interval: i, Span: series.Span{From: c.Time[10], To: c.Time[100]}, Patience: -1, Anew: x.anew,
		}, func(fetch.Batch) error { return nil })
		if asked := m.Requests() > was; asked != x.asked || (err == nil) != x.answered {
			t.Errorf("question %d: asked is %v, the error %v", step, asked, err)
		}
	}
}
