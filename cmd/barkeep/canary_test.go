package main

import (
	"bufio"
	"bytes"
	"context"
	"crypto/rand"
	"encoding/base64"
	"encoding/hex"
	"encoding/json"
	"fmt"
	"io"
	"io/fs"
	"maps"
	"net"
	"net/http"
	"net/http/httptest"
	"net/url"
	"os"
	"os/exec"
	"path/filepath"
	"slices"
	"strings"
	"sync"
	"sync/atomic"
	"syscall"
	"testing"
	"time"
)

// canaries are secrets by the place they are planted in, and all that was heard
// of the program.
type canaries struct {
	t *testing.T

	mu     sync.Mutex // guards what follows
	values map[string]string
	heard  map[string][]byte
}

// plant makes the secret of a place.
func (c *canaries) plant(place string) string {
	var b [9]byte
	_, _ = rand.Read(b[:]) // never fails
	return c.keep(place, "c4n4ry+"+hex.EncodeToString(b[:]))
}

// keep watches for a secret that is there already.
func (c *canaries) keep(place, value string) string {
	c.mu.Lock()
	defer c.mu.Unlock()
	c.values[place] = value
	return value
}

// hear keeps what was told at a place.
func (c *canaries) hear(place string, text []byte) {
	c.mu.Lock()
	defer c.mu.Unlock()
	c.heard[place] = append(c.heard[place], text...)
}

// at is what was heard at a place so far.
func (c *canaries) at(place string) []byte {
	c.mu.Lock()
	defer c.mu.Unlock()
	return bytes.Clone(c.heard[place])
}

// forms are the ways in which a secret may be told.
func forms(secret string) []string {
	out := []string{secret, url.QueryEscape(secret), url.PathEscape(secret), hex.EncodeToString([]byte(secret))}
	// Base64 of a text that the secret is in the middle of: its three alignments,
	// without the ends, which its neighbours have a part in.
	for lead := range 3 {
		e := base64.RawStdEncoding.EncodeToString(append(make([]byte, lead), secret...))
		out = append(out, e[4:len(e)-4])
	}
	return out
}

// search looks for every secret in everything that was heard.
func (c *canaries) search() (told []string) {
	c.mu.Lock()
	defer c.mu.Unlock()
	for _, place := range slices.Sorted(maps.Keys(c.heard)) {
		text := c.heard[place]
		for _, from := range slices.Sorted(maps.Keys(c.values)) {
			for _, form := range forms(c.values[from]) {
				if i := bytes.Index(text, []byte(form)); i >= 0 {
					told = append(told, fmt.Sprintf("%s tells the secret of %s: %.300q", place, from, text[max(0, i-100):min(len(text), i+len(form)+50)]))
					break
				}
			}
		}
	}
	return told
}

// run runs the program as its own process and hears what it says.
func (c *canaries) run(env []string, stdin string, args ...string) (out string, err error) {
	ctx, cancel := context.WithTimeout(c.t.Context(), time.Minute)
	defer cancel()
	p := program(ctx, args...)
	p.Env = append(p.Env, env...)
	p.Stdin = strings.NewReader(stdin)
	var both bytes.Buffer
	p.Stdout, p.Stderr = &both, &both
	err = p.Run()
	c.hear("barkeep "+strings.Join(args[:min(len(args), 2)], " "), both.Bytes())
	return both.String(), err
}

// escape is what would turn a terminal's title into something else.
const escape = "\x1b]0;evil\x07"

