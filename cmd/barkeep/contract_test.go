package main

import (
	"bytes"
	"fmt"
	"io"
	"net/http"
	"net/http/httptest"
	"os"
	"path/filepath"
	"regexp"
	"strconv"
	"strings"
	"sync/atomic"
	"testing"
	"time"

	"github.com/barkeepdb/barkeep/fetch/fetchtest"
	"github.com/barkeepdb/barkeep/series"
)

// TestProbe asks simulated vendors how they answer, and notices when one of them
// begins to name bars by their end.
func TestProbe(t *testing.T) {
	now := series.TimeOf(time.Now())
	bars := minutesOf(3000, now/series.Minute*series.Minute+series.Minute)
	market := func(symbol string) *fetchtest.Market {
		return &fetchtest.Market{Symbol: symbol, Bars: map[series.Interval]*series.Columns{series.Interval1m: bars}, Now: func() series.Time { return series.TimeOf(time.Now()) }}
	}
	var shifted atomic.Bool
	binance := fetchtest.Vendor("binance-spot", market("BTCUSDT"))
	stamp := regexp.MustCompile(`\[(\d{13}),`)
	first := httptest.NewServer(http.HandlerFunc(func(w http.ResponseWriter, r *http.Request) {
		if !shifted.Load() || !strings.Contains(r.URL.Path, "klines") {
			binance.ServeHTTP(w, r)
			return
		}
		a := httptest.NewRecorder()
		binance.ServeHTTP(a, r)
		body := stamp.ReplaceAllFunc(a.Body.Bytes(), func(b []byte) []byte {
			ms, _ := strconv.ParseInt(string(b[1:14]), 10, 64) // the pattern says so
			return fmt.Appendf(nil, "[%d,", ms+60_000)
		})
		w.Header().Set("Content-Type", "application/json")
		w.WriteHeader(a.Code)
		_, _ = io.Copy(w, bytes.NewReader(body)) // who asked may have gone
	}))
	defer first.Close()
	second := httptest.NewServer(fetchtest.Vendor("okx", market("BTC-USDT")))
	defer second.Close()
	data := t.TempDir()
	config := filepath.Join(data, "barkeep.yaml")
	text := fmt.Sprintf("endpoints: {crypto: [{name: a, url: %q, provider: binance-spot, allow_private: true}, {name: b, url: %q, provider: okx, allow_private: true}]}\n", first.URL, second.URL)
	if err := os.WriteFile(config, []byte(text), 0o600); err != nil {
		t.Fatal(err)
	}
	probe := func(args ...string) (int, string, string) {
		t.Helper()
		return run(t, "", append([]string{"providers", "probe", "--data", data, "--config", config}, args...)...)
	}
	for range 2 { // the second time nothing has changed
		code, out, errs := probe("a", "--check")
		if code != exitDone {
			t.Fatalf("exit %d\n%s%s", code, out, errs)
		}
		for _, want := range []string{`start of a span +inclusive`, `end of a span +(exclusive|inclusive)`, `order +ascending`, `not ended +included`, `stamp +open`} {
			if !regexp.MustCompile(want).MatchString(out) {
				t.Errorf("no %q in\n%s", want, out)
			}
		}
	}
	if code, out, errs := probe("okx"); code != exitDone || !strings.Contains(out, "descending") {
		t.Errorf("okx: exit %d\n%s%s", code, out, errs)
	}
	shifted.Store(true)
	code, out, errs := probe("a", "--check")
	if code != exitFindings || !strings.Contains(errs, "a has changed: stamp: close, was open") {
		t.Errorf("stamped at the end: exit %d\n%s%s", code, out, errs)
	}
	if code, _, errs := probe("nobody"); code != exitUsage || !strings.Contains(errs, "no endpoint and no vendor is called nobody") {
		t.Errorf("nobody: exit %d %s", code, errs)
	}
	if code, _, errs := probe("a", "--symbol", "NOPE"); code != exitFailed || errs == "" {
		t.Errorf("a symbol that is unknown: exit %d %s", code, errs)
	}
}
