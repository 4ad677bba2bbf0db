package main

import (
	"path/filepath"
	"slices"
	"strings"
	"testing"

	"github.com/barkeepdb/barkeep/bench"
	"github.com/barkeepdb/barkeep/series"
)

// TestEngines does all work of every engine on a small corpus, which checks
// every answer.
func TestEngines(t *testing.T) {
	const days = 40 // more than one row group of Parquet
	var corpus []*bench.Series
	for seed := range 3 {
		corpus = append(corpus, bench.NewSeries(uint64(seed+1), bench.Start, days*24*60))
	}
	for _, e := range engines {
		t.Run(e.name, func(t *testing.T) {
			c := &config{symbols: len(corpus)}
			r := &results{}
			if err := c.try(r, e.name, e.open, &trial{dir: filepath.Join(t.TempDir(), e.name), truth: corpus}); err != nil {
				t.Fatal(err)
			}
			for _, w := range works {
				v := r.Values[e.name][w.name]
				offered := w.name != "append" && w.name != "relaxed"
				if offered && len(v) != 1 || len(v) == 1 && v[0] <= 0 {
					t.Errorf("%s is %v", w.title, v)
				}
			}
		})
	}
}

// TestWrongAnswer holds the runner to its promise.
func TestWrongAnswer(t *testing.T) {
	s := bench.NewSeries(1, bench.Start, 5*24*60)
	c := &config{symbols: 1, work: []string{"year"}}
	open := func(dir string) (Engine, error) {
		e, err := openPebble(dir)
		return &liar{e}, err
	}
	err := c.try(&results{}, "liar", open, &trial{dir: filepath.Join(t.TempDir(), "liar"), truth: []*bench.Series{s}})
	if err == nil || !strings.Contains(err.Error(), "column close is wrong") {
		t.Errorf("a wrong close gave the error %v", err)
	}
}

// liar is an engine with one wrong bar.
type liar struct{ Engine }

func (l *liar) Read(id int, span series.Span, dst *series.Columns) error {
	err := l.Engine.Read(id, span, dst)
	dst.Close[dst.Len()/2]++
	return err
}

func TestGapFinderJoin(t *testing.T) {
	times := []int64{10, 11, 14, 15, 16, 20, 22}
	for i := range times {
		times[i] *= minute
	}
	want := []series.Run{{From: 12, To: 14}, {From: 17, To: 20}, {From: 21, To: 22}}
	for cut := range len(times) + 1 {
		var a, b gapFinder
		a.add(times[:cut])
		b.add(times[cut:])
		a.join(&b)
		if !slices.Equal(a.gaps, want) {
			t.Errorf("cut at %d: gaps are %v, want %v", cut, a.gaps, want)
		}
	}
}
