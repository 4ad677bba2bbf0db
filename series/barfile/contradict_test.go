package barfile_test

import (
	"fmt"
	"strings"
	"testing"
	"time"

	"github.com/barkeepdb/barkeep/series"
	"github.com/barkeepdb/barkeep/series/barfile"
)

// TestContradiction reads files whose bars are this far apart under a given
// interval. A few bars off the grid are for the store to refuse; a file of
// another interval is refused as a whole.
func TestContradiction(t *testing.T) {
	minutes := func(n int, d time.Duration) (out []time.Duration) {
		for range n {
			out = append(out, d)
		}
		return out
	}
	offGrid := func(n, at int, d time.Duration) []time.Duration {
		out := minutes(n, time.Minute)
		out[at], out[at+1] = d, 2*time.Minute-d
		return out
	}
	day := 24 * time.Hour
	for _, c := range []struct {
		name     string
		interval string
		steps    []time.Duration
		fails    string
	}{
		{"one bar off the grid of two", "1m", []time.Duration{time.Millisecond}, ""},
		{"one bar off the grid of three", "1m", []time.Duration{time.Millisecond, time.Minute - time.Millisecond}, ""},
		{"one bar in the middle", "1m", []time.Duration{30 * time.Second, 30 * time.Second}, ""},
		{"one bar off the grid of five", "1m", offGrid(4, 1, 7*time.Second), ""},
		{"one bar off the grid of twelve", "1m", offGrid(11, 3, time.Second), ""},
		{"one bar off the grid of hundred", "1m", offGrid(99, 50, time.Millisecond), ""},
		{"a late hour", "1h", []time.Duration{time.Hour, time.Hour + time.Minute, time.Hour - time.Minute}, ""},
		{"bars that mend a hole", "1m", minutes(5, 5*time.Minute), ""},
		{"few minutes as hours", "1h", minutes(4, time.Minute), "whose bars are 1m"},
		{"minutes as hours", "1h", minutes(40, time.Minute), "whose bars are 1m"},
		{"minutes with holes as hours", "1h", append(minutes(10, time.Minute), 3*time.Minute, 7*time.Minute, time.Hour), "whose bars are 1m"},
		{"minutes as five minutes", "5m", minutes(40, time.Minute), "whose bars are 1m"},
		{"hours as minutes", "1m", minutes(40, time.Hour), "whose bars are 1h"},
		{"hours as days", "1d", minutes(40, time.Hour), "whose bars are 1h"},
		{"days as months", "1M", minutes(40, day), "whose bars are 1d"},
		{"days when the clock changes", "1d", append(minutes(20, day), 23*time.Hour), ""},
		{"milliseconds", "1m", minutes(40, time.Millisecond), "100% of its steps are 1ms"},
	} {
		t.Run(c.name, func(t *testing.T) {
			at := time.Date(2024, 1, 1, 0, 0, 0, 0, time.UTC)
			var b strings.Builder
			b.WriteString("time,open,high,low,close,volume\n")
			for i := range len(c.steps) + 1 {
				fmt.Fprintf(&b, "%s,1,2,0.5,1.5,10\n", at.Format("2006-01-02T15:04:05.000Z"))
				if i < len(c.steps) {
					at = at.Add(c.steps[i])
				}
			}
			i, err := series.ParseInterval(c.interval)
			if err != nil {
				t.Fatal(err)
			}
			r, err := barfile.Open(strings.NewReader(b.String()), barfile.Options{Interval: i})
			if c.fails != "" {
				if err == nil || !strings.Contains(err.Error(), c.fails) {
					t.Fatalf("error is %v, want %q", err, c.fails)
				}
				return
			}
			if err != nil {
				t.Fatal(err)
			}
			defer r.Close()
			var cols series.Columns
			rejected, err := r.Next(&cols, 1000)
			if err != nil || len(rejected) > 0 || cols.Len() != len(c.steps)+1 {
				t.Fatalf("%d bars, rejected %v, %v", cols.Len(), rejected, err)
			}
		})
	}
}
