package alert

import (
	"bufio"
	"context"
	"crypto/hmac"
	"crypto/sha256"
	"encoding/base64"
	"encoding/hex"
	"errors"
	"flag"
	"fmt"
	"io"
	"iter"
	"maps"
	"math/rand/v2"
	"net"
	"net/http"
	"net/http/httptest"
	"slices"
	"strings"
	"testing"
	"time"

	"github.com/barkeepdb/barkeep/series"
)

var schedules = flag.Int("schedules", 500, "how many random schedules are played")

// memory is a store that fails on request.
type memory struct {
	m    map[string][]byte
	fail func() bool
}

func (s *memory) PutRecords(_ context.Context, rs []Record) error {
	if s.fail != nil && s.fail() {
		return errors.New("the disk is full")
	}
	for _, r := range rs {
		if k := r.Kind + "\x00" + r.Name; r.Value == nil {
			delete(s.m, k)
		} else {
			s.m[k] = r.Value
		}
	}
	return nil
}

func (s *memory) Records(_ context.Context, kind, from string) iter.Seq2[Record, error] {
	return func(yield func(Record, error) bool) {
		for _, k := range slices.Sorted(maps.Keys(s.m)) {
			if name, ok := strings.CutPrefix(k, kind+"\x00"); ok && name >= from && !yield(Record{kind, name, s.m[k]}, nil) {
				return
			}
		}
	}
}

// receiver counts what it gets, and is down at times.
type receiver struct {
	down bool
	got  []string
}

func (r *receiver) Name() string { return "test" }

func (r *receiver) Send(_ context.Context, n Notice) error {
	if r.down {
		return errors.New("nobody listens")
	}
	for _, a := range n.Alerts {
		r.got = append(r.got, n.Event+" "+a.ID)
	}
	return nil
}

// TestSchedules plays random conditions with restarts, a full disk and a
// receiver that is down: each episode that held long enough is told once, and
// its end once.
func TestSchedules(t *testing.T) {
	ctx := context.Background()
	for seed := range uint64(*schedules) {
		r := rand.New(rand.NewPCG(seed, 1))
		now := series.Time(1_700_000_000_000)
		st := &memory{m: map[string][]byte{}}
		rec := &receiver{}
		rule := Rule{ID: "x", Type: Capacity, Severity: Warning, For: time.Duration(r.IntN(4)) * time.Minute, Clear: time.Duration(r.IntN(4)) * time.Minute}
		begin := func() *Engine {
			return New(Options{Store: st, Rules: []Rule{rule}, Channels: []Channel{rec}, Now: func() series.Time { return now }})
		}
		e := begin()
		// The model, for one subject.
		var since, gone series.Time
		firing, episodes, ends := false, 0, 0
		on := false
		for range 200 {
			now += series.Minute
			if r.IntN(4) == 0 {
				on = !on
			}
			rec.down = r.IntN(3) == 0
			fails := r.IntN(10) == 0
			st.fail = func() bool { return fails }
			var cs []Condition
			if on {
				cs = []Condition{{Rule: "x", Subject: "s", Detail: "d"}, {Rule: "x", Subject: "s"}}
			}
			if err := e.Evaluate(ctx, cs); err != nil {
				t.Fatal(err)
			}
			st.fail = nil
			switch {
			case on:
				gone = 0
				if since == 0 {
					since = now
				}
				if !firing && now-since >= ms(rule.For) {
					firing = true
					episodes++
				}
			case since != 0:
				if gone == 0 {
					gone = now
				}
				if !firing {
					since, gone = 0, 0
				} else if now-gone >= ms(rule.Clear) {
					firing, since, gone = false, 0, 0
					ends++
				}
			}
			if _, err := e.Deliver(ctx); err != nil {
				t.Fatal(err)
			}
			if r.IntN(10) == 0 {
				e = begin()
			}
		}
		rec.down = false
		now += 10 * series.Minute
		if _, err := e.Deliver(ctx); err != nil {
			t.Fatal(err)
		}
		count := map[string]int{}
		for _, g := range rec.got {
			count[g]++
			if count[g] > 1 {
				t.Fatalf("seed %d: %s was told twice", seed, g)
			}
		}
		fired, resolved := 0, 0
		for g := range count {
			if strings.HasPrefix(g, "firing") {
				fired++
			} else {
				resolved++
			}
		}
		if fired != episodes || resolved != ends {
			t.Fatalf("seed %d: %d and %d notices, %d episodes, %d ended", seed, fired, resolved, episodes, ends)
		}
	}
}

