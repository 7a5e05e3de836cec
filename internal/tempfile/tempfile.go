// Package tempfile holds the bytes of a file until it has its final name: write at an offset, sync, rename into place.
//
// Every error is a *bits.Error of the local file.
package tempfile

import (
	"bytes"
	"errors"
	"hash/fnv"
	"io"
	"io/fs"
	"os"
	"path/filepath"
	"strings"
	"time"

	"bits"
	"bits/hresult"
)

// Name returns the name of the temporary file: hidden, beside the destination and so on its file system.
// It does not contain the name of the destination, so it fits wherever that does.
func Name(local, id string) string {
	return filepath.Join(filepath.Dir(local), ".bits-"+id+".tmp")
}

// Check accepts what AddFile accepts as a local name: an absolute path, whose folder exists and can be written, that is no folder
// itself.
func Check(local string) error {
	if err := CheckName(local); err != nil {
		return err
	}
	bad := func(code hresult.Code, why string) error { return badName(code, local, why) }
	dir := filepath.Dir(local)
	info, err := os.Stat(dir)
	if err != nil {
		if errors.Is(err, fs.ErrNotExist) {
			return bad(hresult.ERROR_PATH_NOT_FOUND, "the folder "+dir+" does not exist")
		}
		return Error(err, "use the local name", local)
	}
	if !info.IsDir() {
		return bad(hresult.ERROR_PATH_NOT_FOUND, dir+" is no folder")
	}
	if err := writable(dir); err != nil {
		return bad(hresult.E_ACCESSDENIED, "the folder "+dir+" cannot be written: "+err.Error())
	}
	info, err = os.Lstat(local)
	switch {
	case err == nil && info.IsDir():
		return bad(hresult.E_ACCESSDENIED, "it is a folder")
	case err == nil && !replaceable(info):
		return bad(hresult.E_ACCESSDENIED, "it is a device, a pipe or a socket")
	}
	if err != nil && !errors.Is(err, fs.ErrNotExist) {
		return Error(err, "use the local name", local)
	}
	return nil
}

// CheckSource accepts what AddFile accepts as the source of an upload: an absolute path of a regular file that can be read.
func CheckSource(local string) error {
	if !filepath.IsAbs(local) {
		return bits.Errorf(hresult.E_INVALIDARG, "cannot use the local name %s: it is not an absolute path", local).In(bits.ContextLocalFile)
	}
	info, err := os.Stat(local)
	if _, dir := os.Stat(filepath.Dir(local)); errors.Is(err, fs.ErrNotExist) && dir == nil {
		return bits.Errorf(hresult.ERROR_FILE_NOT_FOUND, "cannot use the local name %s: there is no such file", local).In(bits.ContextLocalFile)
	}
	if err == nil && !info.Mode().IsRegular() {
		return bits.Errorf(hresult.E_INVALIDARG, "cannot use the local name %s: it is no regular file", local).In(bits.ContextLocalFile)
	}
	var f *os.File
	if err == nil {
		f, err = os.Open(local)
	}
	if err != nil {
		return Error(err, "use the local name", local)
	}
	return f.Close()
}

// CheckName is the part of [Check] that looks at the name only and at no disk.
func CheckName(local string) error {
	if !filepath.IsAbs(local) {
		return badName(hresult.E_INVALIDARG, local, "it is not an absolute path")
	}
	if strings.ContainsRune(local, 0) || strings.HasSuffix(local, string(filepath.Separator)) || filepath.Base(local) == ".." || filepath.Base(local) == "." {
		return badName(hresult.E_INVALIDARG, local, "it names no file")
	}
	return nil
}

func badName(code hresult.Code, local, why string) error {
	return bits.Errorf(code, "cannot use the local name %s: %s", local, why).In(bits.ContextLocalFile)
}

// replaceable reports whether Complete may put a file in the place of this one.
func replaceable(info fs.FileInfo) bool {
	return info.Mode().IsRegular() || info.Mode()&fs.ModeSymlink != 0
}

// writeBack is how much is written before the system is told to bring it to the disk, so that the last sync is short.
const writeBack = 8 << 20

// File is an open temporary file.
type File struct {
	f       *os.File
	path    string
	named   bool  // its name is on stable storage too
	failed  error // of a sync: what was written before may be lost, and the system says so only once
	started int64 // up to here write-back has begun
	high    int64 // up to here data was written
}

// Create makes the file, empty, for this user alone.
// What is there under its name is removed first, and never written to.
func Create(path string) (*File, error) {
	if err := Remove(path); err != nil {
		return nil, err
	}
	return createNew(path)
}

