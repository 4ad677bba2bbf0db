package storage_test

import (
	"context"
	"math/rand/v2"
	"testing"

	"github.com/cockroachdb/pebble/v2/vfs"

	"github.com/barkeepdb/barkeep/series"
	"github.com/barkeepdb/barkeep/storage"
)

// T0 is 2024-01-01, a full block boundary of minutes.
const t0 = series.Time(1704067200000)

var btc = series.Key{Symbol: "BTCUSDT", Interval: series.Interval1m}

// walk returns n consecutive bars of a random walk from start on.
func walk(seed uint64, start series.Time, g series.Interval, n int) *series.Columns {
	r := rand.New(rand.NewPCG(seed, 1))
	c := &series.Columns{}
	p := int64(4200000)
	for i := range n {
		o := p
		p += int64(r.NormFloat64() * 300)
		h, l := max(o, p)+int64(r.IntN(200)), min(o, p)-int64(r.IntN(200))
		c.Time = append(c.Time, start+series.Time(i)*g.Width())
		c.Open = append(c.Open, float64(o)/100)
		c.High = append(c.High, float64(h)/100)
		c.Low = append(c.Low, float64(l)/100)
		c.Close = append(c.Close, float64(p)/100)
		c.Volume = append(c.Volume, float64(r.IntN(10000000))/100000)
	}
	return c
}

func open(t testing.TB, fs vfs.FS) *storage.Store {
	t.Helper()
	s, err := storage.Open("store", storage.Options{FS: fs})
	if err != nil {
		t.Fatal(err)
	}
	t.Cleanup(func() { _ = s.Close() })
	return s
}

func TestWriteReadGaps(t *testing.T) {
	ctx := context.Background()
	s := open(t, vfs.NewMem())
	c := walk(1, t0, btc.Interval, 10000)
	res, err := s.Write(ctx, btc, c, storage.WriteOptions{Source: "test"})
	if err != nil || res.Written != 10000 {
		t.Fatalf("write: %+v, %v", res, err)
	}
	res, err = s.Write(ctx, btc, c, storage.WriteOptions{Source: "test"})
	if err != nil || res.Written != 0 || res.Unchanged != 10000 {
		t.Fatalf("second write: %+v, %v", res, err)
	}
	if n, err := s.Delete(ctx, btc, series.Span{From: t0 + 100*series.Minute, To: t0 + 5000*series.Minute}); n != 4900 || err != nil {
		t.Fatalf("deleted %d, %v", n, err)
	}
	sc, err := s.Gaps(ctx, btc, series.Span{})
	if err != nil || sc.Missing != 4900 || len(sc.Gaps) != 1 || sc.Present != 5100 {
		t.Fatalf("gaps: %+v, %v", sc, err)
	}
	var got series.Columns
	if err := s.Read(ctx, btc, series.Span{}, storage.ReadOptions{}, &got); err != nil {
		t.Fatal(err)
	}
	if got.Len() != 5100 || got.Time[100] != t0+5000*series.Minute || got.Close[100] != c.Close[5000] {
		t.Fatalf("read %d bars", got.Len())
	}
}
