package lint

import (
	"os"
	"strings"
	"testing"
	"testing/fstest"
)

// TestRepository is the check itself.
func TestRepository(t *testing.T) {
	findings, err := Check(os.DirFS("../.."))
	if err != nil {
		t.Fatal(err)
	}
	for _, f := range findings {
		t.Error(f)
	}
}

// tests are small trees, each with one fault or none.
var tests = []struct {
	name  string
	files map[string]string
	want  []string // part of each finding, in order
}{
	{"clean", map[string]string{
		"series/doc.go":       "// Package series is the vocabulary.\npackage series\n\nimport \"math\"\n\nvar _ = math.Pi\n",
		"series/bar.go":       "package series\n",
		"storage/store.go":    "// Package storage keeps bars.\npackage storage\n\nimport (\n\t_ \"github.com/barkeepdb/barkeep/series\"\n\t_ \"github.com/cockroachdb/pebble/v2\"\n)\n",
		"storage/a_test.go":   "package storage_test\n\nimport _ \"github.com/barkeepdb/barkeep/series/barfile\"\n",
		"cmd/barkeep/main.go": "// The program.\npackage main\n\nimport _ \"github.com/barkeepdb/barkeep/api\"\n",
		"tools/go.mod":        "module x\n",
		"tools/util/x.go":     "package util\n",
	}, nil},

	{"series imports storage", map[string]string{
		"series/doc.go": "// Package series is.\npackage series\n\nimport _ \"github.com/barkeepdb/barkeep/storage\"\n",
	}, []string{"series/doc.go:4: series must not import github.com/barkeepdb/barkeep/storage: series is the vocabulary"}},
	{"series imports a library", map[string]string{
		"series/doc.go": "// Package series is.\npackage series\n\nimport _ \"gonum.org/v1/gonum/stat\"\n",
	}, []string{"must not import gonum.org"}},
	{"heal imports storage", map[string]string{
		"heal/doc.go": "// Package heal is.\npackage heal\n\nimport _ \"github.com/barkeepdb/barkeep/storage\"\n",
	}, []string{"healing declares the interfaces"}},
	{"a provider imports another", map[string]string{
		"fetch/kraken/k.go": "// Package kraken is.\npackage kraken\n\nimport _ \"github.com/barkeepdb/barkeep/fetch/binance\"\n",
	}, []string{"providers do not know each other"}},
	{"bench imports api", map[string]string{
		"bench/b.go": "// Package bench is.\npackage bench\n\nimport _ \"github.com/barkeepdb/barkeep/api\"\n",
	}, []string{"only cmd starts a server"}},
	{"a test imports a program", map[string]string{
		"api/a.go":      "// Package api is.\npackage api\n",
		"api/a_test.go": "package api\n\nimport _ \"github.com/barkeepdb/barkeep/cmd/barkeep\"\n",
	}, []string{"nobody imports a program"}},
	{"pebble in api", map[string]string{
		"api/a.go": "// Package api is.\npackage api\n\nimport _ \"github.com/cockroachdb/pebble/v2/vfs\"\n",
	}, []string{"only storage knows the engine"}},
	{"gin in cmd", map[string]string{
		"cmd/barkeep/main.go": "// The program.\npackage main\n\nimport _ \"github.com/gin-gonic/gin\"\n",
	}, []string{"gin stays inside api"}},
	{"a package without a row", map[string]string{
		"engine/e.go": "// Package engine is.\npackage engine\n",
	}, []string{"engine has no row"}},
	{"a package at the root", map[string]string{
		"e.go": "// Package barkeep is.\npackage barkeep\n",
	}, []string{"has no row"}},

	{"no package comment", map[string]string{
		"heal/a.go": "package heal\n",
	}, []string{"says what the package is for"}},
	{"detached package comment", map[string]string{
		"heal/a.go": "// Package heal heals.\n\npackage heal\n",
		"heal/b.go": "// Package heal heals.\npackage heal\n",
	}, []string{"heal/a.go:1: the package comment is detached"}},
	{"two package comments", map[string]string{
		"heal/a.go": "// Package heal heals.\npackage heal\n",
		"heal/b.go": "// Package heal too.\npackage heal\n",
	}, []string{"heal/b.go:2: heal has a second package comment"}},

	{"a drawer", map[string]string{
		"fetch/utils/u.go": "// Package utils is.\npackage utils\n",
	}, []string{"fetch/utils: the name says nothing"}},
	{"a drawer by package name", map[string]string{
		"heal/u.go": "// Package common is.\npackage common\n",
	}, []string{"package name common says nothing"}},

	{"a sleeping test", map[string]string{
		"heal/a.go":      "// Package heal is.\npackage heal\n\nimport \"time\"\n\nfunc f() { time.Sleep(1) }\n",
		"heal/a_test.go": "package heal\n\nimport clock \"time\"\n\nfunc g() { clock.Sleep(1) }\n",
	}, []string{"heal/a_test.go:5: a test must not sleep"}},

	{"a machine path", map[string]string{
		"README.md": "Run it:\n\n    cd /ho" + "me/me/barkeep\n",
		"docs/x.md": "See https://example.org/home/x and a `home/` directory.\n",
	}, []string{"README.md:3: a path of one machine"}},
}

func TestCheck(t *testing.T) {
	for _, tt := range tests {
		t.Run(tt.name, func(t *testing.T) {
			fsys := fstest.MapFS{}
			for p, text := range tt.files {
				fsys[p] = &fstest.MapFile{Data: []byte(text)}
			}
			got, err := Check(fsys)
			if err != nil {
				t.Fatal(err)
			}
			if len(got) != len(tt.want) {
				t.Fatalf("found %v, want %d findings", got, len(tt.want))
			}
			for i, want := range tt.want {
				if !strings.Contains(got[i].String(), want) {
					t.Errorf("found %q, want %q in it", got[i], want)
				}
			}
		})
	}
}
