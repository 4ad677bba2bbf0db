package main

import (
	"cmp"
	"context"
	"encoding/json"
	"fmt"
	"io"
	"maps"
	"net/http"
	"os"
	"path/filepath"
	"runtime"
	"slices"
	"strings"
	"time"

	"github.com/spf13/cobra"

	"github.com/barkeepdb/barkeep/api"
	"github.com/barkeepdb/barkeep/storage"
)

// diagnosis is one line of doctor.
type diagnosis struct {
	What   string `json:"what"`
	Status string `json:"status"` // ok, warning, problem
	Detail string `json:"detail"`
	Remedy string `json:"remedy"`
}

func (a *app) doctorCommand() *cobra.Command {
	var offline bool
	c := &cobra.Command{
		Use:   "doctor",
		Short: "Look at store, disk, clock, sources and settings, and say what to do",
		Long: "Look at store, disk, clock, sources and settings: one line each, with the remedy. With\n" +
			"--url a server says how it does. The exit code is 1 if there is a problem.",
		Args: cobra.NoArgs,
		RunE: func(c *cobra.Command, _ []string) error {
			list := a.examine(c.Context(), offline)
			if a.cfg.Output == "json" {
				if err := a.printJSON(map[string]any{"checks": list}); err != nil {
					return err
				}
			} else {
				t := newTable(a, "what", "status", "detail", "remedy")
				for _, d := range list {
					t.row(d.What, d.Status, d.Detail, d.Remedy)
				}
				if err := t.flush(); err != nil {
					return err
				}
			}
			for _, d := range list {
				if d.Status == "problem" {
					return fmt.Errorf("%s: %s", d.What, d.Detail)
				}
			}
			return nil
		},
	}
	c.Flags().BoolVar(&offline, "offline", false, "ask no endpoints")
	return c
}

func (a *app) examine(ctx context.Context, offline bool) []diagnosis {
	var out []diagnosis
	add := func(what, status, detail, remedy string) { out = append(out, diagnosis{what, status, detail, remedy}) }
	add("program", "ok", fmt.Sprintf("barkeep %s, %s, %d cores", buildVersion(), runtime.Version(), runtime.GOMAXPROCS(0)), "")
	if a.cfg.file == "" {
		add("settings", "ok", "no file, defaults and environment", "")
	} else {
		add("settings", "ok", a.cfg.file+" is valid", "")
		if st, err := os.Stat(a.cfg.file); err == nil && st.Mode().Perm()&0o077 != 0 && a.hasSecrets() {
			add("settings", "warning", a.cfg.file+" holds secrets and can be read by others", "chmod 600 "+a.cfg.file+", or keep secrets in the environment")
		}
	}
	if a.cfg.URL != "" {
		a.examineServer(ctx, add)
		return out
	}
	a.examineStore(add)
	if st, err := os.Stat(filepath.Join(a.cfg.Data, tokenFile)); err == nil && st.Mode().Perm()&0o077 != 0 {
		add("token", "problem", "the token file can be read by others", "chmod 600 "+filepath.Join(a.cfg.Data, tokenFile))
	}
	if offline {
		return out
	}
	a.examineEndpoints(ctx, add)
	return out
}

// examineServer asks a server how it does. It looks at its store, its disk and
// its endpoints itself.
func (a *app) examineServer(ctx context.Context, add func(what, status, detail, remedy string)) {
	req, err := http.NewRequestWithContext(ctx, http.MethodGet, a.cfg.URL+"/health", nil)
	if err != nil {
		add("server", "problem", err.Error(), "")
		return
	}
	resp, err := http.DefaultClient.Do(req)
	if err != nil {
		add("server", "problem", err.Error(), "start one with barkeep serve, or name its address with --url")
		return
	}
	defer resp.Body.Close() // it was only read; 503 says what is unhealthy, too
	body := io.LimitReader(resp.Body, 1<<20)
	var h struct {
		Status  string
		Version string
		Checks  map[string]struct{ Status, Detail string }
	}
	if err := json.NewDecoder(body).Decode(&h); err != nil {
		add("server", "problem", a.cfg.URL+" answers what is no health: "+err.Error(), "see that --url names a server of Barkeep")
		return
	}
	words := map[string]string{"healthy": "ok", "degraded": "warning", "unhealthy": "problem"}
	add("server", "ok", "barkeep "+h.Version+" answers at "+a.cfg.URL, "")
	for _, name := range slices.Sorted(maps.Keys(h.Checks)) {
		x := h.Checks[name]
		add(name, cmp.Or(words[x.Status], "problem"), x.Detail, "")
	}
}

