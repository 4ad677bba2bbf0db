package storage_test

import (
	"bufio"
	"bytes"
	"context"
	"errors"
	"flag"
	"fmt"
	"hash/fnv"
	"math"
	"math/rand/v2"
	"os"
	"runtime/debug"
	"runtime/pprof"
	"slices"
	"strconv"
	"strings"
	"sync"
	"sync/atomic"
	"syscall"
	"testing"
	"time"

	"github.com/cockroachdb/pebble/v2/vfs"

	"github.com/barkeepdb/barkeep/series"
	"github.com/barkeepdb/barkeep/storage"
)

// The torture tests run a store against a disk that fails and a power that
// goes, and compare what is left with the truth. Everything that is random in
// one of their runs follows from its seed, but for the moments at which the
// background work of the engine touches files:
//
//	go test ./storage -run TestTorture            the gate
//	go test ./storage -run TestTorture -long      before a release
//	go test ./storage -run TestTortureCrash -seed 17
var (
	long     = flag.Bool("long", false, "torture for as long as before a release")
	seedFlag = flag.Uint64("seed", 0, "run the torture tests with this seed only")
)

// tally counts what became of the cycles of a torture test.
type tally struct {
	mu    sync.Mutex
	n     map[string]int
	names []string
	start time.Time
}

func newTally(names ...string) *tally {
	return &tally{n: map[string]int{}, names: names, start: time.Now()}
}

func (c *tally) add(name string, n int) {
	c.mu.Lock()
	defer c.mu.Unlock()
	c.n[name] += n
}

func (c *tally) get(name string) int {
	c.mu.Lock()
	defer c.mu.Unlock()
	return c.n[name]
}

func (c *tally) String() string {
	c.mu.Lock()
	defer c.mu.Unlock()
	var b strings.Builder
	for _, k := range c.names {
		fmt.Fprintf(&b, "%s %d, ", k, c.n[k])
	}
	fmt.Fprintf(&b, "%.1f seconds", time.Since(c.start).Seconds())
	return b.String()
}

// simKind is what an operation of the simulation does.
type simKind string

const (
	simWrite      simKind = "write"
	simAppend     simKind = "append"
	simDelete     simKind = "delete"
	simCompact    simKind = "compact"
	simReopen     simKind = "reopen"
	simSnap       simKind = "snapshot"
	simPeek       simKind = "read snapshots"
	simExplain    simKind = "explain"
	simAside      simKind = "set aside"
	simSymbol     simKind = "set symbol"
	simVerify     simKind = "verify"
	simCheckpoint simKind = "checkpoint"
	simCoverage   simKind = "coverage"
)

// simOp is one operation with all its chance.
type simOp struct {
	kind  simKind
	key   series.Key
	bars  *series.Columns
	src   uint8
	write storage.WriteOptions
	run   series.Run
	gap   series.Absence
	aside []storage.Entry
	sym   storage.Symbol
	now   series.Time

	probe   int    // cut the power before this many mutating calls of the operation; 0 is not
	cut     bool   // cut it after the operation, unless the probe did
	percent int    // of what was not synced stays
	again   int    // cut the power again before this many calls of the recovery; 0 is not
	resume  bool   // go on from what the crash left
	fault   *fault // what fails meanwhile
	chance  uint64 // seeds what a crash keeps

	// changes is filled in by the simulation: bars are written or deleted, or
	// are said to be stored already.
	changes bool
}

func (o *simOp) String() string {
	n := 0
	if o.bars != nil {
		n = o.bars.Len()
	}
	s := fmt.Sprintf("%s %s %d bars, run %v, relaxed %v, policy %d, probe %d, cut %v, percent %d, again %d, resume %v", o.kind, o.key, n, o.run, o.write.Relaxed, o.write.OnConflict, o.probe, o.cut, o.percent, o.again, o.resume)
	if o.fault != nil {
		s += ", fault " + o.fault.String()
	}
	return s
}

// durable reports whether the operation, once answered, survives a crash, and
// with it all that was written to the series before. What changes nothing
// promises nothing.
func (o *simOp) durable() bool { return o.changes && !o.write.Relaxed }

var simKeys = [...]series.Key{
	{Symbol: "BTCUSDT", Interval: series.Interval1m},
	{Symbol: "ETHUSDT", Interval: series.Interval1m},
	{Symbol: "BTCUSDT", Interval: series.Interval1h},
	{Symbol: "SPY", Interval: series.Interval1d},
}

