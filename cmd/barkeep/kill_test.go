package main

import (
	"bufio"
	"context"
	"fmt"
	"math/rand/v2"
	"os"
	"os/exec"
	"path/filepath"
	"testing"
	"time"

	"github.com/barkeepdb/barkeep/series"
	"github.com/barkeepdb/barkeep/storage"
)

// The test binary is the program when it is told so: tests end it with SIGKILL,
// which no test in one process can survive.
const runEnv = "RUN_AS_BARKEEP"

func init() {
	switch os.Getenv(runEnv) {
	case "1":
		os.Exit(Main())
	case "relaxed":
		os.Exit(relaxed(os.Args[1]))
	}
}

func program(ctx context.Context, args ...string) *exec.Cmd {
	c := exec.CommandContext(ctx, os.Args[0], args...)
	c.Env = append(os.Environ(), runEnv+"=1")
	return c
}

// kills is how often each kill test ends the program.
func kills() int {
	if testing.Short() {
		return 8
	}
	return 30
}

// soon is a channel that closes after a random part of at most a moment.
func soon(r *rand.Rand, moment time.Duration) <-chan time.Time {
	return time.After(time.Duration(r.Int64N(int64(moment))))
}

// TestKillImport kills an import again and again. After each kill the store
// verifies and holds nothing but right bars; in the end an import that is left
// alone completes the series.
func TestKillImport(t *testing.T) {
	dir := t.TempDir()
	file := filepath.Join(dir, "bars.csv")
	const rows = 1_500_000
	writeBars(t, file, rows)
	data := filepath.Join(dir, "data")
	args := []string{"import", file, "--symbol", "X", "--interval", "1m", "--data", data}
	r := rand.New(rand.NewPCG(1, 1))
	most := int64(0)
	killed := 0
	for range kills() {
		c := program(t.Context(), args...)
		if err := c.Start(); err != nil {
			t.Fatal(err)
		}
		<-soon(r, 400*time.Millisecond)
		if err := c.Process.Kill(); err != nil {
			t.Fatal(err)
		}
		if err := c.Wait(); err != nil {
			killed++
		}
		n := verifyBars(t, data)
		if n < most {
			t.Fatalf("%d bars after a kill, there were %d before", n, most)
		}
		most = n
	}
	if killed == 0 {
		t.Fatal("no import was killed before its end")
	}
	out, err := program(t.Context(), args...).CombinedOutput()
	if err != nil {
		t.Fatalf("%v\n%s", err, out)
	}
	if n := verifyBars(t, data); n != rows {
		t.Fatalf("%d bars after an import to the end, want %d", n, rows)
	}
	t.Logf("%d kills, %d of them before the end", kills(), killed)
}

// writeBars writes minutes whose values follow from their number.
func writeBars(t *testing.T, file string, rows int) {
	t.Helper()
	f, err := os.Create(file)
	if err != nil {
		t.Fatal(err)
	}
	w := bufio.NewWriter(f)
	fmt.Fprintln(w, "time,open,high,low,close,volume")
	for i := range rows {
		p := closeOf(i)
		fmt.Fprintf(w, "%d,%.2f,%.2f,%.2f,%.2f,%d\n", firstBar+int64(i)*60000, p, p+1, p-1, p, i%7)
	}
	if err := w.Flush(); err != nil {
		t.Fatal(err)
	}
	if err := f.Close(); err != nil {
		t.Fatal(err)
	}
}

const firstBar = int64(1600000020000)

func closeOf(i int) float64 { return float64(10000+i%5000) / 100 }

// verifyBars opens the store that a kill left, verifies it and compares every
// bar with what was written. It returns their number.
func verifyBars(t *testing.T, data string) int64 {
	t.Helper()
	if _, err := os.Stat(data); err != nil {
		return 0 // killed before it made the folder
	}
	s, err := storage.Open(data, storage.Options{})
	if err != nil {
		t.Fatal("open after a kill:", err)
	}
	defer s.Close()
	rep, err := s.Verify(t.Context(), storage.VerifyOptions{})
	if err != nil || !rep.OK() {
		t.Fatalf("verify after a kill: %+v, %v", rep, err)
	}
	key := series.Key{Symbol: "X", Interval: series.Interval1m}
	if _, err := s.Info(key); err != nil {
		return 0
	}
	for c, err := range s.Chunks(t.Context(), key, series.Span{}, storage.ReadOptions{}) {
		if err != nil {
			t.Fatal(err)
		}
		for i, at := range c.Time {
			n := int((int64(at) - firstBar) / 60000)
			if c.Close[i] != closeOf(n) || c.Volume[i] != float64(n%7) {
				t.Fatalf("bar %d is %+v", n, c.Bar(i))
			}
		}
	}
	return rep.Bars
}
