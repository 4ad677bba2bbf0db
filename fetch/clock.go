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
	told   bool            // that it differs
}

const (
	clockSamples = 9
	// A clock that is further than this from what most say is not believed.
	clockTrust = 30 * time.Second
	// clockTold is the difference that is worth telling; a Date header alone is
	// half a second off.
	clockTold = 2 * time.Second
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

// offset is how far the clock of host is taken to be ahead of ours. A host that
// most other clocks contradict, ours among them, is taken to have theirs. Where
// it is one clock against one, the one behind is believed: a bar that is called
// final too late is asked for again, one called final too early is wrong.
func (c *clocks) offset(host string) time.Duration {
	c.mu.Lock()
	defer c.mu.Unlock()
	all := []time.Duration{0} // ours
	for _, o := range c.by {
		all = append(all, o.median())
	}
	most := median(all)
	o := c.by[host]
	if o == nil {
		return most
	}
	own := o.median()
	if far := own-most > clockTrust || most-own > clockTrust; far || len(all) == 2 && own > clockTrust {
		return most
	}
	return own
}

// now is the time of the host's clock.
func (c *clocks) now(host string) series.Time {
	return series.TimeOf(time.Now().Add(c.offset(host)))
}

// differs returns the difference of a host's clock as measured, the first time
// that it is worth telling.
func (c *clocks) differs(host string) (time.Duration, bool) {
	c.mu.Lock()
	defer c.mu.Unlock()
	o := c.by[host]
	if o == nil || o.told || o.median().Abs() < clockTold {
		return 0, false
	}
	o.told = true
	return o.median(), true
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
	return v[(len(v)-1)/2] // of an even number the lower
}
