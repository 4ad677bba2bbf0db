package main

import (
	"bytes"
	"context"
	"encoding/csv"
	"encoding/json"
	"errors"
	"fmt"
	"maps"
	"net/http"
	"path/filepath"
	"slices"
	"strconv"
	"strings"
	"time"

	"github.com/spf13/cobra"

	"github.com/barkeepdb/barkeep/fetch"
	"github.com/barkeepdb/barkeep/fetch/vendors"
	"github.com/barkeepdb/barkeep/series"
	"github.com/barkeepdb/barkeep/storage"
)

func (a *app) providersCommand() *cobra.Command {
	c := &cobra.Command{
		Use:   "providers",
		Short: "List the vendors that bars can be fetched from",
		Long:  "List the vendors that bars can be fetched from, and what each offers.",
		Args:  cobra.NoArgs,
		RunE: func(*cobra.Command, []string) error {
			if a.cfg.Output == "json" {
				return a.printJSON(map[string]any{"providers": providerRows()})
			}
			t := newTable(a, "name", "title", "intervals", "bars_a_request", "reaches_back", "key", "limits")
			for _, r := range providerRows() {
				most := "any"
				if r.MaxBars > 0 {
					most = strconv.Itoa(r.MaxBars)
				}
				t.row(r.Name, r.Title, strings.Join(r.Intervals, " "), most, strings.Join(r.ReachesBack, ", "), r.Key, strings.Join(r.Limits, "; "))
			}
			return t.flush()
		},
	}
	c.AddCommand(a.probeCommand())
	return c
}

// providerRow is a provider as providers lists it.
type providerRow struct {
	Name        string   `json:"name"`
	Title       string   `json:"title"`
	Venue       string   `json:"venue"`
	Document    string   `json:"document"`
	Hosts       []string `json:"hosts"`
	Intervals   []string `json:"intervals"`
	MaxBars     int      `json:"max_bars"`
	ReachesBack []string `json:"reaches_back"`
	Key         string   `json:"key"`
	Limits      []string `json:"limits"`
}

func providerRows() []providerRow {
	var out []providerRow
	for _, p := range vendors.All() {
		i := p.Info()
		r := providerRow{
			Name: i.Name, Title: i.Title, Venue: i.Venue, Document: i.Document, Hosts: i.Hosts, MaxBars: i.MaxBars, Intervals: []string{}, Limits: []string{},
			Key: [...]string{fetch.AuthNone: "none", fetch.AuthOptional: "optional", fetch.AuthKey: "needed", fetch.AuthSigned: "signs"}[i.Auth],
		}
		for _, k := range series.Intervals() {
			if i.Intervals[k] != "" {
				r.Intervals = append(r.Intervals, k.String())
			}
		}
		for _, k := range slices.Sorted(maps.Keys(i.Horizon)) {
			text := fmt.Sprintf("%d bars", i.Horizon[k].Bars)
			if i.Horizon[k].Bars == 0 {
				text = fmt.Sprintf("%s %d days", k, int(i.Horizon[k].Age.Hours()/24))
			}
			if !slices.Contains(r.ReachesBack, text) {
				r.ReachesBack = append(r.ReachesBack, text)
			}
		}
		if len(r.ReachesBack) == 0 {
			r.ReachesBack = []string{"all"}
		}
		for _, l := range i.Limits {
			r.Limits = append(r.Limits, fmt.Sprintf("%d in %s", l.Cost, l.Window))
		}
		out = append(out, r)
	}
	return out
}

// fetchFlags are the flags of fetch.
type fetchFlags struct {
	providers        []string
	endpoints        []string
	symbol, interval string
	from, to         string
	proxies, store   bool
	wait             time.Duration
}

