package storage

import (
	"bytes"
	"context"
	"encoding/binary"
	"errors"
	"fmt"
	"maps"
	"slices"

	"github.com/barkeepdb/barkeep/series"
)

// audit compares what the engine opened with what must be there: the stamp with
// the sum of all ledgers, each ledger with the sums of its pages, evidence and
// quarantine, all of it with HEAD, and each series with the trail. It reads
// summaries, not bars, so it runs at every open. What it finds it names, marks
// as quarantined and records; only then does HEAD move on.
type audit struct {
	s *Store

	mark        headMark // of HEAD
	headThere   bool
	foreign     bool // HEAD is that of another store
	stamp       stamp
	stampThere  bool
	records     []*trailRecord
	rest        map[string][]byte // registry and settings as stored
	problems    []Damage          // about the whole store
	suspects    map[seriesID]string
	unreadable  []keyRange // that the engine gave up
	fixes       map[string]*trailRecord
	rootDiffers bool
}

func (s *Store) audit(unreadable []keyRange, done []string) error {
	a := &audit{s: s, unreadable: unreadable, suspects: map[seriesID]string{}, fixes: map[string]*trailRecord{}}
	for _, what := range append(done, s.faults...) {
		a.problem("%s", what)
	}
	if err := a.outside(); err != nil {
		return err
	}
	if err := a.inside(); err != nil {
		return err
	}
	a.compareRegistry()
	if err := s.loadFixes(a.fixes); err != nil {
		return err
	}
	if err := a.checkSeries(); err != nil {
		return err
	}
	lost := a.compareSeries()
	a.compareHead()
	if len(a.problems) == 0 && len(a.suspects) == 0 && len(lost) == 0 && len(a.fixes) == 0 {
		s.stamp = a.stamp
		return nil
	}
	if s.opts.ReadOnly {
		return a.tell(lost)
	}
	return a.mend(lost)
}

func (a *audit) problem(format string, args ...any) {
	a.problems = append(a.problems, Damage{What: fmt.Sprintf(format, args...), Found: foundOpen})
}

// The ways damage is found.
const (
	foundOpen   = "open"
	foundRead   = "read"
	foundScrub  = "scrub"
	foundVerify = "verify"
)

// outside reads HEAD and the trail.
func (a *audit) outside() error {
	s := a.s
	m, there, damaged, err := readHead(s.opts.FS, s.dir)
	if err != nil {
		return fmt.Errorf("read %s: %w", headName, err)
	}
	a.mark, a.headThere = m, there
	if damaged {
		a.problem("the file %s is damaged in part or whole; it is written anew", headName)
	}
	if !there {
		return nil
	}
	id, err := s.readID()
	if err != nil {
		return err
	}
	if a.foreign = id != m.id; a.foreign {
		a.problem("the file %s belongs to another store (%x, this is %x): what is here cannot be compared with it", headName, m.id, id)
		return nil
	}
	rs, bad, err := readTrail(s.opts.FS, s.dir, m)
	if err != nil {
		return fmt.Errorf("read the trail: %w", err)
	}
	if bad != "" {
		a.problem("the trail of recent commits is damaged: %s; a loss may not be named in full", bad)
	}
	a.records = rs
	for _, r := range rs {
		// The trail is written at each commit, HEAD not so often.
		if r.stamp.seq > a.mark.stamp.seq {
			a.mark.stamp = r.stamp
		}
	}
	return nil
}

// inside reads the stamp and sums up registry, settings and ledgers.
func (a *audit) inside() error {
	s := a.s
	var err error
	a.stamp, a.stampThere, err = s.readStamp()
	if errors.Is(err, errStamp) {
		a.problem("a stamp of the store is damaged")
	} else if err != nil {
		return err
	}
	if !a.stampThere {
		a.problem("the stamp of the store is lost")
	}
	a.rest = map[string][]byte{}
	var root uint64
	for _, space := range [...]byte{spaceRegistry, spaceConfig} {
		if err := eachPair(s.eng, []byte{space}, []byte{space + 1}, func(k, v []byte) error {
			if isStamp(k) {
				return nil
			}
			if !isRecord(k) {
				a.rest[string(k)] = bytes.Clone(v)
			}
			root += sumOf(k, v)
			return nil
		}); err != nil {
			return err
		}
	}
	if err := eachPair(s.eng, []byte{spaceLedger}, []byte{spaceLedger + 1}, func(k, v []byte) error {
		if len(k) != 5 || isStamp(k) {
			return nil
		}
		root += sumOf(k, v)
		return nil
	}); err != nil {
		return err
	}
	a.rootDiffers = a.stampThere && root != a.stamp.root
	if a.rootDiffers {
		a.problem("what is stored does not add up to commit %d: something in it is lost or old", a.stamp.seq)
	}
	return nil
}

