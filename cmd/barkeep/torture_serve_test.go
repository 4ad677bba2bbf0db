package main

import (
	"bytes"
	"context"
	"encoding/json"
	"fmt"
	"io"
	"math/rand/v2"
	"net/http"
	"net/http/httptest"
	"os"
	"os/exec"
	"path/filepath"
	"strings"
	"sync"
	"sync/atomic"
	"testing"
	"time"

	"github.com/barkeepdb/barkeep/fetch/fetchtest"
	"github.com/barkeepdb/barkeep/series"
	"github.com/barkeepdb/barkeep/storage"
)

// TestTortureServe asks a server for 500 bars at a time, at a steady rate and
// then at many times that, while a repair writes bars as fast as a vendor gives
// them. At the steady rate every question is answered; above it each is
// answered or refused with the time to come back, and the memory stays bounded.
// Times are printed, not judged: client, vendor and server share the machine.
func TestTortureServe(t *testing.T) {
	const (
		pages     = 20 // that the vendor gives in a second, of 1000 bars
		steady    = 300
		maxMemory = 512 << 20
	)
	lasts := 4 * time.Second
	if *long {
		lasts = 30 * time.Second
	}
	dir := t.TempDir()
	now := series.TimeOf(time.Now()) / series.Minute * series.Minute
	read, healed := minutesOf(525_600, now), minutesOf(2_000_000, now)
	for i := range healed.Time {
		healed.Time[i] = now - series.Time(healed.Len()-i)*series.Minute
	}
	seedStore(t, dir, read, healed)

	market := &fetchtest.Market{
		Symbol: "HEALUSDT", Bars: map[series.Interval]*series.Columns{series.Interval1m: healed},
		Now: func() series.Time { return series.TimeOf(time.Now()) },
	}
	vendor := fetchtest.Vendor("binance-spot", market)
	turn := time.NewTicker(time.Second / pages)
	defer turn.Stop()
	source := httptest.NewServer(http.HandlerFunc(func(w http.ResponseWriter, r *http.Request) {
		if strings.Contains(r.URL.Path, "klines") {
			<-turn.C
		}
		vendor.ServeHTTP(w, r)
	}))
	defer source.Close()
	config := filepath.Join(dir, "barkeep.yaml")
	text := fmt.Sprintf("data_healing: {auto_repair_enabled: false, max_bars_per_run: 10000000, max_share_per_run: 1}\n"+
		"endpoints: {crypto: [{name: v, url: %q, provider: binance-spot, allow_private: true, rate_limit_requests: 1000, rate_limit_window_seconds: 1}]}\n", source.URL)
	if err := os.WriteFile(config, []byte(text), 0o600); err != nil {
		t.Fatal(err)
	}
	v := mustLaunch(t, dir, func(c *exec.Cmd) { c.Args = append(c.Args, "--config", config) })
	defer v.kill()
	v.http.Transport.(*http.Transport).MaxIdleConnsPerHost = 4000 //nolint:forcetypeassert // see open

	// The repair lasts longer than the test.
	ctx, cancel := context.WithCancel(t.Context())
	defer cancel()
	repair := program(ctx, "repair", "--symbol", "HEAL", "--interval", "1m", "--url", v.url, "--data", dir)
	var said bytes.Buffer
	repair.Stdout, repair.Stderr = &said, &said
	if err := repair.Start(); err != nil {
		t.Fatal(err)
	}
	defer func() { _ = repair.Wait() }() // it is cut off
	defer cancel()
	for v.barsOf(t, "HEAL") < 10_000 {
		select {
		case <-time.After(20 * time.Millisecond):
		case <-t.Context().Done():
			t.Fatal(said.String())
		}
	}

	for _, times := range []int{1, 5, 10} {
		before, begin := v.barsOf(t, "HEAL"), time.Now()
		l := v.load(t.Context(), times*steady, lasts, func(r *rand.Rand) string {
			from := read.Time[r.IntN(read.Len()-500)]
			return fmt.Sprintf("/v1/bars?symbol=READ&interval=1m&from=%d&limit=500", int64(from))
		})
		rate := float64(v.barsOf(t, "HEAL")-before) / time.Since(begin).Seconds()
		t.Logf("%d requests/s, %.0f bars/s healed: %d answered %v; %d refused %v; memory at most %d MiB",
			times*steady, rate, len(l.answered.all), &l.answered, len(l.refused.all), &l.refused, v.memory(t)>>20)
		l.bad.report(t)
		if len(l.answered.all) == 0 {
			t.Error("no request was answered")
		}
		if rate <= 0 {
			t.Error("no bar was healed meanwhile")
		}
	}
	if m := v.memory(t); m > maxMemory {
		t.Errorf("the server held %d MiB, want at most %d", m>>20, maxMemory>>20)
	}
}

