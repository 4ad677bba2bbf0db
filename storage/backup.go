package storage

import (
	"bytes"
	"context"
	"crypto/sha256"
	"encoding/hex"
	"encoding/json"
	"errors"
	"fmt"
	"io"
	"slices"

	"github.com/cockroachdb/pebble/v2/vfs"

	"github.com/barkeepdb/barkeep/series"
)

// A backup is a folder like that of a store, with a manifest that lists every
// file with its size and checksum and the stamp of the store at that moment. It
// gets its name only when it has been opened and counted: a folder that is
// called a backup is one.
const (
	backupManifest = "manifest.json"
	partialSuffix  = ".partial"
	backupVersion  = 1
)

// BackupOptions say how a backup is made.
type BackupOptions struct {
	// Copy writes the files anew. Without it they are linked where the backup
	// lies on the disk of the store: that takes no time and no room, but damage
	// to the disk then hits both.
	Copy bool
	// Program is noted in the manifest, as who made it.
	Program string
	// Progress, where set, is called as files are read.
	Progress func(done, total int64)
}

// Backup describes a backup; it is what its manifest says.
type Backup struct {
	Version int          `json:"version"`
	Program string       `json:"program,omitempty"`
	ID      string       `json:"id"` // of the store
	Format  int          `json:"format"`
	Created series.Time  `json:"created"`
	Copied  bool         `json:"copied"` // no file is shared with the store
	Series  int64        `json:"series"`
	Bars    int64        `json:"bars"`
	Root    Root         `json:"root"`
	Files   []BackupFile `json:"files"`
	Sum     string       `json:"sum"` // SHA-256 of the manifest with this empty
}

// BackupFile is one file of a backup.
type BackupFile struct {
	Name   string `json:"name"` // in the folder of the backup, with slashes
	Size   int64  `json:"size"`
	SHA256 string `json:"sha256"`
}

// Backup writes a consistent copy of the store into folder dir, which must not
// exist, while reads and writes go on; commits wait only while the files are
// linked. Before it returns the copy has been opened, every block of it was
// read, and what it holds was counted.
func (s *Store) Backup(ctx context.Context, dir string, o BackupOptions) (Backup, error) {
	if err := s.enter(); err != nil {
		return Backup{}, err
	}
	defer s.leave()
	fs := s.opts.FS
	if _, err := fs.Stat(dir); err == nil {
		return Backup{}, existsError{dir}
	} else if !errors.Is(err, errNotExist) {
		return Backup{}, err
	}
	for _, own := range [...]string{"db", "tmp", damagedDir, heldDir} {
		for at := dir; fs.PathDir(at) != at; at = fs.PathDir(at) {
			if at == fs.PathJoin(s.dir, own) {
				return Backup{}, fmt.Errorf("backup folder %s lies in the store itself: name one outside of %s", dir, s.dir)
			}
		}
	}
	if err := s.flushAll(ctx); err != nil && !errors.Is(err, series.ErrCorrupt) {
		return Backup{}, err
	}
	tmp := dir + partialSuffix
	b, err := s.backup(ctx, tmp, o)
	if err == nil {
		_, err = verifyBackup(ctx, fs, tmp, o.Progress)
	}
	if err == nil {
		err = fs.Rename(tmp, dir)
	}
	if err == nil {
		err = syncDir(fs, fs.PathDir(dir))
	}
	if err != nil {
		return Backup{}, errors.Join(fmt.Errorf("backup %s: %w", dir, err), fs.RemoveAll(tmp))
	}
	return b, nil
}

