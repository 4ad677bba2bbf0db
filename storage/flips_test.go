package storage_test

import (
	"context"
	"errors"
	"fmt"
	"io"
	"maps"
	"math"
	"math/rand/v2"
	"runtime/debug"
	"slices"
	"strings"
	"testing"
	"time"

	"github.com/cockroachdb/pebble/v2/vfs"

	"github.com/barkeepdb/barkeep/series"
	"github.com/barkeepdb/barkeep/storage"
)

// victim is a store to be damaged, and what it holds.
type victim struct {
	name  string
	disk  map[string][]byte // files by path
	older map[string][]byte // the same store some changes before
	truth *truth
	now   series.Time
}

// readDisk reads all files below dir.
func readDisk(fs vfs.FS, dir string, into map[string][]byte) error {
	names, err := fs.List(dir)
	if err != nil {
		return err
	}
	for _, n := range names {
		path := fs.PathJoin(dir, n)
		i, err := fs.Stat(path)
		if err != nil {
			return err
		}
		if i.IsDir() {
			if err := readDisk(fs, path, into); err != nil {
				return err
			}
			continue
		}
		f, err := fs.Open(path)
		if err != nil {
			return err
		}
		b, err := io.ReadAll(f)
		if cerr := f.Close(); err == nil {
			err = cerr
		}
		if err != nil {
			return err
		}
		into[path] = b
	}
	return nil
}

// writeDisk makes a disk of files.
func writeDisk(files map[string][]byte) (*vfs.MemFS, error) {
	fs := vfs.NewMem()
	for path, b := range files {
		if err := fs.MkdirAll(fs.PathDir(path), 0o700); err != nil {
			return nil, err
		}
		f, err := fs.Create(path, vfs.WriteCategoryUnspecified)
		if err != nil {
			return nil, err
		}
		// A file in memory belongs to who wrote it: the bytes are copied.
		if _, err := f.Write(slices.Clone(b)); err != nil {
			return nil, err
		}
		if err := f.Close(); err != nil {
			return nil, err
		}
	}
	return fs, nil
}

// victimPlan says how a victim comes to be.
type victimPlan struct {
	name    string
	close   bool // cleanly; else the power goes
	tables  bool // the log is written out to tables before the last changes
	appends int  // changes that stay in the log
}

var victimPlans = []victimPlan{
	{"closed", true, true, 60},
	{"small log", false, true, 8},
	{"log", false, true, 220},
	{"all in the log", false, false, 500},
}

