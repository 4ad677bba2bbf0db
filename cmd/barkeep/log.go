package main

import (
	"errors"
	"fmt"
	"io"
	"log/slog"
	"os"
	"path/filepath"

	"github.com/DeRuina/timberjack"
)

// logger writes what log.level lets through to standard error, and to the log
// file while there is one.
func (a *app) logger() *slog.Logger {
	out := a.stderr
	if a.logFile != nil {
		out = bothOf{a.stderr, a.logFile}
	}
	o := &slog.HandlerOptions{Level: &a.level, ReplaceAttr: plainError}
	if a.cfg.LogFormat == "json" {
		return slog.New(slog.NewJSONHandler(out, o))
	}
	return slog.New(slog.NewTextHandler(out, o))
}

// openLog opens the log file, if one is asked for. Loggers that were made
// before do not know it.
func (a *app) openLog() (end func() error, err error) {
	name := a.cfg.LogFile
	if name == "" {
		return func() error { return nil }, nil
	}
	// What goes wrong later is not told to anybody; a wrong name should be.
	if err := os.MkdirAll(filepath.Dir(name), 0o750); err != nil {
		return nil, fmt.Errorf("log.file: %w", err)
	}
	f, err := os.OpenFile(name, os.O_WRONLY|os.O_CREATE|os.O_APPEND, 0o600)
	if err != nil {
		return nil, fmt.Errorf("log.file: %w", err)
	}
	if err := f.Close(); err != nil {
		return nil, fmt.Errorf("log.file: %w", err)
	}
	const mib = 1 << 20
	file := &timberjack.Logger{
		Filename: name, MaxSize: int((a.cfg.LogSize + mib - 1) / mib), MaxBackups: a.cfg.LogKeep,
		Compression: "gzip", FileMode: 0o600,
	}
	a.logFile = file
	return func() error {
		a.logFile = nil
		return file.Close()
	}, nil
}

// bothOf writes to two writers. A full disk under the one does not keep
// anything from the other.
type bothOf struct{ a, b io.Writer }

func (w bothOf) Write(p []byte) (int, error) {
	_, aerr := w.a.Write(p)
	_, berr := w.b.Write(p)
	return len(p), errors.Join(aerr, berr)
}

// plainError writes an error as its message: the text handler prints it with
// %+v, which is pages of stack for those of the engine.
func plainError(_ []string, at slog.Attr) slog.Attr {
	if err, ok := at.Value.Any().(error); ok {
		at.Value = slog.StringValue(err.Error())
	}
	return at
}