func (s *Store) backup(ctx context.Context, dir string, o BackupOptions) (Backup, error) {
	fs := s.opts.FS
	if err := fs.RemoveAll(dir); err != nil { // what a crash left
		return Backup{}, err
	}
	if err := makeDir(fs, dir); err != nil {
		return Backup{}, err
	}
	db := fs.PathJoin(dir, "db")
	s.commitMu.Lock()
	now, snap := s.stamp, s.eng.Snapshot()
	err := s.eng.Checkpoint(db)
	s.commitMu.Unlock()
	if err == nil {
		err = s.headOf(dir, snap, now)
	}
	bars := map[seriesID]int64{}
	for _, st := range s.all() {
		if l, lerr := readLedger(snap, st); lerr == nil {
			bars[st.id] = l.bars
		} else if err == nil {
			err = lerr
		}
	}
	if cerr := snap.Close(); err == nil {
		err = cerr
	}
	if err != nil {
		return Backup{}, err
	}
	b := Backup{
		Version: backupVersion, Program: o.Program, ID: hex.EncodeToString(s.id[:]), Format: formatNow,
		Created: s.opts.Now(), Copied: o.Copy, Root: now.shown(),
	}
	for _, st := range s.all() {
		b.Series++
		b.Bars += bars[st.id]
	}
	if b.Files, err = backupFiles(fs, dir); err != nil {
		return Backup{}, err
	}
	for i := range b.Files {
		if err := ctx.Err(); err != nil {
			return Backup{}, err
		}
		f := &b.Files[i]
		path := fs.PathJoin(dir, f.Name)
		if o.Copy {
			if err := copyOver(fs, path); err != nil {
				return Backup{}, err
			}
		}
		if f.Size, f.SHA256, err = digest(fs, path, !o.Copy); err != nil {
			return Backup{}, err
		}
	}
	text, err := b.encode()
	if err != nil {
		return Backup{}, err
	}
	if err := writeFile(fs, fs.PathJoin(dir, backupManifest), text); err != nil {
		return Backup{}, err
	}
	return b, errors.Join(syncDir(fs, db), syncDir(fs, dir))
}

// headOf writes a HEAD for a copy of the store as a snapshot shows it.
func (s *Store) headOf(dir string, snap snapshot, now stamp) error {
	h, err := openHead(s.opts.FS, dir, headMark{}, now, s.id, func(error) {}, func(t *trail) error {
		return s.beginTrail(snap, t, now)
	})
	if err != nil {
		return err
	}
	return h.close(now, true)
}

// encode is the manifest with its checksum.
func (b *Backup) encode() ([]byte, error) {
	b.Sum = ""
	text, err := json.Marshal(b)
	if err != nil {
		return nil, err
	}
	sum := sha256.Sum256(text)
	b.Sum = hex.EncodeToString(sum[:])
	return json.Marshal(b)
}

// backupFiles lists the files of a backup, without manifest and locks.
func backupFiles(fs vfs.FS, dir string) ([]BackupFile, error) {
	var out []BackupFile
	for _, sub := range [...]string{"", "db"} {
		names, err := fs.List(fs.PathJoin(dir, sub))
		if err != nil {
			return nil, err
		}
		slices.Sort(names)
		for _, n := range names {
			i, err := fs.Stat(fs.PathJoin(dir, sub, n))
			if err != nil {
				return nil, err
			}
			if i.IsDir() || n == backupManifest || n == "LOCK" {
				continue
			}
			name := n
			if sub != "" {
				name = sub + "/" + n
			}
			out = append(out, BackupFile{Name: name, Size: i.Size()})
		}
	}
	return out, nil
}

// digest reads a file and returns its size and SHA-256; sync makes it durable.
func digest(fs vfs.FS, path string, sync bool) (size int64, sum string, err error) {
	f, err := fs.Open(path)
	if err != nil {
		return 0, "", err
	}
	defer f.Close() // it was only read
	h := sha256.New()
	if size, err = io.Copy(h, f); err != nil {
		return 0, "", err
	}
	if sync {
		if err := f.Sync(); err != nil {
			return 0, "", err
		}
	}
	return size, hex.EncodeToString(h.Sum(nil)), nil
}

// copyOver replaces a file, which may be a link, by a copy of it.
func copyOver(fs vfs.FS, path string) error {
	tmp := path + partialSuffix
	if err := copyFile(fs, path, tmp); err != nil {
		return err
	}
	return fs.Rename(tmp, path)
}

// copyFile copies a file and makes the copy durable.
func copyFile(fs vfs.FS, from, to string) error {
	in, err := fs.Open(from)
	if err != nil {
		return err
	}
	defer in.Close() // it was only read
	return writeWith(fs, to, func(w io.Writer) error {
		_, err := io.Copy(w, in)
		return err
	})
}