// script makes up the operations of one seed. It never looks at the store, so
// that one seed always gives the same ones.
type script struct {
	r      *rand.Rand
	tail   map[series.Key]series.Slot // of the newest bar
	now    series.Time
	sum    uint64 // of all operations so far
	faults []fault
}

func newScript(seed uint64) *script {
	g := &script{r: rand.New(rand.NewPCG(seed, 11)), tail: map[series.Key]series.Slot{}, now: t0 + 20*series.Day}
	for _, k := range simKeys {
		back := series.Time(g.r.IntN(3)) * series.Day
		if k.Interval == series.Interval1d {
			back = 900 * series.Day
		}
		g.tail[k] = series.Grid{Interval: k.Interval}.SlotAt(g.now - back)
	}
	return g
}

// price has all its bits random in some bars and few in others, so that blocks
// of both sizes come up.
func (g *script) price(wild bool) float64 {
	if wild {
		return 1 + g.r.Float64()
	}
	return float64(g.r.IntN(1000)) / 100
}

func (g *script) bar(k series.Key, n series.Slot, wild bool) series.Bar {
	b := series.Bar{
		Time: series.Grid{Interval: k.Interval}.Time(n),
		Open: g.price(wild), High: g.price(wild), Low: g.price(wild), Close: g.price(wild), Volume: g.price(wild),
		QuoteVolume: math.NaN(), Trades: math.NaN(),
	}
	if wild || g.r.IntN(4) == 0 {
		b.QuoteVolume = g.price(wild)
	}
	if g.r.IntN(6) == 0 {
		b.Trades = float64(g.r.IntN(9))
	}
	if g.r.IntN(12) == 0 {
		b.Prov = series.NewProv(series.Corrected, 0)
	}
	return b
}

// reach is how many slots before the tail late bars and deletes may fall.
const reach = 30000

// next makes up one operation.
func (g *script) next() *simOp {
	r := g.r
	g.now += series.Time(r.IntN(4*60)) * series.Second
	o := &simOp{
		key: simKeys[r.IntN(len(simKeys))], now: g.now, chance: r.Uint64(),
		percent: []int{0, 100, r.IntN(101)}[r.IntN(3)], cut: r.IntN(10) < 7, resume: r.IntN(14) == 0,
	}
	if r.IntN(2) == 0 {
		o.probe = 1 + r.IntN([]int{3, 12, 40}[r.IntN(3)])
	}
	if r.IntN(4) == 0 {
		o.again = 1 + r.IntN(30)
	}
	if len(g.faults) > 0 && r.IntN(15) == 0 {
		f := g.faults[r.IntN(len(g.faults))]
		f.nth = 1 + r.IntN(3)
		o.fault = &f
	}
	o.src = uint8(1 + r.IntN(len(truthSources)-1))
	o.write = storage.WriteOptions{Source: truthSources[o.src], OnConflict: storage.Conflict(r.IntN(3))}
	switch n := r.IntN(100); {
	case n < 35:
		g.write(o)
	case n < 55:
		g.append(o)
	case n < 65:
		o.kind = simDelete
		from := g.tail[o.key] - series.Slot(r.IntN(reach))
		o.run = series.Run{From: from, To: from + 1 + series.Slot(r.IntN([]int{3, 500, 20000}[r.IntN(3)]))}
	case n < 70:
		o.kind = simCompact
	case n < 74:
		o.kind = simReopen
	case n < 77:
		o.kind = simSnap
	case n < 80:
		o.kind = simPeek
	case n < 85:
		g.explain(o)
	case n < 89:
		g.aside(o)
	case n < 92:
		o.kind = simSymbol
		o.sym = storage.Symbol{Calendar: "24x7", TickSize: float64(1+r.IntN(100)) / 100, Sources: []string{truthSources[o.src]}}
	case n < 94:
		o.kind = simVerify
	case n < 96:
		o.kind = simCheckpoint
	default:
		o.kind = simCoverage
		from := g.tail[o.key] - series.Slot(r.IntN(reach))
		o.run = series.Run{From: from, To: from + 1 + series.Slot(r.IntN(5000))}
	}
	h := fnv.New64a()
	fmt.Fprint(h, g.sum, o, o.gap, o.sym)
	if o.bars != nil {
		for i := range o.bars.Time {
			b := o.bars.Bar(i)
			fmt.Fprint(h, b.Time, bits(b), b.Prov)
		}
	}
	g.sum = h.Sum64()
	return o
}