// compareRegistry finds pairs of the registry that the trail knows and the
// engine does not.
func (a *audit) compareRegistry() {
	latest := map[string]*trailRecord{}
	last := uint64(0)
	for _, r := range a.records {
		last = max(last, r.stamp.seq)
		if r.kind == trailPair {
			latest[string(r.key)] = r
		}
	}
	for k, r := range latest {
		have, there := a.rest[k]
		switch {
		case there && bytes.Equal(have, r.value):
		case !there, r.stamp.seq > a.stamp.seq, a.rootDiffers && last >= a.stamp.seq:
			a.fixes[k] = r
		}
	}
	for _, k := range slices.Sorted(maps.Keys(a.fixes)) {
		a.problem("the entry %q of the registry was lost; it is restored from the trail", k)
	}
}

// loadFixes takes entries of the registry over that the engine lost.
func (s *Store) loadFixes(fixes map[string]*trailRecord) error {
	for _, k := range slices.Sorted(maps.Keys(fixes)) {
		key, value := []byte(k), fixes[k].value
		if bytes.HasPrefix(key, damagePrefix) {
			d, err := loadDamage(key, value)
			if err != nil {
				return fmt.Errorf("record of damage %q of the trail: %w", k, err)
			}
			s.damages = append(slices.DeleteFunc(s.damages, func(x Damage) bool { return x.ID == d.ID }), d)
		}
		if k[0] != spaceRegistry {
			continue
		}
		if err := s.loadEntry(key, value); err != nil {
			return fmt.Errorf("registry entry %q of the trail: %w", k, err)
		}
		if k[1] == registrySeries {
			if st := s.ids[seriesID(binary.BigEndian.Uint32(key[2:]))]; st != nil {
				if err := s.loadLedger(st); err != nil {
					return err
				}
			}
		}
	}
	if len(fixes) == 0 {
		return nil
	}
	return s.markAll()
}

// checkSeries compares every ledger with the sums of what belongs to it.
func (a *audit) checkSeries() error {
	s := a.s
	have := map[seriesID]*ledger{}
	at := func(k []byte) *ledger {
		id := seriesOf(k)
		if have[id] == nil {
			have[id] = &ledger{}
		}
		return have[id]
	}
	for space, add := range map[byte]func(l *ledger, sum uint64){
		spaceCoverage: func(l *ledger, sum uint64) { l.pages += sum },
		spaceStats:    func(l *ledger, sum uint64) { l.pages += sum },
		spaceEvidence: func(l *ledger, sum uint64) { l.evidence += sum; l.evidences++ },
		spaceAside:    func(l *ledger, sum uint64) { l.aside += sum; l.asides++ },
	} {
		if err := eachPair(s.eng, []byte{space}, []byte{space + 1}, func(k, v []byte) error {
			if len(k) < 5 {
				return fmt.Errorf("key %x is too short", k)
			}
			add(at(k), sumOf(k, v))
			return nil
		}); err != nil {
			return err
		}
	}
	for id, st := range s.ids {
		l := st.ledger
		got := have[id]
		if got == nil {
			got = &ledger{}
		}
		switch {
		case st.unreadable != nil:
			a.suspects[id] = "its ledger cannot be read"
		case got.pages != l.pages:
			a.suspects[id] = "its summaries are not those that its ledger counts"
		case got.evidence != l.evidence || got.evidences != l.evidences:
			a.suspects[id] = "its evidence of absence is not what its ledger counts"
		case got.aside != l.aside || got.asides != l.asides:
			a.suspects[id] = "its quarantine is not what its ledger counts"
		}
		delete(have, id)
	}
	for id := range have {
		if id != 0 {
			a.problem("series %d has summaries and no name: its bars cannot be read", id)
		}
	}
	for _, r := range a.unreadable {
		for id := range s.ids {
			if r.touches(id) {
				a.suspects[id] = "a file of it is damaged"
			}
		}
		switch {
		case r.meets(spaceJournal):
			a.problem("entries of the journal cannot be read any more")
		case r.meets(spaceRegistry) || r.meets(spaceConfig):
			a.problem("a part of the registry could not be read")
		}
	}
	return nil
}

// loss is what a series lost according to the trail.
type loss struct {
	runs    []series.Run
	touched bool
	commits int
	other   []journalOp // that were about no bars
}

