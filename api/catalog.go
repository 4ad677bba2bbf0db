package api

import (
	"encoding/json"
	"math"
	"net/http"
	"slices"
	"strconv"
	"strings"

	"github.com/gin-gonic/gin"

	"github.com/barkeepdb/barkeep/series"
	"github.com/barkeepdb/barkeep/storage"
)

// seriesRow is one series as /v1/series lists it.
type seriesRow struct {
	series.Key
	Calendar    string       `json:"calendar"`
	First       *series.Time `json:"first"`
	Last        *series.Time `json:"last"`
	Bars        int64        `json:"bars"`
	Expected    int64        `json:"expected"`
	Missing     int64        `json:"missing"`
	Gaps        int          `json:"gaps"`
	Synthetic   int64        `json:"synthetic"`
	Quarantined int64        `json:"quarantined"`
	Score       *float64     `json:"score"` // null: not scored
	Bytes       int64        `json:"bytes"`
}

func (s *Server) seriesRow(c *gin.Context, info storage.Info) (seriesRow, error) {
	row := seriesRow{Key: info.Key, Bars: info.Bars, Bytes: info.Bytes, Quarantined: info.Quarantined, Calendar: s.calendarOf(info.Symbol)}
	if info.Bars == 0 {
		return row, nil
	}
	row.First, row.Last = &info.First, &info.Last
	scan, err := s.store.Gaps(c, info.Key, series.Span{})
	if err != nil {
		return row, err
	}
	row.Expected, row.Missing, row.Gaps = scan.Expected, scan.Missing, len(scan.Gaps)
	for _, g := range scan.Gaps {
		if g.State == series.StateSynthetic {
			row.Synthetic += g.Len()
		}
	}
	if s.o.Healer != nil {
		q, err := s.o.Healer.QualityOf(c, healSeries(info))
		if err != nil {
			return row, err
		}
		row.Score = q.Score
	}
	return row, nil
}

func (s *Server) calendarOf(symbol string) string {
	if m, ok := s.store.Symbol(symbol); ok && m.Calendar != "" {
		return m.Calendar
	}
	return series.Always().Name()
}

// selected returns the stored series that symbol and interval name; an empty
// one stands for all.
func (s *Server) selected(symbol string, interval series.Interval) ([]storage.Info, error) {
	all, err := s.store.Series()
	if err != nil {
		return nil, err
	}
	out := slices.DeleteFunc(slices.Clone(all), func(i storage.Info) bool {
		return symbol != "" && i.Symbol != symbol || interval != 0 && i.Interval != interval
	})
	if len(out) == 0 && symbol != "" {
		var have []string
		for _, i := range all {
			if i.Symbol == symbol {
				have = append(have, i.Interval.String())
			}
		}
		if interval == 0 {
			have = nil
		}
		return nil, noSeries(series.Key{Symbol: symbol, Interval: interval}, have, "of its own: ")
	}
	return out, nil
}

func (s *Server) getSeries(c *gin.Context) {
	p := parseQuery(c.Request.URL.RawQuery)
	symbol := p.symbol()
	if err := p.done(); err != nil {
		fail(c, err)
		return
	}
	infos, err := s.selected(symbol, 0)
	if err != nil {
		fail(c, err)
		return
	}
	list := make([]seriesRow, 0, len(infos))
	for _, info := range infos {
		row, err := s.seriesRow(c, info)
		if err != nil {
			fail(c, err)
			return
		}
		list = append(list, row)
	}
	c.PureJSON(http.StatusOK, gin.H{"series": list})
}

// getOneSeries answers /v1/series/{symbol}/{interval}; the symbol may hold
// slashes, the interval is what follows the last.
func (s *Server) getOneSeries(c *gin.Context) {
	name := strings.TrimPrefix(c.Param("name"), "/")
	i := strings.LastIndexByte(name, '/')
	if i < 0 {
		fail(c, badField("interval", "no interval in the path: GET /v1/series/SYMBOL/INTERVAL"))
		return
	}
	interval, err := series.ParseInterval(name[i+1:])
	if err != nil {
		fail(c, badField("interval", "%v", err))
		return
	}
	key := series.Key{Symbol: name[:i], Interval: interval}
	if err := key.Check(); err != nil {
		fail(c, badField("symbol", "%v", err))
		return
	}
	infos, err := s.selected(key.Symbol, key.Interval)
	if err != nil {
		fail(c, err)
		return
	}
	row, err := s.seriesRow(c, infos[0])
	if err != nil {
		fail(c, err)
		return
	}
	c.PureJSON(http.StatusOK, row)
}

// latestRow is the last bar of a series.
type latestRow struct {
	series.Key
	Bar barJSON `json:"bar"`
}

// barJSON is one bar outside of a stream of bars.
type barJSON struct {
	Time        series.Time `json:"time"`
	Open        *float64    `json:"open"`
	High        *float64    `json:"high"`
	Low         *float64    `json:"low"`
	Close       *float64    `json:"close"`
	Volume      *float64    `json:"volume"`
	QuoteVolume *float64    `json:"quote_volume,omitempty"`
	Trades      *float64    `json:"trades,omitempty"`
	Kind        string      `json:"kind"`
	Source      string      `json:"source"`
}

