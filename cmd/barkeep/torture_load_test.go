package main

import (
	"bytes"
	"context"
	"encoding/csv"
	"encoding/json"
	"errors"
	"fmt"
	"io"
	"math/rand/v2"
	"net/http"
	"net/url"
	"slices"
	"strconv"
	"strings"
	"sync"
	"time"
)

// barValues are the values of a bar: open, high, low, close, volume.
type barValues [5]float64

// putBy is the bar that write number n puts into a slot. The volume names the
// write, and the prices follow from both, so that a bar tells who wrote it and
// that it is whole.
func putBy(n uint32, slot int) barValues {
	h := (uint64(slot)*0x9e3779b97f4a7c15 ^ uint64(n)*0xd1342543de82ef95) * 0xda942042e4dd58b5
	low := float64(10000+(h>>32)%1_000_000) / 100
	part := func(shift uint) float64 { return low + float64((h>>shift)%65536)/100 }
	o, c := part(8), part(20)
	return barValues{o, max(o, c) + float64(h%64)/100, low, c, float64(n)}
}

// write is one request: it puts bars into slots, in rising order.
type write struct {
	n     uint32
	slots []int
}

// writer sends writes one after the other. The slots from first to end are its
// own, so that what must be there follows from its own writes: the state after
// some number of them, which is at least the number of those acknowledged.
type writer struct {
	symbol     string
	first, end int
	r          *rand.Rand

	mu    sync.Mutex // guards what follows
	big   bool       // the next write is one that the store loads as sorted tables
	n     uint32     // of the last write
	tail  int        // the slot behind the last bar
	state []uint32   // by slot-first: the write whose bar is there; 0 is none
	open  []write    // writes behind state
	acked int        // of open
	bars  int64      // acknowledged, of all time
}

// writersOf returns the writers of a test: on each series one that appends and
// one that puts bars into blocks before, far from the tail. slots bounds what
// each may fill.
func writersOf(seed uint64, slots int) []*writer {
	var ws []*writer
	for i, symbol := range []string{"A", "B/USD", "C"} {
		for j := range 2 {
			ws = append(ws, &writer{
				symbol: symbol, first: j * 2 * slots, end: (j*2 + 1) * slots, tail: j * 2 * slots,
				r: rand.New(rand.NewPCG(seed, uint64(2*i+j))), state: make([]uint32, slots),
			})
		}
	}
	return ws
}

// bigBars is the length of a body that becomes tables: more than 256 KiB when
// encoded, and one chunk of the decoder, for only then is it all or nothing.
const bigBars = 40_000

// next makes up a write. The lock must be held.
func (w *writer) next() write {
	w.n++
	b := write{n: w.n}
	run := func(from, count int) {
		if count = min(count, w.end-w.first); from > w.end-count {
			from = w.first + w.r.IntN(w.end-count-w.first+1)
		}
		for slot := range count {
			b.slots = append(b.slots, from+slot)
		}
	}
	switch k := w.r.IntN(20); {
	case w.big:
		w.big = false
		run(w.tail, bigBars)
	case k < 12:
		run(w.tail, 1)
	case k < 15:
		run(w.tail, 2+w.r.IntN(200))
	case k < 18: // over what is there, and the holes in it
		run(w.first+w.r.IntN(w.tail-w.first+1), 1+w.r.IntN(100))
	default: // leaves holes
		for slot := w.tail; len(b.slots) < 40 && slot < w.end; slot += 1 + w.r.IntN(8) {
			b.slots = append(b.slots, slot)
		}
		if len(b.slots) == 0 {
			run(w.tail, 1)
		}
	}
	return b
}

// wantBig makes the next new write a big one.
func (w *writer) wantBig() {
	w.mu.Lock()
	defer w.mu.Unlock()
	w.big = true
}

// begin returns the write to send: the one that was not acknowledged, or a new
// one.
func (w *writer) begin() write {
	w.mu.Lock()
	defer w.mu.Unlock()
	if w.acked == len(w.open) {
		b := w.next()
		w.open = append(w.open, b)
		w.tail = max(w.tail, b.slots[len(b.slots)-1]+1)
	}
	return w.open[w.acked]
}

func (w *writer) acknowledge(b write) {
	w.mu.Lock()
	defer w.mu.Unlock()
	w.acked++
	w.bars += int64(len(b.slots))
}

// once sends one write.
func (w *writer) once(ctx context.Context, p *peer) answer {
	b := w.begin()
	a := p.post(ctx, w.symbol, b)
	if a.acknowledged() {
		w.acknowledge(b)
	}
	return a
}

// run writes until ctx ends or saw returns false. saw is told each answer;
// what was not acknowledged is sent again. pace is the time between two
// writes, 0 for none.
func (w *writer) run(ctx context.Context, p *peer, pace time.Duration, saw func(answer) bool) {
	var tick <-chan time.Time
	if pace > 0 {
		t := time.NewTicker(pace)
		defer t.Stop()
		tick = t.C
	}
	for ctx.Err() == nil {
		if a := w.once(ctx, p); ctx.Err() != nil || !saw(a) {
			return
		}
		if tick != nil {
			select {
			case <-tick:
			case <-ctx.Done():
			}
		}
	}
}

