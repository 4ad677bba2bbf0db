package main

import (
	"fmt"
	"net/http"
	"os"
	"path/filepath"
	"strings"
	"testing"
	"time"

	"github.com/barkeepdb/barkeep/series"
	"github.com/barkeepdb/barkeep/storage"
)

// TestPeerHeals repairs a series out of another instance: what a source said
// there is stored bit for bit, what was filled there is not, and its errors say
// what to do.
func TestPeerHeals(t *testing.T) {
	now := series.TimeOf(time.Now()) / series.Hour * series.Hour
	key := series.Key{Symbol: "ABC/DEF", Interval: series.Interval1m}
	truth := minutesOf(3000, now)
	// The other instance lacks three minutes, and fills them.
	var theirs series.Columns
	for i := range truth.Len() {
		if i < 1200 || i >= 1203 {
			b := truth.Bar(i)
			b.QuoteVolume, b.Trades = b.Volume*b.Close, float64(i%7)
			theirs.Append(b)
		}
	}
	peer := filepath.Join(t.TempDir(), "peer")
	// Three have said them there, one of whom handed them on.
	saidBy := func(i int) string { return []string{"binance-spot", "import", "far/binance-spot"}[i/100%3] }
	write := func(dir string, key series.Key, c *series.Columns, symbol storage.Symbol) {
		t.Helper()
		s, err := storage.Open(dir, storage.Options{})
		if err != nil {
			t.Fatal(err)
		}
		for i := 0; i < c.Len(); i += 100 {
			source := "venue"
			if dir == peer {
				source = saidBy(i)
			}
			if _, err := s.Write(t.Context(), key, slice(c, i, min(i+100, c.Len())), storage.WriteOptions{Source: source}); err != nil {
				t.Fatal(err)
			}
		}
		if err := s.SetSymbol(key.Symbol, symbol); err != nil {
			t.Fatal(err)
		}
		if err := s.Close(); err != nil {
			t.Fatal(err)
		}
	}
	write(peer, key, &theirs, storage.Symbol{})
	if code, out, errs := run(t, "", "repair", "--symbol", key.Symbol, "--type", "forward_fill", "--interval", "1m", "--to", now.String(), "--data", peer); code != exitDone || !strings.Contains(out, "3 filled") {
		t.Fatal(out, errs)
	}
	srv := startServer(t, peer, time.Second)

	data := t.TempDir()
	var ours series.Columns
	for i := range theirs.Time {
		if i < 1000 || i >= 1400 {
			b := theirs.Bar(i)
			ours.Append(series.NewBar(b.Time, b.Open, b.High, b.Low, b.Close, b.Volume))
		}
	}
	write(data, key, &ours, storage.Symbol{Sources: []string{"peer"}})
	config := filepath.Join(data, "barkeep.yaml")
	endpoint := fmt.Sprintf("data_healing: {strategy: sources_only}\nendpoints: {own: [{name: peer, url: %q, provider: barkeep, api_key_env: PEER_TOKEN, allow_private: true}]}\n", srv.url)
	if err := os.WriteFile(config, []byte(endpoint), 0o600); err != nil {
		t.Fatal(err)
	}
	token, err := os.ReadFile(filepath.Join(peer, tokenFile))
	if err != nil {
		t.Fatal(err)
	}
	t.Setenv("PEER_TOKEN", strings.TrimSpace(string(token)))
	repair := func(symbol string) (int, string, string) {
		return run(t, "", "repair", "--symbol", symbol, "--interval", "1m", "--to", now.String(), "--max-bars", "10000", "--max-share", "1", "--data", data, "--config", config)
	}
	code, out, errs := repair(key.Symbol)
	if code != exitDone || !strings.Contains(out, "400 bars written, 0 filled") {
		t.Fatalf("exit %d\n%s%s", code, out, errs)
	}
	got := storedBars(t, data, key, nil)
	if err := sameBars(got, &theirs); err != nil {
		t.Error(err)
	}
	at := truth.Time[1100]
	code, out, errs = run(t, "", "explain", "--symbol", key.Symbol, "--interval", "1m", "--at", at.String(), "--data", data)
	if code != exitDone || !strings.Contains(out, "peer") {
		t.Errorf("who said it is not told: %s%s", out, errs)
	}
	// Who said each bar there is kept with it, and the other instance before it.
	s, err := storage.Open(data, storage.Options{ReadOnly: true})
	if err != nil {
		t.Fatal(err)
	}
	var stored series.Columns
	if err := s.Read(t.Context(), key, series.Span{From: theirs.Time[0], To: now}, storage.ReadOptions{}, &stored); err != nil {
		t.Fatal(err)
	}
	for i, p := range stored.Prov {
		want := "venue"
		if i >= 1000 && i < 1400 {
			want = "peer/" + saidBy(i)
		}
		if got := s.SourceName(p.Source()); got != want {
			t.Fatalf("bar %d is said by %q, want %q", i, got, want)
		}
	}
	if err := s.Close(); err != nil {
		t.Fatal(err)
	}
	// What the other instance filled stays missing here.
	code, out, errs = run(t, "", "gaps", "--symbol", key.Symbol, "--interval", "1m", "--data", data)
	if code != exitDone || !strings.Contains(out, "3 ") || strings.Contains(out, "synthetic") || strings.Contains(out, "no_trade") {
		t.Errorf("%s%s", out, errs)
	}
	// A symbol that it does not have.
	write(data, series.Key{Symbol: "X/Y", Interval: series.Interval1m}, &ours, storage.Symbol{Sources: []string{"peer=NOPE"}})
	if code, out, _ := repair("X/Y"); code == exitUsage || !strings.Contains(out, "nothing is stored of NOPE") {
		t.Errorf("exit %d\n%s", code, out)
	}
	if code, out, errs := run(t, "", "endpoints", "test", "peer", "--data", data, "--config", config); code != exitDone {
		t.Errorf("exit %d\n%s%s", code, out, errs)
	}
	// Prices that are adjusted there are not mixed with raw ones.
	put := func(body string) {
		t.Helper()
		req, err := http.NewRequestWithContext(t.Context(), http.MethodPut, srv.url+"/v1/symbols/"+key.Symbol, strings.NewReader(body))
		if err != nil {
			t.Fatal(err)
		}
		req.Header.Set("Authorization", "Bearer "+os.Getenv("PEER_TOKEN"))
		resp, err := http.DefaultClient.Do(req)
		if err != nil || resp.StatusCode != http.StatusOK {
			t.Fatal(resp, err)
		}
		_ = resp.Body.Close() // it was not read
	}
	put(`{"adjusted":"split"}`)
	code, out, errs = run(t, "", "undo", "--source", "peer", "--data", data)
	if code != exitDone || !strings.Contains(out, "400") {
		t.Errorf("exit %d\n%s%s", code, out, errs)
	}
	other := t.TempDir()
	write(other, key, &ours, storage.Symbol{Sources: []string{"peer"}})
	code, out, errs = run(t, "", "repair", "--symbol", key.Symbol, "--interval", "1m", "--to", now.String(), "--max-bars", "10000", "--max-share", "1", "--data", other, "--config", config)
	if !strings.Contains(out+errs, "stored there are adjusted (split)") {
		t.Errorf("exit %d\n%s%s", code, out, errs)
	}
}