// write makes up a stretch of bars: dense or sparse, at the tail, late or over
// what is there, and now and then so much that it goes in as tables.
func (g *script) write(o *simOp) {
	r := g.r
	o.kind = simWrite
	o.write.Relaxed = r.IntN(5) == 0
	n := 1 + r.IntN([]int{1, 10, 200, 2500}[r.IntN(4)])
	wild := r.IntN(12) == 0
	if wild {
		n = 5000 + r.IntN(2000)
	}
	from := g.tail[o.key] - series.Slot(r.IntN(reach))
	if r.IntN(2) == 0 {
		from = g.tail[o.key] - 3 + series.Slot(r.IntN(6))
	}
	every := 1
	if r.IntN(4) == 0 && !wild {
		every = 1 + r.IntN(100)
		n = min(n, 60)
	}
	seen := map[series.Slot]bool{}
	o.bars = &series.Columns{}
	for i := range n {
		slot := from + series.Slot(i*every)
		if r.IntN(20) == 0 {
			slot = from + series.Slot(r.IntN(4000))
		}
		if !seen[slot] {
			seen[slot] = true
			o.bars.Append(g.bar(o.key, slot, wild))
			if slot < from+series.Slot(n) { // strays do not carry the tail away
				g.tail[o.key] = max(g.tail[o.key], slot)
			}
		}
	}
}

func (g *script) append(o *simOp) {
	o.kind = simAppend
	o.write.Relaxed = g.r.IntN(2) == 0
	o.bars = &series.Columns{}
	for range 1 + g.r.IntN(6) {
		g.tail[o.key] += series.Slot(1 + g.r.IntN(2)*g.r.IntN(20))
		o.bars.Append(g.bar(o.key, g.tail[o.key], false))
	}
}

func (g *script) explain(o *simOp) {
	o.kind = simExplain
	from := g.tail[o.key] - series.Slot(g.r.IntN(reach))
	states := []series.State{series.StateNoTrade, series.StateHalted, series.StateOutage, series.StateUnavailable, series.StateMissing}
	o.gap = series.Absence{
		Run:   series.Run{From: from, To: from + 1 + series.Slot(g.r.IntN(300))},
		State: states[g.r.IntN(len(states))],
	}
	n := g.r.IntN(1000)
	o.gap.Note = series.Note{Reason: "because of " + strconv.Itoa(n), Attempts: int32(n % 3), Next: series.Time(n % 2 * 60000)}
}

func (g *script) aside(o *simOp) {
	o.kind = simAside
	for range 1 + g.r.IntN(3) {
		n := g.tail[o.key] - series.Slot(g.r.IntN(reach))
		b := g.bar(o.key, n, false)
		e := storage.Entry{Key: o.key, Time: b.Time, HasTime: true, Reason: "high below low", Raw: fmt.Sprint(g.r.Uint64())}
		if g.r.IntN(2) == 0 {
			e.Bar = &b
		}
		o.aside = append(o.aside, e)
	}
}

// sim is a store on a disk that can fail, and what it must hold.
type sim struct {
	name   string
	fs     *faultFS
	mem    *vfs.MemFS
	store  *storage.Store
	truth  *truth
	now    atomic.Int64
	count  *tally
	snaps  []simSnapshot
	relax  bool   // write durable things relaxed: the control
	failed int    // calls that had failed when the store was last known to be sound
	sweep  *fault // fails from the first opening on, until a crash

	answered atomic.Bool // the operation under way was answered
	mu       sync.Mutex  // guards what follows
	point    *crashPoint
	fatal    chan struct{} // closed when the engine could not go on
}

// crashPoint is what a power cut left.
type crashPoint struct {
	mem      *vfs.MemFS
	answered bool // the operation under way was
	fatal    error
}

type simSnapshot struct {
	snap  *storage.Snapshot
	truth *truth
}

// newSim makes a store on an empty disk.
func newSim(name string, count *tally) (*sim, error) {
	d := &sim{name: name, truth: newTruth(), count: count}
	d.now.Store(int64(t0 + 20*series.Day))
	return d, d.mount(vfs.NewCrashableMem())
}

// mount opens the store on another disk. On an error the store is nil, and if
// the engine could not go on there is a crash point.
func (d *sim) mount(mem *vfs.MemFS) error {
	d.mem, d.fs, d.failed = mem, newFaultFS(mem), 0
	d.point, d.fatal = nil, make(chan struct{})
	d.fs.arm(d.sweep)
	d.sweep = nil
	return d.open()
}

