package api

import (
	"encoding/json"
	"errors"
	"fmt"
	"io"
	"io/fs"
	"net/http"
	"path/filepath"
	"syscall"

	"github.com/gin-gonic/gin"

	"github.com/barkeepdb/barkeep/series"
	"github.com/barkeepdb/barkeep/storage"
)

// Ledger is the sum of all that is stored: two stores with the same root hold
// the same. The sums have 64 bits, more than a number of JSON keeps, so they
// are written as 16 hexadecimal digits.
type Ledger struct {
	Seq     uint64      `json:"seq"`
	Root    string      `json:"root"`
	Entries uint64      `json:"entries"`
	Journal string      `json:"journal"`
	At      series.Time `json:"at"`
}

// LedgerOf shows a root.
func LedgerOf(r storage.Root) Ledger {
	return Ledger{r.Seq, fmt.Sprintf("%016x", r.Root), r.Entries, fmt.Sprintf("%016x", r.Journal), r.At}
}

// Backup is the manifest of a backup with its place, and its root as a ledger.
type Backup struct {
	Dir string `json:"dir"`
	storage.Backup
	Root Ledger `json:"root"`
}

// BackupOf shows a backup in dir.
func BackupOf(dir string, b storage.Backup) Backup { return Backup{dir, b, LedgerOf(b.Root)} }

// getLedger answers with the sum of what is stored.
func (s *Server) getLedger(c *gin.Context) {
	if err := parseQuery(c.Request.URL.RawQuery).done(); err != nil {
		fail(c, err)
		return
	}
	c.PureJSON(http.StatusOK, LedgerOf(s.store.Stats().Root))
}

// postBackup makes a backup on a disk of the server and answers when it is
// whole and was read again. One is made at a time.
func (s *Server) postBackup(c *gin.Context) {
	var in struct {
		Dir  string `json:"dir"`
		Copy bool   `json:"copy"`
	}
	err := parseQuery(c.Request.URL.RawQuery).done()
	if err == nil {
		err = readObject(c.Request.Body, &in, `{"dir","copy"}`)
	}
	if err == nil && !filepath.IsAbs(in.Dir) {
		err = badField("dir", "dir %q is not an absolute path: name a new folder on a disk of the server", in.Dir)
	}
	if err != nil {
		fail(c, err)
		return
	}
	select {
	case s.backups <- struct{}{}:
		defer func() { <-s.backups }()
	default:
		fail(c, &Error{http.StatusConflict, "backup_running", "another backup is being made: ask again when it is done", ""})
		return
	}
	dir := filepath.Clean(in.Dir)
	detail(c, "to %s", dir)
	s.noteAs(c, http.StatusAccepted) // now, so that a store and its backup have the same sum
	b, err := s.store.Backup(c, dir, storage.BackupOptions{Copy: in.Copy, Program: "barkeep " + s.o.Version})
	if err != nil {
		fail(c, s.backupFailed(err))
		return
	}
	c.PureJSON(http.StatusOK, BackupOf(dir, b))
}

// backupFailed tells whoever holds the token why there is no backup: it is
// mostly the folder, and then theirs to mend.
func (s *Server) backupFailed(err error) error {
	status, code := http.StatusInternalServerError, "backup_failed"
	switch {
	case errors.Is(err, fs.ErrExist):
		status, code = http.StatusConflict, "backup_exists"
	case errors.Is(err, fs.ErrNotExist), errors.Is(err, syscall.ENOTDIR), errors.Is(err, syscall.EINVAL), errors.Is(err, syscall.ENAMETOOLONG):
		status = http.StatusBadRequest // no folder can be made there
	case asError(err).Code != "internal":
		return err
	}
	return errors.Join(&Error{status, code, err.Error(), ""}, err)
}

// maxObject bounds a body that is one JSON object: what asks for something has
// some hundred bytes.
const maxObject = 1 << 20

// readObject reads a body that is one JSON object into v; shape is for people.
func readObject(body io.ReadCloser, v any, shape string) error {
	body = http.MaxBytesReader(nil, body, maxObject)
	d := json.NewDecoder(body)
	d.DisallowUnknownFields()
	err := d.Decode(v)
	if err == nil && d.More() {
		err = errors.New("more follows after the object")
	}
	if err == nil {
		_, err = io.Copy(io.Discard, body) // to its end, which is known then
	}
	if tooLarge, ok := errors.AsType[*http.MaxBytesError](err); ok && tooLarge.Limit == maxObject {
		return &Error{http.StatusRequestEntityTooLarge, "body_too_large", fmt.Sprintf("the body is larger than %d bytes: %s is meant", maxObject, shape), ""}
	} else if err == nil || ok {
		return err
	}
	if errors.Is(err, io.EOF) {
		err = errors.New("it is empty")
	}
	return badField("", "the body is not %s: %v", shape, err)
}
