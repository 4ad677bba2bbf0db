package series_test

import (
	"fmt"
	"math/rand/v2"
	"slices"
	"strconv"
	"strings"
	"testing"

	"github.com/cockroachdb/datadriven"
	"pgregory.net/rapid"

	"github.com/barkeepdb/barkeep/series"
)

// TestSpans runs testdata/spans. A set is drawn as a line on which a character
// other than a dot is a slot that belongs to it.
func TestSpans(t *testing.T) {
	datadriven.RunTest(t, "testdata/spans", func(t *testing.T, d *datadriven.TestData) string {
		sets := make(map[string][]series.Run)
		var order []string
		for line := range strings.Lines(d.Input) {
			name, picture, _ := strings.Cut(strings.TrimSpace(line), " ")
			sets[name] = undraw(strings.TrimSpace(picture))
			order = append(order, name)
		}
		a, b := sets["a"], sets["b"]
		switch d.Cmd {
		case "union":
			return draw(series.Union(nil, a, b))
		case "intersect":
			return draw(series.Intersect(nil, a, b))
		case "subtract":
			return draw(series.Subtract(nil, a, b))
		case "gaps":
			missing := series.Subtract(nil, sets["expected"], sets["present"])
			var out strings.Builder
			out.WriteString(draw(missing))
			for _, r := range missing {
				fmt.Fprintf(&out, "gap of %d: %v\n", r.Len(), r)
			}
			fmt.Fprintf(&out, "%d of %d missing\n", series.Total(missing), series.Total(sets["expected"]))
			return out.String()
		case "normalize":
			var all []series.Run
			for _, name := range order {
				all = append(all, sets[name]...)
			}
			return draw(series.Normalize(all))
		}
		t.Fatalf("command %s is unknown", d.Cmd)
		return ""
	})
}

func undraw(picture string) []series.Run {
	var set []series.Run
	for i, c := range picture {
		if c != '.' {
			set = series.Join(set, series.Run{From: series.Slot(i), To: series.Slot(i) + 1})
		}
	}
	return set
}

func draw(set []series.Run) string {
	if len(set) == 0 {
		return "nothing\n"
	}
	var out strings.Builder
	at := series.Slot(0)
	for _, r := range set {
		out.WriteString(strings.Repeat(".", int(r.From-at)))
		out.WriteString(strings.Repeat("#", int(r.Len())))
		at = r.To
	}
	return out.String() + "\n"
}

// The model of a set is a bit per slot.
const modelSize = 64

type model [modelSize]bool

func (m model) set() []series.Run {
	var out []series.Run
	for i := 0; i < modelSize; {
		j := i
		for j < modelSize && m[j] {
			j++
		}
		if j > i {
			out = append(out, series.Run{From: series.Slot(i), To: series.Slot(j)})
			i = j
		}
		i++
	}
	return out
}

func modelOf(set []series.Run) (m model) {
	for _, r := range set {
		for i := r.From; i < r.To; i++ {
			m[i] = true
		}
	}
	return m
}

// genRuns draws ranges in any order, some of them empty or inside out.
func genRuns() *rapid.Generator[[]series.Run] {
	bound := rapid.Int64Range(0, modelSize)
	one := rapid.Custom(func(t *rapid.T) series.Run {
		return series.Run{From: series.Slot(bound.Draw(t, "from")), To: series.Slot(bound.Draw(t, "to"))}
	})
	return rapid.SliceOfN(one, 0, 12)
}

func genSet() *rapid.Generator[[]series.Run] {
	return rapid.Custom(func(t *rapid.T) []series.Run { return series.Normalize(genRuns().Draw(t, "runs")) })
}

