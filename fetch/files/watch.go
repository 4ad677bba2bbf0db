package files

import (
	"log/slog"
	"net/url"
	"path"
	"path/filepath"
	"time"
)

// Watch tells which symbols have new or changed files in a folder. It is used by
// one goroutine at a time.
type Watch struct {
	transport *Transport
	key       string // of the folder in the transport
	folder    *folder
	seen      map[string]state // of the files that were told, by name
}

// state is what changes where a file does.
type state struct {
	size    int64
	changed time.Time
}

// Watch watches the folder of an endpoint, file:///FOLDER. It does not wait for
// questions that are under way.
func (t *Transport) Watch(address string) (*Watch, error) {
	u, err := url.Parse(address)
	if err != nil {
		return nil, err
	}
	key := path.Clean(u.Path)
	return &Watch{transport: t, key: key, folder: newFolder(filepath.FromSlash(key), slog.New(slog.DiscardHandler))}, nil
}

// Fresh returns those of symbols, as the endpoint calls them, of which a file is
// new or was changed since the call before; the first one returns none. A file
// that is being written waits until it is whole. Changes of a call that fails are
// told by the next.
func (w *Watch) Fresh(symbols []string) ([]string, error) {
	f := w.folder
	f.scanned = time.Time{}
	if err := f.scan(); err != nil {
		return nil, err
	}
	first := w.seen == nil
	now := make(map[string]state, len(f.files))
	var changed []*file
	for _, name := range f.names {
		x := f.files[name]
		v := state{x.size, x.changed}
		was, known := w.seen[name]
		switch {
		case known && was == v:
		case time.Since(x.changed) < settled:
			if !known {
				continue
			}
			v = was
		case !first:
			changed = append(changed, x)
		}
		now[name] = v
	}
	w.seen = now
	if len(changed) > 0 {
		w.transport.look(w.key)
	}
	var out []string
	for _, symbol := range symbols {
		name, sel := selected(symbol)
		for _, x := range changed {
			if len(f.candidates(x, name, sel)) > 0 {
				out = append(out, symbol)
				break
			}
		}
	}
	return out, nil
}
