package storage_test

import (
	"cmp"
	"context"
	"errors"
	"fmt"
	"maps"
	"math"
	"slices"

	"github.com/barkeepdb/barkeep/series"
	"github.com/barkeepdb/barkeep/storage"
)

// The truth is what a store must hold, in the simplest form that is fast
// enough to be compared after every crash: small arrays of bars in a map.

// cell is one bar of the truth.
type cell struct {
	v    [7]uint64   // the values as bits, see bits
	prov series.Prov // kind and flags, without the source
	src  uint8       // index in truthSources
}

// truthSources are the names that bars of the torture tests come from.
var truthSources = [...]string{"unknown", "binance", "kraken", "repair"}

const truthSlots = 128

// truthPage holds the bars of truthSlots slots. A shared page belongs to a
// clone too and is copied before it changes.
type truthPage struct {
	shared bool
	has    [truthSlots]bool
	at     [truthSlots]cell
}

// seriesTruth is one series. Bars, evidence and entries set aside by hand are
// three streams that know nothing of each other's order on the disk.
type seriesTruth struct {
	key   series.Key
	grid  series.Grid
	pages map[int64]*truthPage
	bars  int
	// aside holds the bars that lost a conflict, byHand what SetAside took.
	aside, byHand map[string]bool
	evidence      []series.Absence

	// loose are the steps, oldest first, that are in pages and aside already
	// but that a crash may undo, from any of them on.
	loose []step
	// pending is the change under way of the other streams.
	pendingHand     []string
	pendingEvidence *[]series.Absence // what it will be
}

// step is a change of bars that happens all or not at all.
type step struct {
	cells []cellChange
	aside []string
}

type cellChange struct {
	slot     series.Slot
	had, has bool
	old, new cell
}

func newSeriesTruth(k series.Key) *seriesTruth {
	return &seriesTruth{
		key: k, grid: series.Grid{Interval: k.Interval}, pages: map[int64]*truthPage{},
		aside: map[string]bool{}, byHand: map[string]bool{},
	}
}

// clone is the truth as it is now, without what is loose.
func (t *seriesTruth) clone() *seriesTruth {
	c := *t
	for _, p := range t.pages {
		p.shared = true
	}
	c.pages, c.aside, c.byHand = maps.Clone(t.pages), maps.Clone(t.aside), maps.Clone(t.byHand)
	c.evidence, c.loose = slices.Clone(t.evidence), nil
	c.pendingHand, c.pendingEvidence = nil, nil
	return &c
}

func pageAt(n series.Slot) (int64, int) { return int64(n) >> 7, int(n & (truthSlots - 1)) }

func (t *seriesTruth) get(n series.Slot) (cell, bool) {
	p, i := pageAt(n)
	if x := t.pages[p]; x != nil {
		return x.at[i], x.has[i]
	}
	return cell{}, false
}

func (t *seriesTruth) set(n series.Slot, c cell, has bool) {
	p, i := pageAt(n)
	x := t.pages[p]
	switch {
	case x == nil:
		x = &truthPage{}
		t.pages[p] = x
	case x.shared:
		y := *x
		y.shared = false
		x = &y
		t.pages[p] = x
	}
	if x.has[i] {
		t.bars--
	}
	x.at[i], x.has[i] = c, has
	if has {
		t.bars++
	}
}

// each calls f for every bar in order of time.
func (t *seriesTruth) each(f func(series.Slot, cell)) {
	for _, p := range slices.Sorted(maps.Keys(t.pages)) {
		x := t.pages[p]
		for i, has := range x.has {
			if has {
				f(series.Slot(p<<7+int64(i)), x.at[i])
			}
		}
	}
}

// bar is a cell as it is given to the store.
func (t *seriesTruth) bar(n series.Slot, c cell) series.Bar {
	b := barOf(c.v)
	b.Time, b.Prov = t.grid.Time(n), c.prov
	return b
}

// barOf is the inverse of bits.
func barOf(v [7]uint64) series.Bar {
	f := [7]float64{}
	for i, x := range v {
		f[i] = math.Float64frombits(x)
		if i >= 5 && x == 1 {
			f[i] = math.NaN()
		}
	}
	return series.Bar{Open: f[0], High: f[1], Low: f[2], Close: f[3], Volume: f[4], QuoteVolume: f[5], Trades: f[6]}
}

func (t *seriesTruth) apply(s step) {
	for _, c := range s.cells {
		t.set(c.slot, c.new, c.has)
	}
	for _, a := range s.aside {
		t.aside[a] = true
	}
	t.loose = append(t.loose, s)
}

