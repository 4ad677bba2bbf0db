package main

import (
	"errors"
	"fmt"
	"os"
	"slices"
	"strings"

	"github.com/knadh/koanf/parsers/yaml"
	"github.com/knadh/koanf/providers/confmap"
	"github.com/knadh/koanf/providers/env/v2"
	"github.com/knadh/koanf/providers/file"
	"github.com/knadh/koanf/v2"

	"github.com/barkeepdb/barkeep/fetch"
)

const (
	envPrefix  = "BARKEEP_"
	envConfig  = envPrefix + "CONFIG"
	configFile = "barkeep.yaml" // read from the working directory where it exists
)

// sources of a value, weakest first.
const (
	fromDefault = "default"
	fromFile    = "file"
	fromEnv     = "environment"
	fromFlag    = "flag"
)

// loaded is a checked configuration and where each value came from.
type loaded struct {
	Config
	file   string            // "" without one
	values map[string]string // by key, as text
	from   map[string]string // by key

	endpoints []fetch.Endpoint // nil where the file names none
}

// load lays defaults, file, environment and flags over each other and checks
// the result. Every fault is named, not only the first. A file that path names
// must exist; without a path barkeep.yaml is read if it is there.
func load(path string, environ []string, flags map[string]string) (*loaded, error) {
	l := &loaded{values: map[string]string{}, from: map[string]string{}}
	for _, s := range settings {
		l.values[s.key], l.from[s.key] = s.def, fromDefault
	}
	var errs []error
	lay := func(from string, k *koanf.Koanf) {
		errs = append(errs, l.lay(from, k)...)
	}

	if path == "" {
		path = lookup(environ, envConfig)
	}
	if path == "" {
		if _, err := os.Stat(configFile); err == nil {
			path = configFile
		}
	}
	if path != "" {
		l.file = path
		k := koanf.New(".")
		if err := k.Load(file.Provider(path), yaml.Parser()); err != nil {
			return nil, fmt.Errorf("configuration %s: %w", path, err)
		}
		if groups := k.Get(endpointsKey); groups != nil {
			list, bad := readEndpoints(groups)
			for _, err := range bad {
				errs = append(errs, fmt.Errorf("%w (in %s)", err, path))
			}
			l.endpoints = append([]fetch.Endpoint{}, list...)
			k.Delete(endpointsKey)
		}
		lay(fromFile, k)
	}

	k := koanf.New(".")
	err := k.Load(env.Provider(".", env.Opt{
		Prefix:      envPrefix,
		EnvironFunc: func() []string { return environ },
		TransformFunc: func(name, v string) (string, any) {
			if name == envConfig || isKey(name) {
				return "", nil
			}
			for _, s := range settings {
				if s.env() == name {
					return s.key, v
				}
			}
			errs = append(errs, fmt.Errorf("environment variable %s is unknown%s", name, nearestEnv(name)))
			return "", nil
		},
	}), nil)
	if err != nil {
		return nil, err
	}
	lay(fromEnv, k)

	k = koanf.New(".")
	given := map[string]any{}
	for key, v := range flags {
		given[key] = v
	}
	if err := k.Load(confmap.Provider(given, "."), nil); err != nil {
		return nil, err
	}
	lay(fromFlag, k)

	for _, s := range settings {
		value := l.values[s.key]
		if s.secret {
			var err error
			if value, err = unseal(l.values["data"], value); err != nil {
				errs = append(errs, fmt.Errorf("%s: %w%s", s.key, err, l.where(s)))
				continue
			}
		}
		if err := s.set(&l.Config, value); err != nil {
			errs = append(errs, fmt.Errorf("%s: %w%s", s.key, err, l.where(s)))
		}
	}
	if len(errs) == 0 {
		errs = l.fit()
	}
	if err := errors.Join(errs...); err != nil {
		return nil, usageError{err}
	}
	return l, nil
}