// parrot answers as an unfriendly server does: it repeats what it was told, in
// every place that it can.
func parrot(good *atomic.Bool, hits *sync.Map) http.Handler {
	return http.HandlerFunc(func(w http.ResponseWriter, r *http.Request) {
		body, _ := io.ReadAll(io.LimitReader(r.Body, 1<<20)) // what came counts
		first, _, _ := strings.Cut(strings.TrimPrefix(r.URL.Path, "/"), "/")
		hits.Store(first, true)
		all := fmt.Sprintf("%s %s %v %s %s", escape, r.Method, r.URL, r.Header, body)
		if good.Load() {
			return
		}
		if len(all)%8 == 1 { // no client can read this line
			w.Header().Set("X-Echo", strings.ReplaceAll(all, "\n", " "))
		} else {
			w.Header().Set("X-Echo", strings.NewReplacer("\n", " ", escape, "").Replace(all))
		}
		w.Header().Set("Location", "http://elsewhere.example"+r.URL.String())
		w.Header().Set("Retry-After", "1")
		switch len(all) % 4 {
		case 0:
			w.WriteHeader(http.StatusFound)
		case 1:
			w.WriteHeader(http.StatusInternalServerError)
		case 2:
			w.WriteHeader(http.StatusForbidden)
		case 3:
			w.WriteHeader(http.StatusTooManyRequests)
		}
		b, _ := json.Marshal(map[string]any{"code": -1121, "msg": all, "message": all, "error": all}) // all are texts
		_, _ = w.Write(b)                                                                             // who asked may have left
	})
}

// mailParrot is a mail server that repeats what it refuses.
func mailParrot(t *testing.T) (address string, asked *atomic.Int64) {
	l, err := (&net.ListenConfig{}).Listen(t.Context(), "tcp", "127.0.0.1:0")
	if err != nil {
		t.Fatal(err)
	}
	t.Cleanup(func() { _ = l.Close() }) // nobody needs it any more
	asked = &atomic.Int64{}
	go func() {
		for {
			conn, err := l.Accept()
			if err != nil {
				return
			}
			go func() {
				defer conn.Close() // whoever asked has left
				fmt.Fprint(conn, "220 here\r\n")
				for in := bufio.NewScanner(conn); in.Scan(); {
					if strings.HasPrefix(in.Text(), "EHLO") {
						fmt.Fprint(conn, "250-here\r\n250 AUTH PLAIN\r\n")
						continue
					}
					asked.Add(1)
					fmt.Fprintf(conn, "535 you said %s\r\n", in.Text())
				}
			}()
		}
	}()
	return l.Addr().String(), asked
}