// CreateAt makes the file at its final name at once. With replace a file of that name is removed first, but never a device or a pipe;
// without it ERROR_FILE_EXISTS if there is anything.
func CreateAt(local string, replace bool) (*File, error) {
	info, err := os.Lstat(local)
	switch {
	case err != nil || !replace:
		return createNew(local) // which says best what is wrong
	case !replaceable(info):
		return nil, bits.Errorf(hresult.E_ACCESSDENIED, "cannot write to %s: it is a folder or a device", local).In(bits.ContextLocalFile)
	}
	return Create(local)
}

func createNew(path string) (*File, error) {
	f, err := os.OpenFile(path, os.O_RDWR|os.O_CREATE|os.O_EXCL|noFollow, 0o600)
	if err != nil {
		return nil, Error(err, "make", path)
	}
	if err := f.Chmod(0o600); err != nil { // the umask of the service decides nothing
		f.Close()
		return nil, Error(err, "make", path)
	}
	return &File{f: f, path: path}, nil
}

// Reopen opens the file that Create made in an earlier run; errors.Is(err, fs.ErrNotExist) if there is none.
// Anything but a regular file of this user with a single name is refused, and no symbolic link is followed.
func Reopen(path string) (*File, error) {
	f, err := os.OpenFile(path, os.O_RDWR|noFollow, 0)
	if err != nil {
		return nil, Error(err, "open", path)
	}
	if info, err := f.Stat(); err != nil {
		f.Close()
		return nil, Error(err, "open", path)
	} else if !info.Mode().IsRegular() || !mine(info) {
		f.Close()
		return nil, bits.Errorf(hresult.E_ACCESSDENIED, "cannot open %s: it is not the file that this service made", path).In(bits.ContextLocalFile).WithHint("somebody else put something there; remove it, and resume the job")
	}
	return &File{f: f, path: path}, nil
}

// SameVolume returns BG_E_VOLUME_CHANGED if the file would lie on another volume than the one before; "" is one that is not known.
// Numbers of volumes may change with a restart of the machine, so it is asked only about a file that is missing.
func SameVolume(path, before string) error {
	if now := Volume(path); before == "" || now == "" || now == before {
		return nil
	}
	return bits.Errorf(hresult.BG_E_VOLUME_CHANGED, "cannot find %s: another disk is in the place of the one where it was begun", path).In(bits.ContextLocalFile)
}

// Exists returns nil if there is a regular file of that name; it opens nothing.
func Exists(path string) error {
	info, err := os.Lstat(path)
	if err != nil {
		return Error(err, "find", path)
	}
	if !info.Mode().IsRegular() {
		return bits.Errorf(hresult.E_ACCESSDENIED, "cannot use %s: it is no regular file", path).In(bits.ContextLocalFile)
	}
	return nil
}

// Holds reports whether the file still has its name and at least size bytes.
func (t *File) Holds(size int64) bool {
	info, err := t.f.Stat()
	return err == nil && mine(info) && info.Size() >= size
}

// WriteAt writes at an offset.
func (t *File) WriteAt(p []byte, off int64) (int, error) {
	n, err := t.f.WriteAt(p, off)
	t.high = off + int64(n)
	if t.started > t.high {
		t.started = off
	}
	if t.high-t.started >= writeBack {
		startWriteBack(t.f, t.started, t.high-t.started)
		t.started = t.high
	}
	if err != nil {
		return n, Error(err, "write", t.path)
	}
	return n, nil
}

// ReadAt reads at an offset.
func (t *File) ReadAt(p []byte, off int64) (int, error) { return t.f.ReadAt(p, off) }

// Equal reports whether the file has these bytes at an offset.
func (t *File) Equal(p []byte, off int64) (bool, error) {
	there := make([]byte, len(p))
	if _, err := t.f.ReadAt(there, off); err != nil && err != io.EOF {
		return false, Error(err, "read", t.path)
	}
	return bytes.Equal(there, p), nil
}

// Preallocate asks for room for size bytes, so that a full disk shows at once.
// Where the file system cannot, nothing happens.
func (t *File) Preallocate(size int64) error {
	if size <= 0 {
		return nil
	}
	if err := preallocate(t.f, size); err != nil {
		return Error(err, "make room for", t.path)
	}
	return nil
}