// newVictim makes up a store with all that a store can hold.
func newVictim(seed uint64, p victimPlan) (*victim, error) {
	ctx := context.Background()
	g := newScript(seed)
	d, err := newSim(p.name, newTally())
	if err != nil {
		return nil, err
	}
	v := &victim{name: p.name, disk: map[string][]byte{}, older: map[string][]byte{}}
	do := func(o *simOp) error {
		o.now = g.now
		if o.src == 0 {
			o.src = uint8(1 + g.r.IntN(3))
		}
		o.write.Source = truthSources[o.src]
		return d.step(ctx, o)
	}
	btc, eth, hour, day := simKeys[0], simKeys[1], simKeys[2], simKeys[3]
	bars := func(k series.Key, from series.Slot, n int, wild bool) *simOp {
		o := &simOp{kind: simWrite, key: k, bars: &series.Columns{}}
		for i := range n {
			if n < 100 || g.r.IntN(50) > 0 { // gaps
				o.bars.Append(g.bar(k, from+series.Slot(i), wild))
			}
		}
		return o
	}
	// Every tenth minute only, and no large delete: to read a damaged stretch of
	// a table the engine tries every bit of it, in a time that grows with the
	// square of its length.
	big := func() *simOp {
		o := &simOp{kind: simWrite, key: btc, bars: &series.Columns{}}
		n := 5500 // goes in as tables
		if !p.tables {
			n = 1000
		}
		for i := range n {
			o.bars.Append(g.bar(btc, g.tail[btc]-9000-series.Slot(n-i)*10, true))
		}
		return o
	}
	listed := g.now - 3000*series.Day
	ops := []*simOp{
		big(),
		bars(btc, g.tail[btc]-8000, 7000, false),
		bars(eth, g.tail[eth]-3000, 2900, false),
		bars(hour, g.tail[hour]-2000, 1900, false),
		bars(day, g.tail[day]-500, 450, false),
		{kind: simSymbol, key: day, sym: storage.Symbol{Calendar: "24x7", TickSize: 0.01, Sources: []string{"kraken"}, Listed: &listed}},
		{kind: simExplain, key: eth, gap: series.Absence{Run: series.Run{From: g.tail[eth] - 4000, To: g.tail[eth] - 3800}, State: series.StateHalted, Note: series.Note{Reason: "halted"}}},
		{kind: simDelete, key: btc, run: series.Run{From: g.tail[btc] - 6000, To: g.tail[btc] - 5700}},
		{kind: simDelete, key: hour, run: series.Run{From: g.tail[hour] - 500, To: g.tail[hour] - 400}},
	}
	aside := &simOp{key: eth}
	g.aside(aside)
	conflict := bars(eth, g.tail[eth]-2950, 40, false)
	conflict.write.OnConflict = storage.Quarantine
	ops = append(ops, aside, conflict)
	for _, o := range ops {
		if err := do(o); err != nil {
			return nil, err
		}
	}
	if p.tables {
		if err := do(&simOp{kind: simReopen}); err != nil {
			return nil, err
		}
	}
	for i := range p.appends {
		if i == p.appends*2/3 {
			// HEAD may lag behind by a moment; so short a life would be all moment.
			if err := d.store.Sync(ctx); err != nil {
				return nil, err
			}
			if err := readDisk(d.mem.CrashClone(vfs.CrashCloneCfg{}), "store", v.older); err != nil {
				return nil, err
			}
		}
		o := &simOp{key: simKeys[g.r.IntN(len(simKeys))]}
		switch n := g.r.IntN(20); {
		case n < 12:
			g.append(o)
		case n < 15: // late
			o = bars(o.key, g.tail[o.key]-series.Slot(g.r.IntN(9000)), 1+g.r.IntN(60), false)
		case n < 17: // corrected
			o = bars(o.key, g.tail[o.key]-series.Slot(100+g.r.IntN(2000)), 1+g.r.IntN(5), false)
			for i := range o.bars.Prov {
				o.bars.Prov[i] = series.NewProv(series.Corrected, 0)
			}
		case n == 17:
			o.kind = simDelete
			from := g.tail[o.key] - series.Slot(g.r.IntN(3000))
			o.run = series.Run{From: from, To: from + series.Slot(1+g.r.IntN(5))}
		case n == 18:
			g.aside(o)
		default:
			g.explain(o)
		}
		o.write.Relaxed = false
		if err := do(o); err != nil {
			return nil, err
		}
	}
	v.truth, v.now = d.truth.clone(), g.now
	mem := d.mem
	if err := do(&simOp{kind: simCheckpoint}); err != nil {
		return nil, err
	}
	if !p.close {
		if err := d.store.Sync(ctx); err != nil {
			return nil, err
		}
		mem = d.mem.CrashClone(vfs.CrashCloneCfg{})
	}
	if err := readDisk(d.mem, backupDir, v.disk); err != nil {
		return nil, err
	}
	if err := d.close(); err != nil {
		return nil, err
	}
	return v, readDisk(mem, "store", v.disk)
}

// spoiled is a damaged copy of a victim.
type spoiled struct {
	*victim
	class ioClass
	what  string // for a person
	disk  map[string][]byte
}

// filesOf lists the files of a class, in order.
func (v *victim) filesOf(c ioClass) []string {
	var out []string
	for path, b := range v.disk {
		if classOf(path) == c && (len(b) > 0 || c == fileMarker) {
			out = append(out, path)
		}
	}
	slices.Sort(out)
	return out
}

// flipClasses are the files that are damaged, in turn.
var flipClasses = []ioClass{fileTable, fileLog, fileManifest, fileOptions, fileMarker, fileHead, fileTrail, fileBackup}

func classesOf(vs []*victim) []ioClass {
	return slices.DeleteFunc(slices.Clone(flipClasses), func(c ioClass) bool {
		return !slices.ContainsFunc(vs, func(v *victim) bool { return len(v.filesOf(c)) > 0 })
	})
}

