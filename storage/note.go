package storage

import (
	"context"

	"github.com/barkeepdb/barkeep/series"
)

// Note says who changed something and why. It is kept in the journal beside the
// change; see [WithNote].
type Note struct {
	Actor    string // who asked for it
	Cause    string // why, for a person
	Repair   string // id of the repair that it is part of
	Rule     string // what decided
	Version  int    // of the rule
	Evidence string // whom was asked, and a digest of what they said
	// Until is the end of the newest bar that the decision rests on; 0 is not
	// known, and then it is when the change was made.
	Until series.Time
}

// noteText bounds each text of a note.
const noteText = 4000

func (n *Note) texts() [5]*string {
	return [...]*string{&n.Actor, &n.Cause, &n.Repair, &n.Rule, &n.Evidence}
}

type noteKey struct{}

// WithNote returns a context under which every change is noted in the journal
// with n. Texts are cut at 4,000 bytes.
func WithNote(ctx context.Context, n Note) context.Context {
	for _, t := range n.texts() {
		if len(*t) > noteText {
			*t = (*t)[:noteText]
		}
	}
	return context.WithValue(ctx, noteKey{}, n)
}

// NoteOf returns the note of a context; the zero note without one.
func NoteOf(ctx context.Context) Note {
	n, _ := ctx.Value(noteKey{}).(Note)
	return n
}
