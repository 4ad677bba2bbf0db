// Package healpool lets a healer fetch through a fetch.Pool.
package healpool

import (
	"cmp"
	"context"
	"crypto/sha256"
	"encoding/binary"
	"encoding/hex"
	"errors"
	"fmt"
	"hash"
	"math"
	"slices"
	"strings"
	"time"

	"github.com/barkeepdb/barkeep/fetch"
	"github.com/barkeepdb/barkeep/heal"
	"github.com/barkeepdb/barkeep/series"
)

// Source is a [heal.Source] over a pool of endpoints.
type Source struct {
	pool *fetch.Pool
	// named returns the sources that a symbol names, PROVIDER or PROVIDER=SYMBOL,
	// in the order in which they are asked.
	named func(symbol string) []string
	venue func(symbol string) string
	// adjusted returns what the stored prices of a symbol were freed of; nil and
	// AdjustNone are not known, or nothing.
	adjusted func(symbol string) series.Adjust
	proxies  bool
	// patience is how long one page may wait for an endpoint.
	patience time.Duration
	now      func() time.Time
}

// Options are what a source is made of.
type Options struct {
	Pool *fetch.Pool
	// Named returns the sources that a symbol names: PROVIDER, or
	// PROVIDER=SYMBOL with the vendor's name of the symbol. Without any they are
	// guessed from the symbol where it is a currency pair. The first one is the
	// primary source.
	Named func(symbol string) []string
	// Venue returns who said the bars that are stored of a symbol: a provider or
	// a venue. It is asked where Named names none.
	Venue func(symbol string) string
	// Adjusted returns what the stored prices of a symbol were freed of: only
	// sources that do the same are asked then. AdjustNone asks all that are like
	// the first.
	Adjusted func(symbol string) series.Adjust
	// Proxies allows other venues than that of the first source.
	Proxies bool
	// Patience is how long a page may wait for an endpoint; 0 stands for ten
	// seconds.
	Patience time.Duration
}

// New returns a source over a pool.
func New(o Options) *Source {
	s := &Source{pool: o.Pool, named: o.Named, adjusted: o.Adjusted, proxies: o.Proxies, patience: o.Patience, now: time.Now}
	if s.named == nil {
		s.named = func(string) []string { return nil }
	}
	if s.venue = o.Venue; s.venue == nil {
		s.venue = func(string) string { return "" }
	}
	if s.patience == 0 {
		s.patience = 10 * time.Second
	}
	return s
}

// sources are those that can be asked for a symbol.
func (s *Source) sources(symbol string) ([]dated, error) {
	names := s.named(symbol)
	if len(names) == 0 {
		base, quote, ok := pair(symbol)
		if !ok {
			return nil, fmt.Errorf("no source is known for %s: name them with PUT /v1/symbols/%s", symbol, symbol)
		}
		out := s.pool.Sources(base, quote)
		if len(out) == 0 {
			return nil, fmt.Errorf("no endpoint is configured that can have %s", symbol)
		}
		s.prefer(out, s.venue(symbol), quote)
		list := make([]dated, len(out))
		for i := range out {
			list[i] = dated{out[i], s.pool.Provider(out[i].Provider).Info().Venue, series.MinTime, series.MaxTime}
		}
		return list, nil
	}
	var out []dated
	for _, text := range names {
		ref, err := series.ParseSourceRef(text)
		if err != nil {
			return nil, fmt.Errorf("a source of %s: %w", symbol, err)
		}
		own := cmp.Or(ref.Symbol, symbol)
		p := s.pool.Provider(ref.Name)
		if p == nil {
			return nil, fmt.Errorf("%s names the source %s, for which no endpoint is configured", symbol, ref.Name)
		}
		if pairer, ok := p.(fetch.Pairer); ok && ref.Symbol == "" {
			if base, quote, ok := pair(symbol); ok {
				own = cmp.Or(pairer.Pair(base, quote), symbol)
			}
		}
		out = append(out, dated{fetch.Source{Provider: p.Info().Name, Symbol: own}, p.Info().Venue, ref.From, ref.To})
	}
	for i := range out { // the best that it ever is
		out[i].Grade = fetch.Proxy
	}
	for _, part := range pieces(out, series.Span{From: series.MinTime, To: series.MaxTime}) {
		graded(out, part, func(i int, g fetch.Grade) { out[i].Grade = min(out[i].Grade, g) })
	}
	return out, nil
}

// alike leaves the sources whose prices are adjusted as the stored ones are, if
// that is said: a raw price between adjusted ones looks like a crash.
func (s *Source) alike(key series.Key, list []dated) ([]dated, error) {
	symbol := key.Symbol
	if s.adjusted == nil {
		return list, nil
	}
	is := s.adjusted(symbol)
	want, ok := map[series.Adjust]fetch.Adjustment{series.AdjustSplit: fetch.SplitAdjusted, series.AdjustAll: fetch.FullyAdjusted}[is]
	if !ok {
		return list, nil
	}
	out := slices.DeleteFunc(slices.Clone(list), func(x dated) bool { return s.pool.Provider(x.Provider).Info().Adjusts(key.Interval) != want })
	if len(out) == 0 {
		return nil, fmt.Errorf("the stored prices of %s are adjusted (%s), and those of %s are not so: name a source that adjusts alike, or store raw bars", symbol, is, list[0].Provider)
	}
	return out, nil
}