// compareSeries finds the series that are behind the trail.
func (a *audit) compareSeries() map[seriesID]*loss {
	out := map[seriesID]*loss{}
	last := map[seriesID]*trailRecord{}
	for _, r := range a.records {
		if r.kind == trailPair || r.kind == trailRecords {
			continue
		}
		last[r.series] = r
		st := a.s.ids[r.series]
		// What a series has whose ledger is gone is found by reading all of it.
		if st == nil || st.unreadable != nil || r.change <= st.ledger.changes && a.journaled(r) {
			continue
		}
		l := out[r.series]
		if l == nil {
			l = &loss{}
			out[r.series] = l
		}
		l.commits++
		switch {
		case r.kind == trailState:
			// Behind the beginning of the trail: all that is known is where the
			// series had bars.
			l.runs, l.touched = series.Union(nil, l.runs, r.runs), true
		case len(r.runs) > 0 && r.op != opExplain:
			l.runs = series.Union(nil, l.runs, r.runs)
			l.touched = l.touched || r.touched
		case r.op != opFold:
			l.other = append(l.other, r.op)
		}
	}
	for id, r := range last {
		st := a.s.ids[id]
		if st == nil {
			a.problem("series %d is in the trail and not in the registry", id)
			continue
		}
		if st.unreadable == nil && r.change == st.ledger.changes && r.ledger != st.sum() {
			a.suspects[id] = "its ledger is not the one that was written"
		}
	}
	return out
}

// journaled reports whether the journal has the change of a record: a loss in
// the middle leaves later changes of the same series.
func (a *audit) journaled(r *trailRecord) bool {
	if r.kind != trailChange {
		return true
	}
	found, err := a.s.eng.Get(journalKey(r.change), func([]byte) error { return nil })
	return found || err != nil
}

// compareHead compares the stamp with HEAD.
func (a *audit) compareHead() {
	if !a.headThere {
		if a.stampThere && a.stamp.seq > 1 {
			a.problem("the file %s is missing: whether the last commits are there cannot be told", headName)
		}
		return
	}
	if a.foreign {
		return
	}
	switch have, want := a.stamp, a.mark.stamp; {
	case have.seq < want.seq:
		a.problem("the store stands at commit %d of %v, but had come to commit %d of %v: %d commits are lost, or an old copy was put in its place",
			have.seq, have.at, want.seq, want.at, want.seq-have.seq)
	case have.seq == want.seq && (have.root != want.root || have.journal != want.journal || have.entries != want.entries):
		a.problem("commit %d is not the one that was written", have.seq)
	}
}

// tell lists what was found in a store that is open for reading only.
func (a *audit) tell(lost map[seriesID]*loss) error {
	s := a.s
	ds := a.problems
	for id, why := range a.suspects {
		ds = append(ds, Damage{Key: s.ids[id].key, What: why, Found: foundOpen})
	}
	for id, l := range lost {
		for _, r := range l.runs {
			ds = append(ds, Damage{Key: s.ids[id].key, Span: s.ids[id].grid().Span(r), What: l.what(), Found: foundOpen})
		}
	}
	s.stamp = a.stamp
	return s.report(context.Background(), ds)
}

func (l *loss) what() string {
	return fmt.Sprintf("%d commits to the series are lost; quarantined until its bars are written again", l.commits)
}

// mend marks what is lost, rebuilds what does not add up, and counts the store
// anew.
func (a *audit) mend(lost map[seriesID]*loss) error {
	s := a.s
	ctx := context.Background()
	s.stamp = a.stamp
	// Numbers that were given to what is lost are not given again.
	for _, r := range a.records {
		s.seq.Store(max(s.seq.Load(), r.change))
	}
	if err := a.restoreRegistry(); err != nil {
		return err
	}
	for _, id := range slices.Sorted(maps.Keys(a.suspects)) {
		a.expect(s.ids[id])
		if err := s.reconcile(ctx, s.ids[id], a.suspects[id], foundOpen); err != nil {
			return fmt.Errorf("rebuild %s: %w", s.ids[id].key, err)
		}
	}
	for _, id := range slices.Sorted(maps.Keys(lost)) {
		if err := s.markLost(ctx, s.ids[id], lost[id]); err != nil {
			return fmt.Errorf("mark what %s lost: %w", s.ids[id].key, err)
		}
	}
	if err := s.report(ctx, a.problems); err != nil {
		return err
	}
	return s.restamp(max(a.stamp.seq, a.mark.stamp.seq))
}

