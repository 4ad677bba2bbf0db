package main

import (
	"context"
	"crypto/tls"
	"errors"
	"fmt"
	"log/slog"
	"net"
	"net/http"
	"os"
	"os/signal"
	"path/filepath"
	"slices"
	"sync"
	"syscall"
	"time"

	"github.com/spf13/cobra"

	"github.com/barkeepdb/barkeep/api"
	"github.com/barkeepdb/barkeep/api/alert"
	"github.com/barkeepdb/barkeep/heal"
	"github.com/barkeepdb/barkeep/series"
	"github.com/barkeepdb/barkeep/storage"
)

func (a *app) serveCommand() *cobra.Command {
	c := &cobra.Command{
		Use:   "serve",
		Short: "Serve the store over HTTP",
		Args:  cobra.NoArgs,
		RunE: func(c *cobra.Command, _ []string) (err error) {
			if a.cfg.URL != "" {
				return usagef("serve opens a store: leave --url out")
			}
			end, err := a.openLog()
			if err != nil {
				return err
			}
			defer func() { err = errors.Join(err, end()) }()
			s, err := a.open(false, "barkeep serve on "+a.cfg.Listen)
			if err != nil {
				return err
			}
			defer func() { err = errors.Join(err, s.Close()) }()
			a.sayFound(s, "GET /v1/damages lists them; barkeep verify reads all of the store")
			return a.serve(c.Context(), s, a.cfg.Data)
		},
	}
	c.Flags().String("listen", "127.0.0.1:8080", "address of the HTTP API (BARKEEP_SERVER_LISTEN)")
	return c
}

// serve answers over HTTP until ctx ends, then lets the requests under way
// finish. dir is where the token lives.
func (a *app) serve(ctx context.Context, s *storage.Store, dir string) error {
	token, made, err := adminToken(dir)
	if err != nil {
		return err
	}
	l, err := (&net.ListenConfig{}).Listen(ctx, "tcp", a.cfg.Listen)
	if err != nil {
		return fmt.Errorf("%w: give another address with --listen", err)
	}
	// The address that was bound counts, not the name that was given.
	tcp, ok := l.Addr().(*net.TCPAddr)
	shared := !ok || !tcp.IP.IsLoopback()
	scheme := "http"
	switch {
	case a.cfg.TLSCert != "":
		certs, err := newCertificates(a.cfg.TLSCert, a.cfg.TLSKey)
		if err != nil {
			return errors.Join(err, l.Close())
		}
		scheme, l = "https", tls.NewListener(l, certs.config())
	case shared && !a.cfg.Insecure:
		return errors.Join(fmt.Errorf("%s can be reached from other machines, and there is no server.tls_cert", l.Addr()), l.Close())
	}
	hosts := a.cfg.Hosts
	if shared && ok && !tcp.IP.IsUnspecified() {
		hosts = append(slices.Clone(hosts), tcp.IP.String())
	}
	logger := a.logger()
	live, err := newLiveConfig(ctx, a, s)
	if err != nil {
		return errors.Join(err, l.Close())
	}
	ending, end := context.WithCancel(ctx)
	defer end()
	h := a.healing // a demo brings its own
	if h == nil {
		pool, err := a.openPool(a.bansFile())
		if err != nil {
			return errors.Join(err, l.Close())
		}
		if h, err = a.newHealing(s, pool); err != nil {
			return errors.Join(err, l.Close())
		}
		defer func() { _ = h.close() }() // what is under way is not waited for
	}
	watched, err := a.newFolders(s, h.Healer)
	if err != nil {
		return errors.Join(err, l.Close())
	}
	parts := newSupervisor(ending, logger)
	alerts := a.newAlerts(s)
	handler := api.New(api.Options{
		Store: s, Token: token, CloseReads: !a.cfg.OpenReads, Hosts: hosts, Shared: shared, Allow: a.cfg.Allow, Rate: a.cfg.Rate, MaxBody: a.cfg.MaxBody, MaxRunning: a.cfg.Running, Plain: !a.cfg.Compress,
		Version: buildVersion(), Logger: logger, Healer: h.Healer, Endpoints: endpointsAPI{h.pool}, Components: parts,
		Config: live, Ending: ending.Done(), Alerts: alerts,
	})
	a.server.Store(handler)
	live.apply = func() error { return h.SetPolicy(live.app.cfg.Healing) }
	if err := a.startBackups(parts, s, logger); err != nil {
		return errors.Join(err, l.Close())
	}
	parts.start("healer", func(ctx context.Context) error {
		return h.heals(ctx, live.auto.Load)
	})
	if watched != nil {
		parts.start("folders", func(ctx context.Context) error { return watched.run(ctx, live.auto.Load) })
	}
	if a.cfg.Radar && h.pool != nil {
		parts.start("radar", h.revisions)
	}
	if a.cfg.ReportEvery > 0 {
		parts.start("report", func(ctx context.Context) error { return writeReports(ctx, handler, dir, a.cfg.ReportEvery) })
	}
	if len(a.cfg.Keep) > 0 {
		keeper := &retention{store: s, keep: a.cfg.Keep, now: func() series.Time { return series.TimeOf(time.Now()) }, log: logger}
		parts.start("retention", keeper.run)
	}
	parts.start("history", func(ctx context.Context) error { return keepMetrics(ctx, handler) })
	defer parts.end()
	defer end()
	w := &watcher{app: a, store: s, server: handler, healing: h, parts: parts}
	parts.start("alerter", func(ctx context.Context) error { return w.watch(ctx, alerts, a.cfg.AlertEvery) })
	parts.start("notices", alerts.Run)
	parts.start("auditor", w.audits)
	if a.cfg.Heartbeat != "" {
		parts.start("heartbeat", func(ctx context.Context) error {
			return alert.Heartbeat(ctx, alertClient(a.alertTransport()), a.cfg.Heartbeat, time.Minute, func(err error) { logger.Warn("the dead man's switch was not reached", "error", err) })
		})
	}
	if a.cfg.DebugListen != "" {
		parts.start("profiles", func(ctx context.Context) error { return a.serveProfiles(ctx, a.cfg.DebugListen, token) })
	}
	parts.start("reload", func(ctx context.Context) error { return a.reloads(ctx, live) })
	answering := &counted{Handler: handler}
	// The caller closes the store next, and nobody may read from it then.
	defer answering.underWay.Wait()
	srv := &http.Server{
		Handler: answering,
		// A body that is long and lively may take longer: api moves the
		// deadlines along with the bytes.
		ReadHeaderTimeout: 5 * time.Second,
		ReadTimeout:       30 * time.Second,
		WriteTimeout:      60 * time.Second,
		IdleTimeout:       60 * time.Second,
		MaxHeaderBytes:    32 << 10,
		ErrorLog:          slog.NewLogLogger(logger.Handler(), slog.LevelWarn),
	}
	if made {
		a.printf("wrote a new admin token to %s: writes need it\n", filepath.Join(dir, tokenFile))
	}
	if shared && scheme == "http" {
		logger.Warn("tokens and bars travel in the clear: set server.tls_cert and server.tls_key", "listen", l.Addr().String())
	}
	a.printf("serving %s on %s://%s\n", dir, scheme, l.Addr())

	done := make(chan error, 1)
	go func() { done <- srv.Serve(l) }()
	select {
	case err := <-done:
		return err
	case <-ctx.Done():
	}
	a.printf("stopping\n")
	end() // streams of events do not end by themselves
	// ctx is over; what is under way gets its own time to finish.
	grace, cancel := context.WithTimeout(context.WithoutCancel(ctx), a.grace)
	defer cancel()
	if err := srv.Shutdown(grace); err != nil {
		_ = srv.Close() // cuts what did not finish in time
	}
	if err := <-done; !errors.Is(err, http.ErrServerClosed) {
		return err
	}
	return nil
}

