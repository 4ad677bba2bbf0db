package storage

import (
	"context"
	"encoding/binary"
	"encoding/json"
	"errors"
	"fmt"
	"slices"

	"golang.org/x/mod/sumdb/tlog"

	"github.com/barkeepdb/barkeep/series"
)

// The audit log is a Merkle tree over the entries of the journal, as of
// Certificate Transparency (RFC 9162), in the order in which they were taken
// into it. It is kept beside the journal and brought up to date on request, so
// that no write pays for it: records hold the number and the hash of each entry
// that was taken in, and the head. Whoever has kept a head elsewhere can prove
// that nothing before it was changed since, whatever was done to the store.
//
// Entries are taken in by their numbers, and only when no change with a smaller
// number is under way: the numbers of the log rise, and an entry that is not in
// it and has a smaller number than its last one was added behind its back.
// Entries that are not taken in yet are covered by the sums of the stamp.

// AuditHead is the size and the hash of the audit log at a time.
type AuditHead struct {
	Store string      `json:"store"` // id of the store
	Size  int64       `json:"size"`  // entries
	Root  tlog.Hash   `json:"root"`
	At    series.Time `json:"at"`
}

// AuditReport is what [Store.VerifyAudit] found.
type AuditReport struct {
	Head     AuditHead
	Entries  int64    // of the journal
	Problems []string // empty: every entry is as it was
}

const (
	kindLeaf   = "audit/leaf" // name: number of the chunk; value: number and hash of each entry
	kindHead   = "audit/head"
	headRecord = "head"

	leafSize  = 8 + tlog.HashSize
	leafChunk = 1024 // entries of a record
)

var errAudit = errors.New("the audit log is damaged")

// leaf is an entry that was taken into the log.
type leaf struct {
	seq  uint64
	hash tlog.Hash
}

func chunkName(i int) string { return fmt.Sprintf("%08x", i) }

// leaves reads what was taken into the log, in its order.
func (s *Store) leaves(ctx context.Context) ([]leaf, error) {
	var out []leaf
	n := 0
	for r, err := range s.Records(ctx, kindLeaf, "") {
		if err != nil {
			return nil, err
		}
		if r.Name != chunkName(n) || len(r.Value)%leafSize != 0 || len(out)%leafChunk != 0 {
			return nil, fmt.Errorf("%w: record %s", errAudit, r.Name)
		}
		for b := r.Value; len(b) > 0; b = b[leafSize:] {
			out = append(out, leaf{binary.BigEndian.Uint64(b), tlog.Hash(b[8:leafSize])})
		}
		n++
	}
	return out, nil
}

func (s *Store) lastHead(ctx context.Context) (h AuditHead, found bool, err error) {
	v, found, err := s.Record(ctx, kindHead, headRecord)
	if err == nil && found {
		err = json.Unmarshal(v, &h)
	}
	return h, found, err
}

// treeHash is the hash of the tree of the first n leaves.
func treeHash(ls []leaf, n int64) (tlog.Hash, error) {
	var stored []tlog.Hash
	read := tlog.HashReaderFunc(func(indexes []int64) ([]tlog.Hash, error) {
		out := make([]tlog.Hash, len(indexes))
		for i, x := range indexes {
			if x >= int64(len(stored)) {
				return nil, errAudit
			}
			out[i] = stored[x]
		}
		return out, nil
	})
	for i := range n {
		hs, err := tlog.StoredHashesForRecordHash(i, ls[i].hash, read)
		if err != nil {
			return tlog.Hash{}, err
		}
		stored = append(stored, hs...)
	}
	return tlog.TreeHash(n, read)
}

// quiet waits until every change that was begun before it was called has ended,
// and returns the largest number that one of them may have.
func (s *Store) quiet(ctx context.Context) (uint64, error) {
	last := s.seq.Load()
	for _, st := range s.all() {
		// A change is numbered, and committed, while this lock is held.
		h, err := s.hold(ctx, st.mu)
		if err != nil {
			return 0, err
		}
		h.release()
	}
	return last, nil
}