func (a *app) hasSecrets() bool {
	for _, s := range settings {
		if s.secret && a.cfg.from[s.key] == fromFile && a.cfg.values[s.key] != "" {
			return true
		}
	}
	return false
}

// examineStore opens the store for reading; where a server has it open, that
// server is asked by its owner with --url.
func (a *app) examineStore(add func(what, status, detail, remedy string)) {
	if !storeExists(a.cfg.Data) {
		add("store", "warning", "there is no store in "+a.cfg.Data, "import a file, or name the directory with --data")
		return
	}
	s, err := a.open(true, "barkeep doctor")
	if err != nil {
		status, remedy := "problem", "barkeep verify says more"
		if strings.Contains(err.Error(), "open") {
			status, remedy = "warning", "a process has it open: GET /health of the server says how it does"
		}
		add("store", status, err.Error(), remedy)
		return
	}
	defer func() { _ = s.Close() }() // it was only read
	infos, err := s.Series()
	if err != nil {
		add("store", "problem", err.Error(), "barkeep verify says more")
		return
	}
	var bars int64
	for _, i := range infos {
		bars += i.Bars
	}
	add("store", "ok", fmt.Sprintf("%d series, %d bars, commit %d", len(infos), bars, s.Stats().Root.Seq), "")
	if found := s.FoundNow(); len(found) > 0 {
		add("damage", "problem", fmt.Sprintf("%d found while opening, first: %v", len(found), found[0]), "start the server, which keeps a record of it, and repair the named series")
	}
	h := s.Health()
	switch {
	case h.Space >= storage.SpaceReadOnly:
		add("disk", "problem", fmt.Sprintf("%d MiB free: writes are refused", h.Free>>20), "free some space")
	case h.Space == storage.SpaceLow:
		add("disk", "warning", fmt.Sprintf("%d MiB free", h.Free>>20), "free some space before writes are refused")
	case h.Total > 0:
		add("disk", "ok", fmt.Sprintf("%d of %d MiB free", h.Free>>20, h.Total>>20), "")
	}
	// A clock that was set back gives new changes older times than old ones.
	if at := s.Stats().Root.At.Std(); time.Until(at) > time.Minute {
		add("clock", "problem", fmt.Sprintf("the last commit is of %s, and now is %s", at.Format(time.RFC3339), time.Now().UTC().Format(time.RFC3339)), "set the clock of this machine")
	}
}

func (a *app) examineEndpoints(ctx context.Context, add func(what, status, detail, remedy string)) {
	p, err := a.openPool("")
	if err != nil {
		add("endpoints", "problem", err.Error(), "barkeep config check names the keys")
		return
	}
	h := &healing{pool: p}
	defer func() { _ = h.close() }() // nothing is under way
	list, err := testEndpoints(ctx, p, nil)
	if err != nil {
		add("endpoints", "problem", err.Error(), "")
		return
	}
	up := 0
	var down []api.EndpointResult
	for _, r := range list {
		if r.OK {
			up++
		} else {
			down = append(down, r)
		}
	}
	switch {
	case len(list) == 0:
		add("endpoints", "warning", "none are configured", "add them under endpoints: holes stay open without")
	case up == 0:
		add("endpoints", "problem", fmt.Sprintf("none of %d answers, first: %s: %s", len(list), down[0].Name, down[0].Error), "is this machine connected? barkeep endpoints test lists all")
	case len(down) > 0:
		add("endpoints", "warning", fmt.Sprintf("%d of %d answer; %s: %s", up, len(list), down[0].Name, down[0].Error), "barkeep endpoints test lists all")
	default:
		add("endpoints", "ok", fmt.Sprintf("all %d answer", up), "")
	}
	for _, e := range p.Endpoints() {
		if skew := e.ClockSkew; skew > 5*time.Second || skew < -5*time.Second {
			add("clock", "problem", fmt.Sprintf("%v away from that of %s", skew.Round(time.Second), e.Name), "set the clock of this machine: bars would count as ended too early or too late")
			return
		}
	}
}