// undo takes the last loose steps back until n are left.
func (t *seriesTruth) undo(n int) {
	for ; len(t.loose) > n; t.loose = t.loose[:len(t.loose)-1] {
		s := t.loose[len(t.loose)-1]
		for _, c := range slices.Backward(s.cells) {
			t.set(c.slot, c.old, c.had)
		}
		for _, a := range s.aside {
			delete(t.aside, a)
		}
	}
}

// planWrite is the step that a write makes, as the documentation of Conflict
// says, and how many bars are stored already. The slots of bars must differ.
func (t *seriesTruth) planWrite(bars *series.Columns, oc storage.Conflict, src uint8, now series.Time) (s step, unchanged int) {
	for i := range bars.Time {
		b := bars.Bar(i)
		n := t.grid.SlotAt(b.Time)
		given := cell{v: bits(b), prov: b.Prov, src: src}
		if t.grid.Time(n+1) > now {
			given.prov |= series.ProvForming
		}
		have, had := t.get(n)
		same := have.v == given.v
		h, g := have.prov.Rank(), given.prov.Rank()
		switch {
		case !had:
		case same && g <= h:
			unchanged++
			continue
		case g < h, g == h && oc == storage.Keep:
			continue
		case g == h && oc == storage.Quarantine:
			if id := asideID(b.Time, "differs from the stored bar", "", &b); !t.aside[id] && !slices.Contains(s.aside, id) {
				s.aside = append(s.aside, id)
			}
			continue
		}
		s.cells = append(s.cells, cellChange{n, had, true, have, given})
	}
	return s, unchanged
}

// asideID is all that is compared of an entry in quarantine.
func asideID(at series.Time, reason, raw string, b *series.Bar) string {
	id := fmt.Sprintf("%d|%s|%s", at, reason, raw)
	if b != nil {
		id += fmt.Sprintf("|%x", bits(*b))
	}
	return id
}

// planDelete returns the steps of a delete: stretches of 64 blocks with bars.
func (t *seriesTruth) planDelete(run series.Run) []step {
	var out []step
	blocks, last := 0, int64(-1<<62)
	for _, p := range slices.Sorted(maps.Keys(t.pages)) {
		for i, has := range t.pages[p].has {
			n := series.Slot(p<<7 + int64(i))
			if !has || !run.Contains(n) {
				continue
			}
			if b := floor(int64(n), 1440); b != last {
				if blocks%64 == 0 {
					out = append(out, step{})
				}
				blocks, last = blocks+1, b
			}
			s := &out[len(out)-1]
			s.cells = append(s.cells, cellChange{slot: n, had: true, old: t.pages[p].at[i]})
		}
	}
	return out
}

func floor(a, b int64) int64 {
	if a < 0 {
		return -((-a + b - 1) / b)
	}
	return a / b
}

// planExplain is the evidence after g was explained.
func (t *seriesTruth) planExplain(g series.Absence) []series.Absence {
	var out []series.Absence
	for _, o := range t.evidence {
		for _, rest := range series.Subtract(nil, []series.Run{o.Run}, []series.Run{g.Run}) {
			out = append(out, series.Absence{Run: rest, State: o.State, Note: o.Note})
		}
	}
	if g.State != series.StateMissing || g.Note != (series.Note{}) {
		out = append(out, g)
	}
	slices.SortFunc(out, func(a, b series.Absence) int { return cmp.Compare(a.From, b.From) })
	return out
}

// held is what can be asked of a store and of a snapshot of it.
type held interface {
	Read(context.Context, series.Key, series.Span, storage.ReadOptions, *series.Columns) error
	Coverage(context.Context, series.Key, series.Span) (storage.Coverage, error)
}

// errLost marks that a bar which must be there is not.
var errLost = errors.New("lost")

