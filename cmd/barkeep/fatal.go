package main

import (
	"fmt"
	"io"
	"os"
	"time"
)

// words is standard error, with a lock that a last word takes for good.
type words struct {
	io.Writer
	turn chan struct{} // holds one while somebody speaks
}

func newWords(w io.Writer) *words { return &words{w, make(chan struct{}, 1)} }

func (w *words) Write(p []byte) (int, error) {
	w.turn <- struct{}{}
	defer func() { <-w.turn }()
	return w.Writer.Write(p)
}

// lastWord is how long a process that cannot go on waits for somebody to take
// its message: standard error may be a pipe that nobody reads.
const lastWord = 2 * time.Second

// fatal ends the process because its store cannot go on. Nothing is said after
// it, so that the reason is the end of the log.
func (a *app) fatal(err error) {
	said := make(chan struct{})
	go func() {
		defer close(said)
		out := a.stderr
		if w, ok := out.(*words); ok {
			w.turn <- struct{}{} // never given back
			out = w.Writer
		}
		fmt.Fprintf(out, "barkeep: the store cannot go on: %v\n"+
			"barkeep: nothing that was acknowledged is lost: mend the cause and start again\n", err)
	}()
	select {
	case <-said:
	case <-time.After(lastWord):
	}
	exit := a.exit
	if exit == nil {
		exit = os.Exit
	}
	exit(exitFatal)
	select {} // the store relies on fatal not returning
}
