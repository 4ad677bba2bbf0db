package main

import (
	"os"
	"time"

	"github.com/vbauerster/mpb/v8"
	"github.com/vbauerster/mpb/v8/decor"
	"golang.org/x/term"
)

// progress is a bar on the terminal, and nothing at all in a pipe.
type progress struct {
	all *mpb.Progress
	bar *mpb.Bar
}

// progress starts a bar; total 0 is not known yet.
func (a *app) progress(name, unit string, total int64) *progress {
	out := a.stderr
	if w, ok := out.(*words); ok {
		out = w.Writer
	}
	f, ok := out.(*os.File)
	if !ok || !term.IsTerminal(int(f.Fd())) {
		return &progress{}
	}
	counter := decor.CountersNoUnit("%d/%d " + unit)
	if unit == "bytes" {
		counter = decor.CountersKibiByte("% .1f/% .1f")
	}
	all := mpb.New(mpb.WithOutput(f), mpb.WithRefreshRate(150*time.Millisecond))
	return &progress{all, all.AddBar(
		total,
		mpb.BarRemoveOnComplete(),
		mpb.PrependDecorators(decor.Name(name+" ")),
		mpb.AppendDecorators(counter),
	)}
}

// set moves the bar to done of total.
func (p *progress) set(done, total int64) {
	if p.bar != nil {
		p.bar.SetTotal(max(total, done+1), false)
		p.bar.SetCurrent(done)
	}
}

// done takes the bar away.
func (p *progress) done() {
	if p.bar != nil {
		p.bar.Abort(true)
		p.all.Wait()
	}
}
