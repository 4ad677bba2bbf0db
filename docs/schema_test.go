package docs_test

import (
	"bytes"
	"os"
	"path/filepath"
	"testing"

	"github.com/santhosh-tekuri/jsonschema/v6"
	"go.yaml.in/yaml/v3"

	"github.com/barkeepdb/barkeep/docs"
	"github.com/barkeepdb/barkeep/series"
)

func schema(t *testing.T) *jsonschema.Schema {
	t.Helper()
	doc, err := jsonschema.UnmarshalJSON(bytes.NewReader(docs.CalendarSchema))
	if err != nil {
		t.Fatal(err)
	}
	c := jsonschema.NewCompiler()
	if err := c.AddResource("calendar.schema.json", doc); err != nil {
		t.Fatal(err)
	}
	s, err := c.Compile("calendar.schema.json")
	if err != nil {
		t.Fatal(err)
	}
	return s
}

// plain reads YAML with every date as the text that it is.
func plain(t *testing.T, text []byte) any {
	t.Helper()
	var n yaml.Node
	if err := yaml.Unmarshal(text, &n); err != nil {
		t.Fatal(err)
	}
	var untime func(n *yaml.Node)
	untime = func(n *yaml.Node) {
		if n.Tag == "!!timestamp" {
			n.Tag = "!!str"
		}
		for _, c := range n.Content {
			untime(c)
		}
	}
	untime(&n)
	var v any
	if err := n.Decode(&v); err != nil {
		t.Fatal(err)
	}
	return v
}

// TestSchemaTakesCalendars: the built-in files are valid.
func TestSchemaTakesCalendars(t *testing.T) {
	s := schema(t)
	files, err := filepath.Glob("../series/calendars/*.yaml")
	if err != nil || len(files) < 40 {
		t.Fatalf("%d files, %v", len(files), err)
	}
	for _, f := range files {
		text, err := os.ReadFile(f)
		if err != nil {
			t.Fatal(err)
		}
		if err := s.Validate(plain(t, text)); err != nil {
			t.Errorf("%s: %v", f, err)
		}
	}
}

// TestSchemaRefuses: what the schema refuses the program refuses too.
func TestSchemaRefuses(t *testing.T) {
	s := schema(t)
	const head = "name: A\nzone: UTC\nfrom: 2020-01-01\nto: 2021-01-01\nsources: {s: t}\n"
	const week = "sessions:\n  - {days: mon-fri, open: \"09:00\", close: \"17:00\", source: s}\n"
	if err := s.Validate(plain(t, []byte(head+week))); err != nil {
		t.Fatal(err)
	}
	for _, text := range []string{
		"title: no name\n",
		head + week + "colour: red\n",
		head + "sessions:\n  - {days: mon-fri, open: \"9:00\", close: \"17:00\", source: s}\n",
		head + "sessions:\n  - {days: monfri, open: \"09:00\", close: \"17:00\", source: s}\n",
		head + "sessions:\n  - {days: mon-fri, open: \"09:00\", source: s}\n",
		head + week + "yearly:\n  - {reason: x, day: Jan 1, move: {sun: 9}, source: s}\n",
		head + week + "yearly:\n  - {reason: x, day: Jan 1, from: 20, source: s}\n",
		head + week + "dated:\n  - {reason: x, source: s}\n",
		head + week + "dated:\n  - {reason: x, dates: [2020-01-02], to: 2020-01-03, source: s}\n",
		head + week + "dated:\n  - {reason: x, date: 2.1.2020, source: s}\n",
		head + week + "dated:\n  - {reason: x, date: 2020-01-02, notice: perhaps, source: s}\n",
		head + week + "pauses:\n  - {reason: x, from: 2020-01-02, to: 2020-01-03T00:00:00Z, source: s}\n",
	} {
		if s.Validate(plain(t, []byte(text))) == nil {
			t.Errorf("the schema takes\n%s", text)
		}
		if _, err := series.BuiltinCalendars().ReadCalendar("a.yaml", []byte(text)); err == nil {
			t.Errorf("the program takes\n%s", text)
		}
	}
}