// pick chooses a victim with files of a class, and one of them.
func pick(r *rand.Rand, vs []*victim, c ioClass) (*victim, string) {
	for {
		v := vs[r.IntN(len(vs))]
		if files := v.filesOf(c); len(files) > 0 {
			return v, files[r.IntN(len(files))]
		}
	}
}

// flip turns one bit of a file; of an empty one, whose name is what counts, it
// turns the name.
func flip(r *rand.Rand, vs []*victim, c ioClass) *spoiled {
	v, path := pick(r, vs, c)
	s := &spoiled{v, c, "", maps.Clone(v.disk)}
	if len(v.disk[path]) == 0 {
		s.rename(r, path)
		return s
	}
	bit := r.Int64N(int64(len(v.disk[path])) * 8)
	b := slices.Clone(v.disk[path])
	b[bit/8] ^= 1 << (bit % 8)
	s.disk[path] = b
	s.what = fmt.Sprintf("%s: bit %d of byte %d of %d of %s", v.name, bit%8, bit/8, len(b), path)
	return s
}

// rename flips a bit of the last part of a name, or drops the file.
func (s *spoiled) rename(r *rand.Rand, path string) {
	b := s.disk[path]
	delete(s.disk, path)
	s.what = fmt.Sprintf("%s: %s is gone", s.name, path)
	if r.IntN(4) == 0 {
		return
	}
	name := []byte(path)
	at := len("store/db/") + r.IntN(len(name)-len("store/db/"))
	name[at] ^= 1 << r.IntN(5)
	if name[at] == '/' || name[at] == 0 {
		return
	}
	s.disk[string(name)] = b
	s.what = fmt.Sprintf("%s: %s is called %q", s.name, path, name)
}

// spoil damages whole pages, files and folders.
func spoil(r *rand.Rand, vs []*victim, c ioClass, way int) *spoiled {
	v, path := pick(r, vs, c)
	s := &spoiled{v, c, "", maps.Clone(v.disk)}
	size := len(v.disk[path])
	switch way {
	case 0:
		n := 0
		if size > 0 {
			n = r.IntN(size)
		}
		s.disk[path] = v.disk[path][:n]
		s.what = fmt.Sprintf("%s: %s cut from %d to %d bytes", v.name, path, size, n)
	case 1:
		b := slices.Clone(v.disk[path])
		from := 0
		if size > 0 {
			from = r.IntN(size) &^ 4095
		}
		clear(b[from:min(size, from+4096)])
		s.disk[path] = b
		s.what = fmt.Sprintf("%s: 4 KiB from %d of %d of %s are zero", v.name, from, size, path)
	case 2:
		files := v.filesOf(c)
		other := files[r.IntN(len(files))]
		s.disk[path], s.disk[other] = v.disk[other], v.disk[path]
		s.what = fmt.Sprintf("%s: %s and %s changed places", v.name, path, other)
	case 3:
		delete(s.disk, path)
		s.what = fmt.Sprintf("%s: %s of %d bytes is gone", v.name, path, size)
	default:
		s.class = "rollback"
		maps.DeleteFunc(s.disk, func(p string, _ []byte) bool { return strings.HasPrefix(p, "store/db/") })
		for p, b := range v.older {
			if strings.HasPrefix(p, "store/db/") {
				s.disk[p] = b
			}
		}
		s.what = v.name + ": store/db is an older copy"
	}
	return s
}

// asked is what the judge asks of a store; a lying one is put in its place to
// see whether the judge notices.
type asked interface {
	held
	Info(series.Key) (storage.Info, error)
	Symbol(string) (storage.Symbol, bool)
	Asides(context.Context, series.Key) (map[string]bool, error)
	Source(series.SourceID) string
	Damages() ([]damage, error)
	Problems(context.Context) ([]string, error)
}

// askedStore is a real store.
type askedStore struct{ *storage.Store }

func (s askedStore) Source(id series.SourceID) string { return s.SourceName(id) }

func (s askedStore) Damages() ([]damage, error) { return damagesOf(s.Store) }

func (s askedStore) Asides(ctx context.Context, k series.Key) (map[string]bool, error) {
	lost, byHand, err := asidesOf(ctx, s.Store, k)
	maps.Copy(lost, byHand)
	return lost, err
}

