package wire

import (
	"bytes"
	"net/http"
	"net/url"
	"strings"

	"github.com/barkeepdb/barkeep/fetch"
	"github.com/barkeepdb/barkeep/series"
)

// Vendor is a provider made of its parts.
type Vendor struct {
	Facts fetch.Info
	// Ask builds the request for q; name is what the vendor calls the interval.
	Ask func(q fetch.Query, name string) (fetch.Request, error)
	// Read reads an answer; it is called for whatever status and body came, but
	// for a web page.
	Read func(q fetch.Query, a fetch.Answer) (fetch.Page, error)
	// Alive is the request of Health, Time reads the server's time from its
	// answer; nil is 0.
	Alive fetch.Request
	Time  func(a fetch.Answer) (series.Time, error)
	// Symbol writes a pair as the vendor does.
	Symbol func(base, quote string) string
}

// Info is fetch.Provider.
func (v *Vendor) Info() *fetch.Info { return &v.Facts }

// Request is fetch.Provider.
func (v *Vendor) Request(q fetch.Query) (fetch.Request, error) {
	name, ok := v.Facts.Intervals[q.Interval]
	if !ok {
		return fetch.Request{}, &fetch.Error{Kind: fetch.BadRequest, Provider: v.Facts.Name, Message: "it has no bars of " + q.Interval.String()}
	}
	if q.Symbol == "" || strings.ContainsAny(q.Symbol, " ?&#%\"\\") {
		return fetch.Request{}, &fetch.Error{Kind: fetch.BadRequest, Provider: v.Facts.Name, Message: "symbol " + q.Symbol + " cannot be one of its"}
	}
	return v.Ask(q, name)
}

// Page is fetch.Provider.
func (v *Vendor) Page(q fetch.Query, a fetch.Answer) (fetch.Page, error) {
	p, err := v.Read(q, a)
	if err != nil {
		return fetch.Page{}, v.fault(a, err)
	}
	return p, nil
}

// fault gives an error the name of the vendor; what has no kind is garbage, or
// what the status says.
func (v *Vendor) fault(a fetch.Answer, err error) error {
	f, ok := err.(*fetch.Error) //nolint:errorlint // as it was made, a line above
	if !ok {
		if f = Status(a); f == nil {
			f = &fetch.Error{Kind: fetch.Unavailable, Err: err}
		}
	}
	f.Provider, f.Status = v.Facts.Name, a.Status
	return f
}

// Health is fetch.Provider.
func (v *Vendor) Health() fetch.Request { return v.Alive }

// Clock is fetch.Provider.
func (v *Vendor) Clock(a fetch.Answer) (series.Time, error) {
	if f := Status(a); f != nil {
		return 0, v.fault(a, f)
	}
	if v.Time == nil {
		return 0, nil
	}
	t, err := v.Time(a)
	if err != nil {
		return 0, v.fault(a, err)
	}
	return t, nil
}

// Pair is fetch.Pairer.
func (v *Vendor) Pair(base, quote string) string {
	if v.Symbol == nil {
		return ""
	}
	return v.Symbol(base, quote)
}

// Fault is an error in the words of a vendor.
func Fault(kind fetch.Kind, code, message string) *fetch.Error {
	if len(message) > 200 {
		message = message[:200]
	}
	return &fetch.Error{Kind: kind, Code: code, Message: message}
}

// Status is what the status and the kind of an answer say without its words:
// nil for 2xx.
func Status(a fetch.Answer) *fetch.Error {
	body := bytes.TrimSpace(a.Body)
	page := len(body) > 0 && body[0] == '<' || strings.Contains(strings.ToLower(a.Header.Get("Content-Type")), "text/html")
	words := strings.ToLower(string(body[:min(len(body), 4096)]))
	kind := fetch.Unavailable
	switch {
	case a.Status == http.StatusForbidden && (strings.Contains(words, "country") || strings.Contains(words, "restricted location")):
		kind = fetch.GeoBlocked // CloudFront: "configured to block access from your country"
	case page:
	case a.Status/100 == 2:
		return nil
	case a.Status == http.StatusTooManyRequests:
		kind = fetch.RateLimited
	case a.Status == http.StatusTeapot:
		kind = fetch.Banned
	case a.Status == http.StatusUnavailableForLegalReasons:
		kind = fetch.GeoBlocked
	case a.Status == http.StatusUnauthorized, a.Status == http.StatusForbidden:
		kind = fetch.NotEntitled
	case a.Status == http.StatusPaymentRequired:
		kind = fetch.QuotaExhausted
	case a.Status == http.StatusNotFound:
		kind = fetch.UnknownSymbol
	case a.Status == http.StatusRequestTimeout, a.Status == http.StatusTooEarly:
	case a.Status/100 == 4:
		kind = fetch.BadRequest
	}
	f := Fault(kind, "", string(body[:min(len(body), 200)]))
	if page {
		f.Message = "a web page instead of data"
	}
	f.Status = a.Status
	return f
}

// Form encodes a query in the order given: key, value, key, value; an empty
// value leaves its key out.
func Form(pairs ...string) string {
	var b strings.Builder
	for i := 0; i+1 < len(pairs); i += 2 {
		if pairs[i+1] == "" {
			continue
		}
		if b.Len() > 0 {
			b.WriteByte('&')
		}
		b.WriteString(url.QueryEscape(pairs[i]) + "=" + url.QueryEscape(pairs[i+1]))
	}
	return b.String()
}