func TestSetsAgainstModel(t *testing.T) {
	rapid.Check(t, func(t *rapid.T) {
		runs := genRuns().Draw(t, "runs")
		want := modelOf(runs).set()
		if got := series.Normalize(slices.Clone(runs)); !slices.Equal(got, want) {
			t.Fatalf("Normalize(%v) = %v, want %v", runs, got, want)
		}
		sorted := slices.Clone(runs)
		slices.SortFunc(sorted, func(a, b series.Run) int { return int(a.From - b.From) })
		var joined []series.Run
		for _, r := range sorted {
			joined = series.Join(joined, r)
		}
		if !slices.Equal(joined, want) {
			t.Fatalf("joining %v gives %v, want %v", sorted, joined, want)
		}

		a, b := genSet().Draw(t, "a"), genSet().Draw(t, "b")
		ma, mb := modelOf(a), modelOf(b)
		before := []series.Run{{From: -9, To: 0}} // what dst held stays, even where it touches
		for _, op := range []struct {
			name string
			run  func(dst, a, b []series.Run) []series.Run
			bit  func(a, b bool) bool
		}{
			{"Union", series.Union[series.Slot], func(a, b bool) bool { return a || b }},
			{"Intersect", series.Intersect[series.Slot], func(a, b bool) bool { return a && b }},
			{"Subtract", series.Subtract[series.Slot], func(a, b bool) bool { return a && !b }},
		} {
			var m model
			for i := range m {
				m[i] = op.bit(ma[i], mb[i])
			}
			want := m.set()
			got := op.run(slices.Clone(before), a, b)
			if !slices.Equal(got[:1], before) || !slices.Equal(got[1:], want) {
				t.Fatalf("%s(%v, %v) = %v, want %v", op.name, a, b, got[1:], want)
			}
			var n int64
			for _, bit := range m {
				if bit {
					n++
				}
			}
			if total := series.Total(want); total != n {
				t.Fatalf("Total(%v) = %d, want %d", want, total, n)
			}
		}
	})
}

func TestRange(t *testing.T) {
	for _, x := range []struct {
		a, b, both series.Run
	}{
		{series.Run{From: 0, To: 5}, series.Run{From: 3, To: 9}, series.Run{From: 3, To: 5}},
		{series.Run{From: 0, To: 5}, series.Run{From: 5, To: 9}, series.Run{}},
		{series.Run{From: 0, To: 9}, series.Run{From: 7, To: 2}, series.Run{}},
		{series.Run{From: -4, To: -1}, series.Run{From: -9, To: 9}, series.Run{From: -4, To: -1}},
	} {
		if got := x.a.Intersect(x.b); got != x.both {
			t.Errorf("%v and %v share %v, want %v", x.a, x.b, got, x.both)
		}
		if got := x.b.Intersect(x.a); got != x.both {
			t.Errorf("%v and %v share %v, want %v", x.b, x.a, got, x.both)
		}
	}
	r := series.Run{From: 2, To: 4}
	for v, want := range map[series.Slot]bool{1: false, 2: true, 3: true, 4: false} {
		if r.Contains(v) != want {
			t.Errorf("%v contains %d: %v, want %v", r, v, !want, want)
		}
	}
	if r.Len() != 2 || (series.Run{From: 4, To: 2}).Len() != 0 || !(series.Run{}).Empty() || r.Empty() {
		t.Error("length or emptiness is wrong")
	}
	s := series.Span{From: 0, To: series.Hour}
	if got, want := s.String(), "[1970-01-01T00:00:00Z, 1970-01-01T01:00:00Z)"; got != want {
		t.Errorf("span prints %s, want %s", got, want)
	}
}

func BenchmarkSets(b *testing.B) {
	for _, n := range []int{100, 100_000} {
		rnd := rand.New(rand.NewPCG(1, uint64(n)))
		set := func() []series.Run {
			var out []series.Run
			at := series.Slot(0)
			for range n {
				at += 1 + series.Slot(rnd.IntN(20))
				end := at + 1 + series.Slot(rnd.IntN(20))
				out = append(out, series.Run{From: at, To: end})
				at = end
			}
			return out
		}
		x, y := set(), set()
		dst := make([]series.Run, 0, 4*n)
		for _, op := range []struct {
			name string
			run  func(dst, a, b []series.Run) []series.Run
		}{
			{"Union", series.Union[series.Slot]},
			{"Intersect", series.Intersect[series.Slot]},
			{"Subtract", series.Subtract[series.Slot]},
		} {
			b.Run(op.name+"-"+strconv.Itoa(n), func(b *testing.B) {
				b.ReportAllocs()
				for b.Loop() {
					dst = op.run(dst[:0], x, y)
				}
				b.ReportMetric(float64(b.Elapsed().Nanoseconds())/float64(b.N)/float64(2*n), "ns/member")
			})
		}
	}
}
