package heal

import (
	"context"
	"math"
	"slices"

	"github.com/barkeepdb/barkeep/series"
)

// Stretch is a run of bars that may be in another unit, or on the other side of
// a split, and what would bring them to the level of the bars around.
type Stretch struct {
	From   series.Time `json:"from"` // open time of the first bar
	To     series.Time `json:"to"`   // behind the last
	Price  float64     `json:"price_factor"`
	Volume float64     `json:"volume_factor"`
}

func (x Stretch) span() series.Span { return series.Span{From: x.From, To: x.To} }

// stepRules find the bar at which a level changes. Which side of it is wrong
// they cannot know.
var stepRules = []string{ruleUnit.ID, ruleSplit.ID}

// step is where a level changes: prices from bar at on are factor times those
// before it. volume is what the volumes change by.
type step struct {
	at             series.Time
	factor, volume float64
}

// steps are those of a whole series, in order of time.
func (h *Healer) steps(ctx context.Context, s Series) (out []step, err error) {
	err = h.inspect(ctx, s, InspectOptions{Rules: stepRules}, func(f Finding) error {
		out = append(out, f.step)
		return nil
	})
	return out, err
}

// stretch adds to the finding of a step the stretches that may be wrong, the
// shorter one first: from the step to where the level comes back or the series
// ends, and from where it was left, or the series begins, to the step.
func (f *Finding) stretch(s Series, steps []step) {
	k := slices.IndexFunc(steps, func(x step) bool { return x.at == f.From })
	if k < 0 {
		return
	}
	first, end := s.First, s.Grid.Time(s.Grid.SlotAt(s.Last)+1)
	f.near = series.Span{From: first, To: end}
	if k > 0 {
		f.near.From = steps[k-1].at
	}
	if k+1 < len(steps) {
		f.near.To = steps[k+1].at
	}
	// back finds the step, in one direction, with which the level is again what
	// it is on the other side of step k.
	back := func(dir int) series.Time {
		sum := math.Log(steps[k].factor)
		for j := k + dir; j >= 0 && j < len(steps); j += dir {
			if sum += math.Log(steps[j].factor); math.Abs(sum) < 1e-6 {
				return steps[j].at
			}
		}
		if dir < 0 {
			return first
		}
		return end
	}
	x := steps[k]
	after := Stretch{From: x.at, To: back(1), Price: 1 / x.factor, Volume: 1 / x.volume}
	before := Stretch{From: back(-1), To: x.at, Price: x.factor, Volume: x.volume}
	f.Stretches = []Stretch{after, before}
	if before.To-before.From < after.To-after.From {
		f.Stretches = []Stretch{before, after}
	}
}
