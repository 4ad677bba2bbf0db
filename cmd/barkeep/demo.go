package main

import (
	"context"
	"errors"
	"math"
	"math/rand/v2"
	"net"
	"net/http"
	"os"
	"path/filepath"
	"slices"
	"time"

	"github.com/spf13/cobra"

	"github.com/barkeepdb/barkeep/fetch"
	"github.com/barkeepdb/barkeep/fetch/binance"
	"github.com/barkeepdb/barkeep/fetch/fetchtest"
	"github.com/barkeepdb/barkeep/heal"
	"github.com/barkeepdb/barkeep/series"
	"github.com/barkeepdb/barkeep/storage"
)

func (a *app) demoCommand() *cobra.Command {
	var once bool
	c := &cobra.Command{
		Use:   "demo",
		Short: "Show a damaged series of a simulated exchange, and a server that heals it",
		Long: "Start a simulated exchange at two addresses, one of which fails most of the time; make\n" +
			"a series of one-minute bars with holes and bad ticks in a temporary store; print what\n" +
			"is missing, heal it, and serve the store until interrupted. New bars arrive as time\n" +
			"goes on.",
		Args: cobra.NoArgs,
		RunE: func(c *cobra.Command, _ []string) error { return a.demo(c.Context(), once) },
	}
	c.Flags().String("listen", "127.0.0.1:8080", "address of the HTTP API")
	c.Flags().BoolVar(&once, "once", false, "print and end, without serving")
	return c
}

var demoKey = series.Key{Symbol: "DEMO/USDT", Interval: series.Interval1m}

// demoSource is what the simulated exchange calls the symbol.
const demoSource = "binance-spot=DEMOUSDT"

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
	rng := rand.New(rand.NewPCG(7, 7))
	truth := simulate(end, rng)
	pool, stop, err := a.demoExchange(ctx, truth)
	if err != nil {
		return err
	}
	defer stop()
	if err := s.SetSymbol(demoKey.Symbol, storage.Symbol{TickSize: 0.01, Sources: []string{demoSource}}); err != nil {
		return err
	}
	a.cfg.Healing.MaxShare, a.cfg.Healing.Every, a.cfg.Healing.Window = 0.5, 5*time.Second, -1
	if a.healing, err = a.newHealing(s, pool); err != nil {
		return err
	}
	defer func() { err = errors.Join(err, a.healing.close()) }()

	in := &storeSink{s, demoKey, storage.WriteOptions{Source: "binance-spot"}}
	res, err := in.write(ctx, damaged(truth, end, rng), nil)
	if err != nil {
		return err
	}
	a.printf("A collector kept %d one-minute bars of %s: %d stored, %d refused and kept in quarantine.\n",
		res.read, demoKey.Symbol, res.written, len(res.rejects))
	for _, r := range res.rejects {
		a.printf("  refused %v: %s\n", r.Time, r.Reason)
	}
	a.printf("\nWhat is missing:\n")
	q := query("symbol", demoKey.Symbol, "interval", demoKey.Interval.String())
	if err := show(ctx, a, "/v1/gaps", q, func(v gapsAnswer) error { return a.printGaps(v.scans()) }); err != nil {
		return err
	}
	a.printf("\nHealing: the exchange is asked at two addresses, one of which fails most of the time.\n")
	x, err := a.healing.Start(ctx, heal.Request{Symbol: demoKey.Symbol, Interval: demoKey.Interval, Type: heal.Auto, Actor: "demo"})
	if err != nil {
		return err
	}
	if err := a.healing.Work(ctx); err != nil {
		return err
	}
	if x, err = a.healing.Repair(ctx, x.ID); err != nil {
		return err
	}
	if err := a.printRepair(&x); err != nil {
		return err
	}
	a.printf("\nOne price is a hundred times too high. The exchange is asked about it, too:\n")
	fix, err := a.healing.Start(ctx, heal.Request{Symbol: demoKey.Symbol, Interval: demoKey.Interval, Type: heal.Corruption, Actor: "demo"})
	if err != nil {
		return err
	}
	if err := a.healing.Work(ctx); err != nil {
		return err
	}
	if fix, err = a.healing.Repair(ctx, fix.ID); err != nil {
		return err
	}
	if err := a.printRepair(&fix); err != nil {
		return err
	}
	for _, e := range pool.Endpoints() {
		a.printf("  %s: %d requests, %d answered, breaker %s\n", e.Name, e.Requests, e.Successes, e.Breaker)
	}
	a.printf("\nWhere every slot stands now:\n")
	if err := show(ctx, a, "/v1/coverage", q, a.printCoverage); err != nil {
		return err
	}
	if once {
		return nil
	}
	a.printf("\nTry, in another terminal:\n")
	for _, path := range []string{
		"/v1/bars?symbol=DEMO/USDT&interval=1h&limit=3&order=desc",
		"/v1/bars?symbol=DEMO/USDT&interval=1m&fill=linear&format=csv",
		"/v1/quality?symbol=DEMO/USDT&interval=1m",
		"/v1/repairs",
		"/endpoints/health",
		"/health",
	} {
		a.printf("  curl 'http://%s%s'\n", a.cfg.Listen, path)
	}
	token, _, err := adminToken(a.cfg.Data)
	if err != nil {
		return err
	}
	a.printf("\nThe dashboard is at http://%s/. To change something there, give it this token under System:\n  %s\n\n", a.cfg.Listen, token)
	return a.serve(ctx, s, a.cfg.Data)
}

