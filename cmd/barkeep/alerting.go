package main

import (
	"context"
	"fmt"
	"iter"
	"net/http"
	"strings"
	"sync"
	"time"

	"github.com/barkeepdb/barkeep/api"
	"github.com/barkeepdb/barkeep/api/alert"
	"github.com/barkeepdb/barkeep/fetch"
	"github.com/barkeepdb/barkeep/heal"
	"github.com/barkeepdb/barkeep/series"
	"github.com/barkeepdb/barkeep/storage"
)

// alertRules are what is watched. A rule that is explained by another one that
// fires is not told beside it.
var alertRules = []alert.Rule{
	{ID: "quality_low", Type: alert.DataQuality, Severity: alert.Warning, For: 10 * time.Minute, Clear: 10 * time.Minute, Behind: []string{"endpoints_down", "store_damaged"}},
	{ID: "data_stale", Type: alert.DataQuality, Severity: alert.Warning, For: 5 * time.Minute, Clear: 2 * time.Minute, Behind: []string{"endpoints_down", "disk_full"}},
	{ID: "incident", Type: alert.DataQuality, Severity: alert.Critical, For: 2 * time.Minute, Clear: 2 * time.Minute, Behind: []string{"endpoints_down", "disk_full"}},
	{ID: "repair_refused", Type: alert.DataQuality, Severity: alert.Warning},
	{ID: "store_damaged", Type: alert.DataQuality, Severity: alert.Critical},
	{ID: "audit_failed", Type: alert.DataQuality, Severity: alert.Critical},
	{ID: "endpoint_down", Type: alert.EndpointFailure, Severity: alert.Warning, For: 2 * time.Minute, Clear: 2 * time.Minute, Behind: []string{"endpoints_down"}},
	{ID: "endpoints_down", Type: alert.EndpointFailure, Severity: alert.Critical, For: 2 * time.Minute, Clear: time.Minute},
	{ID: "component_failing", Type: alert.SystemPerformance, Severity: alert.Warning, For: time.Minute, Clear: 5 * time.Minute, Behind: []string{"disk_full"}},
	{ID: "disk_slow", Type: alert.SystemPerformance, Severity: alert.Warning, For: time.Minute, Clear: time.Minute},
	{ID: "overloaded", Type: alert.SystemPerformance, Severity: alert.Warning, For: time.Minute, Clear: 5 * time.Minute},
	{ID: "memory_high", Type: alert.SystemPerformance, Severity: alert.Warning, For: 5 * time.Minute, Clear: 5 * time.Minute},
	{ID: "disk_low", Type: alert.Capacity, Severity: alert.Warning, For: time.Minute, Clear: 5 * time.Minute, Behind: []string{"disk_full"}},
	{ID: "disk_budget", Type: alert.Capacity, Severity: alert.Warning, For: 5 * time.Minute, Clear: 5 * time.Minute, Behind: []string{"disk_full"}},
	{ID: "disk_full", Type: alert.Capacity, Severity: alert.Critical, Clear: time.Minute},
}

// alertStore lets alerts keep their records in a store.
type alertStore struct{ s *storage.Store }

func (x alertStore) PutRecords(ctx context.Context, rs []alert.Record) error {
	out := make([]storage.Record, len(rs))
	for i, r := range rs {
		out[i] = storage.Record(r)
	}
	return x.s.PutRecords(ctx, out)
}

func (x alertStore) Records(ctx context.Context, kind, from string) iter.Seq2[alert.Record, error] {
	return func(yield func(alert.Record, error) bool) {
		for r, err := range x.s.Records(ctx, kind, from) {
			if !yield(alert.Record(r), err) {
				return
			}
		}
	}
}

// alertTransport reaches receivers as endpoints are reached: private addresses
// only where they are allowed.
func (a *app) alertTransport() *http.Transport {
	return fetch.NewTransport(fetch.TransportOptions{Private: a.cfg.AlertPrivate})
}

// alertClient follows no redirects.
func alertClient(t *http.Transport) *http.Client {
	return &http.Client{Transport: t, Timeout: 20 * time.Second, CheckRedirect: func(*http.Request, []*http.Request) error { return http.ErrUseLastResponse }}
}

