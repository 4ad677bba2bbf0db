package main

import (
	"bytes"
	"context"
	"encoding/json"
	"errors"
	"net/http"
	"net/url"

	"github.com/barkeepdb/barkeep/series"
	"github.com/barkeepdb/barkeep/series/barfile"
	"github.com/barkeepdb/barkeep/storage"
)

// sink is where an import goes: the store of this machine, or a server.
type sink interface {
	// write stores bars and keeps the rejected rows, if it can.
	write(ctx context.Context, c *series.Columns, rejected []barfile.Rejected) (chunkResult, error)
	setCalendar(ctx context.Context, name string) error
	summary(ctx context.Context) (seriesSummary, error)
	close() error
}

// chunkResult says what became of one chunk.
type chunkResult struct {
	read, written, unchanged, conflicts int64
	rejects                             []reject
	more                                int64 // rejects that are not listed
	kept                                bool  // rejects are in quarantine
}

func (r *chunkResult) rejectRows(rows []barfile.Rejected) {
	r.read += int64(len(rows))
	for _, x := range rows {
		one := reject{Row: int64(x.Row), Reason: x.Reason}
		if x.HasTime {
			t := x.Time
			one.Time = &t
		}
		r.rejects = append(r.rejects, one)
	}
}

func (a *app) openSink(key series.Key, source, onConflict string) (sink, error) {
	if a.cfg.URL != "" {
		c, err := a.connect()
		return &serverSink{client: c, key: key, source: source, onConflict: onConflict}, err
	}
	s, err := a.open(false, "barkeep import")
	if err != nil {
		return nil, err
	}
	a.sayFound(s, "barkeep damages lists them")
	conflict := map[string]storage.Conflict{"replace": storage.Replace, "keep": storage.Keep, "quarantine": storage.Quarantine}[onConflict]
	return &storeSink{s, key, storage.WriteOptions{Source: source, OnConflict: conflict}}, nil
}

// storeSink writes into an open store.
type storeSink struct {
	store *storage.Store
	key   series.Key
	o     storage.WriteOptions
}

func (s *storeSink) write(ctx context.Context, c *series.Columns, rejected []barfile.Rejected) (chunkResult, error) {
	var aside []storage.Entry
	for _, r := range rejected {
		aside = append(aside, storage.Entry{Key: s.key, Time: r.Time, HasTime: r.HasTime, Reason: r.Reason, Source: s.o.Source, Raw: r.Raw})
	}
	out := chunkResult{kept: true}
	out.rejectRows(rejected)
	ctx = storage.WithNote(ctx, storage.Note{Actor: "command line"})
	res, err := s.store.Write(ctx, s.key, c, s.o)
	if err != nil {
		return out, err
	}
	out.read += int64(res.Read)
	out.written, out.unchanged, out.conflicts = int64(res.Written), int64(res.Unchanged), int64(res.Conflicts)
	for _, r := range res.Refused {
		b := c.Bar(r.Row)
		aside = append(aside, storage.Entry{Key: s.key, Time: r.Time, HasTime: true, Reason: r.Reason, Source: s.o.Source, Bar: &b})
		out.rejects = append(out.rejects, reject{Time: &b.Time, Reason: r.Reason})
	}
	if len(aside) == 0 {
		return out, nil
	}
	return out, s.store.SetAside(ctx, aside)
}

func (s *storeSink) setCalendar(_ context.Context, name string) error {
	m, _ := s.store.Symbol(s.key.Symbol)
	m.Calendar = name
	return s.store.SetSymbol(s.key.Symbol, m)
}

func (s *storeSink) summary(ctx context.Context) (seriesSummary, error) {
	info, err := s.store.Info(s.key)
	if errors.Is(err, series.ErrNoSeries) { // nothing could be stored
		return seriesSummary{}, nil
	}
	if err != nil {
		return seriesSummary{}, err
	}
	scan, err := s.store.Gaps(ctx, s.key, series.Span{})
	out := seriesSummary{Bars: info.Bars, Bytes: info.Bytes, Gaps: len(scan.Gaps), Missing: scan.Missing}
	if info.Bars > 0 {
		out.First = &info.First
	}
	return out, err
}

