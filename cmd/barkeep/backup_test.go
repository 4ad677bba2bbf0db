package main

import (
	"bytes"
	"context"
	"encoding/json"
	"errors"
	"fmt"
	"io"
	"log/slog"
	"net/http"
	"os"
	"path/filepath"
	"runtime"
	"slices"
	"strings"
	"testing"
	"time"

	"github.com/barkeepdb/barkeep/api"
	"github.com/barkeepdb/barkeep/storage"
)

// TestBackupOverHTTP: a server that is written to makes a backup, which a
// relative path of the client names, and which restores to the sums that the
// server told.
func TestBackupOverHTTP(t *testing.T) {
	dir := t.TempDir()
	data := filepath.Join(dir, "data")
	t.Chdir(dir)
	s := startServer(t, data, time.Minute)
	over := []string{"--url", s.url, "--data", data}
	if code, _, errs := run(t, rows, append([]string{"import", "-", "--symbol", "BTC", "--interval", "1m"}, over...)...); code != 0 {
		t.Fatal(errs)
	}
	code, out, errs := run(t, "", append([]string{"backup", "bk", "--output", "json"}, over...)...)
	var b api.Backup
	if err := json.Unmarshal([]byte(out), &b); code != 0 || err != nil {
		t.Fatal(code, err, out, errs)
	}
	if b.Dir != filepath.Join(dir, "bk") || b.Bars != 3 || b.Root != ledger(t, s.url) {
		t.Errorf("%s, the server has %v", out, ledger(t, s.url))
	}
	if code, _, errs := run(t, "", append([]string{"backup", "bk"}, over...)...); code != 1 || !strings.Contains(errs, "exists already") {
		t.Errorf("over a backup: %d %s", code, errs)
	}
	if code, _, errs := run(t, "", "backup", "bk2", "--url", s.url, "--data", dir); code != 1 || !strings.Contains(errs, "BARKEEP_TOKEN") {
		t.Errorf("without the token: %d %s", code, errs)
	}
	if code, _, errs := run(t, "", "restore", "bk", "--replace", "--data", data); code != 1 || !strings.Contains(errs, "in use by barkeep serve") || strings.Contains(errs, "--url") {
		t.Errorf("restore over a store in use: %d %s", code, errs)
	}
	if code, out, errs := run(t, "", "restore", "bk", "--data", "other"); code != 0 {
		t.Fatal(code, out, errs)
	}
	if info, err := os.Stat(filepath.Join("other", tokenFile)); !errors.Is(err, os.ErrNotExist) {
		t.Errorf("a token came with the backup: %v %v", info, err)
	}
	s.stop()
	<-s.done
	if code, out, errs := run(t, "", "restore", "bk", "--replace", "--data", data); code != 0 {
		t.Fatal(code, out, errs)
	}
	info, err := os.Stat(filepath.Join(data, tokenFile))
	if err != nil || info.Mode().Perm() != 0o600 {
		t.Errorf("the token: %v %v", info, err)
	}
	again := startServer(t, data, time.Minute)
	if now := ledger(t, again.url); now != b.Root {
		t.Errorf("restored %v, saved %v", now, b.Root)
	}
}

func ledger(t *testing.T, url string) (out api.Ledger) {
	t.Helper()
	resp, err := http.Get(url + "/v1/ledger")
	if err != nil {
		t.Fatal(err)
	}
	defer resp.Body.Close()
	if err := json.NewDecoder(resp.Body).Decode(&out); err != nil {
		t.Fatal(err)
	}
	return out
}

