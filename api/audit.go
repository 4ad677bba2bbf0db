package api

import (
	"encoding/hex"
	"errors"
	"net/http"
	"slices"
	"strconv"
	"strings"

	"github.com/gin-gonic/gin"

	"github.com/barkeepdb/barkeep/heal"
	"github.com/barkeepdb/barkeep/series"
	"github.com/barkeepdb/barkeep/storage"
)

// auditRow is one change as the journal has it.
type auditRow struct {
	Seq uint64 `json:"seq"`
	Op  string `json:"op"` // bars, deletion, explanation, quarantine, damage
	series.Key
	At        series.Time   `json:"at"`
	Source    string        `json:"source,omitempty"`
	Actor     string        `json:"actor,omitempty"`
	Cause     string        `json:"cause,omitempty"`
	Repair    string        `json:"repair,omitempty"`
	Rule      string        `json:"rule,omitempty"`
	Version   int           `json:"rule_version,omitempty"`
	Evidence  string        `json:"evidence,omitempty"`
	Until     *series.Time  `json:"evidence_until"`
	Added     int64         `json:"added"`
	Replaced  int64         `json:"replaced"`
	Removed   int64         `json:"removed"`
	SetAside  int64         `json:"set_aside"` // bars that went into quarantine
	Discarded int64         `json:"discarded"` // bars that left it
	Spans     []spanRow     `json:"spans"`     // slots that got their first bar
	Explained []spanRow     `json:"explained"` // slots that got another explanation
	Before    []barJSON     `json:"before"`    // bars that were replaced or removed
	After     []barJSON     `json:"after"`     // what stands in their place now
	Evidences []evidenceRow `json:"evidence_before"`
	Hash      string        `json:"hash"` // SHA-256 leaf hash of the entry, as of RFC 9162
	More      int           `json:"before_more,omitempty"`
}

type spanRow struct {
	From series.Time `json:"from"`
	To   series.Time `json:"to"`
}

type evidenceRow struct {
	spanRow
	State  series.State `json:"state"`
	Reason string       `json:"reason"`
}

// maxBefore bounds the bars and spans that one change lists.
const maxBefore = 200

func (s *Server) getAudit(c *gin.Context) {
	p := parseQuery(c.Request.URL.RawQuery)
	symbol, interval, b, limit := p.symbol(), p.interval("interval"), p.bounds(), p.limit(1000)
	o := storage.JournalOptions{Repair: p.text("repair"), Rule: p.text("rule"), Source: p.text("source"), Actor: p.text("actor")}
	if text := p.text("cursor"); text != "" {
		n, err := strconv.ParseUint(text, 10, 64)
		if err != nil {
			p.fail("cursor", "cursor %q is not one that an answer gave", text)
		}
		o.After = n
	}
	if err := p.done(); err != nil {
		fail(c, err)
		return
	}
	if p.text("limit") == "" {
		limit = 100
	}
	if symbol != "" && interval != 0 {
		o.Key = &series.Key{Symbol: symbol, Interval: interval}
	}
	if b.from != nil {
		o.From = *b.from
	}
	if b.to != nil {
		o.To = *b.to
	}
	v, err := s.store.Snapshot()
	if err != nil {
		fail(c, err)
		return
	}
	defer v.Close()
	list, next := []auditRow{}, (*string)(nil)
	for x, err := range s.store.Journal(c, o) {
		if err != nil {
			fail(c, err)
			return
		}
		if symbol != "" && x.Key.Symbol != symbol || interval != 0 && x.Key.Interval != interval {
			continue
		}
		if len(list) == limit {
			text := strconv.FormatUint(list[limit-1].Seq, 10)
			next = &text
			break
		}
		row, err := s.auditRow(c, v, x)
		if err != nil {
			fail(c, err)
			return
		}
		list = append(list, row)
	}
	c.PureJSON(http.StatusOK, gin.H{"entries": list, "next": next})
}

func (s *Server) auditRow(c *gin.Context, v view, x *storage.Change) (auditRow, error) {
	row := auditRow{
		Seq: x.Seq, Op: x.Op, Key: x.Key, At: x.At, Source: x.Source, Actor: x.Note.Actor, Cause: x.Note.Cause, Repair: x.Note.Repair,
		Rule: x.Note.Rule, Version: x.Note.Version, Evidence: x.Note.Evidence, Added: x.Added, Replaced: x.Replaced, Removed: x.Removed,
		SetAside: x.SetAside, Discarded: x.Discarded,
		Spans: []spanRow{}, Explained: []spanRow{}, Before: []barJSON{}, After: []barJSON{}, Evidences: []evidenceRow{}, Hash: hex.EncodeToString(x.Hash[:]),
	}
	if x.Note.Until != 0 {
		row.Until = &x.Note.Until
	}
	spans := func(runs []series.Run) []spanRow {
		out := []spanRow{}
		for _, r := range runs[:min(len(runs), maxBefore)] {
			span := x.Grid.Span(r)
			out = append(out, spanRow{span.From, span.To})
		}
		return out
	}
	row.Spans, row.Explained = spans(x.Gained), spans(x.Explained)
	for _, e := range x.Evidence[:min(len(x.Evidence), maxBefore)] {
		span := x.Grid.Span(e.Run)
		row.Evidences = append(row.Evidences, evidenceRow{spanRow{span.From, span.To}, e.State, e.Note.Reason})
	}
	for i, t := range x.Before.Time {
		if i == maxBefore {
			row.More = x.Before.Len() - maxBefore
			break
		}
		row.Before = append(row.Before, s.barJSON(x.Before.Bar(i)))
		for cols, err := range v.Chunks(c, x.Key, series.Span{From: t, To: t + 1}, storage.ReadOptions{OnDamage: func(*storage.CorruptError) {}}) {
			if err != nil {
				return row, err
			}
			if cols.Len() > 0 {
				row.After = append(row.After, s.barJSON(cols.Bar(0)))
			}
		}
	}
	return row, nil
}

