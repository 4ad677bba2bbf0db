package heal

import (
	"context"
	"encoding/json"
	"fmt"
	"math"
	"slices"
	"strings"
	"time"

	"github.com/barkeepdb/barkeep/series"
)

// splits are those that are known of a symbol, by date; sources that say the same
// count once.
func (h *Healer) splits(ctx context.Context, symbol string) (out []series.Action, err error) {
	from := symbol + "|"
	for r, err := range h.store.Records(ctx, KindAction, from) {
		if err != nil {
			return nil, err
		}
		if !strings.HasPrefix(r.Name, from) {
			break
		}
		var a series.Action
		if err := json.Unmarshal(r.Value, &a); err != nil {
			return nil, fmt.Errorf("action %s: %w", r.Name, err)
		}
		if a.Kind == series.Split && !slices.ContainsFunc(out, func(b series.Action) bool { return a.Ex-b.Ex < splitNear && likeRatio(a.Ratio, b.Ratio) }) {
			out = append(out, a)
		}
	}
	return out, nil
}

// splitNear is how far sources are apart about the date of a split.
const splitNear = 5 * series.Day

func likeRatio(a, b float64) bool { return math.Abs(a/b-1) < 0.04 }

// splitAt is the known split that takes effect with bar i, if there is one of the
// ratio, or of its inverse.
func (w *Window) splitAt(i int, ratio float64) *series.Action {
	from, to := w.Bars.Time[max(i-1, 0)]-splitNear, w.Bars.Time[i]+splitNear
	for k := range w.Splits {
		if a := &w.Splits[k]; a.Ex >= from && a.Ex <= to && (likeRatio(a.Ratio, ratio) || likeRatio(1/a.Ratio, ratio)) {
			return a
		}
	}
	return nil
}

// between is what all known splits behind one bar and up to another one multiply
// shares by.
func (w *Window) between(i, j int) float64 {
	ratio := 1.0
	for _, a := range w.Splits {
		if a.Ex > w.Bars.Time[i] && a.Ex <= w.Bars.Time[j] {
			ratio *= a.Ratio
		}
	}
	return ratio
}

// whichSplit says what a price that falls to 1/ratio from bar i on means. true is
// that it is what took place, and nothing to report.
func (w *Window) whichSplit(i int, ratio float64) (why string, ok bool) {
	a := w.splitAt(i, ratio)
	raw := w.Adjusted == series.AdjustNone
	switch {
	case a == nil && ratio > 1:
		return "the bars before miss a split, or a reverse split was applied to them twice", false
	case a == nil:
		return "a split was applied twice to the bars before, or they miss a reverse split", false
	case !likeRatio(a.Ratio, ratio):
		return fmt.Sprintf("the split %g:1 of %s was applied twice to the bars before", a.Ratio, a.Ex.Std().Format(time.DateOnly)), false
	case raw:
		return "", true
	}
	return fmt.Sprintf("the split %g:1 of %s is missing in the bars before, which should be adjusted", a.Ratio, a.Ex.Std().Format(time.DateOnly)), false
}

var ruleMixed = Rule{
	ID: "mixed_adjustment", Version: 1, Severity: Suspicious, Action: FlagOnly,
	Finds:     "a known split that does not show in prices that are stored as raw: the bars before it are adjusted already, and would be again while reading",
	Threshold: "splits of 3:2 and more, with `GET /v1/actions`; the open of the first bar on or after its date is within 15% of the close before, and nearer to it than to what the split makes of it; bars of a day and shorter",
	Source:    "vendors that switch between raw and adjusted history",
	False:     "a move that undoes the split on the same day; series that are adjusted as a whole and not said to be (`adjusted` of `PUT /v1/symbols`)",
	Check: func(w *Window) {
		if w.Adjusted != series.AdjustNone || w.Key.Interval.Width() == 0 || w.Key.Interval.Width() > series.Day {
			return
		}
		c := w.Bars
		for k := range w.Splits {
			a := &w.Splits[k]
			if a.Ratio > 0.67 && a.Ratio < 1.5 {
				continue
			}
			// The first bar of the date, or of a date that another source may have.
			i, _ := slices.BinarySearch(c.Time, a.Ex)
			if i < max(1, w.From) || i >= w.To || c.Time[i]-a.Ex > splitNear || a.Ex-c.Time[i-1] > splitNear {
				continue
			}
			shows := false
			for j := i; j < c.Len() && c.Time[j] <= a.Ex+splitNear; j++ {
				shows = shows || math.Abs(math.Log(c.Close[j-1]/c.Open[j]/a.Ratio)) < math.Abs(math.Log(a.Ratio))/2
			}
			for j := i - 1; j > 0 && c.Time[j] >= a.Ex-splitNear; j-- {
				shows = shows || math.Abs(math.Log(c.Close[j-1]/c.Open[j]/a.Ratio)) < math.Abs(math.Log(a.Ratio))/2
			}
			if r := c.Close[i-1] / c.Open[i]; !shows && r > 0.85 && r < 1.15 {
				w.Report(i, i+1, nil, "the split %g:1 of %s does not show: %v to %v", a.Ratio, a.Ex.Std().Format(time.DateOnly), c.Close[i-1], c.Open[i])
			}
		}
	},
}