func (s *storeSink) close() error { return s.store.Close() }

// serverSink posts to a running server.
type serverSink struct {
	*client
	key                series.Key
	source, onConflict string
}

// serverChunk keeps bodies far below what a server takes by default.
const serverChunk = 1 << 16

func (s *serverSink) write(ctx context.Context, c *series.Columns, rejected []barfile.Rejected) (chunkResult, error) {
	var out chunkResult
	out.rejectRows(rejected)
	for from := 0; from < c.Len(); from += serverChunk {
		part := slice(c, from, min(from+serverChunk, c.Len()))
		var body bytes.Buffer
		w, err := barfile.NewWriter(&body, barfile.WriteOptions{Format: barfile.CSV})
		if err != nil {
			return out, err
		}
		if err := errors.Join(w.Write(part), w.Close()); err != nil {
			return out, err
		}
		q := query("symbol", s.key.Symbol, "interval", s.key.Interval.String(), "source", s.source, "on_conflict", s.onConflict)
		var res struct {
			Read, Written, Unchanged, Conflicts int64
			Rejected                            []reject
			More                                int64 `json:"rejected_more"`
		}
		if err := s.send(ctx, http.MethodPost, "/v1/bars", q, barfile.CSV.ContentType(), &body, &res); err != nil {
			return out, err
		}
		out.read += res.Read
		out.written += res.Written
		out.unchanged += res.Unchanged
		out.conflicts += res.Conflicts
		out.more += res.More
		for _, r := range res.Rejected {
			r.Row = 0 // it numbers what was posted, not the file
			out.rejects = append(out.rejects, r)
		}
	}
	return out, nil
}

func (s *serverSink) setCalendar(ctx context.Context, name string) error {
	m := map[string]any{}
	path := "/v1/symbols/" + url.PathEscape(s.key.Symbol)
	if err := s.send(ctx, http.MethodGet, path, nil, "", nil, &m); err != nil {
		m = map[string]any{} // the symbol is new
	}
	m["calendar"] = name
	body, err := json.Marshal(m)
	if err != nil {
		return err
	}
	return s.send(ctx, http.MethodPut, path, nil, "application/json", bytes.NewBuffer(body), nil)
}

func (s *serverSink) summary(ctx context.Context) (out seriesSummary, err error) {
	err = s.send(ctx, http.MethodGet, "/v1/series/"+url.PathEscape(s.key.Symbol)+"/"+s.key.Interval.String(), nil, "", nil, &out)
	return out, err
}

// send sends a request and decodes the answer into v, if it is not nil.
func (c *client) send(ctx context.Context, method, path string, q url.Values, contentType string, body *bytes.Buffer, v any) error {
	if body == nil {
		body = &bytes.Buffer{}
	}
	resp, err := c.do(ctx, method, path, q, contentType, body)
	if err != nil {
		return err
	}
	if v != nil {
		err = json.NewDecoder(resp.Body).Decode(v)
	}
	return errors.Join(err, resp.Body.Close())
}

// slice returns bars i to j of c, sharing memory.
func slice(c *series.Columns, i, j int) *series.Columns {
	cut := func(col []float64) []float64 { return col[min(i, len(col)):min(j, len(col))] }
	return &series.Columns{
		Time: c.Time[i:j],
		Open: cut(c.Open), High: cut(c.High), Low: cut(c.Low), Close: cut(c.Close), Volume: cut(c.Volume),
		QuoteVolume: cut(c.QuoteVolume), Trades: cut(c.Trades),
		Prov: c.Prov[min(i, len(c.Prov)):min(j, len(c.Prov))],
	}
}