func (a *app) fetchCommand() *cobra.Command {
	var in fetchFlags
	c := &cobra.Command{
		Use:   "fetch --provider P --symbol S --interval I --from T --to T",
		Short: "Get bars from a vendor, and print or store them",
		Long: "Get the bars of a span from the first vendor that answers, inside its limits. The\n" +
			"first --provider is the one of choice; others of the same venue stand in for it,\n" +
			"and those of other venues only under --proxies. PROVIDER=SYMBOL gives a vendor's own\n" +
			"name of the symbol. Keys come from BARKEEP_KEY_<PROVIDER> and\n" +
			"BARKEEP_SECRET_<PROVIDER>, such as BARKEEP_KEY_POLYGON.",
		Example: "  barkeep fetch --provider binance-spot --symbol BTCUSDT --interval 1h --from 2024-01-01 --to 2024-02-01\n" +
			"  barkeep fetch --provider coinbase-exchange=BTC-USD --provider coinbase-advanced=BTC-USD --symbol BTCUSD --interval 1m --from 2024-01-01 --to 2024-01-02 --store",
		Args: cobra.NoArgs,
		RunE: func(c *cobra.Command, _ []string) error { return a.fetch(c.Context(), in) },
	}
	f := c.Flags()
	seriesFlags(c, &in.symbol, &in.interval)
	f.StringArrayVar(&in.providers, "provider", nil, "vendor to ask, or PROVIDER=SYMBOL; may be given again")
	f.StringArrayVar(&in.endpoints, "endpoint", nil, "PROVIDER=URL: ask there instead of the vendor's own address; may be given again")
	f.StringVar(&in.from, "from", "", "from this time on")
	f.StringVar(&in.to, "to", "", "before this time (default: now)")
	f.BoolVar(&in.proxies, "proxies", false, "allow vendors of other venues")
	f.BoolVar(&in.store, "store", false, "write the bars into the store, each with its vendor as its source")
	f.DurationVar(&in.wait, "wait", time.Minute, "how long to wait for a vendor that says when it will answer")
	return c
}

// ask is the question that the flags put.
func (in fetchFlags) ask() (fetch.Ask, error) {
	q := fetch.Ask{Proxies: in.proxies, Patience: in.wait}
	if in.wait <= 0 {
		q.Patience = -1
	}
	if len(in.providers) == 0 {
		return q, usagef("name a vendor with --provider: barkeep providers lists them")
	}
	var err error
	if q.Interval, err = series.ParseInterval(in.interval); err != nil {
		return q, usagef("--interval: %w", err)
	}
	if in.from == "" {
		return q, usagef("--from is missing: say from when on")
	}
	if q.Span.From, err = series.ParseTime(in.from); err != nil {
		return q, usagef("--from: %w", err)
	}
	q.Span.To = series.TimeOf(time.Now())
	if in.to != "" {
		if q.Span.To, err = series.ParseTime(in.to); err != nil {
			return q, usagef("--to: %w", err)
		}
	}
	if q.Span.Empty() {
		return q, usagef("--to %s is not after --from %s", in.to, in.from)
	}
	venue := ""
	for i, text := range in.providers {
		name, symbol, own := strings.Cut(text, "=")
		if !own {
			symbol = in.symbol
		}
		p := vendors.ByName(name)
		if p == nil {
			var names []string
			for _, p := range vendors.All() {
				names = append(names, p.Info().Name)
			}
			return q, usagef("--provider %s is unknown%s: barkeep providers lists them", name, nearest(name, names))
		}
		grade := fetch.Proxy
		switch {
		case i == 0:
			grade, venue = fetch.Primary, p.Info().Venue
		case p.Info().Venue == venue:
			grade = fetch.Mirror
		}
		q.Sources = append(q.Sources, fetch.Source{Provider: name, Symbol: symbol, Grade: grade})
	}
	return q, nil
}

