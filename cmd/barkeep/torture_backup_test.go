package main

import (
	"bytes"
	"context"
	"encoding/json"
	"fmt"
	"os"
	"path/filepath"
	"sync"
	"testing"
	"time"

	"github.com/barkeepdb/barkeep/api"
)

// backUp copies the store of a running server into dir, which must not exist,
// and returns the sum of what it holds.
func backUp(t *testing.T, v *victim, data, dir string) (api.Ledger, error) {
	t.Helper()
	var b api.Backup
	out, err := tool(t, "backup", dir, "--url", v.url, "--data", data, "--output", "json")
	if err == nil {
		err = json.Unmarshal(out, &b)
	}
	return b.Root, err
}

// restore makes a store in data out of a backup.
func restore(t *testing.T, dir, data string) error {
	t.Helper()
	_, err := tool(t, "restore", dir, "--data", data)
	return err
}

// tool runs the program to its end.
func tool(t *testing.T, args ...string) ([]byte, error) {
	t.Helper()
	ctx, cancel := context.WithTimeout(t.Context(), time.Minute)
	defer cancel()
	c := program(ctx, args...)
	var out, errs bytes.Buffer
	c.Stdout, c.Stderr = &out, &errs
	err := c.Run()
	if err != nil {
		err = fmt.Errorf("barkeep %v: %w: %s", args, err, errs.String())
	}
	return out.Bytes(), err
}

// TestTortureBackup backs up a server that is written to, and restores what it
// got: it is the state of one moment, holds all that was acknowledged before
// the backup began, and has the sequence and root that the backup names.
func TestTortureBackup(t *testing.T) {
	count := cycles(20, 200)
	dir := t.TempDir()
	data := filepath.Join(dir, "data")
	ws := writersOf(7, 50_000)
	v := mustLaunch(t, data, nil)
	defer v.kill()
	begin := time.Now()
	var bad faults
	var took, back times
	lost := 0
	ctx, cancel := context.WithCancel(t.Context())
	defer cancel()
	var done sync.WaitGroup
	for _, w := range ws {
		done.Go(func() {
			w.run(ctx, &v.peer, time.Millisecond, func(a answer) bool {
				if ctx.Err() == nil && !a.acknowledged() {
					bad.add("a write during a backup was refused", "%v", a)
				}
				return !bad.any()
			})
		})
	}
	for i := range count {
		if i%4 == 0 {
			ws[i%len(ws)].wantBig()
		}
		then := make([]*writer, len(ws))
		for j, w := range ws {
			then[j] = w.copy()
		}
		backup, restored := filepath.Join(dir, fmt.Sprint("backup", i)), filepath.Join(dir, fmt.Sprint("restored", i))
		start := time.Now()
		m, err := backUp(t, v, data, backup)
		took.add(time.Since(start))
		for j, w := range ws {
			then[j].open = w.copy().open // what may be there beyond what must
		}
		if err == nil {
			start = time.Now()
			err = restore(t, backup, restored)
			back.add(time.Since(start))
		}
		if err != nil {
			bad.add("a backup or its restore failed", "%v", err)
			break
		}
		if rep := verified(t, restored); m.Root == "" || rep.Root != m.Root || rep.Seq != m.Seq {
			bad.add("the restored store is not what the backup named", "root %q and sequence %d, not %q and %d", rep.Root, rep.Seq, m.Root, m.Seq)
		}
		what := changes
		if i%10 == 9 || i == count-1 {
			what = everything
		}
		again := mustLaunch(t, restored, nil)
		lost += checkAll(t.Context(), &bad, then, &again.peer, what)
		again.kill()
		for _, w := range ws {
			w.forget()
		}
		for _, d := range []string{backup, restored} {
			if err := os.RemoveAll(d); err != nil {
				t.Fatal(err)
			}
		}
	}
	cancel()
	done.Wait()
	bad.report(t)
	t.Logf("%d backups, %d bars acknowledged, %d lost, %s (%v a cycle); backup %v; restore %v",
		count, acknowledged(ws), lost, seconds(begin), (time.Since(begin) / time.Duration(count)).Round(time.Millisecond), &took, &back)
}