// copy returns a writer that can be checked while w goes on.
func (w *writer) copy() *writer {
	w.mu.Lock()
	defer w.mu.Unlock()
	return &writer{
		symbol: w.symbol, first: w.first, end: w.end, n: w.n, tail: w.tail,
		state: slices.Clone(w.state), open: slices.Clone(w.open), acked: w.acked, bars: w.bars,
	}
}

// settle moves the first count open writes into the state. The lock must be
// held.
func (w *writer) settle(count int) {
	for _, b := range w.open[:count] {
		for _, slot := range b.slots {
			w.state[slot-w.first] = b.n
		}
	}
	w.open = append([]write(nil), w.open[count:]...)
	w.acked = max(0, w.acked-count)
}

// forget drops the open writes that are acknowledged from the list of those to
// look for, without looking.
func (w *writer) forget() {
	w.mu.Lock()
	defer w.mu.Unlock()
	w.settle(w.acked)
}

// scope says what check reads.
type scope bool

const (
	changes    scope = false // what open writes touched
	everything scope = true
)

// check reads what is stored and compares it with the writes: it must be the
// state after all acknowledged ones, or after some more of those that were
// sent. Every write is thereby there as a whole or not at all. It returns how
// many bars are lost or wrong, and takes what is there for what should be from
// then on. The server has restarted since the last write, so what was not
// acknowledged and is not there will not come any more.
func (w *writer) check(ctx context.Context, p *peer, what scope) (lost int, err error) {
	w.mu.Lock()
	defer w.mu.Unlock()
	var found []slotRun
	for _, r := range w.touched(what) {
		found = append(found, slotRun{from: r.from, writes: make([]uint32, r.to-r.from), to: r.to})
		if err := p.read(ctx, w.symbol, &found[len(found)-1]); err != nil {
			return 0, fmt.Errorf("read %s: %w", w.symbol, err)
		}
	}
	sent, must := len(w.open), w.acked
	w.settle(must)
	best, report := -1, ""
	for k := 0; ; k++ {
		wrong, first := w.differ(found)
		if wrong == 0 {
			w.open, w.acked = nil, 0
			return 0, nil
		}
		if best < 0 || wrong < best {
			best, report = wrong, first
		}
		if k == sent-must {
			break
		}
		w.settle(1)
	}
	for _, r := range found { // lost once is lost enough
		copy(w.state[r.from-w.first:], r.writes)
	}
	return best, fmt.Errorf("%s, slots %d to %d: %d bars are not those of any state after %d acknowledged and %d sent writes: %s",
		w.symbol, w.first, w.end, best, must, sent, report)
}

// slotRun is a run of slots and, by slot-from, the write whose bar is in each.
type slotRun struct {
	from, to int
	writes   []uint32
}

// touched are the runs of slots to read, in order.
func (w *writer) touched(what scope) []slotRun {
	if what == everything {
		return []slotRun{{from: w.first, to: w.end}}
	}
	var runs []slotRun
	for _, b := range w.open {
		runs = append(runs, slotRun{from: b.slots[0], to: b.slots[len(b.slots)-1] + 1})
	}
	slices.SortFunc(runs, func(a, b slotRun) int { return a.from - b.from })
	var out []slotRun
	for _, r := range runs {
		const near = 1000 // cheaper to read than to ask again
		if n := len(out); n > 0 && r.from <= out[n-1].to+near {
			out[n-1].to = max(out[n-1].to, r.to)
		} else {
			out = append(out, r)
		}
	}
	return out
}

// differ counts the slots that hold something else than the state says, and
// describes the first.
func (w *writer) differ(found []slotRun) (count int, first string) {
	for _, r := range found {
		for i, got := range r.writes {
			if want := w.state[r.from-w.first+i]; got != want {
				if count++; count == 1 {
					first = fmt.Sprintf("slot %d holds the bar of write %d, not of %d (0 is no bar)", r.from+i, got, want)
				}
			}
		}
	}
	return count, first
}

// acknowledged is the number of bars that ws know to be stored.
func acknowledged(ws []*writer) (n int64) {
	for _, w := range ws {
		w.mu.Lock()
		n += w.bars
		w.mu.Unlock()
	}
	return n
}

// checkAll checks every writer and returns how many bars are lost.
func checkAll(ctx context.Context, bad *faults, ws []*writer, p *peer, what scope) (lost int) {
	for _, w := range ws {
		n, err := w.check(ctx, p, what)
		if err != nil {
			bad.add("what is stored is not what was acknowledged", "%v", err)
		}
		lost += n
	}
	return lost
}

// peer speaks to a server.
type peer struct {
	url, token string
	http       *http.Client
}

func (p *peer) open() { p.http = &http.Client{Transport: &http.Transport{MaxIdleConnsPerHost: 32}} }

func (p *peer) hangUp() {
	if p.http != nil {
		p.http.CloseIdleConnections()
	}
}

