package lint

import (
	"path"
	"slices"
	"strconv"
	"strings"
)

// arrow says what the packages of one directory may import.
type arrow struct {
	dir  string   // "fetch/*" stands for the directories below fetch
	own  []string // packages of this repository; "x/..." is x and all below
	std  bool     // true: nothing else but the standard library
	libs []string // that std allows all the same
	why  string   // why nothing more
	open bool     // true: own is not looked at
}

// arrows are the edges that exist; every other one is a fault. A package
// without a row is a fault too: whoever adds one decides where it stands.
var arrows = []arrow{
	{dir: "series", std: true, libs: []string{"go.yaml.in/yaml/v3"}, why: "series is the vocabulary: pure values, which every package can import"},
	{dir: "series/barfile", own: []string{"series"}, why: "file formats know bars, not who keeps or serves them"},
	{dir: "storage/block", own: []string{"series"}, std: true, why: "the block format is a promise about bytes; nothing above may leak into it"},
	{dir: "storage", own: []string{"series", "storage/block"}, why: "the store keeps bars; it does not know files, sources, healing or HTTP"},
	{dir: "fetch", own: []string{"series"}, why: "fetching knows HTTP and series, not where bars are kept"},
	{dir: "fetch/wire", own: []string{"series", "fetch"}, std: true, why: "wire reads bytes for every provider"},
	{dir: "fetch/files", own: []string{"series", "series/barfile", "fetch", "fetch/wire"}, why: "a folder is read as an import reads files"},
	{dir: "fetch/vendors", own: []string{"series", "fetch/..."}, why: "vendors lists all providers"},
	{dir: "fetch/fetchtest", own: []string{"series", "fetch/..."}, why: "fetchtest knows every provider"},
	{dir: "fetch/*", own: []string{"series", "fetch", "fetch/wire"}, why: "a provider knows its source and the fetch contract; providers do not know each other"},
	{dir: "heal", own: []string{"series"}, why: "healing declares the interfaces it needs, so that any store and any source can be healed"},
	{dir: "heal/healtest", own: []string{"series"}, why: "healtest damages bars, whoever keeps them"},
	{dir: "heal/healstore", own: []string{"series", "heal", "storage"}, why: "healstore introduces a healer and a store to each other"},
	{dir: "heal/healpool", own: []string{"series", "heal", "fetch"}, why: "healpool introduces a healer and a pool to each other"},
	{dir: "api/dashboard", std: true, why: "the dashboard is files"},
	{dir: "api/alert", own: []string{"series"}, std: true, why: "alerts know conditions, not where they come from"},
	{dir: "api", own: []string{"series", "series/barfile", "storage", "heal", "api/..."}, why: "api answers questions about the store and the healer; it fetches nothing and starts nothing"},
	{dir: "cmd/*", open: true, why: "cmd wires the packages together"},
	{dir: "docs", std: true, why: "docs holds texts that the program prints"},
	{dir: "bench", own: []string{"series/...", "storage/...", "heal"}, why: "benchmarks measure the library, not the server"},
	{dir: "bench/*", own: []string{"series/...", "storage/...", "heal", "bench/..."}, why: "benchmarks measure the library, not the server"},
	{dir: "internal/lint", std: true, why: "the rules must not depend on what they rule"},
}

// guarded are the libraries that one package keeps to itself.
var guarded = []struct {
	lib   string
	owner []string
	why   string
}{
	{"github.com/cockroachdb/pebble", []string{"storage", "bench"}, "only storage knows the engine, so that another one can take its place"},
	{"github.com/gin-gonic/gin", []string{"api"}, "gin stays inside api, which hands out an http.Handler"},
	{"github.com/spf13/cobra", []string{"cmd"}, "the command line ends in cmd"},
	{"github.com/knadh/koanf", []string{"cmd"}, "nobody below cmd reads configuration: Options are passed down"},
}

func checkArrows(t *tree) []Finding {
	var out []Finding
	for _, s := range t.sources {
		row, known := rowOf(s.dir())
		if !known {
			out = append(out, s.find(s.file.Package, "package %s has no row among the arrows of internal/lint: decide what it may import", s.dir()))
			continue
		}
		for _, spec := range s.file.Imports {
			imp, err := strconv.Unquote(spec.Path.Value)
			if err != nil {
				continue
			}
			if why := forbidden(s, row, imp); why != "" {
				out = append(out, s.find(spec.Pos(), "%s must not import %s: %s", s.dir(), imp, why))
			}
		}
	}
	return out
}

// forbidden returns why s must not import imp, or "". Tests stand outside
// of the arrows, because they bring packages together to try them.
func forbidden(s *source, row arrow, imp string) string {
	dir, isOwn := strings.CutPrefix(imp, Module+"/")
	switch {
	case isOwn && within(dir, "cmd"):
		return "nobody imports a program"
	case isOwn && within(dir, "api") && !within(s.dir(), "cmd") && !within(s.dir(), "api") && !s.test():
		return "only cmd starts a server"
	case s.test():
		return ""
	case isOwn && !row.open && !slices.ContainsFunc(row.own, func(o string) bool { return matches(o, dir) }):
		return row.why
	case !isOwn && row.std && !slices.Contains(row.libs, imp) && strings.Contains(strings.Split(imp, "/")[0], "."):
		return row.why
	}
	for _, g := range guarded {
		if within(imp, g.lib) && !slices.ContainsFunc(g.owner, func(o string) bool { return within(s.dir(), o) }) {
			return g.why
		}
	}
	return ""
}

// rowOf finds the arrow of dir: an exact one, or that of its parent's "*".
func rowOf(dir string) (arrow, bool) {
	if dir == "." { // a package at the root would be everybody's drawer
		return arrow{}, false
	}
	for _, a := range arrows {
		if a.dir == dir || a.dir == path.Dir(dir)+"/*" {
			return a, true
		}
	}
	return arrow{}, false
}

// within reports whether p is dir or below it.
func within(p, dir string) bool { return p == dir || strings.HasPrefix(p, dir+"/") }

func matches(pattern, dir string) bool {
	if all, ok := strings.CutSuffix(pattern, "/..."); ok {
		return within(dir, all)
	}
	return pattern == dir
}