// auditHead is the head of the audit log.
type auditHead struct {
	Store string      `json:"store"`
	Size  int64       `json:"size"`
	Root  string      `json:"root"` // 64 hexadecimal digits
	At    series.Time `json:"at"`
}

func newAuditHead(h storage.AuditHead) auditHead {
	return auditHead{h.Store, h.Size, hex.EncodeToString(h.Root[:]), h.At}
}

// postAuditHead takes all entries into the audit log. It is a write: the log
// grows by it.
func (s *Server) postAuditHead(c *gin.Context) {
	p := parseQuery(c.Request.URL.RawQuery)
	if err := p.done(); err != nil {
		fail(c, err)
		return
	}
	h, err := s.store.AuditHead(c)
	if err != nil {
		fail(c, err)
		return
	}
	c.PureJSON(http.StatusOK, newAuditHead(h))
}

func (s *Server) getAuditVerify(c *gin.Context) {
	p := parseQuery(c.Request.URL.RawQuery)
	size, root := p.text("size"), p.text("root")
	var earlier *storage.AuditHead
	if size != "" || root != "" {
		h := storage.AuditHead{}
		n, err := strconv.ParseInt(size, 10, 64)
		if err != nil || n < 0 {
			p.fail("size", "size %q is not a number of entries: give size and root of an earlier head", size)
		}
		b, err := hex.DecodeString(root)
		if err != nil || len(b) != len(h.Root) {
			p.fail("root", "root %q is not the 64 hexadecimal digits of an earlier head", root)
		} else {
			h.Root = [len(h.Root)]byte(b)
		}
		h.Size = n
		earlier = &h
	}
	if err := p.done(); err != nil {
		fail(c, err)
		return
	}
	rep, err := s.store.VerifyAudit(c, earlier)
	if err != nil {
		fail(c, err)
		return
	}
	if rep.Problems == nil {
		rep.Problems = []string{}
	}
	c.PureJSON(http.StatusOK, gin.H{"ok": len(rep.Problems) == 0, "entries": rep.Entries, "head": newAuditHead(rep.Head), "problems": rep.Problems})
}

func (s *Server) undoRepair(c *gin.Context) {
	h := s.healer(c)
	if h == nil {
		return
	}
	u, err := h.Undo(c, c.Param("id"), s.actor(c))
	if err != nil {
		fail(c, err)
		return
	}
	c.PureJSON(http.StatusOK, u)
}

// undoRequest is the body of POST /v1/undo: everything that fits is taken back.
type undoRequest struct {
	Symbol   string          `json:"symbol"`
	Interval series.Interval `json:"interval"`
	Repair   string          `json:"repair"`
	Rule     string          `json:"rule"`
	Version  int             `json:"rule_version"`
	Source   string          `json:"source"`
	Actor    string          `json:"actor"`
	Since    *moment         `json:"since"`
	Until    *moment         `json:"until"`
}

func (s *Server) postUndo(c *gin.Context) {
	p := parseQuery(c.Request.URL.RawQuery)
	if err := p.done(); err != nil {
		fail(c, err)
		return
	}
	var in undoRequest
	if err := readObject(c.Request.Body, &in, `{"rule":"gap","since":"2024-01-01"}`); err != nil {
		fail(c, err)
		return
	}
	o := storage.JournalOptions{Repair: in.Repair, Rule: in.Rule, Version: in.Version, Source: in.Source, Actor: in.Actor}
	if in.Symbol != "" {
		k := series.Key{Symbol: in.Symbol, Interval: in.Interval}
		if err := k.Check(); err != nil {
			fail(c, badField("symbol", "%v", err))
			return
		}
		o.Key = &k
	}
	if in.Since != nil {
		o.From = series.Time(*in.Since)
	}
	if in.Until != nil {
		o.To = series.Time(*in.Until)
	}
	ctx := storage.WithNote(c, storage.Note{Actor: s.actor(c), Cause: "undo"})
	said := slices.DeleteFunc([]string{in.Repair, in.Rule, in.Source, in.Actor, in.Symbol}, func(s string) bool { return s == "" })
	detail(c, "%s", strings.Join(said, " "))
	u, err := s.store.Undo(ctx, o)
	switch {
	case errors.Is(err, storage.ErrNothingToUndo):
		fail(c, &Error{http.StatusNotFound, "nothing_to_undo", err.Error(), ""})
	case errors.Is(err, storage.ErrUndoWhat):
		fail(c, badField("", "%v", err))
	case err != nil:
		fail(c, err)
	default:
		kept := make([]heal.Kept, 0, len(u.Kept))
		for _, k := range u.Kept {
			kept = append(kept, heal.Kept{Key: k.Key, From: k.Span.From, To: k.Span.To, Bars: k.Slots, By: k.By, Why: k.Why})
		}
		c.PureJSON(http.StatusOK, gin.H{
			"changes": u.Changes, "bars_restored": u.Restored, "bars_removed": u.Removed, "slots_explained": u.Evidence,
			"quarantine": u.Quarantine, "slots_skipped": u.Skipped, "kept": kept,
		})
	}
}
