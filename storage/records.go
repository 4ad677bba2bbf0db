package storage

import (
	"bytes"
	"context"
	"fmt"
	"iter"
	"slices"
	"strings"
)

// Record is a small named value that is kept beside the bars: the state of a
// repair, an alert, a token. What it means is known to who wrote it. Records
// are covered by the stamp like all that is stored, but not journaled: a value
// that is replaced is gone.
type Record struct {
	Kind  string // what it is of: 1 to 32 of a-z 0-9 _ /
	Name  string // which one: 1 to 200 bytes
	Value []byte // up to 1 MiB; nil removes the record
}

const (
	maxRecordKind  = 32
	maxRecordName  = 200
	maxRecordValue = 1 << 20
)

var recordPrefix = []byte{spaceConfig, 'r'}

func isRecord(k []byte) bool { return bytes.HasPrefix(k, recordPrefix) }

// recordKey is x r kind 0 name, so that the records of a kind lie together, in
// the order of their names.
func recordKey(kind, name string) []byte {
	return append(append(append(slices.Clone(recordPrefix), kind...), 0), name...)
}

func (r *Record) check() error {
	if err := checkRecordKind(r.Kind); err != nil {
		return err
	}
	if len(r.Name) == 0 || len(r.Name) > maxRecordName {
		return fmt.Errorf("the name of a record of %s has %d bytes: give 1 to %d", r.Kind, len(r.Name), maxRecordName)
	}
	if len(r.Value) > maxRecordValue {
		return fmt.Errorf("record %s %q has %d bytes: at most %d are kept", r.Kind, r.Name, len(r.Value), maxRecordValue)
	}
	return nil
}

func checkRecordKind(kind string) error {
	if len(kind) == 0 || len(kind) > maxRecordKind || strings.Trim(kind, "abcdefghijklmnopqrstuvwxyz0123456789_/") != "" {
		return fmt.Errorf("%.40q is not a kind of record: give 1 to %d of a-z 0-9 _ /", kind, maxRecordKind)
	}
	return nil
}

// PutRecords writes records in one batch, durable when it returns. Where a name
// comes twice the last one counts.
func (s *Store) PutRecords(ctx context.Context, rs []Record) error {
	if err := s.enter(); err != nil {
		return err
	}
	defer s.leave()
	for i := range rs {
		if err := rs[i].check(); err != nil {
			return err
		}
	}
	if len(rs) == 0 {
		return ctx.Err()
	}
	h, err := s.hold(ctx, s.registry)
	if err != nil {
		return err
	}
	defer h.release()
	t := &txn{batch: s.eng.Batch(), durable: true, trail: trailRecord{kind: trailRecords, key: recordKey(rs[0].Kind, rs[0].Name)}, publish: func() {}}
	seen := make(map[string]bool, len(rs))
	for _, r := range slices.Backward(rs) {
		key := recordKey(r.Kind, r.Name)
		if seen[string(key)] {
			continue
		}
		seen[string(key)] = true
		var old []byte
		if _, err := s.eng.Get(key, func(v []byte) error { old = append([]byte{}, v...); return nil }); err != nil {
			return err
		}
		if old != nil {
			t.root -= sumOf(key, old)
		}
		t.batch.Expect(key, old)
		if r.Value == nil {
			err = t.batch.Delete(key)
		} else {
			t.root += sumOf(key, r.Value)
			err = t.batch.Set(key, r.Value)
		}
		if err != nil {
			return err
		}
	}
	wait, err := s.submit(ctx, h, t)
	if err != nil {
		return err
	}
	return wait()
}

// Record returns the value of one record; found says if there is one.
func (s *Store) Record(ctx context.Context, kind, name string) (value []byte, found bool, err error) {
	if err := s.enter(); err != nil {
		return nil, false, err
	}
	defer s.leave()
	if err := ctx.Err(); err != nil {
		return nil, false, err
	}
	found, err = s.eng.Get(recordKey(kind, name), func(v []byte) error { value = append([]byte{}, v...); return nil })
	return value, found, err
}

// Records streams the records of a kind in the order of their names, from the
// name from on, as they were at one moment.
func (s *Store) Records(ctx context.Context, kind, from string) iter.Seq2[Record, error] {
	return func(yield func(Record, error) bool) {
		if err := s.enter(); err != nil {
			yield(Record{}, err)
			return
		}
		defer s.leave()
		if err := checkRecordKind(kind); err != nil {
			yield(Record{}, err)
			return
		}
		prefix := recordKey(kind, "")
		end := slices.Clone(prefix)
		end[len(end)-1] = 1
		c, err := s.eng.Cursor(recordKey(kind, from), end)
		if err != nil {
			yield(Record{}, err)
			return
		}
		defer c.Close()
		for ok := c.First(); ok; ok = c.Next() {
			v, err := c.Value()
			if err == nil {
				err = ctx.Err()
			}
			if err != nil {
				yield(Record{}, err)
				return
			}
			if !yield(Record{Kind: kind, Name: string(c.Key()[len(prefix):]), Value: bytes.Clone(v)}, nil) {
				return
			}
		}
		if err := c.Err(); err != nil {
			yield(Record{}, err)
		}
	}
}