func (s askedStore) Problems(ctx context.Context) ([]string, error) {
	rep, err := s.Verify(ctx, storage.VerifyOptions{})
	out := rep.Problems
	for _, e := range rep.Damaged {
		out = append(out, e.Error())
	}
	return out, err
}

// verdict is what the judge found.
type verdict struct {
	silent   []string                    // what is wrong without a word
	unclear  []string                    // errors that do not say that data is damaged
	reported map[series.Key][]series.Run // slots that are said to be damaged
	wrong    map[series.Key]*series.Columns
	back     map[series.Key][]series.Run // bars that are there and must not be, of reported slots
	said     bool                        // something was reported
	unread   bool                        // a read met damage
}

func (v *verdict) lie(format string, args ...any) {
	if len(v.silent) < 5 {
		v.silent = append(v.silent, fmt.Sprintf(format, args...))
	}
}

// error files an error of a read: true if it says that data is damaged.
func (v *verdict) error(what string, err error) bool {
	if errors.Is(err, series.ErrCorrupt) {
		v.said = true
		return true
	}
	v.unclear = append(v.unclear, what+": "+err.Error())
	return false
}

// judge compares a store that may be damaged with the truth: every difference
// must have been reported.
func judge(ctx context.Context, s asked, t *truth, now series.Time) *verdict {
	v := &verdict{reported: map[series.Key][]series.Run{}, wrong: map[series.Key]*series.Columns{}, back: map[series.Key][]series.Run{}}
	ds, err := s.Damages()
	if err != nil {
		v.error("damages", err)
	}
	v.said = v.said || len(ds) > 0
	problems, err := s.Problems(ctx)
	if err != nil {
		v.error("verify", err)
	}
	v.said = v.said || len(problems) > 0
	for _, k := range t.keys() {
		named := func() bool { // something is said of this series
			return slices.ContainsFunc(ds, func(d damage) bool {
				return d.Key == k || d.Key == (series.Key{}) && strings.Contains(d.What, k.Symbol)
			}) ||
				slices.ContainsFunc(problems, func(p string) bool { return strings.Contains(p, k.String()) })
		}
		v.judgeSeries(ctx, s, t.series[k], now, ds, named)
	}
	for name, want := range t.symbols {
		got, ok := s.Symbol(name)
		if ok && sameSymbol(got, want) {
			continue
		}
		if !slices.ContainsFunc(ds, func(d damage) bool { return d.Key.Symbol == name || strings.Contains(d.What, name) }) &&
			!slices.ContainsFunc(problems, func(p string) bool { return strings.Contains(p, name) }) {
			v.lie("symbol %s is %+v, was %+v", name, got, want)
		}
	}
	return v
}

func (v *verdict) judgeSeries(ctx context.Context, s asked, t *seriesTruth, now series.Time, ds []damage, named func() bool) {
	reach := series.Run{From: -1 << 40, To: 1 << 40}
	report := func(span series.Span) {
		run := reach
		if span != (series.Span{}) {
			run = t.grid.Run(span)
		}
		v.reported[t.key] = append(v.reported[t.key], run)
		v.said = true
	}
	for _, d := range ds {
		if d.Key == t.key && d.Span != (series.Span{}) { // without a span it is not about bars
			report(d.Span)
		}
	}
	_, err := s.Info(t.key)
	switch {
	case errors.Is(err, series.ErrNoSeries):
		if t.bars > 0 && len(v.reported[t.key]) == 0 {
			v.lie("series %s is gone", t.key)
		}
	case err != nil:
		if v.error("info", err) {
			report(series.Span{})
		}
	}
	var got series.Columns
	o := storage.ReadOptions{OnDamage: func(e *storage.CorruptError) { v.unread = true; report(e.Span) }}
	if err := s.Read(ctx, t.key, series.Span{}, o, &got); err != nil && !errors.Is(err, series.ErrNoSeries) {
		got.Reset()
		v.unread = true
		v.error("read", err) // unclear perhaps, but not silent
		report(spanOf(err))
	}
	if err == nil {
		v.judgeQuarantined(ctx, s, t, report)
	}
	runs := series.Normalize(v.reported[t.key])
	v.reported[t.key] = runs
	v.judgeBars(s, t, &got, runs)
	v.judgeAsides(ctx, s, t, named)
	v.judgeEvidence(ctx, s, t, now, runs, named)
}

