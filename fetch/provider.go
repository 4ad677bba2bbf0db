package fetch

import (
	"net/http"
	"time"

	"github.com/barkeepdb/barkeep/series"
)

// Provider speaks one vendor's API. It does no I/O and has no state; its
// methods are safe for concurrent use and leave what they are given unchanged.
type Provider interface {
	// Info describes the vendor. The result is shared: it must not be changed.
	Info() *Info

	// Request returns the request for q, or for its next page if q.Cursor is
	// set. The span of q is never wider than [Info.MaxBars] bars allow, if that
	// is set. An [Error] of kind BadRequest says that the vendor cannot be asked
	// this: an interval that it lacks, a symbol of the wrong form.
	Request(q Query) (Request, error)

	// Page reads the answer to the request of q. Whatever the status and the
	// body are, it returns the rows or an [Error] with the right kind: an error
	// in the body of a 200 is an error, an HTML page is one of kind Unavailable.
	// Rows are as the vendor gave them; [Settle] does the rest.
	Page(q Query, a Answer) (Page, error)

	// Health returns a cheap request that shows whether the vendor answers.
	Health() Request

	// Clock reads the answer to Health: nil if the vendor works, and the
	// server's time if the answer holds it, else 0.
	Clock(a Answer) (series.Time, error)
}

// Signer is a Provider whose requests can or must be signed.
type Signer interface {
	// Sign adds what the vendor demands to r, which will be sent to host at now,
	// the server's time.
	Sign(r *Request, host string, c Credentials, now time.Time) error
}

// Meter is a Provider whose answers say how much of a limit is used.
type Meter interface {
	// Usage reads the headers of an answer. used[i] is how much of
	// Info().Limits[i] is used by now, -1 where the headers do not say.
	Usage(h http.Header) (used []int)
}

// Local is a Provider that reads files of this machine: the URLs of its endpoints
// have the scheme file and no host, and the transport of the pool answers them.
type Local interface {
	Local()
}

// Pairer is a Provider of currency pairs.
type Pairer interface {
	// Pair is the vendor's symbol for base priced in quote: BTC and USDT make
	// BTCUSDT, BTC-USDT or tBTCUST. It does not say that the vendor lists it.
	Pair(base, quote string) string
}

// Info describes what a vendor offers and how it behaves. Every figure comes
// from Document unless a comment beside it names another source.
type Info struct {
	Name     string   // "binance-spot": the name in configuration and provenance
	Title    string   // "Binance Spot"
	Document string   // where the facts come from, with the date they were read
	Hosts    []string // base URLs, the preferred first: "https://api.binance.com"
	Venue    string   // where the trades took place: "BINANCE"; providers of one venue mirror each other

	// Intervals maps each interval that the vendor has to its name there.
	Intervals map[series.Interval]string
	// MaxBars is the number of bars that one request may ask for, with the
	// margin that the vendor's bounds need; 0 means that the whole span goes
	// into one request.
	MaxBars int
	// Paged vendors return a Cursor while there is more.
	Paged      bool
	Descending bool // newest row first
	// FromInclusive and ToInclusive say what the vendor does with its bounds;
	// EndAnchored vendors give the newest rows before the end and ignore the
	// start.
	FromInclusive, ToInclusive, EndAnchored bool

	// Horizon bounds how far back an interval reaches; a missing one is not
	// bounded.
	Horizon map[series.Interval]Horizon

	Empty  EmptySlots
	Stamp  Stamp
	Volume VolumeUnit
	// Daily is the offset from 00:00 UTC at which bars of a day and longer open
	// as this provider asks for them; -1 where they carry a session date.
	Daily    series.Time
	Adjusted Adjustment
	// IntradayRaw says that bars below a day are as traded though longer ones are
	// adjusted.
	IntradayRaw bool
	// Actions says that answers with days carry the splits and dividends of their
	// span ([Page.Actions]). Where prices are adjusted their amounts are so, too.
	Actions bool
	// Grace is how long after its end a bar may still change in what the vendor
	// says of it.
	Grace time.Duration

	Auth   Auth
	Limits []Limit
}

// Adjusts is what was done to old prices of an interval.
func (i *Info) Adjusts(interval series.Interval) Adjustment {
	if i.IntradayRaw && interval.Intraday() {
		return Unadjusted
	}
	return i.Adjusted
}

// Horizon is how far back bars can be had: a number of bars, an age, or both.
type Horizon struct {
	Bars int
	Age  time.Duration
}

// EmptySlots is what a vendor does with a slot without a trade.
type EmptySlots uint8