// TestCanaries plants a secret in every place that takes one, lets everything
// succeed and fail that uses one, and then looks for them in all that the
// program has said and written.
func TestCanaries(t *testing.T) {
	c := &canaries{t: t, values: map[string]string{}, heard: map[string][]byte{}}
	var good atomic.Bool
	var hits sync.Map
	echo := httptest.NewServer(parrot(&good, &hits))
	defer echo.Close()
	mail, mailed := mailParrot(t)
	work := t.TempDir()
	data := filepath.Join(work, "data")
	host := strings.TrimPrefix(echo.URL, "http://")

	env := []string{
		"BARKEEP_KEY_BINANCE_SPOT=" + c.plant("the environment: key of a vendor"), "BARKEEP_SECRET_KRAKEN=" + c.plant("the environment: secret of a vendor"),
		"BARKEEP_PASSPHRASE_OKX=" + c.plant("the environment: passphrase of a vendor"),
		"CANARY_KEY=" + c.plant("api_key_env"), "CANARY_SECRET=" + c.plant("api_secret_env"), "CANARY_PASSPHRASE=" + c.plant("api_passphrase_env"),
		"BARKEEP_ALERTS_MAIL_PASSWORD=" + c.plant("the environment: password of mail"),
	}
	sealing := c.plant("a sealed secret")
	sealed, err := c.run(nil, sealing, "config", "seal", "--data", data)
	if err != nil {
		t.Fatal(err, sealed)
	}
	key, err := os.ReadFile(filepath.Join(data, keyFile))
	if err != nil {
		t.Fatal(err)
	}
	c.keep("the key of sealed secrets", strings.TrimSpace(string(key)))
	config := filepath.Join(work, "barkeep.yaml")
	text := fmt.Sprintf(`
endpoints:
  crypto:
    - {name: a, url: %[1]q, provider: binance-spot, allow_private: true}
    - {name: b, url: "%[1]s/b", provider: binance-spot, allow_private: true, api_key_env: CANARY_KEY, api_secret_env: CANARY_SECRET, api_passphrase_env: CANARY_PASSPHRASE}
    - {name: c, url: "%[1]s/c", provider: kraken, allow_private: true}
    - {name: d, url: "%[1]s/d", provider: okx, allow_private: true}
    - {name: e, url: "%[1]s/e", provider: twelvedata, allow_private: true, api_key_env: CANARY_KEY}
    - {name: gone, url: "http://127.0.0.1:1", provider: alphavantage, allow_private: true, api_key_env: CANARY_KEY}
    - name: f
      url: "%[1]s/f"
      allow_private: true
      api_key_env: CANARY_KEY
      generic: {path: "/v/{symbol}", query: "apikey={key}&i={interval}&from={from}&to={to}", headers: {X-Fixed: %[2]q, X-Key: "{key}"}, intervals: {1m: "1"}, times: ms, format: json, columns: {time: "0", open: "1", high: "2", low: "3", close: "4", volume: "5"}, time: ms, max_bars: 100, health: "/h"}
alerts:
  allow_private: true
  webhook_url: "%[1]s/hook/%[3]s"
  webhook_secret: %[4]q
  slack_url: "%[1]s/slack/%[5]s"
  discord_url: "%[1]s/discord/%[6]s"
  telegram_token: %[7]q
  telegram_chat: "1"
  alertmanager_url: "http://user:%[8]s@%[9]s/manager"
  mail_server: %[10]q
  mail_user: me
  mail_from: a@example.com
  mail_to: [b@example.com]
  heartbeat_url: "%[1]s/heart/%[11]s"
monitoring: {check_every: 1s, report_every: 1s}
data_healing: {max_bars_per_run: 1}
log: {level: debug}
`, echo.URL, c.plant("a header of a source"), c.plant("the webhook's address"), strings.TrimSpace(sealed), c.plant("Slack's address"), c.plant("Discord's address"),
		c.plant("Telegram's token"), c.plant("the Alertmanager's password"), host, mail, c.plant("the heartbeat's address"))
	if err := os.WriteFile(config, []byte(text), 0o600); err != nil {
		t.Fatal(err)
	}

	ctx, cancel := context.WithCancel(t.Context())
	defer cancel()
	srv := program(ctx, "serve", "--data", data, "--listen", "127.0.0.1:0", "--config", config)
	srv.Env = append(srv.Env, env...)
	base := c.serve(srv)
	token, err := os.ReadFile(filepath.Join(data, tokenFile))
	if err != nil {
		t.Fatal(err)
	}
	admin := c.keep("the admin token", strings.TrimSpace(string(token)))

	// What is right, and what is wrong, of everything.
	ask := func(method, path, body, auth string) string {
		req, err := http.NewRequestWithContext(ctx, method, base+path, strings.NewReader(body))
		if err != nil {
			t.Fatal(err)
		}
		req.Header.Set("Authorization", "Bearer "+auth)
		req.Header.Set("X-Api-Key", c.values["a header of a request"])
		req.Header.Set("Cookie", "session="+c.values["a cookie"])
		resp, err := http.DefaultClient.Do(req)
		if err != nil {
			t.Errorf("%s %s: %v", method, path, err)
			return ""
		}
		out, _ := io.ReadAll(resp.Body) // what came is searched
		_ = resp.Body.Close()
		if path != "/v1/tokens" && path != "/v1/links" || method != http.MethodPost { // which give them out
			c.hear(method+" "+path, out)
		}
		c.hear("headers of "+path, fmt.Append(nil, resp.Header))
		return string(out)
	}
	c.plant("a header of a request")
	c.plant("a cookie")
	wrong, query := c.plant("a wrong token"), c.plant("a query")
	if out := ask("POST", "/v1/bars?symbol=X&interval=1m", rows, admin); !strings.Contains(out, `"written":3`) {
		t.Fatal(out)
	}
	var made struct{ Token, ID string }
	if err := json.Unmarshal([]byte(ask("POST", "/v1/tokens", `{"name":"reader","role":"reader"}`, admin)), &made); err != nil {
		t.Fatal(err)
	}
	c.keep("a made token", made.Token)
	var link struct{ URL string }
	if err := json.Unmarshal([]byte(ask("POST", "/v1/links", `{"query":"symbol=X&interval=1m"}`, admin)), &link); err != nil {
		t.Fatal(err)
	}
	_, signature, _ := strings.Cut(link.URL, "sig=")
	signature, _, _ = strings.Cut(signature, "&")
	if len(signature) < 16 {
		t.Fatalf("no signature in %s", link.URL)
	}
	c.keep("the signature of a link", signature)
	ask("GET", link.URL, "", "")
	ask("PUT", "/v1/symbols/X", `{"sources":["binance-spot=XUSDT","kraken=X","okx=X","twelvedata=X","f=X","alphavantage=X"]}`, admin)
	in := c.plant("a body")
	for _, body := range []string{
		`{"alerts.webhook_url":"http://127.0.0.1/` + in + `"}`, `{"alerts.mail_password":"` + in + `"}`, `{"alerts.slack_url":"` + in + `"`, `{"server.rate":"1","token":"` + in + `"}`,
	} {
		ask("PUT", "/v1/config", body, admin)
	}
	for _, answer := range []bool{false, true} {
		if good.Store(answer); answer && *long { // what was refused is sent again after 5 s
			hits.Clear()
			hits.Store("heart", true) // that one is asked once a minute
		}
		ask("POST", "/endpoints/test", `{"test_data":{"symbol":"X"}}`, admin)
		ask("POST", "/data/repair", `{"symbol":"X","interval":"1m","now":true}`, admin)
		ask("POST", "/data/repair", `{"symbol":"X","interval":"1m","now":true,"max_bars":100,"max_share":1}`, admin)
		ask("POST", "/v1/plan", `{"symbol":"X","interval":"1m"}`, admin)
		c.until("a notice", func() bool { // all receivers were told, or refused it
			for _, r := range []string{"hook", "slack", "discord", "manager", "heart"} {
				if _, ok := hits.Load(r); !ok {
					return false
				}
			}
			return mailed.Load() > 0
		})
	}
	backup := filepath.Join(work, "backup")
	if out := ask("POST", "/v1/backups", `{"dir":"`+backup+`","copy":true}`, admin); !strings.Contains(out, "root") {
		t.Fatal(out)
	}
	var doc struct{ Paths map[string]map[string]any }
	if err := json.Unmarshal([]byte(ask("GET", "/openapi.json", "", "")), &doc); err != nil {
		t.Fatal(err)
	}
	for path, ops := range doc.Paths {
		path = strings.NewReplacer("{name}", "X/1m", "{id}", "nobody", "{file}", "x").Replace(path)
		for method := range ops {
			if method == "get" && path != "/v1/stream" {
				ask("GET", path, "", admin)
				ask("GET", path+"?symbol=X&interval=1m", "", admin)
			}
			if path != "/v1/stream" {
				ask(strings.ToUpper(method), path+"?api_key="+query+"&symbol="+query, `{}`, wrong)
			}
		}
	}

	// The program beside it, as one would use it.
	with := append(slices.Clone(env), "BARKEEP_TOKEN="+admin)
	for _, args := range [][]string{
		{"config", "show"},
		{"config", "show", "--output", "json"},
		{"config", "check"},
		{"doctor"},
		{"doctor", "--output", "json"},
		{"endpoints"},
		{"endpoints", "test"},
		{"providers"},
		{"series", "--url", base},
		{"export", "--symbol", "X", "--interval", "1m", "--url", base},
		{"audit", "--url", base},
		{"repairs", "--url", base},
		{"alerts", "--url", base},
		{"doctor", "--url", base},
		{"endpoints", "--url", base},
		{"fetch", "--symbol", "X", "--interval", "1m", "--from", "2024-01-01", "--to", "2024-01-02"},
		{"token", "list", "--url", base},
		{"backup", backup, "--url", base},
		{"import", "-", "--symbol", "Y", "--interval", "1m", "--url", base},
	} {
		_, _ = c.run(with, rows, append(args, "--data", data, "--config", config)...) // some fail, as they should
	}
	used := c.plant("an address on the command line")
	for _, args := range [][]string{
		{"series", "--url", "http://user:" + used + "@127.0.0.1:1"},
		{"series", "--url", "http://127.0.0.1:1/?token=" + used},
		{"doctor", "--url", "http://user:" + used + "@" + host},
		{"series", "--url", "ftp://user:" + used + "@127.0.0.1:1"},
		{"series", "--url", "http://user:" + used + "@127.0.0.1:x"},
		{"mcp", "--url", "http://user:" + used + "@127.0.0.1:1"},
	} {
		if out, err := c.run(nil, "", args...); err == nil {
			t.Errorf("%v: %s", args[0], out)
		}
	}

	// Files in which something is wrong beside a secret.
	bad := c.plant("a file with a mistake")
	for i, text := range []string{
		"alerts:\n  webhook_url: \"ftp://" + bad + "\"\n", "alerts:\n  webhook_url: \"http://%zz/" + bad + "\"\n", "alerts:\n  slack_url: " + bad + "\n", "alerts:\n  alertmanager_url: \"x://user:" + bad + "@host\"\n",
		"alerts:\n  webhook_secrett: " + bad + "\n", "alerts:\n  mail_password: [" + bad + "\n", "alerts:\n  mail_password: {a: " + bad + "}\n", "alerts:\n\tmail_password: " + bad + "\n", "alerts: {mail_password: " + bad + ", }}\n",
		"token: sealed:" + bad + "\n", "token: [" + bad + "]\nserver: {rate: x}\n", "url: \"http://user:" + bad + "@host\"\n", "url: \"user:" + bad + "@host\"\n",
		"endpoints:\n  x:\n    - {name: x, url: \"http://user:" + bad + "@host\", provider: kraken}\n", "endpoints:\n  x:\n    - {name: x, url: \"http://host?key=" + bad + "\", provider: kraken}\n",
		"endpoints:\n  x:\n    - {name: x, url: \"ftp://user:" + bad + "@host\", provider: kraken}\n", "endpoints:\n  x:\n    - {name: x, url: \"https://api.kraken.com\", api_key_env: " + bad + "}\n",
		"endpoints:\n  x:\n    - {name: x, url: \"https://api.kraken.com\", api_key_env: " + strings.ToUpper(hex.EncodeToString([]byte(bad))) + "}\n", "endpoints:\n  x:\n    - {name: x, url: \"https://h\", api_key: " + bad + "}\n",
		"endpoints:\n  x:\n    - {name: x, url: \"https://h\", generic: {headers: [" + bad + "]}}\n", "endpoints:\n  x:\n    - {name: x, url: \"https://user:" + bad + "@h\", generic: {path: /x}}\n",
	} {
		name := filepath.Join(work, fmt.Sprintf("bad%d.yaml", i))
		if err := os.WriteFile(name, []byte(text), 0o600); err != nil {
			t.Fatal(err)
		}
		for _, args := range [][]string{{"config", "check"}, {"endpoints"}, {"doctor", "--offline"}} {
			_, _ = c.run(nil, "", append(args, "--config", name, "--data", filepath.Join(work, "other"))...) // it fails, as it should
		}
	}
	for _, e := range []string{"BARKEEP_ALERTS_WEBHOOK_URL=" + bad, "BARKEEP_ALERTS_SLACK_URL=x://user:" + bad + "@h", "BARKEEP_URL=user:" + bad + "@h", "BARKEEP_TOKEN=sealed:" + bad, "BARKEEP_TOKENN=" + bad} {
		_, _ = c.run([]string{e}, "", "config", "check", "--data", filepath.Join(work, "other")) // it fails, as it should
	}
	// A key of a certificate that is none, beside one that is.
	pem := c.plant("a private key")
	name := filepath.Join(work, "key.pem")
	if err := os.WriteFile(name, []byte("-----BEGIN PRIVATE KEY-----\n"+base64.StdEncoding.EncodeToString([]byte(strings.Repeat(pem, 9)))+"\n-----END PRIVATE KEY-----\n"), 0o600); err != nil {
		t.Fatal(err)
	}
	_, _ = c.run([]string{"BARKEEP_SERVER_TLS_CERT=" + name, "BARKEEP_SERVER_TLS_KEY=" + name}, "", "serve", "--data", filepath.Join(work, "other"), "--listen", "127.0.0.1:0") // it fails, as it should

	// The last words: every goroutine with its arguments.
	if err := srv.Process.Signal(syscall.SIGQUIT); err != nil {
		t.Fatal(err)
	}
	_ = srv.Wait() // it ends with the signal
	if log := c.at("serve"); !bytes.Contains(log, []byte("goroutine ")) || !bytes.Contains(log, []byte("notice")) && !bytes.Contains(log, []byte("receiver")) {
		t.Errorf("the log lacks what was looked for: %.2000s", log)
	}
	// And what it has written. The token, the key of sealed secrets and the
	// settings lie where they belong.
	files := 0
	for _, dir := range []string{data, backup} {
		err := filepath.WalkDir(dir, func(path string, d fs.DirEntry, err error) error {
			if err != nil || d.IsDir() || dir == data && (d.Name() == tokenFile || d.Name() == keyFile) {
				return err
			}
			b, err := os.ReadFile(path)
			files++
			c.hear("the file "+path, b)
			return err
		})
		if err != nil {
			t.Fatal(err)
		}
	}
	c.hear("the records of the store", c.records(data))
	c.mu.Lock()
	for place, text := range c.heard {
		if i := bytes.IndexByte(text, 0x1b); i >= 0 && !strings.HasPrefix(place, "the file ") {
			t.Errorf("%s speaks to the terminal: %q", place, text[max(0, i-100):min(len(text), i+50)])
		}
	}
	c.mu.Unlock()
	told := c.search()
	for _, x := range told {
		t.Error(x)
	}
	c.mu.Lock()
	bytesHeard := 0
	for _, b := range c.heard {
		bytesHeard += len(b)
	}
	t.Logf("%d secrets, %d places to hear them (%d files), %d bytes: %d told", len(c.values), len(c.heard), files, bytesHeard, len(told))
	// What would not find a secret proves nothing.
	c.heard = map[string][]byte{"a test": []byte("x " + base64.StdEncoding.EncodeToString([]byte("me:"+bad)) + " y " + url.QueryEscape(pem))}
	c.mu.Unlock()
	if found := c.search(); len(found) != 2 {
		t.Errorf("the search finds %q", found)
	}
}

