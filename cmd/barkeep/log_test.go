package main

import (
	"compress/gzip"
	"io"
	"log/slog"
	"os"
	"path/filepath"
	"strings"
	"testing"
	"time"
)

// TestLogFile writes more than one file holds: all of it is there, in the file
// and in those before it, and on standard error.
func TestLogFile(t *testing.T) {
	name := filepath.Join(t.TempDir(), "logs", "barkeep.log")
	var stderr strings.Builder
	a := &app{stderr: &stderr, cfg: &loaded{Config: Config{LogFile: name, LogSize: 1, LogKeep: 9}}}
	end, err := a.openLog()
	if err != nil {
		t.Fatal(err)
	}
	line := strings.Repeat("x", 10_000)
	const lines = 250 // more than 2 MiB
	for i := range lines {
		a.logger().Info("long", "n", i, "line", line)
	}
	if err := end(); err != nil {
		t.Fatal(err)
	}
	count := func() (n, files int) {
		list, err := filepath.Glob(filepath.Join(filepath.Dir(name), "*"))
		if err != nil {
			t.Fatal(err)
		}
		for _, f := range list {
			r, err := os.Open(f)
			if err != nil {
				continue // it was just compressed
			}
			var in io.Reader = r
			if strings.HasSuffix(f, ".gz") {
				if in, err = gzip.NewReader(r); err != nil {
					t.Fatal(err)
				}
			}
			text, err := io.ReadAll(in)
			if err != nil {
				t.Fatal(err)
			}
			_ = r.Close()
			n += strings.Count(string(text), line)
			files++
		}
		return n, files
	}
	// Old files are compressed in the background.
	var got, files int
	for range 500 {
		if got, files = count(); got == lines && files == 3 {
			break
		}
		<-time.After(10 * time.Millisecond)
	}
	if got != lines || files != 3 {
		t.Errorf("%d lines in %d files, want %d in 3", got, files, lines)
	}
	if n := strings.Count(stderr.String(), line); n != lines {
		t.Errorf("%d lines on standard error, want %d", n, lines)
	}
	if st, err := os.Stat(name); err != nil || st.Mode().Perm() != 0o600 {
		t.Errorf("others can read the log: %v, %v", st.Mode(), err)
	}
}

// TestLogFileThatCannotBe names a directory: the start fails and says why.
func TestLogFileThatCannotBe(t *testing.T) {
	a := &app{stderr: io.Discard, cfg: &loaded{Config: Config{LogFile: t.TempDir(), LogSize: 1, LogKeep: 1}}}
	if _, err := a.openLog(); err == nil || !strings.HasPrefix(err.Error(), "log.file: ") {
		t.Errorf("a directory as log file: %v", err)
	}
	a.cfg.LogFile = ""
	end, err := a.openLog()
	if err != nil || a.logFile != nil {
		t.Fatal(err, a.logFile)
	}
	a.logger().Log(t.Context(), slog.LevelInfo, "to standard error only")
	if err := end(); err != nil {
		t.Fatal(err)
	}
}
