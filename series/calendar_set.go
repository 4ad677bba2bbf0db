package series

import (
	"embed"
	"errors"
	"fmt"
	"io/fs"
	"maps"
	"os"
	"path"
	"path/filepath"
	"slices"
	"strings"
	"sync"
	_ "time/tzdata" // zones exist on every machine, also in an empty container

	"go.yaml.in/yaml/v3"
)

// Calendars are calendars by name: the built-in ones, and those of a folder,
// which win. It is safe for concurrent use; each calendar is built when it is
// first asked for.
type Calendars struct {
	byName map[string]*lazyCalendar
	names  []string // sorted, without aliases
}

// lazyCalendar is a calendar that is read and built on first use.
type lazyCalendar struct {
	build func() (*Calendar, error)
	file  func() (*calendarFile, error)
	base  *lazyCalendar // the one of the same name that this one replaces
}

//go:embed calendars/*.yaml
var calendarFiles embed.FS

// builtin are the calendars that come with the program.
var builtin = sync.OnceValue(func() *Calendars {
	s, err := newCalendars(nil, mustSub(calendarFiles, "calendars"), func(name string) string { return "built-in " + name })
	if err != nil {
		panic("series: " + err.Error()) // a test builds them all
	}
	return s
})

func mustSub(f fs.FS, dir string) fs.FS {
	sub, err := fs.Sub(f, dir)
	if err != nil {
		panic("series: " + err.Error())
	}
	return sub
}

// BuiltinCalendars are the calendars that come with the program.
func BuiltinCalendars() *Calendars { return builtin() }

// CalendarByName returns a built-in calendar by its name or alias: "24x7",
// "XNYS". Case matters. The error lists the names.
func CalendarByName(name string) (*Calendar, error) { return builtin().Get(name) }

// CalendarNames returns the names of the built-in calendars, sorted.
func CalendarNames() []string { return builtin().Names() }

// LoadCalendars returns the built-in calendars and those of the files *.yaml,
// *.yml and *.json of a folder, which may be missing. A file with the name of
// a built-in calendar replaces it, and extends it where it says so. All files
// are read and built, so that a wrong one is told at once; the error lists all
// that is wrong.
func LoadCalendars(dir string) (*Calendars, error) {
	if _, err := os.Stat(dir); errors.Is(err, fs.ErrNotExist) {
		return builtin(), nil
	}
	s, err := newCalendars(builtin(), os.DirFS(dir), func(name string) string { return filepath.Join(dir, name) })
	if err != nil {
		return nil, err
	}
	var errs []error
	for _, name := range s.names {
		if s.byName[name] != builtin().byName[name] {
			_, err := s.Get(name)
			errs = append(errs, err)
		}
	}
	if err := errors.Join(errs...); err != nil {
		return nil, err
	}
	return s, nil
}

// ReadCalendar builds the calendar of a file; extends names one of s.
func (s *Calendars) ReadCalendar(file string, text []byte) (*Calendar, error) {
	f, err := readCalendarFile(file, text)
	if err != nil {
		return nil, err
	}
	c, err := s.newCalendar(f, s.byName[f.data.Name], map[string]bool{})
	if err != nil {
		return nil, &CalendarError{File: file, Text: err.Error()}
	}
	return c, nil
}

// newCalendars adds the files of a folder to those of base; show writes the
// name of a file for errors.
func newCalendars(base *Calendars, files fs.FS, show func(string) string) (*Calendars, error) {
	s := &Calendars{byName: map[string]*lazyCalendar{}}
	if base != nil {
		maps.Copy(s.byName, base.byName)
		s.names = slices.Clone(base.names)
	} else {
		s.add([]string{always.name}, &lazyCalendar{build: func() (*Calendar, error) { return always, nil }})
	}
	entries, err := fs.ReadDir(files, ".")
	if err != nil {
		return nil, err
	}
	for _, e := range entries {
		switch path.Ext(e.Name()) {
		case ".yaml", ".yml", ".json":
		default:
			continue
		}
		text, err := fs.ReadFile(files, e.Name())
		if err != nil {
			return nil, err
		}
		names, err := namesOf(text)
		if err != nil {
			return nil, &CalendarError{File: show(e.Name()), Text: err.Error()}
		}
		l := &lazyCalendar{base: s.byName[names[0]]}
		l.file = sync.OnceValues(func() (*calendarFile, error) { return readCalendarFile(show(e.Name()), text) })
		l.build = sync.OnceValues(func() (*Calendar, error) {
			f, err := l.file()
			if err != nil {
				return nil, err
			}
			c, err := s.newCalendar(f, l.base, map[string]bool{})
			if err != nil {
				return nil, &CalendarError{File: show(e.Name()), Text: err.Error()}
			}
			return c, nil
		})
		for _, n := range names {
			if other := s.byName[n]; other != nil && (base == nil || other != base.byName[n]) {
				return nil, &CalendarError{File: show(e.Name()), Text: fmt.Sprintf("another file has the name %s too", n)}
			}
		}
		s.add(names, l)
	}
	slices.Sort(s.names)
	s.names = slices.Compact(s.names)
	return s, nil
}

