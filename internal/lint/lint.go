// Package lint keeps the shape of the repository: which package may import
// which, how packages are named and described, and what a test must not do.
// Its test runs over the tree; each check says what it found and why that is
// a fault, so that a rule is argued with here and not in a review.
package lint

import (
	"fmt"
	"go/ast"
	"go/parser"
	"go/token"
	"io/fs"
	"path"
	"sort"
	"strings"
)

// Module is the import path of the repository.
const Module = "github.com/barkeepdb/barkeep"

// Finding is one fault.
type Finding struct {
	Path   string // file or directory, from the root of the repository
	Line   int    // from 1; 0 where the whole file is meant
	Reason string
}

func (f Finding) String() string {
	if f.Line == 0 {
		return fmt.Sprintf("%s: %s", f.Path, f.Reason)
	}
	return fmt.Sprintf("%s:%d: %s", f.Path, f.Line, f.Reason)
}

// source is one parsed Go file.
type source struct {
	path string
	fset *token.FileSet
	file *ast.File
}

func (s *source) dir() string { return path.Dir(s.path) }
func (s *source) test() bool  { return strings.HasSuffix(s.path, "_test.go") }
func (s *source) find(pos token.Pos, format string, args ...any) Finding {
	return Finding{s.path, s.fset.Position(pos).Line, fmt.Sprintf(format, args...)}
}

// tree is what the checks look at.
type tree struct {
	dirs    []string
	sources []*source
	texts   map[string][]byte // every file that may hold words, by path
}

// textExt are the files in which machine paths are looked for.
var textExt = map[string]bool{
	".go": true, ".md": true, ".yml": true, ".yaml": true, ".txtar": true, ".txt": true,
	".json": true, ".html": true, ".js": true, ".ts": true, ".css": true, ".svelte": true, ".sh": true,
	"": true, // Makefile, LICENSE, .ci/run
}

// load reads the tree at fsys. Nested modules are another tree; directories
// that hold data, built files or version control are passed over.
func load(fsys fs.FS) (*tree, error) {
	t := &tree{texts: map[string][]byte{}}
	err := fs.WalkDir(fsys, ".", func(p string, d fs.DirEntry, err error) error {
		if err != nil {
			return err
		}
		if d.IsDir() {
			switch path.Base(p) {
			case ".git", ".venv", "node_modules", "bin", "dist", "data":
				return fs.SkipDir
			}
			if p != "." {
				if _, err := fs.Stat(fsys, path.Join(p, "go.mod")); err == nil {
					return fs.SkipDir
				}
			}
			t.dirs = append(t.dirs, p)
			return nil
		}
		if !textExt[path.Ext(p)] && !strings.HasPrefix(path.Base(p), ".") {
			return nil
		}
		if info, err := d.Info(); err != nil || info.Size() > 1<<20 {
			return err
		}
		text, err := fs.ReadFile(fsys, p)
		if err != nil {
			return err
		}
		t.texts[p] = text
		if path.Ext(p) != ".go" || strings.Contains(p, "testdata/") {
			return nil
		}
		fset := token.NewFileSet()
		file, err := parser.ParseFile(fset, p, text, parser.ParseComments|parser.SkipObjectResolution)
		if err != nil {
			return err
		}
		t.sources = append(t.sources, &source{p, fset, file})
		return nil
	})
	return t, err
}

// checks are all the checks, by name.
var checks = map[string]func(*tree) []Finding{
	"arrows":        checkArrows,
	"package docs":  checkPackageDocs,
	"package names": checkNames,
	"sleeping":      checkSleep,
	"machine paths": checkMachinePaths,
}

// Check runs every check over the tree at fsys and returns what it found, in
// order of path and line.
func Check(fsys fs.FS) ([]Finding, error) {
	t, err := load(fsys)
	if err != nil {
		return nil, err
	}
	var all []Finding
	for _, check := range checks {
		all = append(all, check(t)...)
	}
	sort.Slice(all, func(i, j int) bool {
		a, b := all[i], all[j]
		if a.Path != b.Path {
			return a.Path < b.Path
		}
		if a.Line != b.Line {
			return a.Line < b.Line
		}
		return a.Reason < b.Reason
	})
	return all, nil
}