// dated is a source in the time in which its name of the symbol is right: after
// a rename another name is, and a name that was given to something else is wrong.
type dated struct {
	fetch.Source
	venue    string
	from, to series.Time
}

// graded calls give for each source that is right throughout a span, which is
// one of pieces: the first of them is the primary one then, and its venue is what
// makes mirrors or proxies of the others. A symbol that moved to another venue has
// another one before.
func graded(list []dated, part series.Span, give func(i int, g fetch.Grade)) {
	first := -1
	for i, d := range list {
		if d.from > part.From || part.To > d.to {
			continue
		}
		g := fetch.Proxy
		switch {
		case first < 0:
			first, g = i, fetch.Primary
		case d.venue == list[first].venue:
			g = fetch.Mirror
		}
		give(i, g)
	}
}

// pieces cuts a span where a source begins or ends to be right.
func pieces(list []dated, span series.Span) (out []series.Span) {
	cuts := []series.Time{span.From, span.To}
	for _, d := range list {
		for _, t := range [...]series.Time{d.from, d.to} {
			if t > span.From && t < span.To {
				cuts = append(cuts, t)
			}
		}
	}
	slices.Sort(cuts)
	cuts = slices.Compact(cuts)
	for i := range len(cuts) - 1 {
		out = append(out, series.Span{From: cuts[i], To: cuts[i+1]})
	}
	return out
}

// prefer puts the sources of one venue first: that of the stored bars, or else
// one that is known for the quote currency.
func (s *Source) prefer(list []fetch.Source, stored, quote string) {
	venueOf := func(x fetch.Source) string { return s.pool.Provider(x.Provider).Info().Venue }
	best := slices.IndexFunc(list, func(x fetch.Source) bool {
		return stored != "" && (x.Provider == stored || strings.HasPrefix(stored, x.Provider+"/") || strings.EqualFold(venueOf(x), stored))
	})
	if i := strings.LastIndexByte(stored, '/'); best < 0 && i >= 0 { // who said it first
		best = slices.IndexFunc(list, func(x fetch.Source) bool {
			return x.Provider == stored[i+1:] || strings.EqualFold(venueOf(x), stored[i+1:])
		})
	}
	if best < 0 {
		usual := "COINBASE"
		if strings.Contains(quote, "USDT") || quote == "USDC" || quote == "FDUSD" || quote == "BUSD" || quote == "TUSD" || quote == "BNB" {
			usual = "BINANCE"
		}
		best = max(0, slices.IndexFunc(list, func(x fetch.Source) bool { return venueOf(x) == usual }))
	}
	venue := venueOf(list[best])
	for i := range list {
		switch {
		case i == best:
			list[i].Grade = fetch.Primary
		case venueOf(list[i]) == venue:
			list[i].Grade = fetch.Mirror
		default:
			list[i].Grade = fetch.Proxy
		}
	}
	slices.SortStableFunc(list, func(a, b fetch.Source) int { return int(a.Grade) - int(b.Grade) })
}

// Reach says how far the first source of a series goes.
func (s *Source) Reach(_ context.Context, key series.Key) (heal.Reach, error) {
	list, err := s.sources(key.Symbol)
	if err != nil {
		return heal.Reach{}, err
	}
	var r heal.Reach
	bounded := true
	for _, src := range list {
		info := s.pool.Provider(src.Provider).Info()
		if info.Intervals[key.Interval] == "" || src.Grade == fetch.Proxy && !s.proxies {
			continue
		}
		if slices.Contains(r.Sources, src.Provider) {
			continue // under another name, at another time
		}
		r.Sources = append(r.Sources, src.Provider)
		from := series.Time(0)
		if h, ok := info.Horizon[key.Interval]; ok {
			now := series.TimeOf(s.now())
			if h.Age > 0 {
				from = now - series.Time(h.Age/time.Millisecond)
			}
			if h.Bars > 0 {
				from = max(from, now-series.Time(h.Bars)*key.Interval.Width())
			}
		}
		bounded = bounded && from > 0
		if r.From == 0 || from < r.From {
			r.From = from
		}
		if len(r.Sources) > 1 {
			continue
		}
		if r.Page = int64(info.MaxBars); r.Page == 0 {
			r.Page = 5000
		}
		for _, l := range info.Limits {
			if l.Cost > 0 {
				r.Every = max(r.Every, l.Window/time.Duration(l.Cost))
			}
		}
		for _, i := range series.Intervals() {
			if i.Width() > key.Interval.Width() && info.Intervals[i] != "" && info.Daily == 0 {
				r.Coarser = append(r.Coarser, i)
			}
		}
	}
	if !bounded {
		r.From = 0
	}
	if len(r.Sources) == 0 {
		return r, fmt.Errorf("no source of %s has bars of %s", key.Symbol, key.Interval)
	}
	return r, nil
}