// The policies for slots without a trade.
const (
	EmptyUnknown  EmptySlots = iota // the vendor does not say
	EmptyOmitted                    // no row
	EmptyFlat                       // a row with the previous close and volume 0
	EmptyInvented                   // a row with volume 0 and a price that did not exist then
	EmptySilent                     // no row, which says nothing: nobody may have put it there
)

// Stamp is which end of a bar the vendor's time names.
type Stamp uint8

// The stamps.
const (
	StampOpen Stamp = iota
	StampClose
	StampDate // the date of the session
)

// VolumeUnit is what the vendor's volume counts.
type VolumeUnit uint8

// The units of volume.
const (
	VolumeBase VolumeUnit = iota
	VolumeQuote
	VolumeContracts
	VolumeShares
	VolumeNone
)

// Adjustment is what the vendor did to prices of before a split or a dividend.
type Adjustment uint8

// The adjustments.
const (
	Unadjusted Adjustment = iota
	SplitAdjusted
	FullyAdjusted // splits and dividends
)

// Auth is what the vendor asks of a caller.
type Auth uint8

// The ways to be known to a vendor.
const (
	AuthNone     Auth = iota // bars are public
	AuthOptional             // a key gives more
	AuthKey                  // a key in header or query
	AuthSigned               // each request is signed
)

// Limit is a rate limit: Cost units in each Window, counted per Scope.
type Limit struct {
	Cost   int
	Window time.Duration
	Scope  Scope
}

// Scope is what a vendor counts requests by.
type Scope uint8

// The scopes.
const (
	PerIP Scope = iota
	PerKey
)

// Query asks for the bars of Symbol that open inside Span.
type Query struct {
	Symbol   string // as the vendor writes it
	Interval series.Interval
	// Span holds open times. Its ends lie on the grid of the interval.
	Span series.Span
	// Cursor goes on where a page stopped: [Page.Next] of the page before.
	Cursor string
	// Now is the server's time; a vendor with a horizon chooses its route by it.
	Now series.Time
}

// Request is one HTTP request without its host.
type Request struct {
	Method string // GET if empty
	Path   string // from the root: "/api/v3/klines"
	Query  string // encoded, without "?"
	Header http.Header
	Body   []byte
	// Class groups requests that work or fail together; a breaker guards each
	// class of each host. Empty stands for market data.
	Class string
	// Cost is what the request takes of each limit of [Info.Limits]; a missing
	// one is 1.
	Cost []int
}

// Answer is what came back, its body whole and decompressed.
type Answer struct {
	Status int
	Header http.Header
	Body   []byte
	Time   series.Time // the server's time when it answered
}

// Page is what one answer holds, as the vendor gave it: any order, any range.
type Page struct {
	Rows []Row
	// Next continues a paged answer; empty if this was the last page.
	Next string
	// Spoken is the part of the asked span that the answer speaks for, if the
	// rows do not show it: a vendor that cut the answer says where. Empty
	// leaves it to [Settle].
	Spoken series.Span
	// Whole says that all of Spoken was seen, so that it does not begin with the
	// first row.
	Whole bool
	// Zone is where the moments that bars of a session name have its date, if
	// [Info.Daily] is -1; nil stands for UTC.
	Zone *time.Location
	// Refused are rows that could not be read, each with the reason.
	Refused []Refusal
	// Actions are splits and dividends beside the rows, with amounts as the vendor
	// gives them; one of each kind and date.
	Actions []series.Action
}

// Dated is the start, in UTC, of the day that a moment has in a zone.
func Dated(t series.Time, zone *time.Location) series.Time {
	y, m, d := t.Std().In(zone).Date()
	return series.TimeOf(time.Date(y, m, d, 0, 0, 0, 0, time.UTC))
}

// Row is one bar as a vendor gave it.
type Row struct {
	Time                           series.Time // open time
	Open, High, Low, Close, Volume float64
	QuoteVolume, Trades, VWAP      float64 // NaN where the vendor does not say
	Final                          Finality
	// Origin is who said the bar before the provider did, where that only hands it
	// on; empty is the provider.
	Origin string

	origin series.SourceID // its number, see [Pool.Origin]
}

// Finality is whether the vendor marked a bar as ended.
type Finality uint8

// The marks.
const (
	FinalUnsaid Finality = iota
	FinalYes
	FinalNo
)

// Refusal is a row that is not taken.
type Refusal struct {
	Time   series.Time // 0 if it could not be read
	Reason string      // "high is below close"
	Raw    string      // the row as the vendor gave it, cut at 200 bytes
}