func (s *Calendars) add(names []string, l *lazyCalendar) {
	s.names = append(s.names, names[0])
	for _, n := range names {
		s.byName[n] = l
	}
}

// namesOf reads the name and the aliases of a file and nothing more: most
// calendars are never used.
func namesOf(text []byte) ([]string, error) {
	var head struct {
		Name    string
		Aliases []string
	}
	var lines []string
	for line := range strings.Lines(string(text)) {
		if strings.HasPrefix(line, "name:") || strings.HasPrefix(line, "aliases:") {
			lines = append(lines, line)
		}
		if len(lines) == 2 || strings.HasPrefix(line, "sources:") {
			break
		}
	}
	// JSON, and YAML that is laid out in another way, is read whole.
	if err := yaml.Unmarshal([]byte(strings.Join(lines, "")), &head); err != nil || head.Name == "" {
		if err := yaml.Unmarshal(text, &head); err != nil {
			return nil, errors.New(strings.TrimPrefix(err.Error(), "yaml: "))
		}
	}
	if err := CheckCalendarName(head.Name); err != nil {
		return nil, err
	}
	return append([]string{head.Name}, head.Aliases...), nil
}

// Names returns the names of the calendars, sorted, without aliases.
func (s *Calendars) Names() []string { return slices.Clone(s.names) }

// Has reports whether there is a calendar of a name or alias.
func (s *Calendars) Has(name string) bool { return s.byName[name] != nil }

// Known is Get for a name that is stored somewhere: it returns [Unknown] where
// there is no such calendar any more.
func (s *Calendars) Known(name string) (*Calendar, error) {
	if !s.Has(name) {
		return Unknown(name), nil
	}
	return s.Get(name)
}

// Get returns a calendar by its name or an alias. Case matters. The error lists
// the names, or says what is wrong with the file.
func (s *Calendars) Get(name string) (*Calendar, error) {
	if l := s.byName[name]; l != nil {
		return l.build()
	}
	return nil, fmt.Errorf("calendar %q is not one of %s", name, strings.Join(s.names, " "))
}

// newCalendar builds what a file and those that it extends say. base is what
// the file replaces: a file that extends its own name means that one.
func (s *Calendars) newCalendar(f *calendarFile, base *lazyCalendar, seen map[string]bool) (*Calendar, error) {
	d, err := s.resolve(f, base, seen)
	if err != nil {
		return nil, err
	}
	return NewCalendar(d)
}

func (s *Calendars) resolve(f *calendarFile, base *lazyCalendar, seen map[string]bool) (CalendarData, error) {
	if f.extends == "" {
		return f.data, nil
	}
	own := f.extends == f.data.Name
	parent := s.byName[f.extends]
	if own {
		parent = base
	}
	switch {
	case parent == nil && own:
		return CalendarData{}, fmt.Errorf("it extends itself, and there is no built-in calendar %s", f.extends)
	case parent == nil:
		return CalendarData{}, fmt.Errorf("it extends %q, which is not one of %s", f.extends, strings.Join(s.names, " "))
	case parent.file == nil:
		return CalendarData{}, fmt.Errorf("it extends %s, which has no rows: write always: true instead", f.extends)
	case seen[f.extends] && !own:
		return CalendarData{}, fmt.Errorf("it extends %s, which extends it in turn", f.extends)
	}
	seen[f.data.Name] = true
	pf, err := parent.file()
	if err != nil {
		return CalendarData{}, fmt.Errorf("it extends %s: %w", f.extends, err)
	}
	if seen[pf.data.Name] && !own {
		return CalendarData{}, fmt.Errorf("it extends %s, which extends it in turn", f.extends)
	}
	d, err := s.resolve(pf, parent.base, seen)
	if err != nil {
		return d, err
	}
	return d.extended(f.data), nil
}

// extended is d with the rows of x behind its own.
func (d CalendarData) extended(x CalendarData) CalendarData {
	d = d.clone()
	d.Name, d.Aliases = x.Name, x.Aliases
	for _, f := range [...]struct {
		dst   *string
		value string
	}{{&d.Title, x.Title}, {&d.Zone, x.Zone}, {&d.From, x.From}, {&d.To, x.To}} {
		if f.value != "" {
			*f.dst = f.value
		}
	}
	d.Always = d.Always || x.Always
	if x.Sessions != nil { // rules claim whole stretches of dates: own ones replace all
		d.Sessions = x.Sessions
	}
	d.Yearly = append(d.Yearly, x.Yearly...)
	d.Dated = append(d.Dated, x.Dated...)
	d.Pauses = append(d.Pauses, x.Pauses...)
	return d
}