// expect tells a series whose ledger is gone what the trail says that it had.
func (a *audit) expect(st *state) {
	if st.unreadable == nil {
		return
	}
	l := &ledger{}
	var run series.Run
	for _, r := range a.records {
		if r.kind == trailPair || r.series != st.id {
			continue
		}
		l.bars = r.bars
		for _, x := range r.runs {
			if run.Empty() {
				run = x
			}
			run.From, run.To = min(run.From, x.From), max(run.To, x.To)
		}
	}
	if l.bars > 0 && !run.Empty() {
		l.first, l.last = run.From, run.To-1
		st.setLedger(l, st.encoded)
	}
}

// restoreRegistry writes entries of the registry again.
func (a *audit) restoreRegistry() error {
	if len(a.fixes) == 0 {
		return nil
	}
	b := a.s.eng.Batch()
	for _, r := range a.fixes {
		if err := b.Set(r.key, r.value); err != nil {
			return err
		}
	}
	return a.s.commit(b)
}

// restamp counts all that is stored and begins anew behind commit seq.
func (s *Store) restamp(seq uint64) error {
	now, err := s.countAll(s.eng, nil)
	if err != nil {
		return err
	}
	now.seq = max(seq, s.stamp.seq) + 1
	b := s.eng.Batch()
	if err := b.Set(stampKey, now.encode()); err != nil {
		return err
	}
	if err := s.commit(b); err != nil {
		return err
	}
	s.stamp = now
	return nil
}

// markLost quarantines the slots of lost commits.
func (s *Store) markLost(ctx context.Context, st *state, l *loss) error {
	h, err := s.hold(ctx, st.mu)
	if err != nil {
		return err
	}
	defer h.release()
	c := s.begin(st, opDamage)
	if l.touched {
		// Bars that are there may be the ones that were replaced or removed.
		for _, r := range l.runs {
			if err := c.asideBlocks(r); err != nil {
				return err
			}
		}
	}
	if err := c.explainLost(l.runs); err != nil {
		return err
	}
	for _, r := range l.runs {
		c.damages = append(c.damages, Damage{Key: st.key, Span: st.grid().Span(r), What: l.what(), Found: foundOpen})
	}
	for _, op := range l.other {
		c.damages = append(c.damages, Damage{Key: st.key, What: fmt.Sprintf("a commit that recorded %s is lost", op), Found: foundOpen})
	}
	if err := c.findEnds(); err != nil {
		return err
	}
	wait, err := c.commit(ctx, h, true)
	if err != nil {
		return err
	}
	h.release()
	return wait()
}

// asideBlocks sets every block of r aside that has bars.
func (c *change) asideBlocks(r series.Run) error {
	v := &view{s: c.s, st: c.st, r: c.s.eng, ledger: c.st.ledger}
	lo, hi := blocksOf(r.Intersect(v.all()))
	var blocks []int64
	var pr pageReader
	if err := v.eachSummary(lo, hi, &pr, func(p *pageReader) error {
		if p.count > 0 {
			blocks = append(blocks, p.block)
		}
		return nil
	}); err != nil {
		return err
	}
	for _, b := range blocks {
		if err := c.asideBlock(b); err != nil {
			return err
		}
	}
	return nil
}

// asideBlock takes a block out of the summaries.
func (c *change) asideBlock(b int64) error {
	old, err := c.summary(b)
	if err != nil || old == nil || old.damaged {
		return err
	}
	c.entry.removed += int64(old.stats.count)
	c.touch = series.Join(c.touch, blockRun(b))
	for _, p := range old.present {
		start := blockStart(b)
		c.entry.runs = series.Join(c.entry.runs, series.Run{From: start + series.Slot(p.from), To: start + series.Slot(p.to)})
	}
	return c.put(old, &summary{block: b, damaged: true})
}

// encodeDamages gives the damages of a change their numbers and forms.
func (c *change) encodeDamages() error {
	for i := range c.damages {
		d := &c.damages[i]
		d.ID, d.At = c.s.seq.Add(1), c.now
		key, value, err := d.encode()
		if err != nil {
			return err
		}
		c.root += sumOf(key, value)
		c.set(key, value)
	}
	return nil
}

// touches reports whether keys of a series may be in the range.
func (r keyRange) touches(id seriesID) bool {
	for _, space := range [...]byte{spaceBlock, spaceCoverage, spaceLedger, spaceStats, spaceEvidence, spaceAside, spaceRows} {
		if r.overlaps(seriesKey(space, id), seriesKey(space, id+1)) {
			return true
		}
	}
	return false
}

// meets reports whether keys of a keyspace may be in the range.
func (r keyRange) meets(space byte) bool { return r.overlaps([]byte{space}, []byte{space + 1}) }

func (r keyRange) overlaps(lo, hi []byte) bool {
	return (r.hi == nil || bytes.Compare(lo, r.hi) < 0) && (r.lo == nil || bytes.Compare(r.lo, hi) < 0)
}