// pool makes the endpoints of the asked vendors.
func (a *app) pool(in fetchFlags, q fetch.Ask) (*fetch.Pool, error) {
	elsewhere := map[string][]string{}
	for _, text := range in.endpoints {
		name, address, ok := strings.Cut(text, "=")
		if !ok || !slices.ContainsFunc(q.Sources, func(s fetch.Source) bool { return s.Provider == name }) {
			return nil, usagef("--endpoint %s is not of the form PROVIDER=URL with one of the providers", text)
		}
		elsewhere[name] = append(elsewhere[name], address)
	}
	o := fetch.Options{Logger: a.logger(), State: filepath.Join(a.cfg.Data, "bans.json")}
	if !storeExists(a.cfg.Data) && !in.store {
		o.State = "" // there is no directory to keep it in
	}
	for _, s := range q.Sources {
		p := vendors.ByName(s.Provider)
		hosts, private := p.Info().Hosts, false
		if own := elsewhere[s.Provider]; own != nil {
			hosts, private = own, true
		}
		for i, h := range hosts {
			name := s.Provider
			if i > 0 {
				name += "-" + strconv.Itoa(i+1)
			}
			o.Endpoints = append(o.Endpoints, fetch.Endpoint{
				Name: name, URL: h, Provider: p, Priority: i, AllowPrivate: private, Credentials: credentials(s.Provider),
			})
		}
	}
	return fetch.New(o)
}

// bars gives the bars of a batch out.
type bars interface {
	put(ctx context.Context, b fetch.Batch) error
	end() error
}

func (a *app) fetch(ctx context.Context, in fetchFlags) (err error) {
	q, err := in.ask()
	if err != nil {
		return err
	}
	out, err := a.fetchOut(in, q)
	if err != nil {
		return err
	}
	defer func() { err = errors.Join(err, out.end()) }()
	p, err := a.pool(in, q)
	if err != nil {
		return err
	}
	defer func() {
		ctx, cancel := context.WithTimeout(context.WithoutCancel(ctx), time.Second)
		defer cancel()
		_ = p.Close(ctx) // what is under way is not waited for any longer
	}()
	shown := time.Now()
	report, err := p.Bars(ctx, q, func(b fetch.Batch) error {
		if time.Since(shown) > time.Second {
			shown = time.Now()
			a.note("%s: up to %s\n", b.Endpoint, b.Bars.Time[b.Bars.Len()-1])
		}
		return out.put(ctx, b)
	})
	if report != nil {
		a.sayFetched(report, p)
	}
	if to, ok := out.(*storeBars); ok && ctx.Err() == nil {
		err = errors.Join(err, to.actions(ctx, p, q))
	}
	return err
}

// fetchActions asks a vendor for the splits and dividends of a symbol.
func (a *app) fetchActions(ctx context.Context, in fetchFlags) (source string, list []series.Action, err error) {
	in.interval = series.Interval1d.String()
	q, err := in.ask()
	if err != nil {
		return "", nil, err
	}
	p, err := a.pool(in, q)
	if err != nil {
		return "", nil, err
	}
	defer func() {
		ctx, cancel := context.WithTimeout(context.WithoutCancel(ctx), time.Second)
		defer cancel()
		_ = p.Close(ctx) // nothing is under way
	}()
	src := q.Sources[0]
	list, err = p.Actions(ctx, src.Provider, src.Symbol, q.Span.From)
	return src.Provider, list, err
}

// sayFetched says what became of the question, on standard error.
func (a *app) sayFetched(r *fetch.Report, p *fetch.Pool) {
	a.note("%d bars in %d pages, %d requests\n", r.Bars, r.Pages, r.Attempts)
	for _, s := range p.Endpoints() {
		if s.Requests == 0 {
			continue
		}
		line := fmt.Sprintf("  %s: %d requests, %d answered, %d bars, p50 %s, p95 %s, breaker %s", s.Name, s.Requests, s.Successes, s.Bars,
			s.P50.Round(time.Millisecond), s.P95.Round(time.Millisecond), s.Breaker)
		if s.Pause != nil {
			line += fmt.Sprintf(", %s until %s", s.Pause.Kind, s.Pause.Until.UTC().Format(time.RFC3339))
		}
		a.note("%s\n", line)
	}
	for _, x := range []struct {
		what  string
		spans []series.Span
	}{{"nothing traded", r.Empty}, {"no bars, and nobody says why", r.Silent}, {"not answered", r.Unanswered}} {
		if len(x.spans) > 0 {
			a.note("%s: %d spans, the first %s\n", x.what, len(x.spans), x.spans[0])
		}
	}
	for _, c := range r.Conflicts {
		a.note("two rows of %s differ: closed at %v and %v\n", c.Kept.Time, c.Kept.Close, c.Other.Close)
	}
	for i, x := range r.Refused {
		if i == 10 {
			a.note("%d rows more were refused\n", len(r.Refused)-i)
			break
		}
		a.note("refused: %s: %s\n", x.Raw, x.Reason)
	}
}

