package fetch

import (
	"os"
	"path/filepath"
	"strings"
	"testing"
	"testing/synctest"
	"time"
)

func TestPausesOutliveTheProcess(t *testing.T) {
	path := filepath.Join(t.TempDir(), "bans.json")
	p, err := openPauses(path)
	if err != nil {
		t.Fatal(err)
	}
	until := time.Now().Add(time.Hour)
	for _, k := range []Kind{Banned, QuotaExhausted, RateLimited} {
		if _, err := p.add("group "+k.String(), k, until, "because"); err != nil {
			t.Fatal(err)
		}
	}
	p, err = openPauses(path)
	if err != nil {
		t.Fatal(err)
	}
	for group, want := range map[string]bool{"group Banned": true, "group QuotaExhausted": true, "group RateLimited": false} {
		b, ok := p.of(group)
		if ok != want || ok && b.Until.Sub(until).Abs() > time.Millisecond {
			t.Errorf("%s after a restart: %v %v, want %v", group, b, ok, want)
		}
	}
	text, err := os.ReadFile(path)
	if err != nil || strings.Count(string(text), `"group"`) != 2 {
		t.Errorf("the file holds %s, error %v", text, err)
	}
	if info, err := os.Stat(path); err != nil || info.Mode().Perm() != 0o600 {
		t.Errorf("the file has mode %v, error %v", info.Mode(), err)
	}
}

func TestPausesOfADamagedFile(t *testing.T) {
	for name, text := range map[string]string{
		"torn": `{"version":1,"pau`, "newer": `{"version":9,"pauses":[]}`, "empty": "",
	} {
		path := filepath.Join(t.TempDir(), "bans.json")
		if err := os.WriteFile(path, []byte(text), 0o600); err != nil {
			t.Fatal(err)
		}
		p, err := openPauses(path)
		if err == nil || p == nil {
			t.Errorf("%s: %v, error %v: want pauses and an error", name, p, err)
			continue
		}
		if _, err := p.add("g", Banned, time.Time{}, ""); err != nil {
			t.Errorf("%s: %v", name, err)
		}
		if p, err := openPauses(path); err != nil {
			t.Errorf("%s: not replaced: %v", name, err)
		} else if _, ok := p.of("g"); !ok {
			t.Errorf("%s: the new ban is not kept", name)
		}
	}
}

func TestPausesAreBounded(t *testing.T) {
	synctest.Test(t, func(t *testing.T) {
		path := filepath.Join(t.TempDir(), "bans.json")
		text := `{"version":1,"pauses":[{"group":"far","kind":"Banned","until":"9999-01-01T00:00:00Z"},{"group":"past","kind":"Banned","until":"1999-01-01T00:00:00Z"},{"group":"odd","kind":"RateLimited","until":"2999-01-01T00:00:00Z"}]}`
		if err := os.WriteFile(path, []byte(text), 0o600); err != nil {
			t.Fatal(err)
		}
		p, err := openPauses(path)
		if err != nil {
			t.Fatal(err)
		}
		if b, ok := p.of("far"); !ok || time.Until(b.Until) > 72*time.Hour {
			t.Errorf("far: %v %v", b, ok)
		}
		for _, g := range []string{"past", "odd"} {
			if _, ok := p.of(g); ok {
				t.Errorf("%s is paused", g)
			}
		}
		for _, c := range []struct {
			kind  Kind
			until time.Duration
			want  time.Duration
		}{
			{RateLimited, 1000 * time.Hour, 15 * time.Minute},
			{RateLimited, -time.Hour, leastPause},
			{Banned, time.Minute, time.Minute},
			{Banned, 1e6 * time.Hour, 72 * time.Hour},
		} {
			b, _ := p.add(c.kind.String()+c.until.String(), c.kind, time.Now().Add(c.until), "")
			if got := time.Until(b.Until); got != c.want {
				t.Errorf("%v until %v is a pause of %v, want %v", c.kind, c.until, got, c.want)
			}
		}
		// Without a word each pause is longer, until it works again.
		var last time.Duration
		for range 5 {
			b, _ := p.add("row", RateLimited, time.Time{}, "")
			d := time.Until(b.Until)
			if d <= last {
				t.Errorf("a pause of %v after one of %v", d, last)
			}
			last = d
			pass(d)
		}
		p.worked("row")
		if b, _ := p.add("row", RateLimited, time.Time{}, ""); time.Until(b.Until) != firstPause[RateLimited] {
			t.Errorf("after it worked: %v", time.Until(b.Until))
		}
		// A second answer does not shorten a ban.
		if _, err := p.add("long", Banned, time.Now().Add(time.Hour), ""); err != nil {
			t.Fatal(err)
		}
		if b, _ := p.add("long", RateLimited, time.Now().Add(time.Second), ""); time.Until(b.Until) != time.Hour || b.Kind != Banned {
			t.Errorf("shortened: %+v", b)
		}
	})
}