func (d *sim) open() error {
	var s *storage.Store
	err := d.do(func() (err error) {
		s, err = storage.Open("store", d.options(d.fs, d.stop(d.fs)))
		return err
	})
	d.store = s
	return err
}

func (d *sim) options(fs vfs.FS, fatal func(error)) storage.Options {
	return tortureOptions(storage.Options{
		FS: fs, CacheBytes: 1 << 20, DecodedBytes: 1 << 20, Owner: "torture",
		Now: func() series.Time { return series.Time(d.now.Load()) },
	}, fatal)
}

// stop is the Options.Fatal of a store: the power goes, and its goroutines stay
// where they are.
func (d *sim) stop(fs *faultFS) func(error) {
	fatal := d.fatal
	return func(err error) {
		fs.kill()
		d.cut(&simOp{percent: 0}, err)
		d.mu.Lock()
		if d.fatal == fatal {
			select {
			case <-fatal:
			default:
				close(fatal)
			}
		}
		d.mu.Unlock()
		select {}
	}
}

// cut takes what a power cut would leave now; a second cut of one operation
// counts only if it was fatal.
func (d *sim) cut(o *simOp, fatal error) {
	answered := d.answered.Load() // before the clone
	clone := d.mem.CrashClone(vfs.CrashCloneCfg{UnsyncedDataPercent: o.percent, RNG: rand.New(rand.NewPCG(o.chance, 5))})
	d.mu.Lock()
	defer d.mu.Unlock()
	if d.point == nil || fatal != nil && d.point.fatal == nil {
		d.point = &crashPoint{clone, answered, fatal}
	}
}

func (d *sim) takePoint() *crashPoint {
	d.mu.Lock()
	defer d.mu.Unlock()
	p := d.point
	d.point = nil
	return p
}

// errFatal is what do returns when the engine could not go on.
var errFatal = errors.New("the engine cannot go on")

// hangAfter is how long an operation of a torture test may take.
const hangAfter = 20 * time.Second

// do runs f, which may hang or be stopped for ever by a fatal error.
func (d *sim) do(f func() error) error {
	d.answered.Store(false)
	done := make(chan error, 1)
	go func() {
		defer func() {
			if p := recover(); p != nil {
				done <- fmt.Errorf("panic: %v\n%s", p, debug.Stack())
			}
		}()
		err := f()
		if err == nil {
			d.answered.Store(true)
		}
		done <- err
	}()
	select {
	case err := <-done:
		return err
	case <-d.fatal:
		return errFatal
	case <-time.After(hangAfter):
		return hangs()
	}
}

// hangs says what every goroutine waits for.
func hangs() error {
	var b bytes.Buffer
	_ = pprof.Lookup("goroutine").WriteTo(&b, 1)
	return fmt.Errorf("hangs:\n%s", b.String())
}

// step runs one operation and what its crash brings.
func (d *sim) step(ctx context.Context, o *simOp) error {
	d.now.Store(int64(o.now))
	d.plan(o)
	if o.probe > 0 {
		d.fs.atCall(o.probe, func() { d.cut(o, nil) })
	}
	if o.fault != nil {
		d.fs.arm(o.fault)
	}
	err := d.do(func() error { return d.run(ctx, o) })
	if o.fault != nil || err != nil {
		d.fs.arm(nil)
	}
	d.fs.atCall(0, nil)
	switch {
	case errors.Is(err, errFatal):
		d.count.add("fatal", 1)
		return d.crash(ctx, o, d.takePoint(), true)
	case err != nil && d.fs.failed() == d.failed && (d.fs.failed() == 0 || !stillFull(err)):
		return fmt.Errorf("no call failed, but the operation did: %w", err)
	case err != nil && isHarness(err):
		return err
	case err != nil:
		d.count.add("errors", 1)
		return d.afterError(ctx, o, err)
	}
	d.count.add("acknowledged", 1)
	if o.cut {
		d.cut(o, nil)
	}
	if p := d.takePoint(); p != nil {
		if err := d.crash(ctx, o, p, o.resume); err != nil || o.resume {
			return err
		}
	}
	d.acknowledge(o)
	return nil
}

// stillFull reports whether an operation was refused for lack of space. That
// state outlasts the call that failed, and so the operation that it was in.
func stillFull(err error) bool {
	u, ok := errors.AsType[*storage.UnavailableError](err)
	return ok && u.Reason == storage.DiskFull
}

