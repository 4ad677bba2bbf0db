package main

import (
	"log/slog"
	"strings"
	"testing"

	"github.com/cockroachdb/pebble/v2/vfs"

	"github.com/barkeepdb/barkeep/series"
	"github.com/barkeepdb/barkeep/storage"
)

func TestParseKeeping(t *testing.T) {
	for _, x := range []struct{ in, want string }{
		{"", ""},
		{"1m=730d", "1m=730d"},
		{" 1s=30d , 1m = 730d > 1h,", "1s=30d 1m=730d>1h"},
		{"1m", "error"},
		{"1m=730", "error"},
		{"1m=0d", "error"},
		{"1m=-3d", "error"},
		{"1m=730d>30s", "error"},
		{"1h=730d>1m", "error"},
		{"5m=730d>1x", "error"},
		{"1m=1d,1m=2d", "error"},
		{"1m=1d>1h", "error"},
		{"1m=30d>1w", "error"},
	} {
		list, err := parseKeeping(x.in)
		var got []string
		for _, k := range list {
			got = append(got, k.String())
		}
		if text := strings.Join(got, " "); err != nil && x.want != "error" || err == nil && text != x.want {
			t.Errorf("%q is %q, %v", x.in, text, err)
		}
	}
}

// TestRetention: ten days of minutes with a hole, of which three days are kept,
// and hours of the rest. Sums of volume are conserved, an hour that lacks
// minutes says so, an hour that was there is kept, no gap is made, a second
// pass changes nothing, and undo brings everything back.
func TestRetention(t *testing.T) {
	s, err := storage.Open("db", storage.Options{FS: vfs.NewMem()})
	if err != nil {
		t.Fatal(err)
	}
	t.Cleanup(func() { _ = s.Close() }) // in memory: nothing to lose
	ctx := t.Context()
	start, err := series.ParseTime("2024-03-01T05:17:00Z")
	if err != nil {
		t.Fatal(err)
	}
	fine := series.Key{Symbol: "A", Interval: series.Interval1m}
	coarse := series.Key{Symbol: "A", Interval: series.Interval1h}
	const minutes = 10 * 24 * 60
	var cols series.Columns
	for i := range minutes {
		if i >= 3000 && i < 3007 {
			continue
		}
		cols.Append(series.Bar{Time: start + series.Time(i)*series.Minute, Open: 1, High: 2, Low: .5, Close: 1.5, Volume: 1})
	}
	if _, err := s.Write(ctx, fine, &cols, storage.WriteOptions{Source: "binance"}); err != nil {
		t.Fatal(err)
	}
	said := series.Time(1709287200000) // 2024-03-01T10:00:00Z
	var one series.Columns
	one.Append(series.Bar{Time: said, Open: 9, High: 9, Low: 9, Close: 9, Volume: 9})
	if _, err := s.Write(ctx, coarse, &one, storage.WriteOptions{Source: "binance"}); err != nil {
		t.Fatal(err)
	}
	keep, err := parseKeeping("1m=3d>1h")
	if err != nil {
		t.Fatal(err)
	}
	now := start + minutes*series.Minute
	r := &retention{store: s, keep: keep, now: func() series.Time { return now }, log: slog.New(slog.DiscardHandler)}
	n, err := r.pass(ctx)
	if err != nil {
		t.Fatal(err)
	}
	end, err := series.ParseTime("2024-03-08")
	if err != nil {
		t.Fatal(err)
	}
	if want := int64((end-start)/series.Minute) - 7; n != want {
		t.Errorf("%d bars were deleted, not %d", n, want)
	}
	info, err := s.Info(fine)
	if err != nil || info.First != end {
		t.Errorf("the first minute is %v, %v", info.First, err)
	}
	scan, err := s.Gaps(ctx, fine, series.Span{})
	if err != nil || len(scan.Gaps) != 0 {
		t.Errorf("gaps %v, %v", scan.Gaps, err)
	}
	sources := map[string]int{}
	volume := 0.0
	for b, err := range s.Bars(ctx, coarse, series.Span{}, storage.ReadOptions{}) {
		if err != nil {
			t.Fatal(err)
		}
		sources[s.SourceName(b.Prov.Source())]++
		if b.Time == said && b.Close != 9 {
			t.Errorf("the hour that a source said became %+v", b)
		}
		volume += b.Volume
	}
	// The hours in which the series begins, and those with the hole, lack minutes.
	if sources["binance"] != 1 || sources[sourceDownPart] != 2 {
		t.Errorf("sources %v", sources)
	}
	if want := float64(n) - 60 + 9; volume != want {
		t.Errorf("the volume of the hours is %v, not %v", volume, want)
	}
	if n, err := r.pass(ctx); n != 0 || err != nil {
		t.Errorf("a second pass deleted %d, %v", n, err)
	}
	if _, err := s.Undo(ctx, storage.JournalOptions{Actor: "retention"}); err != nil {
		t.Fatal(err)
	}
	if info, err := s.Info(fine); err != nil || info.First != start || info.Bars != minutes-7 {
		t.Errorf("after undo: first %v, %d bars, %v", info.First, info.Bars, err)
	}
}
