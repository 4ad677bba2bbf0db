// Command peers measures Barkeep beside the ways in which bars are kept today:
// Parquet files, a key-value store with a key per bar, DuckDB and SQLite. Every
// answer is compared to the truth of the corpus; a wrong one fails the run.
//
// All engines do all the work in one run before the next run begins, so that a
// busy spell of the machine falls on all of them; the table shows medians over
// the runs with the smallest and the largest, and ratios within the runs.
//
//	go run . -symbols 10 -runs 5
//	go run . -only duckdb,sqlite -work size,load
//	go run . -symbols 100 -work gapsall
//	go run . -rss
package main

import (
	"errors"
	"flag"
	"fmt"
	"iter"
	"os"
	"path/filepath"
	"slices"
	"strings"
	"time"

	"github.com/barkeepdb/barkeep/bench"
	"github.com/barkeepdb/barkeep/series"
)

// config is what the flags say.
type config struct {
	symbols, runs int
	only, work    []string // empty for all
	dir           string
	json          bool
	wait          time.Duration // for a quiet moment before each piece of work
}

func main() {
	var c config
	flag.IntVar(&c.symbols, "symbols", 10, "series to load, a year each")
	flag.IntVar(&c.runs, "runs", 5, "runs to take the medians of")
	only := flag.String("only", "", "engines to run, by commas (all)")
	work := flag.String("work", "", "work to do, by commas (all)")
	flag.StringVar(&c.dir, "dir", "", "directory for the data (a temporary one)")
	flag.BoolVar(&c.json, "json", false, "print JSON instead of Markdown")
	flag.DurationVar(&c.wait, "wait", 0, "wait so long for a quiet machine before each piece of work")
	rss := flag.Bool("rss", false, "measure the peak memory of a load instead")
	child := flag.String("child", "", "load into this engine and print the peak memory; used by -rss")
	flag.Parse()
	c.only, c.work = list(*only), list(*work)

	err := c.withDir(func() error {
		switch {
		case *child != "":
			return c.loadAlone(*child)
		case *rss:
			return c.peakMemory(os.Stdout)
		}
		r, err := c.measure()
		if err != nil {
			return err
		}
		if c.json {
			return r.json(os.Stdout)
		}
		return r.markdown(os.Stdout)
	})
	if err != nil {
		fmt.Fprintln(os.Stderr, "peers:", err)
		os.Exit(1)
	}
}

func list(s string) []string {
	if s == "" {
		return nil
	}
	return strings.Split(s, ",")
}

// wants reports whether a list of the flags asks for name.
func wants(list []string, name string) bool { return list == nil || slices.Contains(list, name) }

// withDir calls f with a directory of its own below c.dir.
func (c *config) withDir(f func() error) error {
	dir, err := os.MkdirTemp(c.dir, "peers-")
	if err != nil {
		return err
	}
	defer os.RemoveAll(dir)
	c.dir = dir
	return f()
}

// inMemory is how many symbol-years the truth keeps bars of.
const inMemory = 20

// measure runs everything that the flags ask for.
func (c *config) measure() (*results, error) {
	var corpus []*bench.Series
	if c.symbols <= inMemory {
		corpus = bench.Corpus(c.symbols, 1)
	}
	r := &results{Symbols: c.symbols, Runs: c.runs}
	begin := time.Now()
	before, err := processors()
	if err != nil {
		return nil, err
	}
	for run := range c.runs {
		for _, e := range engines {
			if !wants(c.only, e.name) {
				continue
			}
			start := time.Now()
			t := &trial{dir: filepath.Join(c.dir, e.name), run: run, truth: corpus, light: corpus == nil}
			if err := c.try(r, e.name, e.open, t); err != nil {
				return nil, fmt.Errorf("%s: %w", e.name, err)
			}
			fmt.Fprintf(os.Stderr, "run %d: %s in %v\n", run+1, e.name, time.Since(start).Round(time.Millisecond))
		}
		if corpus == nil {
			continue
		}
		for _, l := range limits {
			v, err := l.run(&trial{dir: c.dir, truth: corpus, bars: count(corpus)})
			if err != nil {
				return nil, fmt.Errorf("%s: %w", l.name, err)
			}
			r.add("limit", l.name, v)
		}
	}
	after, err := processors()
	r.Foreign = foreign(before, after, time.Since(begin))
	return r, err
}

// try does all work of one engine in one run.
func (c *config) try(r *results, name string, open func(dir string) (Engine, error), t *trial) (err error) {
	if err := os.Mkdir(t.dir, 0o755); err != nil {
		return err
	}
	defer os.RemoveAll(t.dir)
	if t.engine, err = open(t.dir); err != nil {
		return err
	}
	defer func() { err = errors.Join(err, t.engine.Close()) }()
	if err := quiet(c.wait); err != nil {
		return err
	}
	start := time.Now()
	if err := t.engine.Load(t.series(c.symbols)); err != nil {
		return fmt.Errorf("load: %w", err)
	}
	t.loaded = time.Since(start)
	for i, s := range t.truth {
		t.ids = append(t.ids, i)
		t.bars += int(bench.Grid.Run(s.Span).Len()) - s.Missing.Len()
	}
	for _, w := range works {
		if !wants(c.work, w.name) || w.bars && t.light {
			continue
		}
		if err := quiet(c.wait); err != nil {
			return err
		}
		v, err := w.run(t)
		if errors.Is(err, errNotOffered) {
			continue
		}
		if err != nil {
			return fmt.Errorf("%s: %w", w.name, err)
		}
		r.add(name, w.name, v)
	}
	return nil
}

// series yields the corpus. If that is too large to be kept, it is made on the
// way and the truth about it remembered.
func (t *trial) series(symbols int) iter.Seq[*bench.Series] {
	if !t.light {
		return slices.Values(t.truth)
	}
	return func(yield func(*bench.Series) bool) {
		for s := range bench.Each(symbols, 1) {
			known := *s
			known.Bars = series.Columns{}
			t.truth = append(t.truth, &known)
			if !yield(s) {
				return
			}
		}
	}
}

// count is the number of bars in the corpus.
func count(corpus []*bench.Series) (n int) {
	for _, s := range corpus {
		n += s.Bars.Len()
	}
	return n
}