// seedStore makes a store with a whole series READ and a series HEAL of which
// all but the ends is missing.
func seedStore(t *testing.T, dir string, read, healed *series.Columns) {
	t.Helper()
	s, err := storage.Open(dir, storage.Options{})
	if err != nil {
		t.Fatal(err)
	}
	var ends series.Columns
	ends.Append(healed.Bar(0))
	ends.Append(healed.Bar(healed.Len() - 1))
	for symbol, c := range map[string]*series.Columns{"READ": read, "HEAL": &ends} {
		if _, err := s.Write(t.Context(), series.Key{Symbol: symbol, Interval: series.Interval1m}, c, storage.WriteOptions{}); err != nil {
			t.Fatal(err)
		}
	}
	if err := s.SetSymbol("HEAL", storage.Symbol{Sources: []string{"binance-spot=HEALUSDT"}}); err != nil {
		t.Fatal(err)
	}
	if err := s.Close(); err != nil {
		t.Fatal(err)
	}
}

// barsOf is how many bars of a symbol the server has.
func (v *victim) barsOf(t *testing.T, symbol string) int64 {
	t.Helper()
	a, body := v.ask(t.Context(), http.MethodGet, "/v1/series?symbol="+symbol, "", nil)
	var list struct {
		Series []struct{ Bars int64 }
	}
	if err := json.Unmarshal(body, &list); err != nil || len(list.Series) != 1 {
		t.Fatalf("%v: %v\n%s", a, err, v.stderr)
	}
	return list.Series[0].Bars
}

// memory is the most that the process ever held.
func (v *victim) memory(t *testing.T) (bytes int64) {
	t.Helper()
	text, err := os.ReadFile(fmt.Sprintf("/proc/%d/status", v.cmd.Process.Pid))
	if err != nil {
		t.Fatal(err)
	}
	_, rest, _ := strings.Cut(string(text), "VmHWM:")
	if _, err := fmt.Sscan(rest, &bytes); err != nil {
		t.Fatal(err)
	}
	return bytes << 10
}

// loadResult is what became of requests.
type loadResult struct {
	answered, refused times
	bad               faults
}

// load sends rate requests a second for a while, whether or not those before
// were answered. The time of each begins when it was due.
func (v *victim) load(ctx context.Context, rate int, lasts time.Duration, path func(*rand.Rand) string) *loadResult {
	l := &loadResult{}
	var all sync.WaitGroup
	var under atomic.Int64
	r := rand.New(rand.NewPCG(1, uint64(rate)))
	begin := time.Now()
	for i := range int(lasts.Seconds() * float64(rate)) {
		due := begin.Add(time.Duration(i) * time.Second / time.Duration(rate))
		if wait := time.Until(due); wait > 0 {
			<-time.After(wait)
		}
		if under.Load() > 3000 { // the client is at its end, not the server
			l.bad.add("a request could not be sent: too many wait", "")
			continue
		}
		under.Add(1)
		p := path(r)
		all.Go(func() {
			defer under.Add(-1)
			req, err := http.NewRequestWithContext(ctx, http.MethodGet, v.url+p, nil)
			if err != nil {
				l.bad.add("no request", "%v", err)
				return
			}
			resp, err := v.http.Do(req)
			if err != nil {
				l.bad.add("no answer", "%v", err)
				return
			}
			body, err := io.ReadAll(resp.Body)
			_ = resp.Body.Close() // it was only read
			took := time.Since(due)
			switch {
			case err != nil:
				l.bad.add("half an answer", "%v", err)
			case resp.StatusCode == http.StatusOK && bytes.Count(body, []byte("\"t\":"))+bytes.Count(body, []byte("\"time\":")) == 500:
				l.answered.add(took)
			case resp.StatusCode == http.StatusServiceUnavailable && resp.Header.Get("Retry-After") != "":
				l.refused.add(took)
			default:
				l.bad.add("neither answered nor refused", "%s %.300s", resp.Status, body)
			}
		})
	}
	all.Wait()
	return l
}