// channels are the receivers of the settings.
func (a *app) channels() (out []alert.Channel) {
	t := a.alertTransport()
	c := alertClient(t)
	cfg := &a.cfg.Config
	if cfg.AlertWebhook != "" {
		out = append(out, &alert.Webhook{Client: c, URL: cfg.AlertWebhook, Secret: cfg.AlertSecret})
	}
	if cfg.AlertSlack != "" {
		out = append(out, &alert.Slack{Client: c, URL: cfg.AlertSlack})
	}
	if cfg.AlertDiscord != "" {
		out = append(out, &alert.Discord{Client: c, URL: cfg.AlertDiscord})
	}
	if cfg.AlertTelegram != "" {
		out = append(out, &alert.Telegram{Client: c, Token: cfg.AlertTelegram, Chat: cfg.AlertTelegramChat})
	}
	if cfg.Alertmanager != "" {
		out = append(out, &alert.Alertmanager{Client: c, URL: cfg.Alertmanager})
	}
	if cfg.AlertMailServer != "" {
		out = append(out, &alert.Email{
			Server: cfg.AlertMailServer, User: cfg.AlertMailUser, Password: cfg.AlertMailPassword, From: cfg.AlertMailFrom, To: cfg.AlertMailTo, Dial: t.DialContext,
		})
	}
	return out
}

// newAlerts makes the engine and its channels out of the settings.
func (a *app) newAlerts(s *storage.Store) *alert.Engine {
	return alert.New(alert.Options{
		Store: alertStore{s}, Rules: alertRules, Channels: a.channels(), Logger: a.logger(),
		Observe: func(x alert.Alert) {
			if server := a.server.Load(); server != nil {
				server.Publish(api.EventAlert, series.Key{}, x)
			}
		},
	})
}

// watcher looks at everything that may raise an alert.
type watcher struct {
	app     *app
	store   *storage.Store
	server  *api.Server
	healing *healing
	parts   *supervisor

	refused int64 // requests up to the last look

	mu    sync.Mutex
	audit []string // what the last proof of the journal found
}

// watch evaluates the rules until ctx ends.
func (w *watcher) watch(ctx context.Context, e *alert.Engine, pause time.Duration) error {
	return every(ctx, pause, func() error {
		cs, unseen := w.conditions(ctx)
		if ctx.Err() != nil {
			return ctx.Err()
		}
		return e.Evaluate(ctx, cs, unseen...)
	})
}

// conditions are what holds now. A part that cannot be looked at, because the
// store is damaged for instance, does not keep the others from being seen: its
// rules are unseen.
func (w *watcher) conditions(ctx context.Context) (out []alert.Condition, unseen []string) {
	add := func(rule, subject string, value, threshold float64, format string, args ...any) {
		out = append(out, alert.Condition{Rule: rule, Subject: subject, Value: value, Threshold: threshold, Detail: fmt.Sprintf(format, args...)})
	}
	if err := w.data(ctx, add); err != nil {
		unseen = append(unseen, "quality_low", "data_stale", "incident")
		add("component_failing", "look at the data", 1, 0, "%v", err)
	}
	if err := w.repairs(ctx, add); err != nil {
		unseen = append(unseen, "repair_refused")
		add("component_failing", "look at the repairs", 1, 0, "%v", err)
	}
	for _, x := range w.store.FoundNow() {
		add("store_damaged", x.Key.String(), 1, 0, "%s", x.String())
	}
	w.mu.Lock()
	problems := w.audit
	w.mu.Unlock()
	for _, p := range problems {
		add("audit_failed", "journal", 1, 0, "%s", p)
	}
	w.endpoints(add)
	for _, c := range w.parts.Components() {
		if c.State == "waiting" {
			add("component_failing", c.Name, float64(c.Failures), 0, "%s", c.Error)
		}
	}
	w.resources(add)
	return out, unseen
}

type adder func(rule, subject string, value, threshold float64, format string, args ...any)

func (w *watcher) data(ctx context.Context, add adder) error {
	d, err := w.server.DataHealth(ctx)
	if err != nil {
		return err
	}
	cfg := &w.app.cfg.Config
	bySource := map[string]*standing{}
	for _, s := range d.Series {
		name := s.String()
		if s.Score != nil && *s.Score < cfg.AlertScore {
			add("quality_low", name, *s.Score, cfg.AlertScore, "the score is %.4f, %d bars are missing", *s.Score, s.Missing)
		}
		if !w.live(s.Key, s.Freshness) {
			continue
		}
		stale := s.Behind > cfg.AlertBehind
		w.stand(bySource, s.Key, stale)
		if stale {
			add("data_stale", name, float64(s.Behind), float64(cfg.AlertBehind), "%d bars are due since the last one", s.Behind)
		}
	}
	for source, x := range bySource {
		if x.incident() {
			add("incident", source, float64(len(x.stale)), float64(x.live)/2, "%s", x)
		}
	}
	return nil
}