// isHarness tells the findings of the simulation from errors of the store.
func isHarness(err error) bool {
	if errors.Is(err, syscall.EIO) {
		return false // a call that was made to fail while the store was compared
	}
	return err != nil && (errors.Is(err, errFinding) || strings.HasPrefix(err.Error(), "panic: ") || strings.HasPrefix(err.Error(), "hangs:"))
}

// errFinding marks errors that say that the store did wrong.
var errFinding = errors.New("wrong")

// plan puts what the operation will do into the truth, as under way.
func (d *sim) plan(o *simOp) {
	switch o.kind {
	case simWrite:
		d.planWrite(o, o.bars)
	case simAppend:
		for i := range o.bars.Time {
			var one series.Columns
			one.Append(o.bars.Bar(i))
			d.planWrite(o, &one)
		}
	case simDelete:
		t := d.truth.of(o.key)
		for _, s := range t.planDelete(o.run) {
			t.apply(s)
			o.changes = true
		}
	case simExplain:
		t := d.truth.of(o.key)
		evidence := t.planExplain(o.gap)
		t.pendingEvidence = &evidence
	case simAside:
		t := d.truth.of(o.key)
		for _, e := range o.aside {
			t.pendingHand = append(t.pendingHand, asideID(e.Time, e.Reason, e.Raw, e.Bar))
		}
	case simSymbol:
		d.truth.pendingSymbol, d.truth.pendingName = &o.sym, o.key.Symbol
	}
}

func (d *sim) planWrite(o *simOp, bars *series.Columns) {
	t := d.truth.of(o.key)
	s, same := t.planWrite(bars, o.write.OnConflict, o.src, o.now)
	if len(s.cells)+len(s.aside) > 0 {
		t.apply(s)
		o.changes = true
	} else if same > 0 && unchangedIsDurable {
		o.changes = true
	}
}

// acknowledge makes what was answered the truth.
func (d *sim) acknowledge(o *simOp) {
	switch o.kind {
	case simWrite, simAppend, simDelete:
		if o.durable() {
			d.truth.of(o.key).loose = nil
		}
	case simReopen:
		for _, t := range d.truth.series {
			t.loose = nil
		}
	}
	if t := d.truth.series[o.key]; t != nil {
		t.settlePending(true, true)
	}
	d.truth.settleSymbol(true)
}

func (d *sim) run(ctx context.Context, o *simOp) error {
	s := d.store
	w := o.write
	w.Relaxed = w.Relaxed || d.relax
	switch o.kind {
	case simWrite:
		res, err := s.Write(ctx, o.key, o.bars, w)
		if err == nil && (res.Read != res.Written+res.Unchanged+res.Conflicts+len(res.Refused) || len(res.Refused) > 0) {
			return fmt.Errorf("%w: counts do not add up: %+v", errFinding, res)
		}
		return err
	case simAppend:
		for i := range o.bars.Time {
			if err := s.Append(ctx, o.key, o.bars.Bar(i), w); err != nil {
				return err
			}
		}
		return nil
	case simDelete:
		_, err := s.Delete(ctx, o.key, d.truth.of(o.key).grid.Span(o.run))
		if errors.Is(err, series.ErrNoSeries) {
			return nil
		}
		return err
	case simCompact:
		return s.Compact(ctx)
	case simReopen:
		d.dropSnapshots()
		if err := s.Close(); err != nil {
			return err
		}
		s, err := storage.Open("store", d.options(d.fs, d.stop(d.fs)))
		d.store = s
		return err
	case simSnap:
		snap, err := s.Snapshot()
		if err != nil {
			return err
		}
		d.snaps = append(d.snaps, simSnapshot{snap, d.truth.clone()})
		return nil
	case simPeek:
		return d.peek(ctx)
	case simExplain:
		return s.Explain(ctx, o.key, []series.Absence{o.gap})
	case simAside:
		return s.SetAside(ctx, o.aside)
	case simSymbol:
		return s.SetSymbol(o.key.Symbol, o.sym)
	case simVerify:
		return verifyClean(ctx, s)
	case simCheckpoint:
		return d.checkpoint(ctx)
	case simCoverage:
		return d.coverage(ctx, o)
	}
	panic("no such operation")
}

// verifyClean fails if Verify finds anything.
func verifyClean(ctx context.Context, s *storage.Store) error {
	rep, err := s.Verify(ctx, storage.VerifyOptions{})
	if err == nil && !rep.OK() {
		err = fmt.Errorf("%w: verify finds %v %v", errFinding, rep.Damaged, rep.Problems)
	}
	return err
}