func spanOf(err error) series.Span {
	if e, ok := errors.AsType[*storage.CorruptError](err); ok {
		return e.Span
	}
	return series.Span{}
}

// judgeQuarantined adds the slots that coverage calls quarantined, beyond those
// of bars that were set aside.
func (v *verdict) judgeQuarantined(ctx context.Context, s asked, t *seriesTruth, report func(series.Span)) {
	var lo, hi series.Slot
	t.each(func(n series.Slot, _ cell) {
		if lo == 0 && hi == 0 {
			lo = n
		}
		hi = n
	})
	cov, err := s.Coverage(ctx, t.key, t.grid.Span(series.Run{From: lo, To: hi + 1}))
	if err != nil {
		if v.error("coverage", err) {
			report(spanOf(err))
		}
		return
	}
	for _, g := range cov.Runs {
		if g.State == series.StateQuarantined && !t.allAside(g.Run) {
			report(t.grid.Span(g.Run))
		}
	}
}

func (t *seriesTruth) allAside(run series.Run) bool {
	if run.Len() > 64 {
		return false
	}
	for n := run.From; n < run.To; n++ {
		if !t.asideAt(n) {
			return false
		}
	}
	return true
}

// within reports whether n is in one of the runs, which ascend.
func within(runs []series.Run, n series.Slot) bool {
	i, found := slices.BinarySearchFunc(runs, n, func(r series.Run, n series.Slot) int {
		switch {
		case r.To <= n:
			return -1
		case r.From > n:
			return 1
		}
		return 0
	})
	return found && runs[i].Contains(n)
}

func (v *verdict) judgeBars(s asked, t *seriesTruth, got *series.Columns, runs []series.Run) {
	have := make(map[series.Slot]cell, got.Len())
	names := map[series.SourceID]uint8{}
	for i := range got.Time {
		b := got.Bar(i)
		src, ok := names[b.Prov.Source()]
		if !ok {
			src = uint8(slices.Index(truthSources[:], s.Source(b.Prov.Source())))
			names[b.Prov.Source()] = src
		}
		have[t.grid.SlotAt(b.Time)] = cell{bits(b), b.Prov & 0xff, src}
	}
	heal := &series.Columns{}
	t.each(func(n series.Slot, want cell) {
		g, ok := have[n]
		delete(have, n)
		if ok && g == want {
			if within(runs, n) { // a careful store may doubt more than is wrong
				heal.Append(t.bar(n, want))
			}
			return
		}
		heal.Append(t.bar(n, want))
		switch {
		case within(runs, n):
		case ok:
			v.lie("%s: bar %v is %+v, was %+v", t.key, t.grid.Time(n), g, want)
		default:
			v.lie("%s: bar %v is gone", t.key, t.grid.Time(n))
		}
	})
	v.wrong[t.key] = heal
	for n := range have {
		v.back[t.key] = series.Join(v.back[t.key], series.Run{From: n, To: n + 1})
		if !within(runs, n) {
			v.lie("%s: bar %v is back", t.key, t.grid.Time(n))
		}
	}
}

func (v *verdict) judgeAsides(ctx context.Context, s asked, t *seriesTruth, named func() bool) {
	got, err := s.Asides(ctx, t.key)
	if err != nil {
		v.error("quarantine", err)
		return
	}
	want := maps.Clone(t.aside)
	maps.Copy(want, t.byHand)
	if !maps.Equal(got, want) && !named() {
		v.lie("%s: quarantine has %d entries, had %d", t.key, len(got), len(want))
	}
}

// judgeEvidence checks that what was explained still is, where no bar is
// missing.
func (v *verdict) judgeEvidence(ctx context.Context, s asked, t *seriesTruth, now series.Time, runs []series.Run, named func() bool) {
	for _, e := range t.evidence {
		cov, err := s.Coverage(ctx, t.key, t.grid.Span(e.Run))
		if err != nil {
			if !errors.Is(err, series.ErrNoSeries) {
				v.error("coverage", err)
			} else if !named() {
				v.lie("%s: evidence on %v is gone with its series", t.key, e.Run)
			}
			continue
		}
		for _, g := range cov.Runs {
			for n := g.From; n < g.To; n++ {
				if want := t.stateAt(n, now); g.State != want && !within(runs, n) && !named() {
					v.lie("%s: slot %d is %v, was %v", t.key, n, g.State, want)
				}
			}
		}
	}
}