func (w *watcher) repairs(ctx context.Context, add adder) error {
	repairs, err := w.healing.Repairs(ctx)
	if err != nil {
		return err
	}
	for _, x := range repairs {
		if x.Status == heal.Refused && series.TimeOf(time.Now())-x.Asked < series.Day {
			add("repair_refused", x.Request.Symbol, 1, 0, "repair %s was not begun: %s", x.ID, x.Error)
		}
	}
	return nil
}

// standing is how the live series of one source do together.
type standing struct {
	live  int
	stale []string
}

// stand counts a live series under its first source.
func (w *watcher) stand(all map[string]*standing, key series.Key, stale bool) {
	m, _ := w.store.Symbol(key.Symbol)
	if len(m.Sources) == 0 {
		return
	}
	source, _, _ := strings.Cut(m.Sources[0], "=")
	x := all[source]
	if x == nil {
		x = &standing{}
		all[source] = x
	}
	x.live++
	if stale {
		x.stale = append(x.stale, key.String())
	}
}

// incident reports whether so many series wait for bars that the reason is not
// in each of them: three or more, and half of them or more.
func (x *standing) incident() bool { return len(x.stale) >= 3 && 2*len(x.stale) >= x.live }

func (x *standing) String() string {
	names, more := x.stale, ""
	if len(names) > 10 {
		names, more = names[:10], fmt.Sprintf(" and %d more", len(x.stale)-10)
	}
	return fmt.Sprintf("%d of %d series wait for bars at the same time: %s%s", len(x.stale), x.live, strings.Join(names, ", "), more)
}

// live reports whether new bars of a series are to be expected: it has sources,
// or had a bar within the last week.
func (w *watcher) live(key series.Key, freshness float64) bool {
	m, _ := w.store.Symbol(key.Symbol)
	return len(m.Sources) > 0 || freshness < 7*24*3600
}

func (w *watcher) endpoints(add adder) {
	if w.healing.pool == nil {
		return
	}
	list := endpointsAPI{w.healing.pool}.Health()
	down := 0
	for _, e := range list {
		switch {
		case e.PausedUntil != nil:
			down++
			add("endpoint_down", e.Name, 0, 100, "left alone until %v: %s", *e.PausedUntil, e.PausedWhy)
		case e.Breaker == "open":
			down++
			add("endpoint_down", e.Name, e.Availability, 100, "its breaker is open; %.0f%% of the last requests were answered", e.Availability)
		}
	}
	if down == len(list) && down > 0 {
		add("endpoints_down", "all", float64(down), 0, "none of %d endpoints can be asked: what is stored is served, holes stay open", down)
	}
}

func (w *watcher) resources(add adder) {
	h := w.store.Health()
	switch {
	case h.Space >= storage.SpaceReadOnly:
		add("disk_full", w.app.cfg.Data, float64(h.Free), 0, "%d bytes are free: writes are refused, reads go on", h.Free)
	case h.Space == storage.SpaceLow:
		add("disk_low", w.app.cfg.Data, float64(h.Free), 0, "%d bytes are free", h.Free)
	}
	if h.SlowSince > 0 {
		add("disk_slow", w.app.cfg.Data, h.SlowSince.Seconds(), 0, "the disk has not answered for %v", h.SlowSince.Round(time.Second))
	}
	if used, most := w.store.Stats().Engine.DiskBytes, w.app.cfg.DiskBudget; most > 0 && used > most {
		add("disk_budget", w.app.cfg.Data, float64(used), float64(most), "the store takes %d MiB", used>>20)
	}
	refused := w.server.Refused()
	if n := refused - w.refused; n > 0 {
		add("overloaded", "server", float64(n), 0, "%d requests were refused since the last look, because too many were under way", n)
	}
	w.refused = refused
	if used, most := memoryUsed(), w.app.cfg.AlertMemory; most > 0 && used > uint64(most) {
		add("memory_high", "process", float64(used), float64(most), "%d MiB are in use", used>>20)
	}
}

// audits proves the journal once a day.
func (w *watcher) audits(ctx context.Context) error {
	return every(ctx, 24*time.Hour, func() error {
		if _, err := w.store.AuditHead(ctx); err != nil {
			return err
		}
		rep, err := w.store.VerifyAudit(ctx, nil)
		if err != nil {
			return err
		}
		w.mu.Lock()
		w.audit = rep.Problems
		w.mu.Unlock()
		if len(rep.Problems) > 0 {
			w.app.logger().Error("the journal is not what was written", "problems", strings.Join(rep.Problems, "; "))
		}
		return nil
	})
}
