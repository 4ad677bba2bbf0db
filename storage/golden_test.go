package storage_test

import (
	"context"
	"flag"
	"math"
	"os"
	"path/filepath"
	"testing"

	"github.com/cockroachdb/pebble/v2/vfs"

	"github.com/barkeepdb/barkeep/series"
	"github.com/barkeepdb/barkeep/storage"
)

var rewrite = flag.Bool("rewrite", false, "write the golden store of the current format if there is none")

// goldenBars is what every golden store holds: two days of minutes with a hole,
// rows not yet folded, a corrected bar, a deleted one, optional columns, and
// months.
func fillGolden(t *testing.T, s *storage.Store) {
	t.Helper()
	ctx := context.Background()
	must := func(err error) {
		t.Helper()
		if err != nil {
			t.Fatal(err)
		}
	}
	c := walk(5, t0, btc.Interval, 2000)
	_, err := s.Write(ctx, btc, c, storage.WriteOptions{Source: "golden"})
	must(err)
	_, err = s.Delete(ctx, btc, series.Span{From: t0 + 500*series.Minute, To: t0 + 600*series.Minute})
	must(err)
	fixed := c.Bar(7)
	fixed.Close, fixed.Prov = 1.5, series.NewProv(series.Corrected, 0)
	must(s.Append(ctx, btc, fixed, storage.WriteOptions{Source: "repair"}))
	late := c.Bar(550)
	late.QuoteVolume, late.Trades = 12.25, 3
	must(s.Append(ctx, btc, late, storage.WriteOptions{Source: "golden"}))
	month := series.Key{Symbol: "^GSPC", Interval: series.Interval1M}
	must(s.SetSymbol("^GSPC", storage.Symbol{Calendar: "XNYS", TickSize: 0.01}))
	for i, v := range []float64{-37.63, 0, math.Copysign(0, -1), 5e-324} {
		must(s.Append(ctx, month, series.Bar{Time: series.Grid{Interval: month.Interval}.Time(series.Slot(i - 2)), Open: v, High: v, Low: v, Close: v, QuoteVolume: math.NaN(), Trades: math.NaN()}, storage.WriteOptions{Source: "golden"}))
	}
	must(s.SetAside(ctx, []storage.Entry{{Key: btc, Time: t0 + 1, HasTime: true, Reason: "off the grid", Raw: "1,2,3"}}))
	must(s.Explain(ctx, btc, []series.Absence{{Run: series.Grid{Interval: btc.Interval}.Run(series.Span{From: t0 + 510*series.Minute, To: t0 + 520*series.Minute}), State: series.StateOutage, Note: series.Note{Reason: "maintenance"}}}))
	must(s.PutRecords(ctx, []storage.Record{{Kind: "golden", Name: "a", Value: []byte("kept")}}))
	noted := storage.WithNote(ctx, storage.Note{Actor: "golden", Repair: "r1", Rule: "gap", Version: 1, Evidence: "e", Until: t0})
	must(s.Explain(noted, btc, []series.Absence{{Run: series.Grid{Interval: btc.Interval}.Run(series.Span{From: t0 + 530*series.Minute, To: t0 + 535*series.Minute}), State: series.StateMissing, Note: goldenNote}}))
	_, err = s.AuditHead(ctx)
	must(err)
}

// goldenNote is of format 3, as are records and the audit log.
var goldenNote = series.Note{Reason: "asked", Attempts: 2, First: t0, Last: t0 + 1, Next: t0 + 2}

func checkGolden3(t *testing.T, s *storage.Store) {
	t.Helper()
	ctx := context.Background()
	if v, found, err := s.Record(ctx, "golden", "a"); err != nil || !found || string(v) != "kept" {
		t.Errorf("record: %q, %v, %v", v, found, err)
	}
	sc, err := s.Gaps(ctx, btc, series.Span{From: t0 + 530*series.Minute, To: t0 + 531*series.Minute})
	if err != nil || len(sc.Gaps) != 1 || sc.Note(sc.Gaps[0]) != goldenNote {
		t.Errorf("note: %+v, %v", sc, err)
	}
	n := 0
	for x, err := range s.Journal(ctx, storage.JournalOptions{Repair: "r1"}) {
		if n++; err != nil || x.Note.Evidence != "e" || x.Note.Until != t0 {
			t.Errorf("change: %+v, %v", x, err)
		}
	}
	if n != 1 {
		t.Errorf("%d changes of the repair", n)
	}
	if rep, err := s.VerifyAudit(ctx, nil); err != nil || len(rep.Problems) > 0 || rep.Head.Size == 0 {
		t.Errorf("audit: %+v, %v", rep, err)
	}
}

