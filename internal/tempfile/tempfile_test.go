package tempfile_test

import (
	"errors"
	"os"
	"path/filepath"
	"strings"
	"testing"
	"time"

	"bits"
	"bits/hresult"
	"bits/internal/tempfile"
)

func TestLifeOfAFile(t *testing.T) {
	dir := t.TempDir()
	local := filepath.Join(dir, strings.Repeat("n", 255))
	temp := tempfile.Name(local, "id-0")
	if filepath.Dir(temp) != dir || !strings.HasPrefix(filepath.Base(temp), ".bits-") {
		t.Errorf("%s", temp)
	}
	f, err := tempfile.Open(temp, 0o640, true)
	if err != nil {
		t.Fatal(err)
	}
	at := time.Date(2020, 1, 2, 3, 4, 5, 0, time.UTC)
	_, err = f.WriteAt([]byte("world"), 6)
	if err = errors.Join(err, f.Preallocate(20)); err != nil {
		t.Fatal(err)
	}
	_, err = f.WriteAt([]byte("hello "), 0)
	if err = errors.Join(err, f.Sync(), f.Truncate(11), f.SetTime(at), f.Sync(), f.Close(), tempfile.RenameNew(temp, local)); err != nil {
		t.Fatal(err)
	}
	info, err := os.Stat(local)
	if err != nil || info.Size() != 11 || !info.ModTime().Equal(at) || info.Mode().Perm() != 0o640 {
		t.Errorf("%+v, %v", info, err)
	}
	if text, _ := os.ReadFile(local); string(text) != "hello world" {
		t.Errorf("%q", text)
	}
}

func TestRenameNewReplacesNothing(t *testing.T) {
	dir := t.TempDir()
	a, b := filepath.Join(dir, "a"), filepath.Join(dir, "b")
	os.WriteFile(a, []byte("a"), 0o600)
	os.WriteFile(b, []byte("b"), 0o600)
	if err := tempfile.RenameNew(a, b); bits.AsError(err).Code != hresult.ERROR_FILE_EXISTS {
		t.Error(err)
	}
	if text, _ := os.ReadFile(b); string(text) != "b" {
		t.Errorf("%q", text)
	}
	if err := tempfile.Rename(a, b); err != nil {
		t.Error(err)
	}
	if text, _ := os.ReadFile(b); string(text) != "a" {
		t.Errorf("%q", text)
	}
	os.Mkdir(a, 0o700)
	if err := tempfile.Rename(b, a); bits.AsError(err).Code != hresult.E_ACCESSDENIED {
		t.Errorf("onto a folder: %v", err)
	}
}

// Neither a symbolic link nor anything but a regular file is written to.
func TestOpenFollowsNothing(t *testing.T) {
	dir := t.TempDir()
	victim, link := filepath.Join(dir, "victim"), filepath.Join(dir, "link")
	os.WriteFile(victim, []byte("precious"), 0o600)
	if err := os.Symlink(victim, link); err != nil {
		t.Skip(err)
	}
	for _, path := range []string{link, dir} {
		if f, err := tempfile.Open(path, 0o600, true); err == nil {
			f.Close()
			t.Errorf("%s was opened", path)
		}
	}
	if text, _ := os.ReadFile(victim); string(text) != "precious" {
		t.Errorf("%q", text)
	}
}

func TestRemove(t *testing.T) {
	dir := t.TempDir()
	if err := errors.Join(tempfile.Remove(filepath.Join(dir, "none")), tempfile.Remove("")); err != nil {
		t.Error(err)
	}
	if err := tempfile.Remove(dir); err == nil {
		t.Error("a folder was removed")
	}
}