// demoExchange serves truth as an exchange does, at two addresses of which one
// fails most of the time, and returns a pool over both.
func (a *app) demoExchange(ctx context.Context, truth *series.Columns) (*fetch.Pool, func(), error) {
	market := &fetchtest.Market{
		Symbol: "DEMOUSDT", Bars: map[series.Interval]*series.Columns{demoKey.Interval: truth},
		Now: func() series.Time { return series.TimeOf(time.Now()) },
	}
	exchange := fetchtest.Vendor("binance-spot", market)
	faults := fetchtest.Faults()
	down := &faults[slices.IndexFunc(faults, func(f fetchtest.Fault) bool { return f.Name == "502 as a page" })]
	flaky := fetchtest.Scripted(exchange, func(n int64) *fetchtest.Fault {
		if n%3 != 2 {
			return down
		}
		return nil
	})
	o := fetch.Options{Logger: a.logger(), ProbeEvery: 10 * time.Second}
	var servers []*http.Server
	stop := func() {
		for _, s := range servers {
			_ = s.Close() // nothing depends on it any more
		}
	}
	for i, x := range []struct {
		name string
		h    http.Handler
	}{{"demo-flaky", flaky}, {"demo-steady", exchange}} {
		l, err := (&net.ListenConfig{}).Listen(ctx, "tcp", "127.0.0.1:0")
		if err != nil {
			stop()
			return nil, nil, err
		}
		srv := &http.Server{Handler: x.h, ReadHeaderTimeout: 5 * time.Second}
		servers = append(servers, srv)
		go func() { _ = srv.Serve(l) }() // ends with Close
		o.Endpoints = append(o.Endpoints, fetch.Endpoint{
			Name: x.name, Group: "demo", URL: "http://" + l.Addr().String(), Provider: binance.Spot(), Priority: i, AllowPrivate: true,
		})
	}
	p, err := fetch.New(o)
	if err != nil {
		stop()
		return nil, nil, err
	}
	return p, stop, nil
}

// demoDays is how far the demo reaches back and ahead.
const demoDays = 2

// simulate makes the bars of an exchange from two days before end to two days
// after it, which have not been traded yet. A few minutes have no trades.
func simulate(end series.Time, rng *rand.Rand) *series.Columns {
	g := series.Grid{Interval: demoKey.Interval}
	now := g.SlotAt(end)
	reach := series.Slot(demoDays * series.Day / series.Minute)
	var c series.Columns
	price := 100.0
	for n := now - reach; n < now+reach; n++ {
		if rng.IntN(700) == 0 && n > now-reach {
			continue
		}
		open := price
		price = round(price * math.Exp(rng.NormFloat64()*0.0006))
		c.Append(series.Bar{
			Time: g.Time(n), Open: open, High: round(max(open, price) * (1 + rng.Float64()*0.0004)),
			Low: round(min(open, price) * (1 - rng.Float64()*0.0004)), Close: price,
			Volume: 0.01 + round(rng.ExpFloat64()*12), QuoteVolume: math.NaN(), Trades: float64(1 + rng.IntN(90)),
		})
	}
	return &c
}

// damaged is what a collector on a bad day kept of the bars up to end:
// stretches left out, single bars lost, one bar off the grid and one with a
// price that lost its decimal point.
func damaged(truth *series.Columns, end series.Time, rng *rand.Rand) *series.Columns {
	first := truth.Time[0]
	outages := []series.Span{
		{From: first + 700*series.Minute, To: first + 745*series.Minute},
		{From: first + 1500*series.Minute, To: first + 1503*series.Minute},
		{From: first + 2400*series.Minute, To: first + 2640*series.Minute},
	}
	var c series.Columns
	for i, t := range truth.Time {
		if t >= end-series.Minute {
			break
		}
		lost := rng.IntN(500) == 0 && i > 0
		for _, o := range outages {
			lost = lost || o.Contains(t)
		}
		if lost {
			continue
		}
		b := truth.Bar(i)
		switch i {
		case 300:
			b.High *= 100
		case 301:
			b.Time += 17 * series.Second
		}
		c.Append(b)
	}
	return &c
}

func round(v float64) float64 { return math.Round(v*100) / 100 }
