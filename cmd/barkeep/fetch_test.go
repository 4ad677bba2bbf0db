package main

import (
	"bytes"
	"context"
	"math/rand/v2"
	"net/http"
	"net/http/httptest"
	"strings"
	"sync/atomic"
	"testing"
	"time"

	"github.com/barkeepdb/barkeep/fetch/fetchtest"
	"github.com/barkeepdb/barkeep/series"
	"github.com/barkeepdb/barkeep/storage"
)

// flaky is the simulator of a vendor that fails at one request of every, and
// bans whoever asks from request ban on.
func flaky(t *testing.T, name string, m *fetchtest.Market, every, ban int64) *httptest.Server {
	t.Helper()
	h := fetchtest.Vendor(name, m)
	var n atomic.Int64
	s := httptest.NewServer(http.HandlerFunc(func(w http.ResponseWriter, r *http.Request) {
		k := n.Add(1)
		switch {
		case ban > 0 && k > ban:
			w.Header().Set("Retry-After", "3600")
			w.WriteHeader(http.StatusTeapot)
			_, _ = w.Write([]byte(`{"code":-1003,"msg":"banned"}`)) // who asked may have gone
		case k%every == 0:
			w.WriteHeader(http.StatusBadGateway)
			_, _ = w.Write([]byte("<html>bad gateway</html>")) // the same
		default:
			h.ServeHTTP(w, r)
		}
	}))
	t.Cleanup(s.Close)
	return s
}

// minutesOf are n minutes that end at now.
func minutesOf(n int, now series.Time) *series.Columns {
	rnd := rand.New(rand.NewPCG(1, 2))
	c := &series.Columns{}
	g := series.Grid{Interval: series.Interval1m}
	price := 30000.0
	for k := range n {
		open := price
		price += float64(rnd.IntN(2001)-1000) / 100
		c.Append(series.NewBar(g.Time(g.SlotAt(now)-series.Slot(n-k)), open, max(open, price)+1, min(open, price)-1, price, float64(1+rnd.IntN(1e6))/1e5))
	}
	return c
}

// TestFetchFailsOver: bars of one venue from two of its vendors that both fail
// now and then, the first of which bans us on the way, arrive whole and bit for
// bit in the store.
func TestFetchFailsOver(t *testing.T) {
	// A bar that has only just ended is forming at first, and written again later.
	truth := minutesOf(20_000, series.TimeOf(time.Now())-10*series.Minute)
	market := func(symbol string) *fetchtest.Market {
		return &fetchtest.Market{
			Symbol: symbol, Bars: map[series.Interval]*series.Columns{series.Interval1m: truth},
			Now: func() series.Time { return series.TimeOf(time.Now()) },
		}
	}
	first := flaky(t, "binance-spot", market("BTCUSDT"), 7, 9)
	second := flaky(t, "bybit", market("BTCUSDT"), 5, 0)
	dir := t.TempDir()
	run := func(args ...string) (code int, out, log string) {
		var stdout, stderr bytes.Buffer
		code = Run(context.Background(), append(args, "--data", dir), strings.NewReader(""), &stdout, &stderr)
		return code, stdout.String(), stderr.String()
	}
	ask := []string{
		"fetch", "--provider", "binance-spot", "--provider", "bybit", "--proxies", "--endpoint", "binance-spot=" + first.URL, "--endpoint", "bybit=" + second.URL,
		"--symbol", "BTCUSDT", "--interval", "1m", "--from", truth.Time[0].String(), "--to", (truth.Time[truth.Len()-1] + series.Minute).String(), "--store",
	}
	code, out, log := run(ask...)
	if code != 0 || !strings.Contains(out, "20000 bars written, 0 were there") {
		t.Fatalf("exit %d\n%s%s", code, out, log)
	}
	for _, want := range []string{"endpoint_paused", "failed_over", "Banned until", "20000 bars in "} {
		if !strings.Contains(log, want) {
			t.Errorf("the log lacks %q:\n%s", want, log)
		}
	}
	s, err := storage.Open(dir, storage.Options{ReadOnly: true})
	if err != nil {
		t.Fatal(err)
	}
	var got series.Columns
	if err := s.Read(context.Background(), series.Key{Symbol: "BTCUSDT", Interval: series.Interval1m}, series.Span{}, storage.ReadOptions{}, &got); err != nil {
		t.Fatal(err)
	}
	sources := map[string]int{}
	for i := range got.Time {
		g, w := got.Bar(i), truth.Bar(i)
		if g.Time != w.Time || g.Open != w.Open || g.High != w.High || g.Low != w.Low || g.Close != w.Close || g.Volume != w.Volume {
			t.Fatalf("bar %d is %+v, want %+v", i, g, w)
		}
		sources[s.SourceName(g.Prov.Source())]++
	}
	if got.Len() != truth.Len() || sources["binance-spot"] == 0 || sources["bybit"] == 0 {
		t.Errorf("%d bars, by source %v", got.Len(), sources)
	}
	if err := s.Close(); err != nil {
		t.Fatal(err)
	}
	// The ban outlives the program: nothing is sent there any more.
	code, out, log = run(ask...)
	if code != 0 || !strings.Contains(out, "0 bars written, ") || strings.Contains(log, "  binance-spot:") {
		t.Errorf("again: exit %d\n%s%s", code, out, log)
	}
}

// TestFetchRefuses: what is wrong with a question, and what to write instead.
func TestFetchRefuses(t *testing.T) {
	s := flaky(t, "binance-spot", &fetchtest.Market{Symbol: "BTCUSDT", Now: func() series.Time { return series.TimeOf(time.Now()) }}, 1000, 0)
	for _, x := range []struct {
		args []string
		code int
		want string
	}{
		{[]string{"--symbol", "X", "--interval", "1m", "--from", "2024-01-01"}, 2, "name a vendor with --provider"},
		{[]string{"--provider", "binanc-spot", "--symbol", "X", "--interval", "1m", "--from", "2024-01-01"}, 2, "did you mean binance-spot"},
		{[]string{"--provider", "binance-spot", "--symbol", "X", "--interval", "1m"}, 2, "--from is missing"},
		{[]string{"--provider", "binance-spot", "--symbol", "X", "--interval", "1m", "--from", "2024-01-02", "--to", "2024-01-01"}, 2, "is not after"},
		{[]string{"--provider", "binance-spot", "--symbol", "X", "--interval", "1m", "--from", "2024-01-01", "--endpoint", "x"}, 2, "PROVIDER=URL"},
		{[]string{"--provider", "binance-spot", "--symbol", "NOSUCH", "--interval", "1m", "--from", "2024-01-01", "--to", "2024-01-02", "--endpoint", "binance-spot=" + s.URL}, 1, "UnknownSymbol"},
		{[]string{"--provider", "binance-spot", "--symbol", "X", "--interval", "45m", "--from", "2024-01-01", "--to", "2024-01-02", "--endpoint", "binance-spot=" + s.URL}, 1, "it has no bars of 45m"},
		{[]string{"--provider", "polygon", "--symbol", "X", "--interval", "1d", "--from", "2024-01-01", "--to", "2024-01-02", "--endpoint", "polygon=" + s.URL, "--wait", "1ms"}, 1, "a key is needed"},
	} {
		var stdout, stderr bytes.Buffer
		code := Run(context.Background(), append([]string{"fetch", "--data", t.TempDir()}, x.args...), strings.NewReader(""), &stdout, &stderr)
		if code != x.code || !strings.Contains(stderr.String(), x.want) {
			t.Errorf("%v: exit %d, %s", x.args, code, stderr.String())
		}
	}
}
