package main

import (
	"bytes"
	"os"
	"path/filepath"
	"strings"
	"testing"

	"github.com/santhosh-tekuri/jsonschema/v6"
	"go.yaml.in/yaml/v3"
)

func compiledSchema(t *testing.T) *jsonschema.Schema {
	t.Helper()
	text, err := configSchema()
	if err != nil {
		t.Fatal(err)
	}
	doc, err := jsonschema.UnmarshalJSON(bytes.NewReader(text))
	if err != nil {
		t.Fatal(err)
	}
	c := jsonschema.NewCompiler()
	if err := c.AddResource("config.schema.json", doc); err != nil {
		t.Fatal(err)
	}
	s, err := c.Compile("config.schema.json")
	if err != nil {
		t.Fatal(err)
	}
	return s
}

// bySchema is what the schema says of a file.
func bySchema(t *testing.T, s *jsonschema.Schema, text string) error {
	t.Helper()
	var v any
	if err := yaml.Unmarshal([]byte(text), &v); err != nil {
		t.Fatal(text, err)
	}
	return s.Validate(v)
}

// TestConfigSchemaIsPublished compares the schema in docs with the program.
func TestConfigSchemaIsPublished(t *testing.T) {
	const name = "../../docs/config.schema.json"
	want, err := configSchema()
	if err != nil {
		t.Fatal(err)
	}
	if *rewrite {
		if err := os.WriteFile(name, want, 0o600); err != nil {
			t.Fatal(err)
		}
	}
	got, err := os.ReadFile(name)
	if err != nil || !bytes.Equal(got, want) {
		t.Errorf("docs/config.schema.json is not what barkeep config schema prints: run make golden (%v)", err)
	}
}

// TestConfigSchemaSetting tries values in every setting: the schema refuses
// none that the program takes, and takes none of a wrong kind.
func TestConfigSchemaSetting(t *testing.T) {
	s := compiledSchema(t)
	values := []string{
		"1", "0", "-1", "7", "007", "0.5", "1.5", "-0.5", "1e6", "true", "false", "yes", "off", "auto", "all", "nonsense", "''", "'7'",
		"64MiB", "64 MiB", "500MB", "1.5GiB", "4MiB/s", "off/s", "30s", "1h30m", "1.5h", ".5h", "90", "-3s",
		"debug", "json", "priority", "p2c", "sources_only", "table", "127.0.0.1:8080", "https://example.com/x",
		"[a, b]", "[1]", "[]", "1m=730d>1h", "[1m=730d>1h, 1s=30d]", "192.168.1.0/24",
	}
	refused := 0
	for _, set := range settings {
		section, name, nested := strings.Cut(set.key, ".")
		for _, v := range append(values, set.def) {
			text := set.key + ": " + v + "\n"
			if nested {
				text = section + ":\n  " + name + ": " + v + "\n"
			}
			path := filepath.Join(t.TempDir(), "barkeep.yaml")
			if err := os.WriteFile(path, []byte(text), 0o600); err != nil {
				t.Fatal(err)
			}
			_, err := load(path, nil, nil)
			// A value that does not fit to others is right by itself.
			taken := err == nil || !strings.Contains(err.Error(), set.key+": ")
			if serr := bySchema(t, s, text); taken && serr != nil {
				t.Errorf("the program takes %q, the schema does not: %v", text, serr)
			} else if serr != nil {
				refused++
			}
		}
	}
	if refused < 500 {
		t.Errorf("the schema refused %d values, want at least 500 of %d", refused, len(settings)*len(values))
	}
}

// TestConfigSchemaFile checks whole files.
func TestConfigSchemaFile(t *testing.T) {
	s := compiledSchema(t)
	for text, ok := range map[string]bool{
		defaultFile(): true,
		"server:\n  listen: 127.0.0.1:1\nendpoints:\n  crypto:\n    - {name: a, url: https://api.binance.com, priority: 1, rate_limit_requests: 10, rate_limit_window_seconds: 1}\n": true,
		"endpoints: {own: [{name: a, url: https://example.com, generic: {path: /x, intervals: {1m: '60'}, columns: {time: '0'}}}]}\n":                                                true,
		"server:\n":                                        true, // all of it commented out
		"server: {lisen: 127.0.0.1:1}\n":                   false,
		"sever: {listen: 127.0.0.1:1}\n":                   false,
		"endpoints: {crypto: [{name: a}]}\n":               false,
		"endpoints: {crypto: [{name: a, url: b, c: d}]}\n": false,
		"endpoints: [a]\n":                                 false,
	} {
		if err := bySchema(t, s, text); (err == nil) != ok {
			t.Errorf("%q: %v, want valid %v", text, err, ok)
		}
	}
}