// Sync returns when everything written before is on stable storage, the name of the file included.
// It may run beside WriteAt.
// Once it has failed it always fails: the system forgets that it has lost data, and a second call would promise it.
func (t *File) Sync() error {
	if t.failed != nil {
		return t.failed
	}
	err := syncData(t.f)
	if err == nil && !t.named {
		err = syncDir(filepath.Dir(t.path))
		t.named = err == nil
	}
	if err != nil {
		t.failed = Error(err, "sync", t.path)
		return t.failed
	}
	return nil
}

// Truncate sets the length.
func (t *File) Truncate(size int64) error {
	if err := t.f.Truncate(size); err != nil {
		return Error(err, "set the length of", t.path)
	}
	return nil
}

// Finish gives the file its length, its mode and, if there is one, its time of modification.
// A time that the file system cannot keep is left out.
func (t *File) Finish(size int64, mode os.FileMode, at time.Time) error {
	err := t.f.Truncate(size)
	if err == nil {
		err = t.f.Chmod(mode)
	}
	if err != nil {
		return Error(err, "finish", t.path)
	}
	if !at.IsZero() {
		setTime(t.f, at)
	}
	return nil
}

// Mark gives the file a time that nobody else gives it: Marked tells by it whether somebody has written to it since, or put another in
// its place. That is for a file under a name that is not hidden.
func (t *File) Mark(id string) { setTime(t.f, mark(id)) }

// Marked reports whether the file is as Mark left it.
func (t *File) Marked(id string) bool {
	info, err := t.f.Stat()
	return err == nil && info.ModTime().Equal(mark(id))
}

// mark is a time that every file system can keep: even seconds, between 1980 and 2000.
func mark(id string) time.Time {
	h := fnv.New32a()
	h.Write([]byte(id))
	return time.Unix(315_619_200+2*int64(h.Sum32()%300_000_000), 0)
}

// Close closes the file; it stays.
func (t *File) Close() error {
	if err := t.f.Close(); err != nil {
		return Error(err, "close", t.path)
	}
	return nil
}

// Rename gives the temporary file its final name, in one step; it is durable when Settle has returned.
// A file of that name is replaced.
func Rename(temp, local string) error {
	if info, err := os.Lstat(local); err == nil && !replaceable(info) {
		return bits.Errorf(hresult.E_ACCESSDENIED, "cannot rename to %s: it is a folder or a device", local).In(bits.ContextLocalFile)
	}
	if err := os.Rename(temp, local); err != nil {
		return Error(err, "rename to", local)
	}
	return nil
}

// RenameNew is Rename, but fails with ERROR_FILE_EXISTS if there is a file of that name.
func RenameNew(temp, local string) error {
	if err := renameNew(temp, local); err != nil {
		return Error(err, "rename to", local)
	}
	return nil
}

// Settle makes the names in a folder durable.
func Settle(dir string) error {
	if err := syncDir(dir); err != nil {
		return Error(err, "sync the folder", dir)
	}
	return nil
}

// linkNew renames without replacing where the system has no call for it.
// A crash may have come between its two steps before.
func linkNew(temp, local string) error {
	if err := os.Link(temp, local); err != nil {
		a, aerr := os.Lstat(temp)
		b, berr := os.Lstat(local)
		if aerr != nil || berr != nil || !os.SameFile(a, b) {
			return err
		}
	}
	return os.Remove(temp)
}

// Remove removes a temporary file; none is fine.
func Remove(path string) error {
	if path == "" {
		return nil
	}
	if info, err := os.Lstat(path); err == nil && info.IsDir() {
		return bits.Errorf(hresult.E_ACCESSDENIED, "cannot remove %s: it is a folder", path).In(bits.ContextLocalFile)
	}
	if err := os.Remove(path); err != nil && !errors.Is(err, fs.ErrNotExist) {
		return Error(err, "remove", path)
	}
	return nil
}

// Error makes an error of the local file from one of the system.
func Error(err error, verb, path string) *bits.Error {
	var e *bits.Error
	if errors.As(err, &e) {
		return e
	}
	code, context := hresult.E_FAIL, bits.ContextLocalFile
	for _, row := range systemErrors {
		if errors.Is(err, row.err) {
			code, context = row.code, bits.ErrorContext(row.code.Context())
			break
		}
	}
	var p *fs.PathError
	if errors.As(err, &p) {
		err = p.Err
	}
	var l *os.LinkError
	if errors.As(err, &l) {
		err = l.Err
	}
	e = bits.Errorf(code, "cannot %s %s: %w", verb, path, err)
	return e.In(context)
}

type systemError struct {
	err  error
	code hresult.Code
}
