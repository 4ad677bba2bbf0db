package storage

import (
	"container/list"
	"sync"

	"github.com/barkeepdb/barkeep/storage/block"
)

// decodedCache keeps decoded blocks up to a number of bytes, the least
// recently used going first. Its key holds the version of a block, so nothing
// in it is ever out of date, and snapshots of the past find their own.
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
}

type cacheEntry struct {
	key  cacheKey
	cols *block.Columns // all columns; never changed
	size int64
}

func newDecodedCache(budget int64) *decodedCache {
	return &decodedCache{budget: budget, entries: make(map[cacheKey]*list.Element), order: list.New()}
}

func (c *decodedCache) get(k cacheKey) *block.Columns {
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
	return e.Value.(*cacheEntry).cols
}

// put hands cols over to the cache.
func (c *decodedCache) put(k cacheKey, cols *block.Columns) {
	size := columnsSize(cols)
	if size > c.budget/8 {
		return
	}
	c.mu.Lock()
	defer c.mu.Unlock()
	if c.entries[k] != nil {
		return
	}
	c.entries[k] = c.order.PushFront(&cacheEntry{k, cols, size})
	c.used += size
	for c.used > c.budget {
		e := c.order.Back()
		x := e.Value.(*cacheEntry)
		c.order.Remove(e)
		delete(c.entries, x.key)
		c.used -= x.size
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
