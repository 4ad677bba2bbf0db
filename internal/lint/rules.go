package lint

import (
	"bytes"
	"go/ast"
	"path"
	"regexp"
	"sort"
	"strings"
)

// checkPackageDocs wants one package sentence per package, attached to its
// clause: a comment with a blank line behind it is shown to nobody.
func checkPackageDocs(t *tree) []Finding {
	var out []Finding
	type docs struct {
		first *source
		with  []*source
	}
	byDir := map[string]*docs{}
	for _, s := range t.sources {
		if s.test() {
			continue
		}
		d := byDir[s.dir()]
		if d == nil {
			d = &docs{first: s}
			byDir[s.dir()] = d
		}
		if s.file.Doc != nil {
			d.with = append(d.with, s)
			continue
		}
		for _, c := range s.file.Comments {
			if c.End() < s.file.Package && strings.HasPrefix(c.Text(), "Package ") {
				out = append(out, s.find(c.Pos(), "the package comment is detached: remove the blank line before the package clause"))
			}
		}
	}
	for dir, d := range byDir {
		switch len(d.with) {
		case 0:
			out = append(out, d.first.find(d.first.file.Package, "no file of %s says what the package is for: write a package comment", dir))
		case 1:
		default:
			for _, s := range d.with[1:] {
				out = append(out, s.find(s.file.Package, "%s has a second package comment beside that of %s: keep one", dir, d.with[0].path))
			}
		}
	}
	return out
}

// drawers are names that say nothing of what is inside, and so fill up.
var drawers = map[string]bool{"util": true, "utils": true, "common": true, "helpers": true, "misc": true, "types": true}

func checkNames(t *tree) []Finding {
	var out []Finding
	for _, dir := range t.dirs {
		if drawers[path.Base(dir)] {
			out = append(out, Finding{dir, 0, "the name says nothing of what is inside: name the idea"})
		}
	}
	for _, s := range t.sources {
		if name := strings.TrimSuffix(s.file.Name.Name, "_test"); drawers[name] && path.Base(s.dir()) != name {
			out = append(out, s.find(s.file.Name.Pos(), "package name %s says nothing of what is inside: name the idea", name))
		}
	}
	return out
}

// checkSleep bans time.Sleep from tests: a test that waits is slow when it
// passes and wrong when the machine is busy. testing/synctest has a clock.
func checkSleep(t *tree) []Finding {
	var out []Finding
	for _, s := range t.sources {
		name := importName(s.file, "time")
		if !s.test() || name == "" {
			continue
		}
		ast.Inspect(s.file, func(n ast.Node) bool {
			sel, ok := n.(*ast.SelectorExpr)
			if !ok || sel.Sel.Name != "Sleep" {
				return true
			}
			if x, ok := sel.X.(*ast.Ident); ok && x.Name == name {
				out = append(out, s.find(sel.Pos(), "a test must not sleep: wait for the event, or use testing/synctest"))
			}
			return true
		})
	}
	return out
}

// importName is the name under which file imports imp, or "".
func importName(file *ast.File, imp string) string {
	for _, spec := range file.Imports {
		if spec.Path.Value != `"`+imp+`"` {
			continue
		}
		if spec.Name != nil {
			return spec.Name.Name
		}
		return path.Base(imp)
	}
	return ""
}

// machinePath finds directories that exist on one machine only.
var machinePath = regexp.MustCompile(`(?:^|[\s"'` + "`" + `=(:])(?:/(?:home|root|Users|work)/|[A-Z]:\\Users\\)[\w.-]`)

func checkMachinePaths(t *tree) []Finding {
	var out []Finding
	paths := make([]string, 0, len(t.texts))
	for p := range t.texts {
		paths = append(paths, p)
	}
	sort.Strings(paths)
	for _, p := range paths {
		text := t.texts[p]
		for _, m := range machinePath.FindAllIndex(text, -1) {
			line := 1 + bytes.Count(text[:m[1]], []byte("\n"))
			out = append(out, Finding{p, line, "a path of one machine: use a relative one, a temporary directory or a setting"})
		}
	}
	return out
}