// answer is what came of a request.
type answer struct {
	status     int
	code       string // of an error
	retryAfter string
	took       time.Duration
	read       int // bars
	refused    int // bars
	err        error
	body       string // of an error
}

// acknowledged reports whether the bars of a write are stored.
func (a answer) acknowledged() bool {
	return a.err == nil && a.status == http.StatusOK && a.refused == 0
}

func (a answer) String() string {
	return fmt.Sprintf("status %d code %q Retry-After %q after %v, error %v %s", a.status, a.code, a.retryAfter, a.took, a.err, a.body)
}

// ask sends a request and reads the answer to its end.
func (p *peer) ask(ctx context.Context, method, path, contentType string, body io.Reader) (answer, []byte) {
	begin := time.Now()
	var a answer
	req, err := http.NewRequestWithContext(ctx, method, p.url+path, body)
	if err != nil {
		return answer{err: err}, nil
	}
	if contentType != "" {
		req.Header.Set("Content-Type", contentType)
	}
	req.Header.Set("Authorization", "Bearer "+p.token)
	resp, err := p.http.Do(req)
	if err != nil {
		return answer{err: err, took: time.Since(begin)}, nil
	}
	defer resp.Body.Close()
	text, err := io.ReadAll(resp.Body)
	a.status, a.retryAfter, a.err, a.took = resp.StatusCode, resp.Header.Get("Retry-After"), err, time.Since(begin)
	if resp.StatusCode != http.StatusOK {
		var e struct {
			Error struct{ Code string }
		}
		_ = json.Unmarshal(text, &e) // the body tells
		a.code, a.body = e.Error.Code, string(text)
	}
	return a, text
}

// post sends a write: a single bar as JSON, more as CSV.
func (p *peer) post(ctx context.Context, symbol string, b write) answer {
	path := "/v1/bars?interval=1m&source=torture&symbol=" + url.QueryEscape(symbol)
	text, contentType := make([]byte, 0, 80+60*len(b.slots)), "text/csv"
	if len(b.slots) == 1 {
		v := putBy(b.n, b.slots[0])
		contentType = "application/json"
		text = fmt.Appendf(text, `{"bars":[{"time":%d,"open":%v,"high":%v,"low":%v,"close":%v,"volume":%v}]}`, timeOf(b.slots[0]), v[0], v[1], v[2], v[3], v[4])
	} else {
		text = append(text, "time,open,high,low,close,volume\n"...)
		for _, slot := range b.slots {
			text = strconv.AppendInt(text, timeOf(slot), 10)
			for _, x := range putBy(b.n, slot) {
				text = strconv.AppendFloat(append(text, ','), x, 'g', -1, 64)
			}
			text = append(text, '\n')
		}
	}
	a, body := p.ask(ctx, http.MethodPost, path, contentType, bytes.NewReader(text))
	if a.err != nil || a.status != http.StatusOK {
		return a
	}
	var res struct {
		Read, Written, Unchanged int
	}
	if a.err = json.Unmarshal(body, &res); a.err == nil {
		a.read, a.refused = res.Read, len(b.slots)-res.Written-res.Unchanged
	}
	return a
}

func timeOf(slot int) int64 { return firstBar + int64(slot)*60000 }

// read fills in who wrote the bars of a run of slots.
func (p *peer) read(ctx context.Context, symbol string, r *slotRun) error {
	a, text := p.ask(ctx, http.MethodGet, fmt.Sprintf("/v1/bars?interval=1m&format=csv&columns=time,open,high,low,close,volume&symbol=%s&from=%d&to=%d",
		url.QueryEscape(symbol), timeOf(r.from), timeOf(r.to)), "", nil)
	if a.err != nil {
		return a.err
	}
	if a.status == http.StatusNotFound && a.code == "no_such_series" {
		return nil
	}
	if a.status != http.StatusOK {
		return errors.New(a.String())
	}
	rows := csv.NewReader(bytes.NewReader(text))
	rows.ReuseRecord = true
	for line := 0; ; line++ {
		row, err := rows.Read()
		if errors.Is(err, io.EOF) {
			return nil
		}
		if err != nil {
			return err
		}
		if line == 0 {
			if strings.Join(row, ",") != "time,open,high,low,close,volume" {
				return fmt.Errorf("the head of the answer is %q", row)
			}
			continue
		}
		at, err := strconv.ParseInt(row[0], 10, 64)
		if err != nil {
			return err
		}
		slot := int((at - firstBar) / 60000)
		if slot < r.from || slot >= r.to || timeOf(slot) != at {
			return fmt.Errorf("a bar of %d was not asked for", at)
		}
		var v barValues
		for i := range v {
			if v[i], err = strconv.ParseFloat(row[1+i], 64); err != nil {
				return err
			}
		}
		n := uint32(v[4])
		if v != putBy(n, slot) {
			return fmt.Errorf("slot %d of %s holds %v, which no write put there: write %d would have put %v", slot, symbol, v, n, putBy(n, slot))
		}
		r.writes[slot-r.from] = n
	}
}