// compareBars reads all bars of a series and finds the number of loose steps,
// at least atLeast, that the store has seen. It fails if there is none: then a
// bar is lost, wrong, back again, or a write is there by half.
func (t *seriesTruth) compareBars(ctx context.Context, s held, srcs sourceNames, asides map[string]bool, atLeast int) (int, error) {
	var got series.Columns
	if err := s.Read(ctx, t.key, series.Span{}, storage.ReadOptions{}, &got); err != nil && (!errors.Is(err, series.ErrNoSeries) || t.bars != 0 && len(t.loose) == 0) {
		return 0, fmt.Errorf("read %s: %w", t.key, err)
	}
	open := t.openSlots()
	same, loose := 0, 0
	at := series.Slot(-1 << 62)
	for i := range got.Time {
		n := t.grid.SlotAt(got.Time[i])
		if n <= at || t.grid.Time(n) != got.Time[i] {
			return 0, fmt.Errorf("%s: bar %v comes after slot %d", t.key, got.Time[i], at)
		}
		at = n
		b := got.Bar(i)
		g := cell{v: bits(b), prov: b.Prov & 0xff, src: srcs.index(b.Prov.Source())}
		if o := open[n]; o != nil {
			o.got, o.gotHas = g, true
			loose++
			continue
		}
		want, has := t.get(n)
		if !has {
			return 0, fmt.Errorf("%s: bar %v is there and must not be", t.key, b)
		}
		if want != g {
			return 0, fmt.Errorf("%s: bar %v is %+v, must be %+v: %w", t.key, got.Time[i], g, want, errLost)
		}
		same++
	}
	fixed := t.bars
	for n := range open {
		if _, has := t.get(n); has {
			fixed--
		}
	}
	if same != fixed {
		return 0, fmt.Errorf("%s: %d of %d bars that must be there, first lost %v: %w", t.key, same, fixed, t.firstLost(&got, open), errLost)
	}
	n, err := t.settle(open, asides, atLeast)
	if err != nil && loose < len(open) {
		err = fmt.Errorf("%w: %w", err, errLost)
	}
	return n, err
}

func (t *seriesTruth) firstLost(got *series.Columns, open map[series.Slot]*openSlot) series.Time {
	have := map[series.Time]bool{}
	for _, at := range got.Time {
		have[at] = true
	}
	first := series.Time(0)
	t.each(func(n series.Slot, _ cell) {
		if first == 0 && open[n] == nil && !have[t.grid.Time(n)] {
			first = t.grid.Time(n)
		}
	})
	return first
}

// openSlot is a slot that loose steps touch.
type openSlot struct {
	want, got       cell
	wantHas, gotHas bool
}

func (o *openSlot) right() bool {
	return o.wantHas == o.gotHas && (!o.wantHas || o.want == o.got)
}

func (t *seriesTruth) openSlots() map[series.Slot]*openSlot {
	if len(t.loose) == 0 {
		return nil
	}
	open := map[series.Slot]*openSlot{}
	for _, s := range t.loose {
		for _, c := range s.cells {
			if open[c.slot] == nil {
				o := &openSlot{}
				o.want, o.wantHas = t.get(c.slot)
				open[c.slot] = o
			}
		}
	}
	return open
}

// settle walks back from the newest loose step until everything fits.
func (t *seriesTruth) settle(open map[series.Slot]*openSlot, asides map[string]bool, atLeast int) (int, error) {
	wrong := 0
	for _, o := range open {
		if !o.right() {
			wrong++
		}
	}
	want := maps.Clone(t.aside)
	for k := len(t.loose); ; k-- {
		if wrong == 0 && (asides == nil || maps.Equal(want, asides)) {
			return k, nil
		}
		if k <= atLeast {
			break
		}
		s := t.loose[k-1]
		for _, c := range slices.Backward(s.cells) {
			o := open[c.slot]
			was := o.right()
			o.want, o.wantHas = c.old, c.had
			if is := o.right(); is != was {
				if wrong++; is {
					wrong -= 2
				}
			}
		}
		for _, a := range s.aside {
			delete(want, a)
		}
	}
	if wrong > 0 {
		return 0, fmt.Errorf("%s: no number of the last %d changes from %d on gives what is there: %d slots differ", t.key, len(t.loose), atLeast, wrong)
	}
	return 0, fmt.Errorf("%s: quarantine has %d entries, must have %d: %v, want %v", t.key, len(asides), len(want), slices.Sorted(maps.Keys(asides)), slices.Sorted(maps.Keys(want)))
}

// adopt makes the first n loose steps, which a crash left, the truth.
func (t *seriesTruth) adopt(n int) {
	t.undo(n)
	t.loose = nil
}

// sourceNames turns the source ids of one store into those of the truth.
type sourceNames struct {
	s     *storage.Store
	known map[series.SourceID]uint8
}

func sourcesOf(s *storage.Store) sourceNames {
	return sourceNames{s, map[series.SourceID]uint8{}}
}

func (x sourceNames) index(id series.SourceID) uint8 {
	n, ok := x.known[id]
	if !ok {
		n = uint8(slices.Index(truthSources[:], x.s.SourceName(id))) // 255 for a name that nobody gave
		x.known[id] = n
	}
	return n
}