// fetchOut is where the bars go.
func (a *app) fetchOut(in fetchFlags, q fetch.Ask) (bars, error) {
	if in.store {
		key := series.Key{Symbol: in.symbol, Interval: q.Interval}
		if err := key.Check(); err != nil {
			return nil, usageError{err}
		}
		return &storeBars{app: a, key: key, sinks: map[string]sink{}}, nil
	}
	switch a.cfg.Output {
	case "json":
		return &jsonBars{app: a}, nil
	case "csv":
		w := csv.NewWriter(a.stdout)
		return &csvBars{w}, w.Write([]string{"time", "open", "high", "low", "close", "volume", "source", "forming"})
	}
	return &tableBars{newTable(a, "time", "open", "high", "low", "close", "volume", "source")}, nil
}

// storeBars writes bars, each batch with its vendor as its source. A bar that is
// stored already stays: who answers second may be another venue.
type storeBars struct {
	app   *app
	key   series.Key
	sinks map[string]sink

	written, known, differ int64
}

func (s *storeBars) put(ctx context.Context, b fetch.Batch) error {
	to := s.sinks[b.Provider]
	if to == nil {
		for _, other := range s.sinks { // a store opens once
			if o, ok := other.(*storeSink); ok {
				options := o.o
				options.Source = b.Provider
				to = &storeSink{o.store, s.key, options}
			}
		}
	}
	if to == nil {
		var err error
		if to, err = s.app.openSink(s.key, b.Provider, "keep"); err != nil {
			return err
		}
	}
	if s.sinks[b.Provider] == nil {
		if err := s.declare(ctx, to, b.Provider); err != nil {
			return err
		}
	}
	s.sinks[b.Provider] = to
	res, err := to.write(ctx, b.Bars, nil)
	s.written, s.known, s.differ = s.written+res.written, s.known+res.unchanged, s.differ+res.conflicts
	return err
}

// declare sees to it that the symbol says what its prices were freed of, which
// nobody could tell later: adjusting them again would be wrong without a sign. A
// symbol with bars keeps what it says, and others are refused.
func (s *storeBars) declare(ctx context.Context, to sink, provider string) error {
	is := map[fetch.Adjustment]series.Adjust{fetch.SplitAdjusted: series.AdjustSplit, fetch.FullyAdjusted: series.AdjustAll}[vendors.ByName(provider).Info().Adjusts(s.key.Interval)]
	var said series.Adjust
	switch x := to.(type) {
	case *storeSink:
		m, _ := x.store.Symbol(s.key.Symbol)
		said = m.Adjusted
		all, err := x.store.Series()
		if err != nil {
			return err
		}
		if is != said && !slices.ContainsFunc(all, func(i storage.Info) bool { return i.Symbol == s.key.Symbol && i.Bars > 0 }) {
			m.Adjusted = is
			return x.store.SetSymbol(s.key.Symbol, m)
		}
	case *serverSink:
		// A symbol that is not known says nothing; a server that does not answer
		// takes no bars either.
		if body, err := x.get(ctx, "/v1/symbols/"+s.key.Symbol, nil); err == nil {
			var m struct {
				Adjusted series.Adjust `json:"adjusted"`
			}
			if err := errors.Join(json.NewDecoder(body).Decode(&m), body.Close()); err != nil {
				return err
			}
			said = m.Adjusted
		}
	}
	if is != said {
		return fmt.Errorf("the prices of %s are adjusted: %s, and those of %s: %s. To keep both would mix them: store them under another symbol, or say \"adjusted\":%q in PUT /v1/symbols/%s before its first bar",
			provider, is, s.key.Symbol, said, is, s.key.Symbol)
	}
	return nil
}

