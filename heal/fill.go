package heal

import (
	"fmt"
	"maps"
	"math"
	"slices"
	"sync"

	"github.com/barkeepdb/barkeep/series"
)

// Filler invents the bars of one hole, one for each of times, which ascend.
// before and after are the bars around the hole; nil where there is none. It
// returns nil where it cannot: the hole then stays open. What it returns is
// marked as synthetic and never written: it is called anew by each read, must
// give the same bars each time, and may be called by many goroutines.
type Filler func(before, after *series.Bar, times []series.Time) []series.Bar

// The fillers that are built in. The volume of what they invent is 0.
const (
	FillPrev   = "prev"   // all prices are the close before
	FillNext   = "next"   // all prices are the open after
	FillLinear = "linear" // each price lies on the line between the bars around
)

var (
	fillersMu sync.RWMutex
	fillers   = map[string]Filler{FillPrev: fillPrev, FillNext: fillNext, FillLinear: fillLinear}
)

// RegisterFiller makes a filler known under a name, which is then a type of
// repair too. It panics where the name is taken or cannot be kept.
func RegisterFiller(name string, f Filler) {
	fillersMu.Lock()
	defer fillersMu.Unlock()
	if name == "" || len(name) > 64 || f == nil {
		panic(fmt.Sprintf("heal: filler %q: give 1 to 64 bytes and a function", name))
	}
	if _, taken := fillers[name]; taken || slices.Contains([]Type{Auto, Sources, ForwardFill, BackwardFill, Interpolate, Reverify, Corruption}, Type(name)) {
		panic(fmt.Sprintf("heal: filler %q: the name is taken", name))
	}
	fillers[name] = f
}

// FillerOf returns the filler of a name, or nil.
func FillerOf(name string) Filler {
	fillersMu.RLock()
	defer fillersMu.RUnlock()
	return fillers[name]
}

func customFillers() []string {
	fillersMu.RLock()
	defer fillersMu.RUnlock()
	return slices.DeleteFunc(slices.Sorted(maps.Keys(fillers)), func(n string) bool {
		return n == FillPrev || n == FillNext || n == FillLinear
	})
}

func fillPrev(before, _ *series.Bar, times []series.Time) []series.Bar {
	if before == nil {
		return nil
	}
	return flat(before.Close, times)
}

func fillNext(_, after *series.Bar, times []series.Time) []series.Bar {
	if after == nil {
		return nil
	}
	return flat(after.Open, times)
}

func flat(price float64, times []series.Time) []series.Bar {
	out := make([]series.Bar, len(times))
	for i, t := range times {
		out[i] = series.NewBar(t, price, price, price, price, 0)
	}
	return out
}

func fillLinear(before, after *series.Bar, times []series.Time) []series.Bar {
	if before == nil || after == nil {
		return nil
	}
	out := make([]series.Bar, len(times))
	for i, t := range times {
		w := float64(t-before.Time) / float64(after.Time-before.Time)
		mix := func(x, y float64) float64 { return x + (y-x)*w }
		o, c := mix(before.Open, after.Open), mix(before.Close, after.Close)
		// The line of the highs lies above those of open and close, but for the
		// last digit.
		h, l := math.Max(mix(before.High, after.High), math.Max(o, c)), math.Min(mix(before.Low, after.Low), math.Min(o, c))
		out[i] = series.NewBar(t, o, h, l, c, 0)
	}
	return out
}