// stateAt is the state that coverage must tell for a slot of a 24x7 series.
func (t *seriesTruth) stateAt(n series.Slot, now series.Time) series.State {
	if c, has := t.get(n); has {
		switch {
		case c.prov.Kind() == series.Corrected:
			return series.StateCorrected
		case c.prov.Forming():
			return series.StateForming
		}
		return series.StateObserved
	}
	for _, e := range t.evidence {
		if e.Contains(n) {
			return e.State
		}
	}
	if t.asideAt(n) {
		return series.StateQuarantined
	}
	if n >= t.grid.SlotAt(now) {
		return series.StateForming
	}
	return series.StateMissing
}

func (t *seriesTruth) asideAt(n series.Slot) bool {
	prefix := fmt.Sprintf("%d|", t.grid.Time(n))
	for _, m := range [...]map[string]bool{t.aside, t.byHand} {
		for id := range m {
			if len(id) > len(prefix) && id[:len(prefix)] == prefix {
				return true
			}
		}
	}
	return false
}

// compareCoverage compares the states of the slots of run.
func (t *seriesTruth) compareCoverage(ctx context.Context, s held, run series.Run, now series.Time) error {
	cov, err := s.Coverage(ctx, t.key, t.grid.Span(run))
	if err != nil {
		return fmt.Errorf("coverage of %s: %w", t.key, err)
	}
	at := run.From
	for _, g := range cov.Runs {
		if g.From != at {
			return fmt.Errorf("%s: coverage leaves out slots %d to %d", t.key, at, g.From)
		}
		for n := g.From; n < g.To; n++ {
			if want := t.stateAt(n, now); g.State != want {
				return fmt.Errorf("%s: slot %d (%v) is %v, must be %v", t.key, n, t.grid.Time(n), g.State, want)
			}
		}
		at = g.To
	}
	if at != run.To {
		return fmt.Errorf("%s: coverage ends at slot %d, must reach %d", t.key, at, run.To)
	}
	return nil
}

// truth is a whole store.
type truth struct {
	series  map[series.Key]*seriesTruth
	symbols map[string]storage.Symbol
	// pendingSymbol is a change of a symbol under way.
	pendingSymbol *storage.Symbol
	pendingName   string
}

func newTruth() *truth {
	return &truth{series: map[series.Key]*seriesTruth{}, symbols: map[string]storage.Symbol{}}
}

func (t *truth) of(k series.Key) *seriesTruth {
	s := t.series[k]
	if s == nil {
		s = newSeriesTruth(k)
		t.series[k] = s
	}
	return s
}

func (t *truth) keys() []series.Key {
	return slices.SortedFunc(maps.Keys(t.series), func(a, b series.Key) int {
		return cmp.Or(cmp.Compare(a.Symbol, b.Symbol), cmp.Compare(a.Interval, b.Interval))
	})
}

func (t *truth) clone() *truth {
	c := newTruth()
	for k, s := range t.series {
		c.series[k] = s.clone()
	}
	c.symbols = maps.Clone(t.symbols)
	return c
}

func (t *truth) bars() int {
	n := 0
	for _, s := range t.series {
		n += s.bars
	}
	return n
}

// found is what a comparison learned about changes that were under way.
type found struct {
	steps    map[series.Key]int // loose steps that are there
	hand     map[series.Key]bool
	evidence map[series.Key]bool
	symbol   bool
}

// asidesOf reads the quarantine: what lost a conflict, and the rest.
func asidesOf(ctx context.Context, s *storage.Store, k series.Key) (lost, byHand map[string]bool, err error) {
	lost, byHand = map[string]bool{}, map[string]bool{}
	for e, err := range s.Aside(ctx, &k) {
		if err != nil {
			return nil, nil, fmt.Errorf("quarantine of %s: %w", k, err)
		}
		id := asideID(e.Time, e.Reason, e.Raw, e.Bar)
		if e.Reason == "differs from the stored bar" {
			lost[id] = true
		} else {
			byHand[id] = true
		}
	}
	return lost, byHand, nil
}