// heal writes the truth where it was said to be damaged, as a repair from a
// good source would, and returns how many of the damaged bars are right then.
func heal(ctx context.Context, s *storage.Store, t *truth, v *verdict) (int, error) {
	healed := 0
	if v.unread { // what no read could tell was set aside already
		if _, err := s.Verify(ctx, storage.VerifyOptions{Repair: true}); err != nil {
			return 0, fmt.Errorf("repair: %w", err)
		}
	}
	for _, k := range t.keys() {
		x, c := t.series[k], v.wrong[k]
		for _, run := range v.back[k] {
			if _, err := s.Delete(ctx, k, x.grid.Span(run)); err != nil {
				return healed, err
			}
		}
		// Each bar comes from the source that said it first.
		for src := range truthSources {
			var part series.Columns
			for i := range c.Time {
				if w, _ := x.get(x.grid.SlotAt(c.Time[i])); int(w.src) == src {
					part.Append(c.Bar(i))
				}
			}
			if part.Len() == 0 {
				continue
			}
			if _, err := s.Write(ctx, k, &part, storage.WriteOptions{Source: truthSources[src]}); err != nil {
				return healed, fmt.Errorf("heal %s: %w", k, err)
			}
		}
		n, err := x.countRight(ctx, s, c)
		if err != nil {
			return healed, err
		}
		healed += n
	}
	return healed, nil
}

// countRight counts the bars of c that the store holds as the truth does; if
// the rest of the series differs, none is.
func (t *seriesTruth) countRight(ctx context.Context, s *storage.Store, c *series.Columns) (int, error) {
	if c.Len() == 0 {
		return 0, nil
	}
	var got series.Columns
	if err := s.Read(ctx, t.key, series.Span{}, storage.ReadOptions{OnDamage: func(*storage.CorruptError) {}}, &got); err != nil {
		return 0, fmt.Errorf("read healed %s: %w", t.key, err)
	}
	srcs := sourcesOf(s)
	have := map[series.Time]cell{}
	for i := range got.Time {
		b := got.Bar(i)
		have[b.Time] = cell{bits(b), b.Prov & 0xff, srcs.index(b.Prov.Source())}
	}
	n := 0
	for _, at := range c.Time {
		if w, _ := t.get(t.grid.SlotAt(at)); have[at] == w {
			n++
		}
	}
	return n, nil
}

// outcome is how a damaged store ended.
type outcome struct {
	end     string // harmless, detected or refused
	silent  []string
	unclear []string
	healed  int
	toHeal  int
}

// try opens a damaged store, judges it and heals it.
func try(ctx context.Context, x *spoiled) (o outcome, err error) {
	defer func() {
		if p := recover(); p != nil {
			err = fmt.Errorf("panic: %v\n%s", p, debug.Stack())
		}
	}()
	fs, err := writeDisk(x.disk)
	if err != nil {
		return o, err
	}
	d := &sim{fatal: make(chan struct{})}
	d.now.Store(int64(x.now))
	dir := "store"
	if x.class == fileBackup {
		dir = backupDir
		if err := verifyBackup(ctx, fs, dir); err != nil {
			return outcome{end: "refused"}, nil
		}
	}
	s, err := storage.Open(dir, d.options(fs, func(err error) { panic(err) }))
	if err != nil {
		o.end = "refused"
		if _, ok := errors.AsType[*storage.FormatError](err); !ok && !errors.Is(err, series.ErrCorrupt) {
			o.unclear = append(o.unclear, err.Error())
		}
		return o, nil
	}
	defer s.Close()
	v := judge(ctx, askedStore{s}, x.truth, x.now)
	o.silent, o.unclear = v.silent, v.unclear
	o.end = "harmless"
	if v.said {
		o.end = "detected"
	}
	if len(o.silent) > 0 {
		return o, nil
	}
	for _, c := range v.wrong {
		o.toHeal += c.Len()
	}
	if o.toHeal > 0 {
		o.healed, err = heal(ctx, s, x.truth, v)
	}
	return o, err
}