// lay puts the values of k over those of l.
func (l *loaded) lay(from string, k *koanf.Koanf) (errs []error) {
	for key, v := range k.All() {
		if v == nil { // "server:" with everything below commented out
			continue
		}
		if _, ok := l.values[key]; !ok {
			errs = append(errs, fmt.Errorf("setting %q of %s is unknown%s", key, l.file, nearest(key, keys())))
			continue
		}
		if list, ok := v.([]any); ok {
			if !takesList(key) {
				errs = append(errs, fmt.Errorf("%s: takes one value, not a list (in %s)", key, l.file))
				continue
			}
			texts := make([]string, 0, len(list))
			for _, x := range list {
				texts = append(texts, fmt.Sprint(x))
			}
			v = strings.Join(texts, ",")
		}
		l.values[key], l.from[key] = fmt.Sprint(v), from
	}
	slices.SortFunc(errs, func(a, b error) int { return strings.Compare(a.Error(), b.Error()) })
	return errs
}

// where says which place to mend for a wrong value of s.
func (l *loaded) where(s setting) string {
	switch l.from[s.key] {
	case fromFile:
		return " (in " + l.file + ")"
	case fromEnv:
		return " (in " + s.env() + ")"
	}
	return ""
}

func keys() []string {
	out := make([]string, 0, len(settings))
	for _, s := range settings {
		out = append(out, s.key)
	}
	return out
}

// nearestEnv compares names without the prefix that they share, which would
// make all of them look alike.
func nearestEnv(name string) string {
	known := []string{strings.TrimPrefix(envConfig, envPrefix)}
	for _, s := range settings {
		known = append(known, strings.TrimPrefix(s.env(), envPrefix))
	}
	return nearest(strings.TrimPrefix(name, envPrefix), known) + " (behind " + envPrefix + ")"
}

func lookup(environ []string, name string) string {
	for _, e := range environ {
		if v, ok := strings.CutPrefix(e, name+"="); ok {
			return v
		}
	}
	return ""
}

// nearest suggests the known name that is closest to what was written.
func nearest(got string, known []string) string {
	best, least := "", 1+len(got)/2
	for _, k := range known {
		if d := distance(got, k); d < least {
			best, least = k, d
		}
		// "listen" for "server.listen"
		if _, last, ok := strings.Cut(k, "."); ok && last == got {
			return fmt.Sprintf(": did you mean %s?", k)
		}
	}
	if best == "" {
		return ": known are " + strings.Join(known, ", ")
	}
	return fmt.Sprintf(": did you mean %s?", best)
}

// distance is the number of single-byte edits between a and b.
func distance(a, b string) int {
	row := make([]int, len(b)+1)
	for j := range row {
		row[j] = j
	}
	for i := range len(a) {
		diagonal := row[0]
		row[0] = i + 1
		for j := range len(b) {
			cost := diagonal
			if a[i] != b[j] {
				cost++
			}
			diagonal = row[j+1]
			row[j+1] = min(cost, row[j]+1, row[j+1]+1)
		}
	}
	return row[len(b)]
}

// defaultFile is what `config init` writes: every setting, commented out.
func defaultFile() string {
	var b strings.Builder
	b.WriteString("# Barkeep. Every setting with its default; remove the # to change one.\n" +
		"# An environment variable wins over this file, a flag over both:\n" +
		"# BARKEEP_SERVER_LISTEN is server.listen.\n")
	section := ""
	for _, s := range settings {
		name, indent := s.key, ""
		if sec, rest, ok := strings.Cut(s.key, "."); ok {
			name, indent = rest, "  "
			if sec != section {
				section = sec
				fmt.Fprintf(&b, "\n%s:\n", sec)
			} else {
				b.WriteByte('\n')
			}
		} else {
			b.WriteByte('\n')
		}
		for line := range strings.SplitSeq(s.doc, "\n") {
			fmt.Fprintf(&b, "%s# %s\n", indent, line)
		}
		def := s.def
		if takesList(s.key) {
			def = "[]"
		} else if def == "" {
			def = `""`
		}
		fmt.Fprintf(&b, "%s#%s: %s\n", indent, name, def)
	}
	return b.String()
}