// compare checks everything a store holds. done says that the change under way
// was answered, so that it must be there; relaxed changes may miss.
func (t *truth) compare(ctx context.Context, s *storage.Store, now series.Time, done bool, atLeast map[series.Key]int) (found, error) {
	f := found{map[series.Key]int{}, map[series.Key]bool{}, map[series.Key]bool{}, false}
	srcs := sourcesOf(s)
	for _, k := range t.keys() {
		if err := t.series[k].compareAll(ctx, s, srcs, now, done, atLeast[k], &f); err != nil {
			return f, err
		}
	}
	for name, want := range t.symbols {
		got, ok := s.Symbol(name)
		if t.pendingSymbol != nil && name == t.pendingName {
			continue
		}
		if !ok || !sameSymbol(got, want) {
			return f, fmt.Errorf("symbol %s is %+v, must be %+v: %w", name, got, want, errLost)
		}
	}
	if p := t.pendingSymbol; p != nil {
		got, ok := s.Symbol(t.pendingName)
		old, had := t.symbols[t.pendingName]
		f.symbol = ok && sameSymbol(got, *p)
		if !f.symbol && (done || ok != had || ok && !sameSymbol(got, old)) {
			return f, fmt.Errorf("symbol %s is %+v, must be %+v or %+v: %w", t.pendingName, got, old, *p, errLost)
		}
	}
	return f, nil
}

func (t *seriesTruth) compareAll(ctx context.Context, s *storage.Store, srcs sourceNames, now series.Time, done bool, atLeast int, f *found) error {
	lost, byHand, err := asidesOf(ctx, s, t.key)
	if err != nil {
		return err
	}
	n, err := t.compareBars(ctx, s, srcs, lost, atLeast)
	if err != nil {
		return err
	}
	f.steps[t.key] = n
	want := maps.Clone(t.byHand)
	for _, id := range t.pendingHand {
		want[id] = true
	}
	switch {
	case maps.Equal(byHand, want):
		f.hand[t.key] = true
	case done || !maps.Equal(byHand, t.byHand):
		return fmt.Errorf("%s: quarantine holds %d entries, must hold %d: %w", t.key, len(byHand), len(want), errLost)
	}
	return t.compareEvidence(ctx, s, now, done, n, f)
}

// compareEvidence looks at every run that is, or may be, explained.
func (t *seriesTruth) compareEvidence(ctx context.Context, s *storage.Store, now series.Time, done bool, steps int, f *found) error {
	if len(t.evidence) == 0 && t.pendingEvidence == nil {
		return nil
	}
	if _, err := s.Info(t.key); err != nil {
		if errors.Is(err, series.ErrNoSeries) && len(t.evidence) == 0 && (!done || t.pendingEvidence == nil) {
			return nil
		}
		return err
	}
	x := t.clone() // as the crash left it
	x.loose = slices.Clone(t.loose)
	x.undo(steps)
	if f.hand[t.key] {
		for _, id := range t.pendingHand {
			x.byHand[id] = true
		}
	}
	check := func(evidence []series.Absence) error {
		x.evidence = evidence
		var all []series.Run
		for _, e := range t.evidence {
			all = append(all, e.Run)
		}
		for _, e := range evidence {
			all = append(all, e.Run)
		}
		for _, r := range series.Normalize(all) {
			if err := x.compareCoverage(ctx, s, r, now); err != nil {
				return err
			}
		}
		return nil
	}
	if t.pendingEvidence == nil {
		return check(t.evidence)
	}
	err := check(*t.pendingEvidence)
	f.evidence[t.key] = err == nil
	if err != nil && !done {
		err = check(t.evidence)
	}
	return err
}

// adopt makes what a crash left the truth.
func (t *truth) adopt(f found) {
	for k, s := range t.series {
		s.adopt(f.steps[k])
		s.settlePending(f.hand[k], f.evidence[k])
	}
	t.settleSymbol(f.symbol)
}

func (t *seriesTruth) settlePending(hand, evidence bool) {
	if hand {
		for _, id := range t.pendingHand {
			t.byHand[id] = true
		}
	}
	if evidence && t.pendingEvidence != nil {
		t.evidence = *t.pendingEvidence
	}
	t.pendingHand, t.pendingEvidence = nil, nil
}

func (t *truth) settleSymbol(done bool) {
	if done && t.pendingSymbol != nil {
		t.symbols[t.pendingName] = *t.pendingSymbol
	}
	t.pendingSymbol = nil
}

func sameSymbol(a, b storage.Symbol) bool {
	same := func(x, y *series.Time) bool { return x == nil && y == nil || x != nil && y != nil && *x == *y }
	return a.Calendar == b.Calendar && a.TickSize == b.TickSize && slices.Equal(a.Sources, b.Sources) &&
		same(a.Listed, b.Listed) && same(a.Delisted, b.Delisted)
}