// serve starts a server, hears it and returns its address.
func (c *canaries) serve(p *exec.Cmd) string {
	r, w := io.Pipe()
	p.Stdout, p.Stderr = w, w
	if err := p.Start(); err != nil {
		c.t.Fatal(err)
	}
	found := make(chan string, 1)
	go func() {
		in := bufio.NewReader(r)
		for {
			line, err := in.ReadString('\n')
			c.hear("serve", []byte(line))
			if strings.HasPrefix(line, "serving") {
				found <- address.FindString(line)
			}
			if err != nil {
				return
			}
		}
	}()
	select {
	case base := <-found:
		return base
	case <-time.After(30 * time.Second):
		c.t.Fatalf("it does not serve: %s", c.at("serve"))
		return ""
	}
}

// until waits for something that happens soon.
func (c *canaries) until(what string, ok func() bool) {
	for end := time.Now().Add(30 * time.Second); !ok(); <-time.After(20 * time.Millisecond) {
		if time.Now().After(end) {
			c.t.Errorf("%s did not come", what)
			return
		}
	}
}

// records are all records of a store, as they are kept.
func (c *canaries) records(dir string) (out []byte) {
	for _, args := range [][]string{{"audit", "--output", "json"}, {"repairs", "--output", "json"}, {"damages", "--output", "json"}} {
		text, err := c.run(nil, "", append(args, "--data", dir)...)
		if err != nil {
			c.t.Error(args, err, text)
		}
		out = append(out, text...)
	}
	return out
}
