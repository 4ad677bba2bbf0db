package fetch

import (
	"cmp"
	"encoding/json"
	"errors"
	"fmt"
	"io/fs"
	"os"
	"path/filepath"
	"slices"
	"sync"
	"time"
)

// Pause is a stretch of time in which nothing is sent to a group of hosts.
type Pause struct {
	Group  string    `json:"group"` // provider and domain, which share an address's standing
	Kind   Kind      `json:"kind"`
	Until  time.Time `json:"until"`
	Reason string    `json:"reason,omitempty"`
}

// The longest pause that is believed, by kind: what a vendor says may be wrong
// or hostile.
var longestPause = map[Kind]time.Duration{
	Unavailable:    15 * time.Minute,
	RateLimited:    15 * time.Minute,
	Banned:         72 * time.Hour, // Binance bans from two minutes up to three days
	QuotaExhausted: 31 * 24 * time.Hour,
	GeoBlocked:     24 * time.Hour,
	NotEntitled:    time.Hour,
}

// The pauses where the vendor names none, by kind; each one in a row is twice
// as long.
var firstPause = map[Kind]time.Duration{
	RateLimited:    2 * time.Second,
	Banned:         15 * time.Minute, // Bybit wants ten minutes of silence
	QuotaExhausted: time.Hour,
	GeoBlocked:     6 * time.Hour,
	NotEntitled:    time.Hour,
}

// leastPause is the first pause where the vendor wants none.
const leastPause = 250 * time.Millisecond

// kept are the kinds of pauses that outlive the process: to ask again after a
// restart would make a ban longer.
func (k Kind) kept() bool { return k == Banned || k == QuotaExhausted || k == GeoBlocked }

// pauses are the pauses of all groups, and the file in which the long ones are
// kept.
type pauses struct {
	path string // "" keeps nothing

	mu   sync.Mutex // guards what follows
	by   map[string]Pause
	rows map[string]int // pauses in a row, by group
}

const pauseVersion = 1

type pauseFile struct {
	Version int     `json:"version"`
	Pauses  []Pause `json:"pauses"`
}

// openPauses reads the file at path, if there is one. A file that cannot be
// read is an error beside pauses that work: it is replaced with the next ban.
func openPauses(path string) (*pauses, error) {
	p := &pauses{path: path, by: map[string]Pause{}, rows: map[string]int{}}
	if path == "" {
		return p, nil
	}
	text, err := os.ReadFile(path)
	if errors.Is(err, fs.ErrNotExist) {
		return p, nil
	}
	if err != nil {
		return p, err
	}
	var f pauseFile
	if err := json.Unmarshal(text, &f); err != nil {
		return p, fmt.Errorf("bans in %s are not readable, so none is known: %w", path, err)
	}
	if f.Version != pauseVersion {
		return p, fmt.Errorf("bans in %s are of version %d and this program knows %d, so none is known", path, f.Version, pauseVersion)
	}
	now := time.Now()
	for _, b := range f.Pauses {
		if !b.Kind.kept() || !now.Before(b.Until) {
			continue
		}
		// A clock that was wrong when the file was written must not shut a
		// vendor out for years.
		if most := now.Add(longestPause[b.Kind]); b.Until.After(most) {
			b.Until = most
		}
		p.by[b.Group] = b
	}
	return p, nil
}

// add pauses a group until until, or as long as is usual if that is zero. A
// pause never ends earlier because of a second one. It returns the pause in
// effect, and an error if it could not be kept.
func (p *pauses) add(group string, kind Kind, until time.Time, reason string) (Pause, error) {
	p.mu.Lock()
	defer p.mu.Unlock()
	now := time.Now()
	was, ok := p.by[group]
	if ok = ok && now.Before(was.Until); ok && until.IsZero() && kind == was.Kind {
		return was, nil // requests that were under way together meet one ban
	}
	// Whoever says "at once" each time is asked more and more slowly, too.
	d := max(until.Sub(now), leastPause<<min(p.rows[group], 7))
	if until.IsZero() {
		d = firstPause[kind] << min(p.rows[group], 6)
	}
	p.rows[group]++
	d = min(d, longestPause[kind])
	next := Pause{Group: group, Kind: kind, Until: now.Add(d), Reason: reason}
	if ok && !next.Until.After(was.Until) {
		return was, nil
	}
	p.by[group] = next
	if !kind.kept() {
		return next, nil
	}
	return next, p.save(now)
}

// worked ends the row of pauses of a group: the next one is short again.
func (p *pauses) worked(group string) {
	p.mu.Lock()
	delete(p.rows, group)
	p.mu.Unlock()
}

// of returns the pause of a group, if it is paused now.
func (p *pauses) of(group string) (Pause, bool) {
	p.mu.Lock()
	defer p.mu.Unlock()
	b, ok := p.by[group]
	if ok && !time.Now().Before(b.Until) {
		delete(p.by, group)
		ok = false
	}
	return b, ok
}

// save writes the pauses that are kept. p.mu must be held.
func (p *pauses) save(now time.Time) error {
	if p.path == "" {
		return nil
	}
	f := pauseFile{Version: pauseVersion, Pauses: []Pause{}}
	for _, b := range p.by {
		if b.Kind.kept() && now.Before(b.Until) {
			b.Until = b.Until.UTC().Round(0)
			f.Pauses = append(f.Pauses, b)
		}
	}
	slices.SortFunc(f.Pauses, func(a, b Pause) int { return cmp.Compare(a.Group, b.Group) })
	text, err := json.MarshalIndent(f, "", "  ")
	if err != nil {
		return err
	}
	// Whole or not at all: a torn file would lose every ban.
	t, err := os.CreateTemp(filepath.Dir(p.path), filepath.Base(p.path)+".*")
	if err != nil {
		return err
	}
	_, err = t.Write(append(text, '\n'))
	err = errors.Join(err, t.Sync(), t.Close())
	if err == nil {
		err = os.Rename(t.Name(), p.path)
	}
	if err != nil {
		_ = os.Remove(t.Name()) // what went wrong is told already
	}
	return err
}