func checkGolden(t *testing.T, s *storage.Store) {
	t.Helper()
	ctx := context.Background()
	c := walk(5, t0, btc.Interval, 2000)
	var got series.Columns
	if err := s.Read(ctx, btc, series.Span{}, storage.ReadOptions{}, &got); err != nil {
		t.Fatal(err)
	}
	if got.Len() != 1901 {
		t.Fatalf("%d bars", got.Len())
	}
	for i, at := range got.Time {
		want := c.Bar(int((at - t0) / series.Minute))
		if i == 7 {
			want.Close = 1.5
		}
		have := got.Bar(i)
		if i == 500 {
			want.QuoteVolume, want.Trades = 12.25, 3
		}
		if bits(have) != bits(want) || (have.Prov.Kind() == series.Corrected) != (i == 7) {
			t.Fatalf("bar %d is %+v, want %+v", i, have, want)
		}
	}
	if name := s.SourceName(got.Prov[7].Source()); name != "repair" {
		t.Errorf("the corrected bar is from %q", name)
	}
	cov, err := s.Coverage(ctx, btc, series.Span{})
	if err != nil || cov.States[series.StateOutage] != 10 || cov.States[series.StateMissing] != 89 || cov.States[series.StateCorrected] != 1 {
		t.Errorf("coverage is %v, %v", cov.States, err)
	}
	month := series.Key{Symbol: "^GSPC", Interval: series.Interval1M}
	info, err := s.Info(month)
	if err != nil || info.Bars != 4 || info.First.String() != "1969-11-01T00:00:00Z" {
		t.Errorf("months: %+v, %v", info, err)
	}
	if sym, ok := s.Symbol("^GSPC"); !ok || sym.Calendar != "XNYS" || sym.TickSize != 0.01 {
		t.Errorf("symbol: %+v", sym)
	}
	rep, err := s.Verify(ctx, storage.VerifyOptions{})
	if err != nil || !rep.OK() {
		t.Errorf("verify: %+v, %v", rep, err)
	}
}

// TestGoldenStores opens a kept store of every format that was ever released
// and finds the same bars in it.
func TestGoldenStores(t *testing.T) {
	const now = "testdata/format/v3"
	// A kept store is never written again: that it opens is the promise.
	if _, err := os.Stat(now); *rewrite && err != nil {
		tmp := t.TempDir()
		s, err := storage.Open(tmp, storage.Options{})
		if err != nil {
			t.Fatal(err)
		}
		fillGolden(t, s)
		if err := s.Close(); err != nil {
			t.Fatal(err)
		}
		// Opening again turns the log into tables, so that the golden store
		// holds both.
		if s, err = storage.Open(tmp, storage.Options{}); err != nil {
			t.Fatal(err)
		}
		defer s.Close()
		if err := s.Append(context.Background(), btc, walk(5, t0, btc.Interval, 2000).Bar(3), storage.WriteOptions{}); err != nil {
			t.Fatal(err)
		}
		if _, err := s.Backup(context.Background(), now, storage.BackupOptions{Copy: true}); err != nil {
			t.Fatal(err)
		}
	}
	dirs, err := filepath.Glob("testdata/format/v*")
	if err != nil || len(dirs) == 0 {
		t.Fatal("no golden stores:", err)
	}
	for _, dir := range dirs {
		t.Run(filepath.Base(dir), func(t *testing.T) {
			fs := vfs.NewMem()
			if ok, err := vfs.Clone(vfs.Default, fs, dir, "store"); err != nil || !ok {
				t.Fatal(ok, err)
			}
			s := open(t, fs)
			checkGolden(t, s)
			if base := filepath.Base(dir); base != "v1" && base != "v2" {
				checkGolden3(t, s)
			}
		})
	}
}

// TestFreshGolden writes the golden bars and finds them, in memory and on the
// disk, before and after folding and opening again.
func TestFreshGolden(t *testing.T) {
	for name, fs := range map[string]vfs.FS{"memory": vfs.NewMem(), "disk": vfs.Default} {
		t.Run(name, func(t *testing.T) {
			dir := "store"
			if name == "disk" {
				dir = t.TempDir()
			}
			for range 2 {
				s, err := storage.Open(dir, storage.Options{FS: fs})
				if err != nil {
					t.Fatal(err)
				}
				if _, err := s.Info(btc); err != nil {
					fillGolden(t, s)
				}
				checkGolden(t, s)
				if err := s.Compact(context.Background()); err != nil {
					t.Fatal(err)
				}
				checkGolden(t, s)
				if err := s.Close(); err != nil {
					t.Fatal(err)
				}
			}
		})
	}
}
