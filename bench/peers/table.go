package main

import (
	"encoding/json"
	"fmt"
	"io"
	"slices"
	"strings"
)

// results are the measured values by engine and work, one a run.
type results struct {
	Symbols int `json:"symbols"`
	Runs    int `json:"runs"`
	// Foreign is the share of the machine that other processes took meanwhile.
	Foreign float64                         `json:"foreign"`
	Values  map[string]map[string][]float64 `json:"values"`
}

func (r *results) add(engine, work string, v float64) {
	if r.Values == nil {
		r.Values = map[string]map[string][]float64{}
	}
	if r.Values[engine] == nil {
		r.Values[engine] = map[string][]float64{}
	}
	r.Values[engine][work] = append(r.Values[engine][work], v)
}

func (r *results) json(w io.Writer) error {
	enc := json.NewEncoder(w)
	enc.SetIndent("", "  ")
	return enc.Encode(r)
}

// subject is the engine that the ratios are of.
const subject = "barkeep"

// markdown writes a table of medians and, if Barkeep ran, one of how many times
// better than each peer it was.
func (r *results) markdown(w io.Writer) error {
	var names []string
	for _, e := range engines {
		if r.Values[e.name] != nil {
			names = append(names, e.name)
		}
	}
	var b strings.Builder
	fmt.Fprintf(&b, "%d symbol-years, medians of %d runs (min..max); other processes took %.0f%% of the machine:\n\n", r.Symbols, r.Runs, 100*r.Foreign)
	r.table(&b, names, func(engine string, wk work) string {
		return spread(r.Values[engine][wk.name])
	})
	if r.Values[subject] != nil && len(names) > 1 {
		peers := slices.DeleteFunc(names, func(n string) bool { return n == subject })
		fmt.Fprintf(&b, "\nBarkeep is so many times better than each peer (medians of the ratios within the runs):\n\n")
		r.table(&b, peers, func(engine string, wk work) string {
			return ratios(r.Values[subject][wk.name], r.Values[engine][wk.name], wk.higher)
		})
	}
	if r.Values["limit"] != nil {
		fmt.Fprintf(&b, "\n| limit of the machine | measured |\n|---|---|\n")
		for _, l := range limits {
			fmt.Fprintf(&b, "| %s, %s | %s |\n", l.name, l.unit, spread(r.Values["limit"][l.name]))
		}
	}
	_, err := io.WriteString(w, b.String())
	return err
}

// table writes a row for each work that some engine did.
func (r *results) table(b *strings.Builder, names []string, cell func(engine string, wk work) string) {
	fmt.Fprintf(b, "| work | %s |\n|---%s|\n", strings.Join(names, " | "), strings.Repeat("|---", len(names)))
	for _, wk := range works {
		cells := make([]string, len(names))
		for i, n := range names {
			cells[i] = cell(n, wk)
		}
		if strings.Join(cells, "") != strings.Repeat("-", len(names)) {
			fmt.Fprintf(b, "| %s, %s | %s |\n", wk.title, wk.unit, strings.Join(cells, " | "))
		}
	}
}

func spread(values []float64) string {
	if len(values) == 0 {
		return "-"
	}
	s := slices.Sorted(slices.Values(values))
	if len(s) == 1 || number(s[0]) == number(s[len(s)-1]) {
		return number(s[len(s)/2])
	}
	return fmt.Sprintf("%s (%s..%s)", number(s[len(s)/2]), number(s[0]), number(s[len(s)-1]))
}

func ratios(subject, peer []float64, higher bool) string {
	var all []float64
	for i := range min(len(subject), len(peer)) {
		if higher {
			all = append(all, subject[i]/peer[i])
		} else {
			all = append(all, peer[i]/subject[i])
		}
	}
	return spread(all)
}

// number writes three digits.
func number(v float64) string {
	switch {
	case v >= 100:
		return fmt.Sprintf("%.0f", v)
	case v >= 10:
		return fmt.Sprintf("%.1f", v)
	}
	return fmt.Sprintf("%.*g", 3, v)
}