// tryInTime is try under a watchdog. It is patient: see newVictim.
func tryInTime(ctx context.Context, x *spoiled) (outcome, error) {
	type result struct {
		o   outcome
		err error
	}
	done := make(chan result, 1)
	go func() {
		o, err := try(ctx, x)
		done <- result{o, err}
	}()
	select {
	case r := <-done:
		return r.o, r.err
	case <-time.After(3 * hangAfter):
		return outcome{}, hangs()
	}
}

// victims makes the stores that are damaged.
func victims(t *testing.T) []*victim {
	var out []*victim
	for i, p := range victimPlans {
		v, err := newVictim(uint64(100+i), p)
		if err != nil {
			t.Fatal(p.name, err)
		}
		for _, path := range v.filesOf(fileLog) {
			t.Logf("%s: %d bytes in %s, %d bars", v.name, len(v.disk[path]), path, v.truth.bars())
		}
		out = append(out, v)
	}
	return out
}

// damageAll damages n stores in ways that damage chooses, and counts by class.
func damageAll(t *testing.T, test string, n int, classes []ioClass, spoil func(*rand.Rand, ioClass, int) *spoiled) {
	ctx := context.Background()
	counts := map[ioClass]*tally{}
	all := newTally("cycles", "harmless", "detected", "refused", "silent", "unclear", "to heal", "healed")
	first := map[ioClass]int{}
	one := func(seed uint64) error {
		x := spoil(rand.New(rand.NewPCG(seed, 13)), classes[int(seed)%len(classes)], int(seed)/len(classes))
		o, err := tryInTime(ctx, x)
		all.mu.Lock()
		c := counts[x.class]
		if c == nil {
			c = newTally(all.names...)
			counts[x.class] = c
		}
		all.mu.Unlock()
		for _, c := range []*tally{c, all} {
			c.add("cycles", 1)
			c.add(o.end, 1)
			c.add("to heal", o.toHeal)
			c.add("healed", o.healed)
			if len(o.silent) > 0 {
				c.add("silent", 1)
			}
			if len(o.unclear) > 0 {
				c.add("unclear", 1)
			}
		}
		switch {
		case err != nil:
		case len(o.silent) > 0:
			err = fmt.Errorf("silent: %s", strings.Join(o.silent, "; "))
		case len(o.unclear) > 0:
			err = fmt.Errorf("an error does not say that data is damaged: %s", strings.Join(o.unclear, "; "))
		case o.healed < o.toHeal:
			err = fmt.Errorf("%d of %d bars healed", o.healed, o.toHeal)
		}
		if err == nil {
			return nil
		}
		all.mu.Lock()
		defer all.mu.Unlock()
		if first[x.class]++; first[x.class] > 3 { // a few of each class are enough to begin with
			t.Fail()
			return nil
		}
		return fmt.Errorf("seed %d, %s: %w", seed, x.what, err)
	}
	eachSeed(t, seeds(t, test, n), true, one)
	for _, c := range slices.Sorted(maps.Keys(counts)) {
		t.Logf("%-9s %v", c, counts[c])
	}
	t.Logf("%-9s %v", "all", all)
	if h := all.get("healed"); float64(h) < 0.999*float64(all.get("to heal")) {
		t.Errorf("%d of %d damaged bars could be healed", h, all.get("to heal"))
	}
}

// TestTortureFlips flips one bit of a store at a time, in files of every class.
// Whatever is opened then must hold what it held, bit for bit, or say what it
// lost, and take it back when it is written again.
func TestTortureFlips(t *testing.T) {
	n := 600
	switch {
	case *long:
		n = 10000
	case testing.Short():
		n = 80
	}
	vs := victims(t)
	damageAll(t, "flips", n, classesOf(vs), func(r *rand.Rand, c ioClass, _ int) *spoiled { return flip(r, vs, c) })
}

// TestTortureFiles does worse: files cut, zeroed by the page, gone, in each
// other's place, and a whole database that is an older copy of itself.
func TestTortureFiles(t *testing.T) {
	n := 100
	switch {
	case *long:
		n = 2000
	case testing.Short():
		n = 40
	}
	vs := victims(t)
	damageAll(t, "files", n, classesOf(vs), func(r *rand.Rand, c ioClass, i int) *spoiled { return spoil(r, vs, c, i%5) })
}

