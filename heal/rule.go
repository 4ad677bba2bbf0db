package heal

import (
	"fmt"
	"slices"

	"github.com/barkeepdb/barkeep/series"
)

// Severity is how bad a finding is.
type Severity string

// The severities.
const (
	Violation  Severity = "violation"  // the bar cannot be true
	Suspicious Severity = "suspicious" // the bar is most likely wrong
	Notable    Severity = "notable"    // rare, and often true
)

// Action is what may be done about a finding without a person.
type Action string

// The actions.
const (
	AutoCorrect  Action = "auto"          // the bar itself shows what is right, or that it is nothing
	NeedsWitness Action = "needs_witness" // another source must say the same
	FlagOnly     Action = "flag_only"     // never changed
)

// Finding is something wrong, or odd, in the bars of a series.
type Finding struct {
	series.Key
	Rule     string        `json:"rule"`
	Version  int           `json:"rule_version"`
	Severity Severity      `json:"severity"`
	Action   Action        `json:"action"`
	From     series.Time   `json:"from"` // open time of the first bar
	To       series.Time   `json:"to"`   // behind the last
	Bars     int           `json:"bars"`
	Evidence string        `json:"evidence"`
	Proposed []ProposedBar `json:"proposed,omitempty"` // what the bars should be
	// Stretches are those of which one is wrong, where a level changes: the shorter
	// one first. A witness says which.
	Stretches []Stretch `json:"stretches,omitempty"`

	step step        // of a level
	lag  series.Slot // how much later the bars of a shifted stretch open
	near series.Span // from the step before it to that behind it
}

// ProposedBar is a bar as a rule thinks that it should be.
type ProposedBar struct {
	Time   series.Time `json:"time"`
	Open   float64     `json:"open"`
	High   float64     `json:"high"`
	Low    float64     `json:"low"`
	Close  float64     `json:"close"`
	Volume float64     `json:"volume"`
}

// Rule finds one kind of corruption.
type Rule struct {
	ID        string
	Version   int // goes up with every change of what it finds
	Severity  Severity
	Action    Action
	Finds     string // for a person
	Threshold string
	Source    string // where the threshold comes from
	False     string // known false positives

	// Check looks at bars [w.From, w.To) of w and reports what it finds there.
	// What it says of a bar may depend on up to Context bars before and after it.
	Check func(w *Window)
	// Holes, of a rule without Check, looks at the holes of a whole series and
	// returns the slots from the first that it means to the last, and why; an empty
	// run where there is nothing to say.
	Holes func(scan *Scan) (series.Run, string)
}

// Context is how many bars before and after a bar a rule may look at.
const Context = 160

// Window is a stretch of a series that rules look at: bars [From, To) of Bars
// with up to Context bars around them.
type Window struct {
	Key      series.Key
	Grid     series.Grid
	Bars     *series.Columns
	From, To int
	NoVolume bool // no bar around has a volume: forex, indices
	// Splits are those that are known of the symbol, by date, and Adjusted what the
	// stored prices were freed of.
	Splits   []series.Action
	Adjusted series.Adjust

	rule  *Rule
	found []Finding
}

// Report notes a finding about bars [i, j). proposed may be nil.
func (w *Window) Report(i, j int, proposed []ProposedBar, format string, args ...any) {
	g := w.Grid
	w.found = append(w.found, Finding{
		Key: w.Key, Rule: w.rule.ID, Version: w.rule.Version, Severity: w.rule.Severity, Action: w.rule.Action,
		From: w.Bars.Time[i], To: g.Time(g.SlotAt(w.Bars.Time[j-1]) + 1), Bars: j - i, Evidence: fmt.Sprintf(format, args...), Proposed: proposed,
	})
}

// reportStep notes that the level changes at bar i by a factor, and the volume
// by another one.
func (w *Window) reportStep(i int, factor, volume float64, format string, args ...any) {
	w.Report(i, i+1, nil, format, args...)
	w.found[len(w.found)-1].step = step{at: w.Bars.Time[i], factor: factor, volume: volume}
}

// rules are those that are built in, in the order in which they run.
var rules = []*Rule{
	&ruleNonFinite, &ruleOHLC, &ruleSign, &ruleVolume, &ruleScale, &ruleUnit, &ruleSplit, &ruleMixed, &ruleSwapped, &ruleSwappedVolumes, &ruleWick, &ruleDetached,
	&ruleSpike, &ruleStale, &ruleFlatBeforeHole, &ruleIdle, &ruleLookAhead, &ruleReuse, &ruleStride, &ruleCut,
}

// Rules lists the rules, those that were registered last.
func Rules() []*Rule { return slices.Clone(rules) }

// RegisterRule adds a rule. It panics where the id is taken. Call it before
// anything is inspected.
func RegisterRule(r *Rule) {
	if r.ID == "" || (r.Check == nil) == (r.Holes == nil) || RuleOf(r.ID) != nil {
		panic(fmt.Sprintf("heal: rule %q: the id is taken, or there is not one check", r.ID))
	}
	rules = append(rules, r)
}

// RuleOf returns the rule of an id, or nil.
func RuleOf(id string) *Rule {
	i := slices.IndexFunc(rules, func(r *Rule) bool { return r.ID == id })
	if i < 0 {
		return nil
	}
	return rules[i]
}