// AuditHead takes all entries of the journal into the audit log and returns its
// head. It is durable when it returns. It waits for the changes that are under
// way; those that begin meanwhile are for the next time.
func (s *Store) AuditHead(ctx context.Context) (AuditHead, error) {
	if err := s.enter(); err != nil {
		return AuditHead{}, err
	}
	defer s.leave()
	h, err := s.hold(ctx, s.audits)
	if err != nil {
		return AuditHead{}, err
	}
	defer h.release()
	ls, err := s.leaves(ctx)
	if err != nil {
		return AuditHead{}, err
	}
	from, before := uint64(0), len(ls)
	if before > 0 {
		from = ls[before-1].seq + 1
	}
	through, err := s.quiet(ctx)
	if err != nil {
		return AuditHead{}, err
	}
	if err := eachPair(s.eng, journalKey(from), []byte{spaceJournal + 1}, func(k, v []byte) error {
		if len(k) != 9 {
			return errJournal
		}
		if seq := binary.BigEndian.Uint64(k[1:]); seq <= through {
			ls = append(ls, leaf{seq, recordHash(k, v)})
		}
		return ctx.Err()
	}); err != nil {
		return AuditHead{}, err
	}
	head, found, err := s.lastHead(ctx)
	if err != nil || found && head.Size == int64(len(ls)) {
		return head, err
	}
	root, err := treeHash(ls, int64(len(ls)))
	if err != nil {
		return head, err
	}
	head = AuditHead{Store: s.ID(), Size: int64(len(ls)), Root: root, At: s.opts.Now()}
	v, err := json.Marshal(head)
	if err != nil {
		return head, err
	}
	rs := []Record{{Kind: kindHead, Name: headRecord, Value: v}}
	for i := before / leafChunk; i*leafChunk < len(ls); i++ {
		var b []byte
		for _, l := range ls[i*leafChunk : min((i+1)*leafChunk, len(ls))] {
			b = append(binary.BigEndian.AppendUint64(b, l.seq), l.hash[:]...)
		}
		rs = append(rs, Record{Kind: kindLeaf, Name: chunkName(i), Value: b})
	}
	return head, s.PutRecords(ctx, rs)
}

// VerifyAudit reads the whole journal and compares it with the audit log, the
// log with its head, and the entries since with the sums of the last commit. An
// earlier head, from outside, proves that what it covers is the same now.
func (s *Store) VerifyAudit(ctx context.Context, earlier *AuditHead) (AuditReport, error) {
	var rep AuditReport
	if err := s.enter(); err != nil {
		return rep, err
	}
	defer s.leave()
	bad := func(format string, args ...any) { rep.Problems = append(rep.Problems, fmt.Sprintf(format, args...)) }
	// The log, its head and the journal of one moment.
	h, err := s.hold(ctx, s.audits)
	if err != nil {
		return rep, err
	}
	defer h.release()
	ls, err := s.leaves(ctx)
	head, found, headErr := s.lastHead(ctx)
	snap, snapErr := s.Snapshot()
	h.release()
	if snapErr != nil {
		return rep, snapErr
	}
	defer snap.Close()
	if errors.Is(err, errAudit) {
		bad("%v", err)
	} else if err != nil {
		return rep, err
	}
	want := make(map[uint64]tlog.Hash, len(ls))
	last := uint64(0)
	for _, l := range ls {
		if l.seq <= last && len(want) > 0 {
			bad("entry %d stands behind entry %d in the audit log", l.seq, last)
		}
		want[l.seq], last = l.hash, max(last, l.seq)
	}
	var now stamp
	if err := eachPair(snap.snap, []byte{spaceJournal}, []byte{spaceJournal + 1}, func(k, v []byte) error {
		rep.Entries++
		now.entries++
		now.journal += sumOf(k, v)
		if len(k) != 9 {
			bad("the key %x is not one of the journal", k)
			return nil
		}
		seq := binary.BigEndian.Uint64(k[1:])
		if _, err := decodeJournal(v); err != nil {
			bad("entry %d cannot be read: %v", seq, err)
		}
		switch hash, taken := want[seq]; {
		case taken && hash != recordHash(k, v):
			bad("entry %d is not the one that was written", seq)
		case !taken && seq <= last:
			bad("entry %d was added later", seq)
		}
		delete(want, seq)
		return ctx.Err()
	}); err != nil {
		if !tellsDamage(err) {
			return rep, err
		}
		bad("the journal cannot be read: %v", err)
	}
	gone := make([]uint64, 0, len(want))
	for seq := range want {
		gone = append(gone, seq)
	}
	slices.Sort(gone)
	for _, seq := range gone {
		bad("entry %d is gone", seq)
	}
	if p, found, err := stampIn(snap.snap); err != nil {
		bad("%v", err)
	} else if found && (p.entries != now.entries || p.journal != now.journal) {
		bad("the journal has %d entries with sum %016x, commit %d had %d with sum %016x", now.entries, now.journal, p.seq, p.entries, p.journal)
	}
	if headErr != nil {
		bad("the head of the audit log cannot be read: %v", headErr)
	} else if found {
		rep.Head = head
		rep.Problems = append(rep.Problems, checkHead(ls, head, "the head")...)
	}
	if earlier != nil {
		switch {
		case earlier.Store != "" && earlier.Store != s.ID():
			bad("the given head is of another store, %s", earlier.Store)
		default:
			rep.Problems = append(rep.Problems, checkHead(ls, *earlier, "the given head")...)
		}
	}
	return rep, nil
}

// checkHead compares a head with the log.
func checkHead(ls []leaf, h AuditHead, what string) []string {
	if h.Size < 0 || h.Size > int64(len(ls)) {
		return []string{fmt.Sprintf("%s counts %d entries, the audit log has %d", what, h.Size, len(ls))}
	}
	root, err := treeHash(ls, h.Size)
	if err != nil {
		return []string{fmt.Sprintf("%s: %v", what, err)}
	}
	if root != h.Root {
		return []string{fmt.Sprintf("%s is %v, the first %d entries of the audit log make %v", what, h.Root, h.Size, root)}
	}
	return nil
}