func writeFile(fs vfs.FS, path string, text []byte) error {
	return writeWith(fs, path, func(w io.Writer) error {
		_, err := w.Write(text)
		return err
	})
}

func writeWith(fs vfs.FS, path string, write func(io.Writer) error) error {
	f, err := fs.Create(path, vfs.WriteCategoryUnspecified)
	if err != nil {
		return err
	}
	if err = write(f); err == nil {
		err = f.Sync()
	}
	if cerr := f.Close(); err == nil {
		err = cerr
	}
	return err
}

// existsError says that there is something where a backup should go.
type existsError struct{ dir string }

func (e existsError) Error() string {
	return "backup folder " + e.dir + " exists already: give a new name"
}

func (existsError) Is(target error) bool { return target == errExist }

// BackupError says what is wrong with a backup. It wraps [series.ErrCorrupt].
type BackupError struct {
	Dir string
	Why string
}

func (e *BackupError) Error() string {
	return fmt.Sprintf("backup %s cannot be used: %s", e.Dir, e.Why)
}

// Unwrap makes errors.Is(err, series.ErrCorrupt) true.
func (e *BackupError) Unwrap() error { return series.ErrCorrupt }

// ReadBackup reads the manifest of a backup and checks nothing else.
func ReadBackup(fs vfs.FS, dir string) (Backup, error) {
	var b Backup
	if fs == nil {
		fs = vfs.Default
	}
	f, err := fs.Open(fs.PathJoin(dir, backupManifest))
	if errors.Is(err, errNotExist) {
		return b, &BackupError{dir, "there is no " + backupManifest + " in it"}
	}
	if err != nil {
		return b, err
	}
	defer f.Close() // it was only read
	text, err := io.ReadAll(io.LimitReader(f, 64<<20))
	if err != nil {
		return b, err
	}
	if err := json.Unmarshal(text, &b); err != nil {
		return b, &BackupError{dir, backupManifest + " is damaged: " + err.Error()}
	}
	again := b
	want, err := again.encode()
	if err != nil || !bytes.Equal(want, text) {
		return b, &BackupError{dir, backupManifest + " is damaged: its checksum does not fit"}
	}
	if b.Version > backupVersion || b.Format > formatNow {
		return b, &FormatError{Dir: dir, Have: b.Format, Known: formatNow}
	}
	return b, nil
}

// VerifyBackup checks every file of a backup against its manifest, opens it,
// reads every block and counts what it holds. It writes nothing. What it finds
// wrong is a [*BackupError].
func VerifyBackup(ctx context.Context, fs vfs.FS, dir string) (Backup, error) {
	return verifyBackup(ctx, fs, dir, nil)
}

func verifyBackup(ctx context.Context, fs vfs.FS, dir string, progress func(done, total int64)) (Backup, error) {
	if fs == nil {
		fs = vfs.Default
	}
	b, err := ReadBackup(fs, dir)
	if err != nil {
		return b, err
	}
	have, err := backupFiles(fs, dir)
	if err != nil {
		return b, err
	}
	var done, total int64
	for _, f := range b.Files {
		total += f.Size
	}
	for _, f := range b.Files {
		if err := ctx.Err(); err != nil {
			return b, err
		}
		i := slices.IndexFunc(have, func(x BackupFile) bool { return x.Name == f.Name })
		if i < 0 {
			return b, &BackupError{dir, f.Name + " is missing"}
		}
		have = slices.Delete(have, i, i+1)
		size, sum, err := digest(fs, fs.PathJoin(dir, f.Name), false)
		if err != nil {
			return b, err
		}
		if size != f.Size || sum != f.SHA256 {
			return b, &BackupError{dir, f.Name + " is not the file that was saved"}
		}
		if done += size; progress != nil {
			progress(done, total)
		}
	}
	if len(have) > 0 {
		return b, &BackupError{dir, have[0].Name + " does not belong to it"}
	}
	return b, checkStore(ctx, fs, dir, b)
}