// noDamages fails if a store that only lost power reports damage.
func noDamages(s *storage.Store) error {
	ds, err := damagesOf(s)
	if err == nil && len(ds) > 0 {
		err = fmt.Errorf("%w: damage is reported, but there was only a crash: %+v", errFinding, ds)
	}
	return err
}

// peek compares the snapshots with the truth of their time.
func (d *sim) peek(ctx context.Context) error {
	defer d.dropSnapshots()
	for _, x := range d.snaps {
		for _, t := range x.truth.series {
			if _, err := t.compareBars(ctx, x.snap, sourcesOf(d.store), nil, 0); err != nil {
				return fmt.Errorf("%w: snapshot: %w", errFinding, err)
			}
		}
	}
	return nil
}

func (d *sim) dropSnapshots() {
	for _, x := range d.snaps {
		_ = x.snap.Close() // the store may be closed or stopped
	}
	d.snaps = nil
}

// checkpoint copies the store and compares the copy.
func (d *sim) checkpoint(ctx context.Context) error {
	if err := d.fs.RemoveAll(backupDir); err != nil {
		return err
	}
	if err := backup(ctx, d.store, backupDir); err != nil {
		return err
	}
	if err := verifyBackup(ctx, d.mem, backupDir); err != nil {
		return fmt.Errorf("%w: a backup does not verify: %w", errFinding, err)
	}
	s, err := storage.Open(backupDir, d.options(d.mem, func(err error) { panic(err) }))
	if err != nil {
		return fmt.Errorf("%w: open a backup: %w", errFinding, err)
	}
	defer s.Close()
	if _, err := d.truth.clone().compare(ctx, s, series.Time(d.now.Load()), true, nil); err != nil {
		return fmt.Errorf("%w: backup: %w", errFinding, err)
	}
	return nil
}

func (d *sim) coverage(ctx context.Context, o *simOp) error {
	t := d.truth.of(o.key)
	i, err := d.store.Info(o.key)
	switch {
	case errors.Is(err, series.ErrNoSeries) && t.bars == 0:
		return nil
	case err != nil:
		return err
	case i.Bars != int64(t.bars):
		return fmt.Errorf("%w: info counts %d bars of %s, must be %d", errFinding, i.Bars, o.key, t.bars)
	}
	if err := t.compareCoverage(ctx, d.store, o.run, o.now); err != nil {
		return fmt.Errorf("%w: %w", errFinding, err)
	}
	return nil
}

// afterError finds out what an operation that failed did, and goes on from a
// crash or with the store as it is.
func (d *sim) afterError(ctx context.Context, o *simOp, cause error) error {
	if p := d.takePoint(); p != nil && !o.resume {
		if err := d.crash(ctx, o, p, false); err != nil {
			return err
		}
	}
	if d.store != nil && o.kind != simReopen && !o.resume {
		var f found
		if err := d.do(func() (err error) {
			f, err = d.truth.compare(ctx, d.store, o.now, false, nil)
			return err
		}); err != nil {
			return fmt.Errorf("after %w: %w", cause, err)
		}
		for k, t := range d.truth.series {
			t.undo(f.steps[k])
			t.settlePending(f.hand[k], f.evidence[k])
		}
		d.truth.settleSymbol(f.symbol)
		d.failed = d.fs.failed()
		return nil
	}
	d.answered.Store(false)
	d.cut(o, nil)
	return d.crash(ctx, o, d.takePoint(), true)
}

// crash opens what a power cut left and compares it with the truth, and where
// resume is set goes on from there.
func (d *sim) crash(ctx context.Context, o *simOp, p *crashPoint, resume bool) error {
	if p.fatal != nil {
		p.answered = false // the one who waited never heard
	}
	whole := vfs.CrashCloneCfg{} // nothing on this disk waits to be synced
	keep, first := p.mem.CrashClone(whole), p.mem.CrashClone(whole)
	f, err := d.inspect(ctx, o, p.mem, p.answered)
	switch {
	case err != nil && knownToday(err) && !resume:
		d.count.add("known", 1)
		return nil
	case err != nil:
		return fmt.Errorf("after the crash: %w", err)
	}
	if o.again > 0 {
		if err := d.crashAgain(ctx, o, first, p.answered); err != nil {
			return err
		}
	}
	if !resume {
		return nil
	}
	d.count.add("resumed", 1)
	if p.fatal == nil && d.store != nil {
		d.dropSnapshots()
		if err := d.do(d.store.Close); err != nil && d.fs.failed() == d.failed && !errors.Is(err, storage.ErrClosed) {
			return fmt.Errorf("close: %w", err)
		}
	}
	d.snaps = nil
	d.truth.adopt(f)
	if err := d.mount(keep); err != nil {
		return fmt.Errorf("open after the crash: %w", err)
	}
	return nil
}

