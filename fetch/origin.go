package fetch

import (
	"sync"

	"github.com/barkeepdb/barkeep/series"
)

// origins are the names of those who said bars before the providers that handed
// them on ([Row.Origin]), by numbers that hold in one pool.
type origins struct {
	mu    sync.Mutex // guards what follows
	ids   map[string]series.SourceID
	names []string
}

// maxOrigins bounds what a provider can make a pool remember. Those that come
// later count as said by the provider.
const maxOrigins = 10_000

// mark gives rows the numbers of their origins.
func (o *origins) mark(rows []Row) {
	o.mu.Lock()
	defer o.mu.Unlock()
	for i := range rows {
		r := &rows[i]
		if r.Origin == "" {
			continue
		}
		id, ok := o.ids[r.Origin]
		if !ok && len(o.names) < maxOrigins {
			if o.ids == nil {
				o.ids = map[string]series.SourceID{}
			}
			o.names = append(o.names, r.Origin)
			id = series.SourceID(len(o.names))
			o.ids[r.Origin] = id
		}
		r.origin = id
	}
}

// Origin is who said a bar of a [Batch] first, by the source in its provenance;
// empty is the provider itself.
func (p *Pool) Origin(id series.SourceID) string {
	p.origins.mu.Lock()
	defer p.origins.mu.Unlock()
	if id == 0 || int(id) > len(p.origins.names) {
		return ""
	}
	return p.origins.names[id-1]
}