// gapEvent says that what is absent of a series, or why, has changed.
type gapEvent struct {
	series.Key
	Repair  string           `json:"repair_id"`
	Written int64            `json:"bars_written"`
	States  map[string]int64 `json:"states"`
}

// announce hands what the healer does to those who listen to a server.
func (a *app) announce(x heal.Repair) {
	server := a.server.Load()
	if server == nil {
		return
	}
	key := series.Key{Symbol: x.Request.Symbol, Interval: x.Request.Interval}
	short := x
	short.Outcomes, short.Plan = nil, nil
	server.Publish(api.EventRepair, key, short)
	if !x.Status.Ended() {
		return
	}
	// A repair may be of many series; each has an event of its own.
	told := map[series.Key]*gapEvent{}
	if key.Interval != 0 && x.Filled > 0 {
		told[key] = &gapEvent{Key: key, Repair: x.ID, States: map[string]int64{"synthetic": x.Filled}}
	}
	for _, o := range x.Outcomes {
		e := told[o.Key]
		if e == nil {
			e = &gapEvent{Key: o.Key, Repair: x.ID, States: map[string]int64{}}
			told[o.Key] = e
		}
		e.Written += o.Written
		for state, n := range o.States {
			e.States[state] += n
		}
	}
	for key, e := range told {
		if e.Written > 0 || len(e.States) > 0 {
			server.Publish(api.EventGap, key, e)
		}
	}
}

// reloads reads the configuration again at each SIGHUP.
func (a *app) reloads(ctx context.Context, live *liveConfig) error {
	hup := make(chan os.Signal, 1)
	signal.Notify(hup, syscall.SIGHUP)
	defer signal.Stop(hup)
	for {
		select {
		case <-ctx.Done():
			return ctx.Err()
		case <-hup:
			if err := live.Reload(a.cfg.file, os.Environ()); err != nil {
				a.logger().Error("the configuration was not reloaded", "error", err)
				continue
			}
			a.logger().Info("the configuration was reloaded")
		}
	}
}

// sayFound says on one line what opening the store found, if anything.
func (a *app) sayFound(s *storage.Store, more string) {
	found := s.FoundNow()
	if len(found) == 0 {
		return
	}
	others := ""
	if n := len(found) - 1; n > 0 {
		others = fmt.Sprintf(" (and %d more)", n)
	}
	a.note("barkeep: opening the store found damage: %v%s: %s\n", found[0], others, more)
}

// counted counts the requests under way: those that Shutdown gave up on have
// lost their connection, but still read from the store until they notice.
type counted struct {
	http.Handler
	underWay sync.WaitGroup
}

func (h *counted) ServeHTTP(w http.ResponseWriter, r *http.Request) {
	h.underWay.Add(1)
	defer h.underWay.Done()
	h.Handler.ServeHTTP(w, r)
}
