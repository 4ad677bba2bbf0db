package heal

import (
	"fmt"
	"slices"
	"strings"
	"time"

	"github.com/barkeepdb/barkeep/series"
)

// Strategy says what closes a hole.
type Strategy string

// The strategies. All but BySize leave prices alone that a source may have.
const (
	// SourcesFirst asks sources for every hole. Of what none of them has, small
	// holes are filled with the price before, medium ones along a line, and
	// larger ones stay open.
	SourcesFirst Strategy = "sources_first"
	// BySize fills small and medium holes without asking, and asks for larger
	// ones.
	BySize Strategy = "by_size"
	// SourcesOnly never fills.
	SourcesOnly Strategy = "sources_only"
)

// Policy is how a healer decides. The zero value of each field stands for its
// default.
type Policy struct {
	Strategy Strategy
	// SmallGap and MediumGap are the most bars of a small and a medium hole: 5
	// and 30. Negative is none.
	SmallGap, MediumGap int64
	// Window is how far back [Healer.Run] looks by itself: 24 hours. Negative is
	// the whole of each series.
	Window time.Duration
	// Every is how often Run looks: a minute.
	Every time.Duration
	// MaxAttempts is how often a hole is asked for at short intervals: 3. Then
	// once in RetryMost.
	MaxAttempts int
	// RetryLeast and RetryMost bound the time between two attempts: an hour and
	// seven days.
	RetryLeast, RetryMost time.Duration
	// Corroborate is how far apart two observations of absence must lie: 30
	// minutes.
	Corroborate time.Duration
	// MaxBars bounds the bars that one run may write or invent: 10,000. MaxShare
	// bounds them as a share of the expected slots of each series: 0.01, but
	// ShareFloor bars, 100, are always allowed. Negative is no bound.
	MaxBars    int64
	MaxShare   float64
	ShareFloor int64
	// Tolerance is the largest relative difference between a stored price and
	// that of a source that still counts as agreement: 0.0005.
	Tolerance float64
	// Witnesses is how many sources must say the same before a stretch of bars is
	// taken out of another unit, or adjusted for a split: 2.
	Witnesses int
	// Settle is how long after its end a bar is left alone before its absence
	// counts as a hole: two minutes.
	Settle time.Duration
}

func (p Policy) withDefaults() Policy {
	def := func(d *time.Duration, v time.Duration) {
		if *d == 0 {
			*d = v
		}
	}
	if p.Strategy == "" {
		p.Strategy = SourcesFirst
	}
	if p.SmallGap == 0 {
		p.SmallGap = 5
	}
	if p.MediumGap == 0 {
		p.MediumGap = max(30, p.SmallGap)
	}
	if p.MaxAttempts == 0 {
		p.MaxAttempts = 3
	}
	if p.MaxBars == 0 {
		p.MaxBars = 10_000
	}
	if p.MaxShare == 0 {
		p.MaxShare = 0.01
	}
	if p.ShareFloor == 0 {
		p.ShareFloor = 100
	}
	if p.Witnesses == 0 {
		p.Witnesses = 2
	}
	if p.Tolerance == 0 {
		p.Tolerance = 0.0005
	}
	def(&p.Window, 24*time.Hour)
	def(&p.Every, time.Minute)
	def(&p.RetryLeast, time.Hour)
	def(&p.RetryMost, 7*24*time.Hour)
	def(&p.Corroborate, 30*time.Minute)
	def(&p.Settle, 2*time.Minute)
	return p
}

// Check returns an error that names the field that cannot be used.
func (p Policy) Check() error {
	p = p.withDefaults()
	switch {
	case !slices.Contains([]Strategy{SourcesFirst, BySize, SourcesOnly}, p.Strategy):
		return fmt.Errorf("strategy %q is not one of sources_first, by_size, sources_only", p.Strategy)
	case p.MediumGap < p.SmallGap:
		return fmt.Errorf("a medium hole of %d bars is smaller than a small one of %d", p.MediumGap, p.SmallGap)
	case p.MaxAttempts < 1:
		return fmt.Errorf("%d attempts: give at least 1", p.MaxAttempts)
	case p.RetryLeast <= 0 || p.RetryMost < p.RetryLeast:
		return fmt.Errorf("the time between two attempts is at least %v and at most %v", p.RetryLeast, p.RetryMost)
	case p.Witnesses < 1:
		return fmt.Errorf("%d witnesses: give at least 1", p.Witnesses)
	case p.MaxShare > 1:
		return fmt.Errorf("a share of %v is more than the whole", p.MaxShare)
	case p.Tolerance < 0 || p.Tolerance >= 1:
		return fmt.Errorf("a tolerance of %v is not a share between 0 and 1", p.Tolerance)
	}
	return nil
}

// wait is the time until the next attempt after so many.
func (p *Policy) wait(attempts int32) series.Time {
	d := p.RetryLeast
	for range attempts - 1 {
		if d *= 6; d >= p.RetryMost {
			break
		}
	}
	if int(attempts) >= p.MaxAttempts || d > p.RetryMost {
		d = p.RetryMost
	}
	return series.Time(d / time.Millisecond)
}

// Type is what a repair does.
type Type string

// The types of repair. The name of a [Filler] is one too.
const (
	Auto         Type = "auto"          // what the strategy says
	Sources      Type = "sources"       // ask, never fill
	ForwardFill  Type = "forward_fill"  // invent from the price before
	BackwardFill Type = "backward_fill" // invent from the price after
	Interpolate  Type = "interpolate"   // invent along a line
	Reverify     Type = "reverify"      // ask again for all that has no bar, whatever was found before
	Corruption   Type = "corruption"    // correct wrong bars
)

// Types lists the types of repair, those of custom fillers last.
func Types() []string {
	return append([]string{
		string(Auto), string(Sources), string(ForwardFill), string(BackwardFill), string(Interpolate), string(Reverify), string(Corruption),
	}, customFillers()...)
}

// fill is the name of the filler that a type stands for.
func (t Type) fill() string {
	switch t {
	case ForwardFill:
		return FillPrev
	case BackwardFill:
		return FillNext
	case Interpolate:
		return FillLinear
	}
	if FillerOf(string(t)) != nil {
		return string(t)
	}
	return ""
}

// Check returns an error if there is no such type.
func (t Type) Check() error {
	if slices.Contains(Types(), string(t)) {
		return nil
	}
	return fmt.Errorf("repair type %q is not one of %s", t, strings.Join(Types(), ", "))
}
