package fetch

import (
	"slices"
	"sync"
	"time"

	"github.com/barkeepdb/barkeep/series"
)

// clocks knows by how much the clock of each host differs from ours.
type clocks struct {
	mu sync.Mutex // guards what follows
	by map[string]*offsets
}

// offsets are the last measurements of one host.
type offsets struct {
	exact  []time.Duration // from an answer that held the time in milliseconds
	coarse []time.Duration // from Date headers
}

const (
	clockSamples = 9
	// A clock that is further than this from what most say is not believed.
	clockTrust = 30 * time.Second
)

// coarse adds a Date header, which has lost its milliseconds: half a second is
// what they are on average.
func (c *clocks) coarse(host string, server series.Time, sent, came time.Time) {
	c.add(host, server+series.Second/2, sent, came, func(o *offsets) *[]time.Duration { return &o.coarse })
}

// exact adds a time in milliseconds that the server wrote.
func (c *clocks) exact(host string, server series.Time, sent, came time.Time) {
	c.add(host, server, sent, came, func(o *offsets) *[]time.Duration { return &o.exact })
}

func (c *clocks) add(host string, server series.Time, sent, came time.Time, kind func(*offsets) *[]time.Duration) {
	c.mu.Lock()
	defer c.mu.Unlock()
	if c.by == nil {
		c.by = map[string]*offsets{}
	}
	o := c.by[host]
	if o == nil {
		o = &offsets{}
		c.by[host] = o
	}
	list := kind(o)
	// The server wrote its time half-way between question and answer.
	*list = append(*list, server.Std().Sub(sent.Add(came.Sub(sent)/2)))
	if n := len(*list); n > clockSamples {
		*list = (*list)[n-clockSamples:]
	}
}

// offset is how far the clock of host is ahead of ours. A host that most other
// clocks contradict, ours among them, is taken to have theirs.
func (c *clocks) offset(host string) time.Duration {
	c.mu.Lock()
	defer c.mu.Unlock()
	all := []time.Duration{0} // ours
	for _, o := range c.by {
		all = append(all, o.median())
	}
	o := c.by[host]
	if o == nil {
		return median(all)
	}
	own := o.median()
	if len(all) < 3 { // ours against theirs: nobody can tell
		return own
	}
	if most := median(all); own-most > clockTrust || most-own > clockTrust {
		return most
	}
	return own
}

// now is the time of the host's clock.
func (c *clocks) now(host string) series.Time {
	return series.TimeOf(time.Now().Add(c.offset(host)))
}

func (o *offsets) median() time.Duration {
	if len(o.exact) > 0 {
		return median(o.exact)
	}
	return median(o.coarse)
}

func median(v []time.Duration) time.Duration {
	v = slices.Clone(v)
	slices.Sort(v)
	return v[(len(v)-1)/2]
}