// TestStates acknowledges, silences and resolves.
func TestStates(t *testing.T) {
	ctx := context.Background()
	now := series.Time(1_700_000_000_000)
	st, rec := &memory{m: map[string][]byte{}}, &receiver{}
	rules := []Rule{{ID: "disk", Type: Capacity, Severity: Critical}, {ID: "write", Type: SystemPerformance, Severity: Warning, Behind: []string{"disk"}}}
	e := New(Options{Store: st, Rules: rules, Channels: []Channel{rec}, Now: func() series.Time { return now }})
	step := func(cs ...Condition) {
		t.Helper()
		now += series.Minute
		if err := e.Evaluate(ctx, cs); err != nil {
			t.Fatal(err)
		}
		if _, err := e.Deliver(ctx); err != nil {
			t.Fatal(err)
		}
	}
	told := func(want int) {
		t.Helper()
		if len(rec.got) != want {
			t.Fatalf("%d notices, want %d: %v", len(rec.got), want, rec.got)
		}
	}
	disk, write := Condition{Rule: "disk", Subject: "/"}, Condition{Rule: "write", Subject: "/"}
	step(disk, write)
	told(1) // the write is explained by the disk
	step(write)
	told(3) // the disk is resolved, and the write is explained by nothing
	active, err := e.Active(ctx)
	if err != nil || len(active) != 1 {
		t.Fatal(active, err)
	}
	id := active[0].ID
	if a, err := e.Silence(ctx, id, "me", time.Hour); err != nil || a.State != Silenced {
		t.Fatal(a, err)
	}
	step(write)
	if a, err := e.Acknowledge(ctx, id, "me"); err != nil || a.State != Acknowledged || a.By != "me" {
		t.Fatal(a, err)
	}
	if _, err := e.Resolve(ctx, id, "me"); err != nil {
		t.Fatal(err)
	}
	step(write)
	told(5) // resolved by hand, and it fires anew
	if _, err := e.Resolve(ctx, id, "me"); !errors.Is(err, ErrNoAlert) {
		t.Fatal(err)
	}
	h, err := e.History(ctx)
	if err != nil || len(h) != 2 || h[0].ID != id {
		t.Fatal(h, err)
	}
}

// TestChannels looks at what receivers get, and that errors hide addresses.
func TestChannels(t *testing.T) {
	var body []byte
	var head http.Header
	status := 200
	srv := httptest.NewServer(http.HandlerFunc(func(w http.ResponseWriter, r *http.Request) {
		body, _ = io.ReadAll(r.Body)
		head = r.Header
		w.WriteHeader(status)
	}))
	defer srv.Close()
	n := Notice{ID: "n1", Event: "firing", Rule: "disk", At: 1, Alerts: []Alert{{ID: "a1", Rule: "disk", Subject: "<b>/data</b>", Detail: "full & slow", Severity: Critical}}}
	c := srv.Client()
	for _, ch := range []Channel{
		&Webhook{Client: c, URL: srv.URL + "/hidden", Secret: "s3cret", Now: func() time.Time { return time.Unix(1700000000, 0) }},
		&Slack{c, srv.URL + "/hidden"}, &Discord{c, srv.URL + "/hidden"}, &Telegram{Client: c, Token: "hidden", Chat: "1", URL: srv.URL}, &Alertmanager{c, srv.URL + "/hidden"},
	} {
		status = 200
		if err := ch.Send(t.Context(), n); err != nil || !strings.Contains(string(body), "disk") {
			t.Errorf("%s: %v: %s", ch.Name(), err, body)
		}
		if ch.Name() == "webhook" {
			m := hmac.New(sha256.New, []byte("s3cret"))
			fmt.Fprintf(m, "1700000000.%s", body)
			if head.Get("X-Barkeep-Signature") != "sha256="+hex.EncodeToString(m.Sum(nil)) {
				t.Error("the signature is wrong")
			}
		}
		status = 500
		if err := ch.Send(t.Context(), n); err == nil || strings.Contains(err.Error(), "hidden") {
			t.Errorf("%s: %v", ch.Name(), err)
		}
	}
	// One that repeats the address in a line that cannot be read.
	l, err := (&net.ListenConfig{}).Listen(t.Context(), "tcp", "127.0.0.1:0")
	if err != nil {
		t.Fatal(err)
	}
	defer l.Close() // the test is over
	go func() {
		for {
			conn, err := l.Accept()
			if err != nil {
				return
			}
			first, _ := bufio.NewReader(conn).ReadString('\n')
			first = strings.TrimSpace(first)
			fmt.Fprintf(conn, "HTTP/1.1 200 %s\r\nX: \x1b%s\r\n\r\n", first, first)
			_ = conn.Close() // it has said enough
		}
	}()
	echo := &Webhook{Client: c, URL: "http://" + l.Addr().String() + "/hidden"}
	if err := echo.Send(t.Context(), n); err == nil || strings.Contains(err.Error(), "hidden") {
		t.Errorf("%v", err)
	}
	gone := &Webhook{Client: c, URL: "http://127.0.0.1:1/hidden"}
	if err := gone.Send(t.Context(), n); err == nil || strings.Contains(err.Error(), "hidden") {
		t.Errorf("%v", err)
	}
}