func (s *Server) barJSON(b series.Bar) barJSON {
	num := func(v float64) *float64 {
		if math.IsNaN(v) || math.IsInf(v, 0) {
			return nil
		}
		return &v
	}
	return barJSON{
		Time: b.Time, Open: num(b.Open), High: num(b.High), Low: num(b.Low), Close: num(b.Close), Volume: num(b.Volume),
		QuoteVolume: num(b.QuoteVolume), Trades: num(b.Trades),
		Kind: b.Prov.Kind().String(), Source: s.store.SourceName(b.Prov.Source()),
	}
}

// getLatest answers with the last bar of one series, or of every one that the
// query leaves.
func (s *Server) getLatest(c *gin.Context) {
	p := parseQuery(c.Request.URL.RawQuery)
	symbol, interval := p.symbol(), p.interval("interval")
	if err := p.done(); err != nil {
		fail(c, err)
		return
	}
	infos, err := s.selected(symbol, interval)
	if err != nil {
		fail(c, err)
		return
	}
	list := make([]latestRow, 0, len(infos))
	for _, info := range infos {
		if info.Bars == 0 {
			continue
		}
		b, ok, err := s.store.Latest(info.Key)
		if err != nil {
			fail(c, err)
			return
		}
		if !ok { // deleted meanwhile
			continue
		}
		list = append(list, latestRow{info.Key, s.barJSON(b)})
	}
	if symbol != "" && interval != 0 {
		if len(list) == 0 {
			fail(c, &Error{http.StatusNotFound, "no_bars", symbol + " " + interval.String() + " has no bars", ""})
			return
		}
		c.PureJSON(http.StatusOK, list[0])
		return
	}
	c.PureJSON(http.StatusOK, gin.H{"series": list})
}

// symbolJSON is a symbol as it is read and written. Times may be given as
// Unix times or as text.
type symbolJSON struct {
	Symbol   string    `json:"symbol,omitempty"`
	Calendar string    `json:"calendar"`
	Listed   *instant  `json:"listed"`
	Delisted *instant  `json:"delisted"`
	TickSize *float64  `json:"tick_size"`
	Sources  *[]string `json:"sources"`
	// Adjusted is what the stored prices were freed of already.
	Adjusted series.Adjust `json:"adjusted"`
}

// instant is a time that is read as users write it.
type instant series.Time

func (t *instant) UnmarshalJSON(b []byte) error {
	text := string(b)
	if b[0] == '"' {
		if err := json.Unmarshal(b, &text); err != nil {
			return err
		}
	}
	v, err := series.ParseTime(text)
	*t = instant(v)
	return err
}

func (t *instant) MarshalJSON() ([]byte, error) { return strconv.AppendInt(nil, int64(*t), 10), nil }

func (s *Server) getSymbol(c *gin.Context) {
	name := strings.TrimPrefix(c.Param("name"), "/")
	m, known := s.store.Symbol(name)
	if !known {
		if _, err := s.selected(name, 0); err != nil {
			fail(c, err)
			return
		}
	}
	out := symbolJSON{Symbol: name, Adjusted: m.Adjusted, Calendar: s.calendarOf(name), Listed: (*instant)(m.Listed), Delisted: (*instant)(m.Delisted)}
	if m.TickSize != 0 {
		out.TickSize = &m.TickSize
	}
	if m.Sources == nil {
		m.Sources = []string{}
	}
	out.Sources = &m.Sources
	c.PureJSON(http.StatusOK, out)
}

// putSymbol replaces what is known of a symbol: what the body leaves out is
// not known any more.
func (s *Server) putSymbol(c *gin.Context) {
	name := strings.TrimPrefix(c.Param("name"), "/")
	if err := series.CheckSymbol(name); err != nil {
		fail(c, badField("symbol", "%v", err))
		return
	}
	var in symbolJSON
	if err := readObject(c.Request.Body, &in, `{"calendar","listed","delisted","tick_size","sources","adjusted"}`); err != nil {
		fail(c, err)
		return
	}
	m, err := in.check(name, s.store.Calendars())
	if err == nil {
		s.knowing.Lock()
		err = s.store.SetSymbol(name, m)
		s.knowing.Unlock()
	}
	if err != nil {
		fail(c, err)
		return
	}
	s.getSymbol(c)
}

func (in symbolJSON) check(name string, calendars *series.Calendars) (storage.Symbol, error) {
	m := storage.Symbol{Calendar: in.Calendar, Adjusted: in.Adjusted, Listed: (*series.Time)(in.Listed), Delisted: (*series.Time)(in.Delisted)}
	if in.Symbol != "" && in.Symbol != name {
		return m, badField("symbol", "the body names %s, the path %s", in.Symbol, name)
	}
	if in.Calendar != "" {
		if _, err := calendars.Get(in.Calendar); err != nil {
			return m, badField("calendar", "%v", err)
		}
	}
	if m.Listed != nil && m.Delisted != nil && *m.Listed >= *m.Delisted {
		return m, badField("delisted", "delisted %v is not after listed %v", *m.Delisted, *m.Listed)
	}
	if in.TickSize != nil {
		if m.TickSize = *in.TickSize; m.TickSize < 0 {
			return m, badField("tick_size", "tick_size %v is below 0", m.TickSize)
		}
	}
	if in.Sources != nil {
		for _, text := range *in.Sources {
			if _, err := series.ParseSourceRef(text); err != nil {
				return m, badField("sources", "%v", err)
			}
		}
		m.Sources = *in.Sources
	}
	return m, nil
}