// crashAgain cuts the power while the store recovers from a cut.
func (d *sim) crashAgain(ctx context.Context, o *simOp, first *vfs.MemFS, answered bool) error {
	fs := newFaultFS(first)
	var second *vfs.MemFS
	var mu sync.Mutex
	fs.atCall(o.again, func() {
		clone := first.CrashClone(vfs.CrashCloneCfg{UnsyncedDataPercent: o.percent, RNG: rand.New(rand.NewPCG(o.chance, 6))})
		mu.Lock()
		second = clone
		mu.Unlock()
	})
	s, err := storage.Open("store", d.options(fs, func(err error) { panic(err) }))
	if err != nil {
		return fmt.Errorf("open after the crash: %w", err)
	}
	if err := s.Close(); err != nil {
		return fmt.Errorf("close after the crash: %w", err)
	}
	mu.Lock()
	defer mu.Unlock()
	if second == nil {
		return nil
	}
	_, err = d.inspect(ctx, o, second, answered)
	switch {
	case err != nil && knownToday(err):
		d.count.add("known", 1)
	case err != nil:
		return fmt.Errorf("after the second crash: %w", err)
	}
	return nil
}

// inspect opens the store on a disk and compares it with the truth.
func (d *sim) inspect(ctx context.Context, o *simOp, mem *vfs.MemFS, answered bool) (found, error) {
	d.count.add("cycles", 1)
	var f found
	s, err := storage.Open("store", d.options(mem, func(err error) { panic(err) }))
	if err != nil {
		return f, fmt.Errorf("%w: open: %w", errFinding, err)
	}
	defer s.Close()
	if f, err = d.truth.compare(ctx, s, o.now, answered, d.promised(o, answered)); err != nil {
		return f, fmt.Errorf("%w: %w", errFinding, err)
	}
	if err := verifyClean(ctx, s); err != nil {
		return f, err
	}
	return f, noDamages(s)
}

// promised is the number of loose steps per series that a crash must leave.
func (d *sim) promised(o *simOp, answered bool) map[series.Key]int {
	if !answered {
		return nil
	}
	n := map[series.Key]int{}
	switch o.kind {
	case simWrite, simAppend, simDelete:
		if o.durable() {
			n[o.key] = len(d.truth.of(o.key).loose)
		}
	case simReopen:
		for k, t := range d.truth.series {
			n[k] = len(t.loose)
		}
	}
	return n
}

func (d *sim) close() error {
	d.dropSnapshots()
	if d.store == nil {
		return nil
	}
	return d.do(d.store.Close)
}

// simFaults are the errors that the disk gives now and then.
func simFaults() []fault {
	var out []fault
	for _, k := range []ioKind{ioCreate, ioWrite, ioSync, ioClose, ioRead, ioOpen, ioRemove} {
		out = append(out, fault{match: ioCall{k, fileTable}, times: 1, err: errDisk})
	}
	if !hasFatal {
		return out
	}
	for _, c := range []ioClass{fileLog, fileManifest, fileOptions, fileMarker, fileHead, fileTrail} {
		for _, k := range []ioKind{ioCreate, ioWrite, ioSync, ioClose, ioRename, ioRemove} {
			out = append(out, fault{match: ioCall{k, c}, times: 1, err: errDisk})
		}
	}
	return out
}

// simCycles is how many crashes one seed lives through.
const simCycles = 50

// runSim runs one seed until it lived through enough crashes, and returns the
// sum of its operations.
func runSim(seed uint64, count *tally, faults []fault, relax bool) (uint64, error) {
	ctx := context.Background()
	g := newScript(seed)
	g.faults = faults
	mine := newTally()
	d, err := newSim(fmt.Sprintf("seed %d", seed), mine)
	if err != nil {
		return 0, err
	}
	d.relax = relax
	defer func() {
		_ = d.close()
		for _, k := range []string{"cycles", "acknowledged", "errors", "fatal", "resumed", "known"} {
			count.add(k, mine.get(k))
		}
	}()
	for i := 0; mine.get("cycles") < simCycles; i++ {
		o := g.next()
		if err := d.step(ctx, o); err != nil {
			return g.sum, fmt.Errorf("seed %d, operation %d (%v), cycle %d: %w", seed, i, o, mine.get("cycles"), err)
		}
	}
	return g.sum, nil
}