// Fetch asks the pool. Bars of one provider are handed on as one source. Where
// the symbol has another name from some date on, each part is asked for by its
// own.
func (s *Source) Fetch(ctx context.Context, key series.Key, span series.Span, avoid []string, give func(heal.Answer) error) (heal.Outcome, error) {
	list, err := s.sources(key.Symbol)
	if err != nil {
		return heal.Outcome{Unanswered: []series.Span{span}, Why: err.Error()}, err
	}
	left, err := s.alike(key, list)
	if err != nil {
		return heal.Outcome{Unanswered: []series.Span{span}, Why: err.Error()}, err
	}
	left = slices.DeleteFunc(slices.Clone(left), func(x dated) bool { return slices.Contains(avoid, x.Provider) })
	if len(left) == 0 {
		return heal.Outcome{Unanswered: []series.Span{span}, Why: "no other source is left"}, nil
	}
	var all heal.Outcome
	var errs []error
	for _, part := range pieces(list, span) {
		var now []fetch.Source
		graded(list, part, func(i int, g fetch.Grade) {
			src := list[i].Source
			if src.Grade = g; slices.ContainsFunc(left, func(x dated) bool { return x.Provider == src.Provider }) {
				now = append(now, src)
			}
		})
		if len(now) == 0 {
			all.Unanswered, all.Why = append(all.Unanswered, part), "no source is named for this time"
			continue
		}
		out, err := s.fetch(ctx, key, part, now, give)
		all.Empty, all.Silent, all.Unanswered = append(all.Empty, out.Empty...), append(all.Silent, out.Silent...), append(all.Unanswered, out.Unanswered...)
		all.Requests += out.Requests
		all.Why = cmp.Or(all.Why, out.Why)
		if out.RetryAt != 0 && (all.RetryAt == 0 || out.RetryAt < all.RetryAt) {
			all.RetryAt = out.RetryAt
		}
		if err != nil {
			errs = append(errs, err)
		}
		if ctx.Err() != nil {
			break
		}
	}
	if len(errs) == 1 {
		return all, errs[0]
	}
	return all, errors.Join(errs...)
}

func (s *Source) fetch(ctx context.Context, key series.Key, span series.Span, list []fetch.Source, give func(heal.Answer) error) (heal.Outcome, error) {
	ask := fetch.Ask{Sources: list, Interval: key.Interval, Span: span, Proxies: s.proxies, Patience: s.patience}
	rep, err := s.pool.Bars(ctx, ask, func(b fetch.Batch) error {
		return give(heal.Answer{
			Bars: b.Bars, Source: b.Provider, Proxy: b.Grade == fetch.Proxy, Digest: digest(b.Bars),
			Origin: func(id series.SourceID) string { return under(b.Provider, s.pool.Origin(id)) },
		})
	})
	var out heal.Outcome
	if rep != nil {
		out = heal.Outcome{Empty: rep.Empty, Silent: rep.Silent, Unanswered: rep.Unanswered, Requests: rep.Attempts}
	}
	if err != nil {
		out.Why = err.Error()
		var un *fetch.UnansweredError
		if errors.As(err, &un) && !un.RetryAt.IsZero() {
			out.RetryAt = series.TimeOf(un.RetryAt)
		}
	}
	return out, err
}

// maxSource is the longest name of a source that a store takes.
const maxSource = 64

// under is the name of a source behind a provider that hands on what it said:
// peer/binance-spot. What stands between the two goes where that is too long.
func under(provider, origin string) string {
	if origin == "" {
		return provider
	}
	name := provider + "/" + origin
	if i := strings.LastIndexByte(origin, '/'); len(name) > maxSource && i >= 0 {
		name = provider + "/" + origin[i+1:]
	}
	if len(name) > maxSource {
		return provider
	}
	return name
}

// digest is the beginning of the SHA-256 of times, prices and volumes.
func digest(c *series.Columns) string {
	h := sha256.New()
	for i, t := range c.Time {
		put(h, uint64(t))
		for _, v := range [...]float64{c.Open[i], c.High[i], c.Low[i], c.Close[i], c.Volume[i]} {
			put(h, math.Float64bits(v))
		}
	}
	return hex.EncodeToString(h.Sum(nil)[:16])
}

func put(h hash.Hash, v uint64) {
	var b [8]byte
	binary.LittleEndian.PutUint64(b[:], v)
	_, _ = h.Write(b[:]) // never fails
}

// quotes are currencies that others are priced in, longer names first.
var quotes = []string{"FDUSD", "USDT", "USDC", "BUSD", "TUSD", "USD", "EUR", "GBP", "JPY", "BTC", "ETH", "BNB", "TRY", "AUD", "CHF"}

// pair splits the symbol of a currency pair: BTC-USD, BTC/USDT, BTCUSDT.
func pair(symbol string) (base, quote string, ok bool) {
	if i := strings.IndexAny(symbol, "-/_:"); i > 0 && i < len(symbol)-1 {
		return symbol[:i], symbol[i+1:], true
	}
	for _, q := range quotes {
		if b, found := strings.CutSuffix(symbol, q); found && len(b) >= 2 {
			return b, q, true
		}
	}
	return "", "", false
}
