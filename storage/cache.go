package storage

import (
	"container/list"
	"slices"
	"sync"
	"unsafe"

	"github.com/barkeepdb/barkeep/storage/block"
)

// decodedCache keeps decoded blocks, and the buckets that blocks were added up
// into, up to a number of bytes, the least recently used going first. Its key
// holds the version of a block, so nothing in it is ever out of date, and
// snapshots of the past find their own.
type decodedCache struct {
	mu           sync.Mutex // guards what follows
	budget, used int64
	entries      map[cacheKey]*list.Element
	order        *list.List // front: used last
	hits, misses int64
}

type cacheKey struct {
	id      seriesID
	block   int64
	version uint64
	// Of buckets: their width and where they are anchored, see gather. A
	// decoded block has a width of 0.
	width  int
	origin int64
}

type cacheEntry struct {
	key     cacheKey
	cols    *block.Columns // all columns; never changed
	buckets []block.Bucket // never changed
	size    int64
}

func newDecodedCache(budget int64) *decodedCache {
	return &decodedCache{budget: budget, entries: make(map[cacheKey]*list.Element), order: list.New()}
}

// get returns the entry of k, or nil.
func (c *decodedCache) get(k cacheKey) *cacheEntry {
	if c.budget <= 0 {
		return nil
	}
	c.mu.Lock()
	defer c.mu.Unlock()
	e := c.entries[k]
	if e == nil {
		c.misses++
		return nil
	}
	c.hits++
	c.order.MoveToFront(e)
	return e.Value.(*cacheEntry)
}

// putColumns hands cols over to the cache.
func (c *decodedCache) putColumns(k cacheKey, cols *block.Columns) {
	c.put(&cacheEntry{key: k, cols: cols, size: columnsSize(cols)})
}

// putBuckets keeps a copy of buckets.
func (c *decodedCache) putBuckets(k cacheKey, buckets []block.Bucket) {
	if c.budget <= 0 {
		return
	}
	c.put(&cacheEntry{key: k, buckets: slices.Clone(buckets), size: int64(len(buckets))*int64(unsafe.Sizeof(block.Bucket{})) + 256})
}

func (c *decodedCache) put(x *cacheEntry) {
	if x.size > c.budget/8 {
		return
	}
	c.mu.Lock()
	defer c.mu.Unlock()
	if c.entries[x.key] != nil {
		return
	}
	c.entries[x.key] = c.order.PushFront(x)
	c.used += x.size
	for c.used > c.budget {
		e := c.order.Back()
		x := e.Value.(*cacheEntry)
		c.order.Remove(e)
		delete(c.entries, x.key)
		c.used -= x.size
	}
}

// forget drops all entries of a series.
func (c *decodedCache) forget(id seriesID) {
	c.mu.Lock()
	defer c.mu.Unlock()
	for k, e := range c.entries {
		if k.id == id {
			c.used -= e.Value.(*cacheEntry).size
			c.order.Remove(e)
			delete(c.entries, k)
		}
	}
}

func (c *decodedCache) stats() (used, hits, misses int64) {
	c.mu.Lock()
	defer c.mu.Unlock()
	return c.used, c.hits, c.misses
}

func columnsSize(c *block.Columns) int64 {
	f := cap(c.Open) + cap(c.High) + cap(c.Low) + cap(c.Close) + cap(c.Volume) + cap(c.QuoteVolume) + cap(c.Trades)
	return int64(8*f + 4*cap(c.Prov) + 2*cap(c.Slot) + 256)
}