// keptSeeds are the seeds that found something once, for one test.
func keptSeeds(t *testing.T, test string) []uint64 {
	f, err := os.Open("testdata/seeds.txt")
	if err != nil {
		t.Fatal(err)
	}
	defer f.Close()
	var out []uint64
	for in := bufio.NewScanner(f); in.Scan(); {
		if f := strings.Fields(in.Text()); len(f) >= 2 && f[0] == test {
			n, err := strconv.ParseUint(f[1], 10, 64)
			if err != nil {
				t.Fatal(err)
			}
			out = append(out, n)
		}
	}
	return out
}

// seeds are those to run, first the kept ones.
func seeds(t *testing.T, test string, n int) []uint64 {
	if *seedFlag != 0 {
		return []uint64{*seedFlag}
	}
	out := keptSeeds(t, test)
	for i := range uint64(n) {
		if !slices.Contains(out, i+1) {
			out = append(out, i+1)
		}
	}
	return out
}

// TestTortureCrash cuts the power before any call to the disk, keeps a random
// share of what was not synced, and checks that every acknowledged change is
// there, that a change under way is there as a whole or not, and that a crash
// is not taken for damage. It goes on from what a crash left, too.
func TestTortureCrash(t *testing.T) {
	count := newTally("cycles", "acknowledged", "errors", "fatal", "resumed", "lost", "known")
	n := 2000 / simCycles
	switch {
	case *long:
		n = 50000 / simCycles
	case testing.Short():
		n = 4
	}
	eachSeed(t, seeds(t, "crash", n), false, func(seed uint64) error {
		_, err := runSim(seed, count, simFaults(), false)
		if errors.Is(err, errLost) {
			count.add("lost", 1)
		}
		return err
	})
	t.Log(count)
}

// eachSeed runs f for every seed, two at a time; it goes on behind a failure if
// goOn is set.
func eachSeed(t *testing.T, seeds []uint64, goOn bool, f func(uint64) error) {
	var wg sync.WaitGroup
	var next atomic.Int64
	for range 2 {
		wg.Go(func() {
			for i := next.Add(1) - 1; int(i) < len(seeds) && (goOn || !t.Failed()); i = next.Add(1) - 1 {
				if err := f(seeds[i]); err != nil {
					t.Errorf("%v\nto repeat: go test ./storage -run '%s' -seed %d", err, t.Name(), seeds[i])
				}
			}
		})
	}
	wg.Wait()
}

// TestTortureControl is the control of TestTortureCrash: where the store does
// not wait for the disk, a crash must lose something, or the test could not
// fail.
func TestTortureControl(t *testing.T) {
	lost := 0
	const n = 5
	for seed := range uint64(n) {
		if _, err := runSim(seed+1, newTally(), nil, true); errors.Is(err, errLost) {
			lost++
		} else if err != nil && !errors.Is(err, errFinding) {
			t.Error(err)
		}
	}
	t.Logf("%d of %d seeds lost something", lost, n)
	if lost == 0 {
		t.Error("nothing was lost: the torture tests prove nothing")
	}
}

// TestTortureReplay runs one seed twice: it does the same.
func TestTortureReplay(t *testing.T) {
	a, err := runSim(3, newTally(), simFaults(), false)
	if err != nil {
		t.Fatal(err)
	}
	b, err := runSim(3, newTally(), simFaults(), false)
	if err != nil {
		t.Fatal(err)
	}
	if a != b {
		t.Errorf("the operations of one seed sum to %x and to %x", a, b)
	}
}

// TestTortureUnchanged writes a bar durably that was written relaxed before:
// the answer says that it is stored, so a crash must not lose it.
func TestTortureUnchanged(t *testing.T) {
	ctx := context.Background()
	mem := vfs.NewCrashableMem()
	s := open(t, mem)
	c := walk(1, t0, btc.Interval, 10)
	for _, relaxed := range []bool{true, false} {
		res, err := s.Write(ctx, btc, c, storage.WriteOptions{Relaxed: relaxed})
		if err != nil || res.Written+res.Unchanged != 10 {
			t.Fatalf("%+v, %v", res, err)
		}
	}
	after := open(t, mem.CrashClone(vfs.CrashCloneCfg{}))
	if i, err := after.Info(btc); err != nil || i.Bars != 10 {
		t.Errorf("%d of 10 bars after the crash, %v", i.Bars, err)
	}
}
