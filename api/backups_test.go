package api_test

import (
	"context"
	"encoding/json"
	"net/http/httptest"
	"regexp"
	"strings"
	"testing"

	"github.com/barkeepdb/barkeep/api"
	"github.com/barkeepdb/barkeep/series"
	"github.com/barkeepdb/barkeep/storage"
)

// post sends a body with the token and returns the status and the answer.
func post(t *testing.T, srv *api.Server, path, body string) (int, string) {
	t.Helper()
	r := httptest.NewRequest("POST", path, strings.NewReader(body))
	r.Host = "localhost"
	r.Header.Set("Authorization", "Bearer "+token)
	w := httptest.NewRecorder()
	srv.ServeHTTP(w, r)
	return w.Code, w.Body.String()
}

// TestBackup: the answer is the manifest, and its root that of the store.
func TestBackup(t *testing.T) {
	srv, s := newServer(t)
	key := series.Key{Symbol: "A", Interval: series.Interval1m}
	load(t, s, key, "import", "time,open,high,low,close,volume\n2024-01-01T09:00:00Z,1,2,0.5,1.5,10\n")
	code, text := post(t, srv, "/v1/backups", `{"dir":"/backups/1","copy":true}`)
	var b api.Backup
	if err := json.Unmarshal([]byte(text), &b); code != 200 || err != nil {
		t.Fatal(code, err, text)
	}
	if want := api.LedgerOf(s.Stats().Root); b.Root != want || b.Dir != "/backups/1" || b.Bars != 1 || b.ID != s.ID() || !b.Copied || len(b.Files) == 0 {
		t.Errorf("the manifest is %s, the root %v", text, want)
	}
	_, ledger, _ := strings.Cut(ask(srv, "GET /v1/ledger", false), "\n")
	ledger = strings.TrimSpace(ledger)
	if !regexp.MustCompile(`^\{"seq":[0-9]+,"root":"[0-9a-f]{16}","entries":1,"journal":"[0-9a-f]{16}","at":1706745600000\}$`).MatchString(ledger) {
		t.Errorf("the ledger is %s", ledger)
	}
	if !strings.Contains(text, `"root":`+ledger) {
		t.Errorf("no %s in %s", ledger, text)
	}
	if code, text = post(t, srv, "/v1/backups", `{"dir":"/backups/1"}`); code/100 == 2 || !strings.Contains(text, "exists already: give a new name") {
		t.Errorf("a second backup under one name: %d %s", code, text)
	}
}

// slowBackup is a store whose backups take until they are let go.
type slowBackup struct {
	*storage.Store
	begun, done chan struct{}
}

func (s slowBackup) Backup(context.Context, string, storage.BackupOptions) (storage.Backup, error) {
	close(s.begun)
	<-s.done
	return storage.Backup{}, storage.ErrClosed
}

// TestBackupsDoNotOverlap: while one is made the next is refused.
func TestBackupsDoNotOverlap(t *testing.T) {
	_, s := newServer(t)
	slow := slowBackup{s, make(chan struct{}), make(chan struct{})}
	srv := api.New(api.Options{Store: slow, Token: token})
	first := make(chan int)
	go func() {
		code, _ := post(t, srv, "/v1/backups", `{"dir":"/backups/1"}`)
		first <- code
	}()
	<-slow.begun
	if code, text := post(t, srv, "/v1/backups", `{"dir":"/backups/2"}`); code != 409 || !strings.Contains(text, "backup_running") {
		t.Errorf("%d %s", code, text)
	}
	close(slow.done)
	if code := <-first; code != 503 {
		t.Errorf("a backup of a closing store is %d", code)
	}
}