// TestSchedule: the newest backups of this store are kept; what others put
// into the folder stays, and so does what cannot be read.
func TestSchedule(t *testing.T) {
	dir := t.TempDir()
	open := func(name string) *storage.Store {
		s, err := storage.Open(filepath.Join(dir, name), storage.Options{Scrub: -1})
		if err != nil {
			t.Fatal(err)
		}
		t.Cleanup(func() {
			if err := s.Close(); err != nil {
				t.Error(err)
			}
		})
		return s
	}
	s, other := open("data"), open("other")
	plan := &schedule{store: s, dir: filepath.Join(dir, "backups"), every: time.Hour, keep: 2, log: slog.New(slog.DiscardHandler)}
	if mine, err := plan.mine(); err != nil || len(mine) != 0 {
		t.Fatal(mine, err)
	}
	begin := time.Date(2024, 1, 1, 0, 0, 0, 0, time.UTC)
	stays := []string{"20230101T000000Z", "20230102T000000Z", "by-hand", "notes"}
	strange := *plan
	strange.store = other
	for i, make := range []func() error{
		func() error { return strange.make(t.Context(), begin.AddDate(-1, 0, 0)) },
		func() error { return os.Mkdir(filepath.Join(plan.dir, stays[1]), 0o700) },
		func() error {
			_, err := s.Backup(t.Context(), filepath.Join(plan.dir, stays[2]), storage.BackupOptions{})
			return err
		},
		func() error { return os.WriteFile(filepath.Join(plan.dir, stays[3]), nil, 0o600) },
	} {
		if err := make(); err != nil {
			t.Fatal(i, err)
		}
	}
	for i := range 4 {
		if err := plan.make(t.Context(), begin.Add(time.Duration(i)*time.Hour)); err != nil {
			t.Fatal(err)
		}
	}
	if err := plan.make(t.Context(), begin.Add(3*time.Hour)); err == nil {
		t.Error("two backups have one name")
	}
	var names []string
	entries, err := os.ReadDir(plan.dir)
	if err != nil {
		t.Fatal(err)
	}
	for _, e := range entries {
		names = append(names, e.Name())
	}
	want := append([]string{"20240101T020000Z", "20240101T030000Z"}, stays...)
	slices.Sort(want)
	if !slices.Equal(names, want) {
		t.Errorf("%v is there, want %v", names, want)
	}
}

// TestScheduleRuns: a backup that is due is made at the start; the end of the
// context ends the waiting for the next.
func TestScheduleRuns(t *testing.T) {
	dir := t.TempDir()
	s, err := storage.Open(filepath.Join(dir, "data"), storage.Options{Scrub: -1})
	if err != nil {
		t.Fatal(err)
	}
	defer s.Close()
	ctx, cancel := context.WithCancel(t.Context())
	made := make(chan struct{})
	log := slog.New(slog.NewTextHandler(watched{"backup made", func() { close(made) }}, nil))
	plan := &schedule{store: s, dir: filepath.Join(dir, "backups"), every: time.Hour, keep: 1, log: log}
	done := make(chan struct{})
	go func() {
		defer close(done)
		plan.run(ctx)
	}()
	<-made
	cancel()
	<-done
	if mine, err := plan.mine(); err != nil || len(mine) != 1 {
		t.Error(mine, err)
	}
}

// watched calls a function when a line holds a text.
type watched struct {
	text string
	call func()
}

func (w watched) Write(p []byte) (int, error) {
	if bytes.Contains(p, []byte(w.text)) {
		w.call()
	}
	return len(p), nil
}

// TestFatal: the reason is the last thing that is said, whoever speaks.
func TestFatal(t *testing.T) {
	var out bytes.Buffer
	a := &app{stderr: newWords(&out)}
	ended := make(chan int)
	a.exit = func(code int) {
		ended <- code
		runtime.Goexit()
	}
	a.note("before\n")
	go a.fatal(errors.New("the disk is gone"))
	if code := <-ended; code != 70 {
		t.Errorf("exit code %d", code)
	}
	go a.note("after\n") // waits for ever
	runtime.Gosched()
	want := "before\nbarkeep: the store cannot go on: the disk is gone\nbarkeep: nothing that was acknowledged is lost: mend the cause and start again\n"
	if out.String() != want {
		t.Errorf("%q, want %q", out.String(), want)
	}
}

// TestPlainErrors: no stack of the engine gets into the log.
func TestPlainErrors(t *testing.T) {
	var out bytes.Buffer
	a := &app{stderr: &out, cfg: &loaded{}}
	a.logger().Error("it failed", "err", verbose{io.ErrUnexpectedEOF})
	if !strings.Contains(out.String(), "err=\"unexpected EOF\"") {
		t.Error(out.String())
	}
}

// verbose is an error that says more under %+v.
type verbose struct{ error }

func (v verbose) Format(f fmt.State, verb rune) { _, _ = io.WriteString(f, v.Error()+" and its stack") }
