package alert

import (
	"cmp"
	"context"
	"encoding/json"
	"fmt"
	"slices"
	"time"

	"github.com/barkeepdb/barkeep/series"
)

// Channel gets notices to somebody.
type Channel interface {
	Name() string
	// Send delivers one notice. An error has it sent again later.
	Send(ctx context.Context, n Notice) error
}

// Notice is one message: alerts of one rule that fired or were resolved at the
// same time.
type Notice struct {
	ID     string      `json:"id"`
	Event  string      `json:"event"` // firing or resolved
	Rule   string      `json:"rule"`
	At     series.Time `json:"at"`
	Alerts []Alert     `json:"alerts"`
}

// Title is the notice in a few words.
func (n Notice) Title() string {
	if len(n.Alerts) == 1 {
		return fmt.Sprintf("[%s] %s: %s", n.Event, n.Rule, n.Alerts[0].Subject)
	}
	return fmt.Sprintf("[%s] %s: %d subjects", n.Event, n.Rule, len(n.Alerts))
}

// Text is the notice as plain text, cut at ten alerts.
func (n Notice) Text() string {
	text := n.Title()
	for i, a := range n.Alerts {
		if i == 10 {
			return text + fmt.Sprintf("\nand %d more", len(n.Alerts)-i)
		}
		text += fmt.Sprintf("\n%s (%s, since %v): %s", a.Subject, a.Severity, a.Since, a.Detail)
	}
	return text
}

// letter is a notice that waits to be sent through one channel.
type letter struct {
	Channel  string      `json:"channel"`
	Notice   Notice      `json:"notice"`
	Attempts int         `json:"attempts"`
	Next     series.Time `json:"next"`
	Error    string      `json:"error,omitempty"`
}

const (
	kindOutbox = "outbox"
	kindDead   = "outbox/dead"
	// patience is how long a notice is tried to be sent.
	patience    = 7 * 24 * time.Hour
	firstRetry  = 5 * time.Second
	mostRetry   = 5 * time.Minute
	sendTimeout = 20 * time.Second
)

// notices makes the letters for what is to be told: one notice for each rule
// and event. e.mu is held.
func (e *Engine) notices(t series.Time, tell map[string][]*Alert) ([]Record, error) {
	var rs []Record
	for _, event := range []string{"firing", "resolved"} {
		by := map[string][]Alert{}
		for _, a := range tell[event] {
			by[a.Rule] = append(by[a.Rule], *a)
		}
		rules := make([]string, 0, len(by))
		for r := range by {
			rules = append(rules, r)
		}
		slices.Sort(rules)
		for _, rule := range rules {
			list := by[rule]
			slices.SortFunc(list, func(a, b Alert) int { return cmp.Compare(a.Subject, b.Subject) })
			e.last = max(e.last+1, int64(t))
			n := Notice{ID: fmt.Sprintf("n%012x", e.last), Event: event, Rule: rule, At: t, Alerts: list}
			for _, c := range e.o.Channels {
				l := letter{Channel: c.Name(), Notice: n, Next: t}
				v, err := json.Marshal(l)
				if err != nil {
					return nil, err
				}
				rs = append(rs, Record{Kind: kindOutbox, Name: n.ID + " " + c.Name(), Value: v})
			}
		}
	}
	return rs, nil
}

// Deliver sends the notices that are due, and returns when the next one is; 0 is
// none. Those of one channel are sent in their order: while one fails, the
// later ones wait.
func (e *Engine) Deliver(ctx context.Context) (series.Time, error) {
	if err := e.store.flush(ctx); err != nil {
		return 0, err
	}
	now := e.o.Now()
	var next series.Time
	blocked := map[string]bool{}
	var due []Record
	for r, err := range e.store.Records(ctx, kindOutbox, "") {
		if err != nil {
			return 0, err
		}
		due = append(due, r)
	}
	for _, r := range due {
		var l letter
		if err := json.Unmarshal(r.Value, &l); err != nil {
			return 0, fmt.Errorf("notice %s: %w", r.Name, err)
		}
		if blocked[l.Channel] {
			continue
		}
		if l.Next > now {
			blocked[l.Channel] = true
			if next == 0 || l.Next < next {
				next = l.Next
			}
			continue
		}
		i := slices.IndexFunc(e.o.Channels, func(c Channel) bool { return c.Name() == l.Channel })
		if i < 0 { // the channel was taken out of the configuration
			if err := e.store.PutRecords(ctx, []Record{{Kind: kindOutbox, Name: r.Name}}); err != nil {
				return 0, err
			}
			continue
		}
		sending, cancel := context.WithTimeout(ctx, sendTimeout)
		err := e.o.Channels[i].Send(sending, l.Notice)
		cancel()
		if ctx.Err() != nil {
			return 0, ctx.Err()
		}
		if err == nil {
			if err := e.store.PutRecords(ctx, []Record{{Kind: kindOutbox, Name: r.Name}}); err != nil {
				return 0, err
			}
			continue
		}
		blocked[l.Channel] = true
		l.Attempts++
		l.Error = err.Error()
		wait := min(firstRetry<<min(l.Attempts-1, 10), mostRetry)
		l.Next = now + ms(wait)
		e.o.Logger.Warn("a notice was not delivered", "channel", l.Channel, "attempts", l.Attempts, "error", err, "next", l.Next)
		v, merr := json.Marshal(l)
		if merr != nil {
			return 0, merr
		}
		rs := []Record{{Kind: kindOutbox, Name: r.Name, Value: v}}
		if now-l.Notice.At > ms(patience) {
			rs = []Record{{Kind: kindOutbox, Name: r.Name}, {Kind: kindDead, Name: r.Name, Value: v}}
		} else if next == 0 || l.Next < next {
			next = l.Next
		}
		if err := e.store.PutRecords(ctx, rs); err != nil {
			return 0, err
		}
	}
	return next, nil
}

// Run delivers notices until ctx ends.
func (e *Engine) Run(ctx context.Context) error {
	for {
		next, err := e.Deliver(ctx)
		if err != nil {
			return err
		}
		wait := time.Minute
		if next != 0 {
			wait = max(time.Second, min(wait, time.Duration(next-e.o.Now())*time.Millisecond))
		}
		t := time.NewTimer(wait)
		select {
		case <-ctx.Done():
			t.Stop()
			return ctx.Err()
		case <-e.wake:
			t.Stop()
		case <-t.C:
		}
	}
}

// Waiting counts the notices that wait, and those that were given up.
func (e *Engine) Waiting(ctx context.Context) (waiting, dead int, err error) {
	for kind, n := range map[string]*int{kindOutbox: &waiting, kindDead: &dead} {
		for _, err := range e.store.Records(ctx, kind, "") {
			if err != nil {
				return 0, 0, err
			}
			*n++
		}
	}
	return waiting, dead, nil
}
