package fetch

import (
	"testing"
	"testing/synctest"
	"time"
)

// TestStretches: requests are counted by ten minutes and kept for a day; changes
// are the last hundred.
func TestStretches(t *testing.T) {
	synctest.Test(t, func(t *testing.T) {
		var s stats
		ask := func(o outcome, err *Error) {
			s.begin()
			s.end(time.Millisecond, o, err)
		}
		look := func() EndpointStatus {
			var out EndpointStatus
			s.fill(&out)
			return out
		}
		begun := time.Now().Truncate(StretchWidth)
		ask(worked, nil)
		ask(failed, &Error{Kind: Unavailable})
		ask(failed, &Error{Kind: Unavailable})
		ask(worked, &Error{Kind: RateLimited})
		ask(neutral, nil) // given up by the caller
		pass(3 * StretchWidth)
		ask(worked, nil)
		got := look().Stretches
		if len(got) != 2 || !got[0].From.Equal(begun) || got[0].Requests != 4 || got[0].Errors[Unavailable] != 2 || got[0].Errors[RateLimited] != 1 ||
			!got[1].From.Equal(begun.Add(3*StretchWidth)) || got[1].Requests != 1 || len(got[1].Errors) != 0 {
			t.Errorf("got %+v", got)
		}
		got[0].Errors[Unavailable] = 9
		if again := look().Stretches; again[0].Errors[Unavailable] != 2 {
			t.Error("what was handed out is what is counted on")
		}
		pass(22 * time.Hour)
		if n := len(look().Stretches); n != 2 {
			t.Errorf("%d stretches after 22 hours", n)
		}
		pass(2*time.Hour - StretchWidth)
		if n := len(look().Stretches); n != 1 {
			t.Errorf("%d stretches after a day", n)
		}
		for range 2 * stretchesKept {
			pass(StretchWidth)
			ask(worked, nil)
		}
		if n := len(look().Stretches); n != stretchesKept {
			t.Errorf("%d stretches of two days are kept", n)
		}
	})
}

func TestChanges(t *testing.T) {
	var s stats
	for i := range 3 * changesKept {
		s.changed(Change{Time: time.Unix(int64(i), 0), Kind: BreakerOpened})
	}
	var out EndpointStatus
	s.fill(&out)
	if n := len(out.Changes); n != changesKept || out.Changes[n-1].Time.Unix() != 3*changesKept-1 {
		t.Errorf("%d changes are kept", n)
	}
}