// actions stores the splits and dividends of vendors that gave bars and carry them.
// What another source said of them stays, and where the two contradict each other
// that is said, and adjusting is refused until one of them is removed.
func (s *storeBars) actions(ctx context.Context, p *fetch.Pool, q fetch.Ask) error {
	for _, src := range q.Sources {
		to := s.sinks[src.Provider]
		if to == nil || !vendors.ByName(src.Provider).Info().Actions {
			continue
		}
		list, err := p.Actions(ctx, src.Provider, src.Symbol, q.Span.From)
		if err != nil {
			s.app.note("barkeep: the splits and dividends of %s are not known: %v\n", src.Provider, err)
			continue
		}
		if len(list) == 0 {
			continue
		}
		var c *client
		switch x := to.(type) {
		case *storeSink:
			if c, err = s.app.inside(x.store, nil, nil); err != nil {
				return err
			}
		case *serverSink:
			c = x.client
		}
		body, err := json.Marshal(actionsBody{Symbol: s.key.Symbol, Source: src.Provider, Actions: list})
		if err != nil {
			return err
		}
		if err := c.send(ctx, http.MethodPost, "/v1/actions", nil, "application/json", bytes.NewBuffer(body), nil); err != nil {
			return err
		}
		s.app.note("%d splits and dividends of %s\n", len(list), src.Provider)
		var known struct{ Conflicts []actionConflict }
		if err := c.send(ctx, http.MethodGet, "/v1/actions", query("symbol", s.key.Symbol), "", nil, &known); err != nil {
			return err
		}
		s.app.noteConflicts(known.Conflicts)
	}
	return nil
}

func (s *storeBars) end() error {
	s.app.printf("%d bars written, %d were there", s.written, s.known)
	if s.differ > 0 {
		s.app.printf(", %d differ from the stored ones, which stay", s.differ)
	}
	s.app.printf("\n")
	var errs []error
	closed := false
	for _, x := range s.sinks {
		if _, ok := x.(*storeSink); ok && closed {
			continue // the same store
		}
		closed = true
		errs = append(errs, x.close())
	}
	return errors.Join(errs...)
}

func number(x float64) string { return strconv.FormatFloat(x, 'f', -1, 64) }

type tableBars struct{ t *table }

func (o *tableBars) put(_ context.Context, b fetch.Batch) error {
	for i := range b.Bars.Time {
		x := b.Bars.Bar(i)
		source := b.Provider
		if x.Prov.Forming() {
			source += " (forming)"
		}
		o.t.row(x.Time.String(), number(x.Open), number(x.High), number(x.Low), number(x.Close), number(x.Volume), source)
	}
	return nil
}

func (o *tableBars) end() error { return o.t.flush() }

type csvBars struct{ w *csv.Writer }

func (o *csvBars) put(_ context.Context, b fetch.Batch) error {
	for i := range b.Bars.Time {
		x := b.Bars.Bar(i)
		_ = o.w.Write([]string{x.Time.String(), number(x.Open), number(x.High), number(x.Low), number(x.Close), number(x.Volume), b.Provider, strconv.FormatBool(x.Prov.Forming())}) // Error tells
	}
	return o.w.Error()
}

func (o *csvBars) end() error {
	o.w.Flush()
	return o.w.Error()
}

type jsonBars struct {
	app *app
	n   int
}

func (o *jsonBars) put(_ context.Context, b fetch.Batch) error {
	for i := range b.Bars.Time {
		x := b.Bars.Bar(i)
		line, err := json.Marshal(struct {
			Time    series.Time `json:"time"`
			Open    float64     `json:"open"`
			High    float64     `json:"high"`
			Low     float64     `json:"low"`
			Close   float64     `json:"close"`
			Volume  float64     `json:"volume"`
			Source  string      `json:"source"`
			Forming bool        `json:"forming"`
		}{x.Time, x.Open, x.High, x.Low, x.Close, x.Volume, b.Provider, x.Prov.Forming()})
		if err != nil {
			return err
		}
		before := ",\n"
		if o.n == 0 {
			before = `{"bars":[`
		}
		o.n++
		o.app.printf("%s%s", before, line)
	}
	return nil
}

func (o *jsonBars) end() error {
	if o.n == 0 {
		o.app.printf(`{"bars":[`)
	}
	o.app.printf("]}\n")
	return nil
}