// liar is a store that does not tell the truth.
type liar struct {
	askedStore
	lie string
}

func (l liar) Read(ctx context.Context, k series.Key, span series.Span, o storage.ReadOptions, dst *series.Columns) error {
	if err := l.Store.Read(ctx, k, span, o, dst); err != nil || k != simKeys[0] {
		return err
	}
	n := dst.Len() / 2
	switch l.lie {
	case "a bar is dropped", "a bar is dropped and reported":
		all := *dst
		*dst = series.Columns{}
		for i := range all.Time {
			if i != n {
				dst.Append(all.Bar(i))
			}
		}
		if l.lie != "a bar is dropped" {
			o.OnDamage(&storage.CorruptError{Key: k, Span: series.Span{From: all.Time[n], To: all.Time[n] + 1}})
		}
	case "a bit of a price":
		dst.Close[n] = math.Float64frombits(math.Float64bits(dst.Close[n]) ^ 1)
	case "another source":
		dst.Prov[n] = dst.Prov[n].WithSource(dst.Prov[n].Source()%3 + 1)
	case "an observed bar is called corrected":
		dst.Prov[n] ^= series.Prov(series.Corrected)
	case "a deleted bar is back":
		b := dst.Bar(dst.Len() - 1)
		b.Time += 5000 * series.Minute
		dst.Append(b)
	case "an error that says nothing":
		return errors.New("it did not work")
	}
	return nil
}

func (l liar) Coverage(ctx context.Context, k series.Key, span series.Span) (storage.Coverage, error) {
	c, err := l.Store.Coverage(ctx, k, span)
	if l.lie == "evidence is forgotten" {
		for i := range c.Runs {
			if c.Runs[i].State == series.StateHalted {
				c.Runs[i].State = series.StateMissing
			}
		}
	}
	return c, err
}

func (l liar) Info(k series.Key) (storage.Info, error) {
	if l.lie == "a series is gone" && k == simKeys[0] {
		return storage.Info{}, series.ErrNoSeries
	}
	return l.Store.Info(k)
}

func (l liar) Symbol(name string) (storage.Symbol, bool) {
	m, ok := l.Store.Symbol(name)
	if l.lie == "another calendar" {
		m.Calendar = "XNYS"
	}
	return m, ok
}

func (l liar) Asides(ctx context.Context, k series.Key) (map[string]bool, error) {
	m, err := l.askedStore.Asides(ctx, k)
	if l.lie == "an entry of the quarantine is gone" {
		for id := range m {
			delete(m, id)
			break
		}
	}
	return m, err
}

// TestTortureJudge checks that the judge of the torture tests cannot be lied
// to.
func TestTortureJudge(t *testing.T) {
	ctx := context.Background()
	v, err := newVictim(7, victimPlans[0])
	if err != nil {
		t.Fatal(err)
	}
	fs, err := writeDisk(v.disk)
	if err != nil {
		t.Fatal(err)
	}
	d := &sim{}
	d.now.Store(int64(v.now))
	s, err := storage.Open("store", d.options(fs, nil))
	if err != nil {
		t.Fatal(err)
	}
	defer s.Close()
	for _, tt := range []struct {
		lie             string
		silent, unclear bool
	}{
		{lie: "none"},
		{lie: "a bar is dropped and reported"},
		{lie: "a bar is dropped", silent: true},
		{lie: "a bit of a price", silent: true},
		{lie: "another source", silent: true},
		{lie: "an observed bar is called corrected", silent: true},
		{lie: "a deleted bar is back", silent: true},
		{lie: "evidence is forgotten", silent: true},
		{lie: "a series is gone", silent: true},
		{lie: "another calendar", silent: true},
		{lie: "an entry of the quarantine is gone", silent: true},
		{lie: "an error that says nothing", unclear: true},
	} {
		v := judge(ctx, liar{askedStore{s}, tt.lie}, v.truth, v.now)
		if (len(v.silent) > 0) != tt.silent || (len(v.unclear) > 0) != tt.unclear {
			t.Errorf("%s: silent %q, unclear %q", tt.lie, v.silent, v.unclear)
		}
	}
}
