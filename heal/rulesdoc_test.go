package heal_test

import (
	"flag"
	"fmt"
	"math/rand/v2"
	"os"
	"strings"
	"testing"

	"github.com/barkeepdb/barkeep/heal"
	"github.com/barkeepdb/barkeep/heal/healtest"
	"github.com/barkeepdb/barkeep/series"
)

var writeDocs = flag.Bool("docs", false, "write docs/rules.md")

// measured is how often a rule is right and how much it finds.
type measured struct{ damaged, hit, extra int64 }

// TestRulesDocs keeps docs/rules.md what the rules say of themselves, with the
// figures of injected damage.
func TestRulesDocs(t *testing.T) {
	sums := map[string]*measured{}
	for seed := range uint64(6) {
		r := rand.New(rand.NewPCG(seed, 12))
		truth := history(r, 12000, []float64{1, 0.98, 0.9}[seed%3])
		for _, f := range healtest.Faults() {
			key, truth := scene(f, truth)
			g := series.Grid{Interval: key.Interval}
			bad, changed := healtest.Apply(r, truth, f, 15)
			w := newWorld(t, heal.Policy{})
			w.write(key, bad)
			got := w.inspect(key, heal.InspectOptions{})[f.Rule]
			m := sums[f.Rule]
			if m == nil {
				m = &measured{}
				sums[f.Rule] = m
			}
			var want []series.Run
			for _, i := range changed {
				n := g.SlotAt(bad.Time[i])
				want = series.Union(nil, want, []series.Run{{From: n, To: n + 1}})
			}
			hit := series.Total(series.Intersect(nil, want, got))
			m.damaged, m.hit, m.extra = m.damaged+series.Total(want), m.hit+hit, m.extra+series.Total(got)-hit
		}
	}
	var b strings.Builder
	b.WriteString(`# Corruption rules

This page is made of the rules themselves. A rule changes nothing: ` + "`barkeep inspect`" + ` and ` + "`GET /v1/findings`" + ` list what it finds. ` + "`barkeep repair --type corruption`" + ` asks the sources of a series about it, and corrects a bar only where sources that agree with the sound bars around, and with each other, say something else, which is whole. ` + "`data_healing.witnesses`" + ` (2) are asked; where only one source has the bar, its word is enough if it is what the rule proposes, or if the bar cannot be true. What markets make at times (` + "`wick`, `detached`" + `) one source alone only proposes, for vendors cut what is true: a repair with ` + "`approve`" + ` carries it out. What nobody can say is set aside if it cannot be a bar, and stays otherwise. Each correction keeps the value before and can be undone.

Where a level changes (` + "`unit_switch`, `split`" + `), a finding names the stretches of which one is wrong, with exact bounds and factors: from the step to where the level comes back or the series ends, and the one before it. ` + "`data_healing.witnesses`" + ` sources (2) must agree which of them it is. A bar of it then gets what they say, where that is the stored bar times the factor, within the tolerance or to the digits that both have; of a unit only the prices, of a split the volume, too. What fewer sources say is proposed, and done by a repair with ` + "`approve`" + ` as long as none contradicts. Raw prices show every split, and are true: their sources say the same.

| action | |
| --- | --- |
| auto | the bar itself shows that it is nothing: it is set aside |
| needs_witness | corrected when a source says so |
| flag_only | never changed |

What a rule says of a bar depends on at most ` + fmt.Sprint(heal.Context) + ` bars before and behind it, never on the span that was asked for; ` + "`page_stride` and `regular_truncation`" + ` look at the holes of the whole series. Bars off the grid, unreadable rows and conflicting duplicates are no findings: they are refused when they are written and lie in the quarantine. Stretches with wrong times have no sign of their own: ` + "`barkeep inspect --symbol A --interval 1h --against B`" + ` compares a series with a second one of the same instrument and names bounds and shift.

Recall is the share of damaged bars that are found, precision the share of the bars found that were damaged, on minutes (for ` + "`split`" + ` days) of a random walk, of which up to a tenth does not trade, with damage of ` + "`heal/healtest`" + ` (` + "`go test ./heal -run TestRulesDocs`" + `). They say nothing of markets stranger than that.

| rule | severity | action | finds | threshold, and where it is from | known false positives | recall | precision |
| --- | --- | --- | --- | --- | --- | --- | --- |
`)
	for _, r := range heal.Rules() {
		recall, precision := "not injected", "-"
		if m := sums[r.ID]; m != nil {
			recall = fmt.Sprintf("%.3f of %d", float64(m.hit)/float64(m.damaged), m.damaged)
			precision = fmt.Sprintf("%.4f", float64(m.hit)/float64(max(m.hit+m.extra, 1)))
			least := 0.95
			if r.ID == "split" {
				least = 0.8 // the volume confirms it, and medians of nine are noisy
			}
			if r.Action != heal.FlagOnly && (float64(m.hit) < least*float64(m.damaged) || float64(m.hit) < 0.999*float64(m.hit+m.extra)) {
				t.Errorf("%s: recall %s, precision %s", r.ID, recall, precision)
			}
		}
		fmt.Fprintf(&b, "| `%s` %d | %s | %s | %s | %s. %s | %s | %s | %s |\n", r.ID, r.Version, r.Severity, r.Action, r.Finds, r.Threshold, r.Source, r.False, recall, precision)
	}
	const path = "../docs/rules.md"
	if *writeDocs {
		old, err := os.ReadFile(path)
		if err != nil {
			t.Fatal(err)
		}
		// What was measured on real series is kept.
		_, rest, _ := strings.Cut(string(old), "\n## ")
		if rest != "" {
			rest = "\n## " + rest
		}
		if err := os.WriteFile(path, []byte(b.String()+rest), 0o644); err != nil {
			t.Fatal(err)
		}
	}
	have, err := os.ReadFile(path)
	if err != nil {
		t.Fatal(err)
	}
	if !strings.HasPrefix(string(have), b.String()) {
		t.Errorf("%s is not what the rules say: go test ./heal -run TestRulesDocs -docs", path)
	}
}
