package main

import (
	"context"
	"errors"
	"math"
	"math/rand/v2"
	"os"
	"path/filepath"
	"time"

	"github.com/spf13/cobra"

	"github.com/barkeepdb/barkeep/series"
	"github.com/barkeepdb/barkeep/storage"
)

func (a *app) demoCommand() *cobra.Command {
	var once bool
	c := &cobra.Command{
		Use:   "demo",
		Short: "Show a simulated series with holes and bad ticks, and serve it",
		Long: "Make a series of one-minute bars with holes and bad ticks in a temporary store, print\n" +
			"what is missing and serve it until interrupted. Nothing is healed yet: this version\n" +
			"finds what is missing, the next one fetches it.",
		Args: cobra.NoArgs,
		RunE: func(c *cobra.Command, _ []string) error { return a.demo(c.Context(), once) },
	}
	c.Flags().String("listen", "127.0.0.1:8080", "address of the HTTP API")
	c.Flags().BoolVar(&once, "once", false, "print and end, without serving")
	return c
}

var demoKey = series.Key{Symbol: "DEMO/USDT", Interval: series.Interval1m}

func (a *app) demo(ctx context.Context, once bool) (err error) {
	dir, err := os.MkdirTemp("", "barkeep-demo-")
	if err != nil {
		return err
	}
	defer func() { err = errors.Join(err, os.RemoveAll(dir)) }()
	a.cfg.Data, a.cfg.URL = filepath.Join(dir, "data"), ""
	s, err := a.open(false, "barkeep demo")
	if err != nil {
		return err
	}
	defer func() { err = errors.Join(err, s.Close()) }()
	a.store = s

	end := series.TimeOf(time.Now())
	in := &storeSink{s, demoKey, storage.WriteOptions{Source: "simulation"}}
	res, err := in.write(ctx, simulate(end, rand.New(rand.NewPCG(7, 7))), nil)
	if err != nil {
		return err
	}
	a.printf("A flaky exchange sent %d one-minute bars of %s: %d stored, %d refused and kept in quarantine.\n",
		res.read, demoKey.Symbol, res.written, len(res.rejects))
	for _, r := range res.rejects {
		a.printf("  refused %v: %s\n", r.Time, r.Reason)
	}
	a.printf("\nWhat is missing:\n")
	q := query("symbol", demoKey.Symbol, "interval", demoKey.Interval.String())
	if err := show(ctx, a, "/v1/gaps", q, func(v gapsAnswer) error { return a.printGaps(v.scans()) }); err != nil {
		return err
	}
	a.printf("\nWhere every slot stands:\n")
	if err := show(ctx, a, "/v1/coverage", q, a.printCoverage); err != nil {
		return err
	}
	a.printf("\nOne price is a hundred times too high and is served as it came: nothing is healed yet.\n")
	if once {
		return nil
	}
	a.printf("\nTry, in another terminal:\n")
	for _, path := range []string{
		"/v1/bars?symbol=DEMO/USDT&interval=1h&limit=3&order=desc",
		"/v1/bars?symbol=DEMO/USDT&interval=1m&fill=linear&format=csv",
		"/v1/gaps?symbol=DEMO/USDT&interval=1m",
		"/health",
	} {
		a.printf("  curl 'http://%s%s'\n", a.cfg.Listen, path)
	}
	a.printf("\n")
	return a.serve(ctx, s, a.cfg.Data)
}

// simulate makes two days of bars up to end, as an exchange on a bad day sends
// them: stretches left out, single bars lost, one bar off the grid and one
// with a price that lost its decimal point.
func simulate(end series.Time, rng *rand.Rand) *series.Columns {
	g := series.Grid{Interval: demoKey.Interval}
	last := g.SlotAt(end)
	first := last - series.Slot(2*series.Day/series.Minute)
	outages := []series.Run{{From: first + 700, To: first + 745}, {From: first + 1500, To: first + 1503}, {From: first + 2400, To: first + 2640}}
	var c series.Columns
	price := 100.0
	for n := first; n < last; n++ {
		open := price
		price = round(price * math.Exp(rng.NormFloat64()*0.0006))
		high := round(max(open, price) * (1 + rng.Float64()*0.0004))
		low := round(min(open, price) * (1 - rng.Float64()*0.0004))
		b := series.Bar{
			Time: g.Time(n), Open: open, High: high, Low: low, Close: price,
			Volume: round(rng.ExpFloat64() * 12), QuoteVolume: math.NaN(), Trades: float64(rng.IntN(90)),
		}
		switch n {
		case first + 300:
			b.High *= 100
		case first + 301:
			b.Time += 17 * series.Second
		}
		lost := rng.IntN(500) == 0
		for _, o := range outages {
			lost = lost || o.Contains(n)
		}
		if !lost {
			c.Append(b)
		}
	}
	return &c
}

func round(v float64) float64 { return math.Round(v*100) / 100 }
