// Package tempfile holds the bytes of a file until it has its final name: write at an offset, sync, rename into place.
//
// Every error is a *bits.Error of the local file.
package tempfile

import (
	"errors"
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
	bad := func(code hresult.Code, why string) error {
		return bits.Errorf(code, "cannot use the local name %s: %s", local, why).In(bits.ContextLocalFile)
	}
	if !filepath.IsAbs(local) {
		return bad(hresult.E_INVALIDARG, "it is not an absolute path")
	}
	if strings.ContainsRune(local, 0) || strings.HasSuffix(local, string(filepath.Separator)) || filepath.Base(local) == ".." || filepath.Base(local) == "." {
		return bad(hresult.E_INVALIDARG, "it names no file")
	}
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
	info, err = os.Stat(local)
	if err == nil && info.IsDir() {
		return bad(hresult.E_ACCESSDENIED, "it is a folder")
	}
	if err != nil && !errors.Is(err, fs.ErrNotExist) {
		return Error(err, "use the local name", local)
	}
	return nil
}

// writeBack is how much is written before the system is told to bring it to the disk, so that the last sync is short.
const writeBack = 8 << 20

// File is an open temporary file.
type File struct {
	f       *os.File
	path    string
	named   bool  // its name is on stable storage too
	started int64 // up to here write-back has begun
	high    int64 // up to here data was written
}

// Open makes the file with exactly this mode, or opens the one that is there.
// With fresh it is empty.
// Something that is no regular file is refused, and no symbolic link is followed.
func Open(path string, mode os.FileMode, fresh bool) (*File, error) {
	f, err := os.OpenFile(path, os.O_RDWR|os.O_CREATE|os.O_EXCL|noFollow, mode)
	created := err == nil
	if errors.Is(err, fs.ErrExist) {
		f, err = os.OpenFile(path, os.O_RDWR|noFollow, 0)
	}
	if err != nil {
		return nil, Error(err, "open", path)
	}
	t := &File{f: f, path: path}
	info, err := f.Stat()
	switch {
	case err != nil:
	case !info.Mode().IsRegular():
		err = bits.Errorf(hresult.E_ACCESSDENIED, "cannot open %s: it is no regular file", path).In(bits.ContextLocalFile)
	case created:
		err = f.Chmod(mode) // the umask of the service decides nothing
	case fresh:
		err = f.Truncate(0)
	}
	if err != nil {
		f.Close()
		return nil, Error(err, "open", path)
	}
	return t, nil
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
func (t *File) Sync() error {
	err := syncData(t.f)
	if err == nil && !t.named {
		err = syncDir(filepath.Dir(t.path))
		t.named = err == nil
	}
	if err != nil {
		return Error(err, "sync", t.path)
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

// SetTime sets the time of modification.
func (t *File) SetTime(at time.Time) error {
	if err := os.Chtimes(t.path, time.Time{}, at); err != nil {
		return Error(err, "set the time of", t.path)
	}
	return nil
}

// Close closes the file; it stays.
func (t *File) Close() error {
	if err := t.f.Close(); err != nil {
		return Error(err, "close", t.path)
	}
	return nil
}

// Rename gives the temporary file its final name, in one step, durably.
// A file of that name is replaced.
func Rename(temp, local string) error {
	if info, err := os.Lstat(local); err == nil && info.IsDir() {
		return bits.Errorf(hresult.E_ACCESSDENIED, "cannot rename to %s: it is a folder", local).In(bits.ContextLocalFile)
	}
	if err := os.Rename(temp, local); err != nil {
		return Error(err, "rename to", local)
	}
	return settle(local)
}

// RenameNew is Rename, but fails with ERROR_FILE_EXISTS if there is a file of that name.
func RenameNew(temp, local string) error {
	if err := renameNew(temp, local); err != nil {
		return Error(err, "rename to", local)
	}
	return settle(local)
}

func settle(local string) error {
	if err := syncDir(filepath.Dir(local)); err != nil {
		return Error(err, "sync the folder of", local)
	}
	return nil
}

// linkNew renames without replacing where the system has no call for it.
func linkNew(temp, local string) error {
	if err := os.Link(temp, local); err != nil {
		return err
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
			code, context = row.code, row.context
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
	err     error
	code    hresult.Code
	context bits.ErrorContext
}