// TestEmail speaks to a mail server that repeats what it was told: the message
// arrives, the password only where it belongs, and errors do not hold it.
func TestEmail(t *testing.T) {
	const password = "hidden-password"
	n := Notice{ID: "n1", Rule: "disk", Alerts: []Alert{{Rule: "disk", Subject: "a\nb", Detail: "line\n.\nend", Severity: Critical}}}
	for _, refuse := range []string{"", "AUTH", "RCPT", "DATA"} {
		l, err := (&net.ListenConfig{}).Listen(t.Context(), "tcp", "127.0.0.1:0")
		if err != nil {
			t.Fatal(err)
		}
		heard := make(chan string, 1)
		go func() {
			conn, err := l.Accept()
			if err != nil {
				heard <- err.Error()
				return
			}
			defer conn.Close() // the test is over
			var all strings.Builder
			in, message := bufio.NewScanner(conn), false
			fmt.Fprint(conn, "220 here\r\n")
			for in.Scan() {
				line := in.Text()
				all.WriteString(line + "\n")
				verb, _, _ := strings.Cut(line, " ")
				switch {
				case message && line != ".":
				case refuse != "" && verb == refuse:
					fmt.Fprintf(conn, "550 you said %s %s\r\n", line, password)
				case verb == "EHLO":
					fmt.Fprint(conn, "250-here\r\n250 AUTH PLAIN\r\n")
				case verb == "DATA":
					message = true
					fmt.Fprint(conn, "354 go on\r\n")
				case verb == "AUTH":
					fmt.Fprint(conn, "235 good\r\n")
				case verb == "QUIT":
					fmt.Fprint(conn, "221 bye\r\n")
				default:
					message = false
					fmt.Fprint(conn, "250 good\r\n")
				}
			}
			heard <- all.String()
		}()
		e := &Email{Server: l.Addr().String(), User: "me", Password: password, From: "a@example.com", To: []string{"b@example.com", "c@example.com"}}
		err = e.Send(t.Context(), n)
		got := <-heard
		_ = l.Close() // the test is over
		if refuse != "" {
			plain := base64.StdEncoding.EncodeToString([]byte("\x00me\x00" + password))
			if err == nil || !strings.Contains(err.Error(), "you said") || strings.Contains(err.Error(), password) || strings.Contains(err.Error(), plain) {
				t.Errorf("refused at %s: %v", refuse, err)
			}
			continue
		}
		for _, want := range []string{"MAIL FROM:<a@example.com>", "RCPT TO:<b@example.com>", "RCPT TO:<c@example.com>", "Message-ID: <n1@barkeep>", "\n..\n", "QUIT"} {
			if err != nil || !strings.Contains(got, want) {
				t.Errorf("%v: no %q in %s", err, want, got)
			}
		}
	}
	// A server that says nothing does not hold anybody up.
	l, err := (&net.ListenConfig{}).Listen(t.Context(), "tcp", "127.0.0.1:0")
	if err != nil {
		t.Fatal(err)
	}
	defer l.Close() // the test is over
	ctx, cancel := context.WithTimeout(t.Context(), 20*time.Millisecond)
	defer cancel()
	if err := (&Email{Server: l.Addr().String()}).Send(ctx, n); !errors.Is(err, context.DeadlineExceeded) {
		t.Error(err)
	}
}

// TestUnseen: what cannot be looked at is not resolved by that.
func TestUnseen(t *testing.T) {
	now := series.Time(1_700_000_000_000)
	rec := &receiver{}
	e := New(Options{Store: &memory{m: map[string][]byte{}}, Rules: []Rule{{ID: "stale"}, {ID: "disk"}}, Channels: []Channel{rec}, Now: func() series.Time { return now }})
	for i, x := range []struct {
		now    []Condition
		unseen []string
		told   int
	}{
		{[]Condition{{Rule: "stale", Subject: "a"}}, nil, 1},
		{[]Condition{{Rule: "disk", Subject: "/"}}, []string{"stale"}, 2},
		{nil, []string{"stale"}, 3},
		{nil, nil, 4},
	} {
		now += series.Minute
		if err := e.Evaluate(t.Context(), x.now, x.unseen...); err != nil {
			t.Fatal(err)
		}
		if _, err := e.Deliver(t.Context()); err != nil {
			t.Fatal(err)
		}
		if len(rec.got) != x.told {
			t.Fatalf("step %d: told %v", i, rec.got)
		}
	}
}