// checkStore opens the store in dir for reading, reads all of it and compares
// its stamp with that of a backup.
func checkStore(ctx context.Context, fs vfs.FS, dir string, b Backup) error {
	s, err := Open(dir, Options{FS: fs, ReadOnly: true, CacheBytes: 8 << 20, DecodedBytes: -1, Scrub: -1})
	if err != nil {
		return &BackupError{dir, err.Error()}
	}
	defer s.Close() // it was only read
	if got := s.Stats().Root; got != b.Root {
		return &BackupError{dir, fmt.Sprintf("it holds commit %d, its manifest says %d", got.Seq, b.Root.Seq)}
	}
	if n := len(s.foundNow); n > 0 {
		return &BackupError{dir, s.foundNow[0].String()}
	}
	rep, err := s.Verify(ctx, VerifyOptions{})
	if err != nil {
		return err
	}
	for _, d := range rep.Damaged {
		if !d.known { // what the store itself had lost already is no fault of the backup
			return &BackupError{dir, d.Error()}
		}
	}
	if len(rep.Problems) > 0 {
		return &BackupError{dir, rep.Problems[0]}
	}
	return nil
}

// RestoreOptions say how a backup is restored.
type RestoreOptions struct {
	// Replace allows that dir holds a store already. It is moved beside dir.
	Replace bool
	// Keep names files of a replaced store, other than its data, that the new
	// one takes over.
	Keep []string
	// Progress, where set, is called as files are read.
	Progress func(done, total int64)
}

// Restore makes the store in dir out of a backup. The backup is verified first,
// its copy is opened and counted, and only then takes its place. replaced is
// the folder that a former store of dir was moved to.
func Restore(ctx context.Context, fs vfs.FS, backup, dir string, o RestoreOptions) (b Backup, replaced string, err error) {
	if fs == nil {
		fs = vfs.Default
	}
	if b, err = verifyBackup(ctx, fs, backup, o.Progress); err != nil {
		return b, "", err
	}
	old := false
	if names, err := fs.List(dir); err == nil && len(names) > 0 {
		if old = true; !o.Replace {
			return b, "", fmt.Errorf("%s holds a store or other files already: name another folder, or ask for it to be replaced", dir)
		}
		lock, err := lockDir(dir, Options{FS: fs, Owner: "barkeep restore", ReadOnly: true}.withDefaults())
		if err != nil {
			return b, "", err
		}
		defer lock.release()
	}
	tmp := dir + partialSuffix
	if err := restoreFiles(ctx, fs, backup, tmp, b); err != nil {
		return b, "", errors.Join(fmt.Errorf("restore %s: %w", dir, err), fs.RemoveAll(tmp))
	}
	if old {
		for _, n := range o.Keep {
			if err := copyFile(fs, fs.PathJoin(dir, n), fs.PathJoin(tmp, n)); err != nil && !errors.Is(err, errNotExist) {
				return b, "", err
			}
		}
		replaced = freeName(fs, fs.PathDir(dir), fs.PathBase(dir)+".replaced")
		if err := fs.Rename(dir, replaced); err != nil {
			return b, "", err
		}
	} else if err := fs.RemoveAll(dir); err != nil { // an empty folder
		return b, "", err
	}
	if err := fs.Rename(tmp, dir); err != nil {
		return b, replaced, err
	}
	return b, replaced, syncDir(fs, fs.PathDir(dir))
}

func restoreFiles(ctx context.Context, fs vfs.FS, backup, dir string, b Backup) error {
	if err := fs.RemoveAll(dir); err != nil {
		return err
	}
	if err := makeDir(fs, fs.PathJoin(dir, "db")); err != nil {
		return err
	}
	for _, f := range b.Files {
		if err := ctx.Err(); err != nil {
			return err
		}
		if err := copyFile(fs, fs.PathJoin(backup, f.Name), fs.PathJoin(dir, f.Name)); err != nil {
			return err
		}
	}
	if err := errors.Join(syncDir(fs, fs.PathJoin(dir, "db")), syncDir(fs, dir)); err != nil {
		return err
	}
	return checkStore(ctx, fs, dir, b)
}
