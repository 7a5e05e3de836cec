package tempfile_test

import (
	"bytes"
	"errors"
	"io/fs"
	"os"
	"os/exec"
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
	if _, err := tempfile.Reopen(temp); !errors.Is(err, fs.ErrNotExist) {
		t.Errorf("before it is made: %v", err)
	}
	f, err := tempfile.Create(temp)
	if err != nil {
		t.Fatal(err)
	}
	if info, err := os.Stat(temp); err != nil || info.Mode().Perm() != 0o600 {
		t.Errorf("while it is fetched: %v, %v", info.Mode(), err)
	}
	at := time.Date(2020, 1, 2, 3, 4, 5, 0, time.UTC)
	_, err = f.WriteAt([]byte("world"), 6)
	if err = errors.Join(err, f.Preallocate(20), f.Sync(), f.Close()); err != nil {
		t.Fatal(err)
	}
	if f, err = tempfile.Reopen(temp); err != nil {
		t.Fatal(err)
	}
	if !f.Holds(11) || f.Holds(12) {
		t.Error("it is to hold 11 bytes")
	}
	_, err = f.WriteAt([]byte("hello "), 0)
	if err = errors.Join(err, f.Sync(), f.Finish(11, 0o440, at), f.Sync(), f.Close(), tempfile.RenameNew(temp, local)); err != nil {
		t.Fatal(err)
	}
	info, err := os.Stat(local)
	if err != nil || info.Size() != 11 || !info.ModTime().Equal(at) || info.Mode().Perm() != 0o440 {
		t.Errorf("%+v, %v", info, err)
	}
	if text, _ := os.ReadFile(local); string(text) != "hello world" {
		t.Errorf("%q", text)
	}
}

// A time that cannot be kept is left out.
func TestFinishWithAnyTime(t *testing.T) {
	f, err := tempfile.Create(filepath.Join(t.TempDir(), "t"))
	if err != nil {
		t.Fatal(err)
	}
	defer f.Close()
	for _, year := range []int{1, 1601, 1969, 2300, 9999} {
		if err := f.Finish(0, 0o600, time.Date(year, 1, 1, 0, 0, 0, 0, time.UTC)); err != nil {
			t.Errorf("%d: %v", year, err)
		}
	}
}

// A file that lost its name holds nothing.
func TestHoldsNothingWithoutItsName(t *testing.T) {
	path := filepath.Join(t.TempDir(), "t")
	f, err := tempfile.Create(path)
	if err != nil {
		t.Fatal(err)
	}
	defer f.Close()
	_, err = f.WriteAt([]byte("x"), 0)
	if err = errors.Join(err, os.Remove(path)); err != nil || f.Holds(1) {
		t.Errorf("%v, holds %v", err, f.Holds(1))
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

// Neither a symbolic link, nor what another user or another name has a part in, nor anything but a regular file is written to.
func TestNothingOfOthersIsWrittenTo(t *testing.T) {
	dir := t.TempDir()
	for name, put := range map[string]func(path, victim string) error{
		"link":      func(path, victim string) error { return os.Symlink(victim, path) },
		"hard link": func(path, victim string) error { return os.Link(victim, path) },
		"pipe":      func(path, _ string) error { return exec.Command("mkfifo", path).Run() },
		"another user's": func(path, _ string) error {
			if os.Geteuid() != 0 {
				return errors.ErrUnsupported
			}
			return errors.Join(os.WriteFile(path, nil, 0o666), os.Chown(path, 1234, 1234))
		},
	} {
		t.Run(name, func(t *testing.T) {
			path, victim := filepath.Join(dir, name), filepath.Join(dir, "victim of "+name)
			os.WriteFile(victim, []byte("precious"), 0o600)
			if err := put(path, victim); err != nil {
				t.Skip(err)
			}
			if f, err := tempfile.Reopen(path); err == nil {
				f.Close()
				t.Error("it was opened")
			}
			f, err := tempfile.Create(path) // takes it away, and makes its own
			if err != nil {
				t.Fatal(err)
			}
			if _, err = f.WriteAt([]byte("x"), 0); err != nil || !f.Holds(1) {
				t.Error(err)
			}
			f.Close()
			if text, _ := os.ReadFile(victim); string(text) != "precious" {
				t.Errorf("%q", text)
			}
		})
	}
	for _, open := range []func(string) (*tempfile.File, error){tempfile.Create, tempfile.Reopen} {
		if f, err := open(dir); err == nil {
			f.Close()
			t.Error("a folder was opened")
		}
	}
}

// At a final name a file or a link is replaced, but only if that is allowed.
func TestCreateAt(t *testing.T) {
	dir := t.TempDir()
	local, link := filepath.Join(dir, "f"), filepath.Join(dir, "link")
	if err := errors.Join(os.WriteFile(local, []byte("old"), 0o644), os.Symlink(local, link)); err != nil {
		t.Fatal(err)
	}
	for _, path := range []string{local, link} {
		if _, err := tempfile.CreateAt(path, false); bits.AsError(err).Code != hresult.ERROR_FILE_EXISTS {
			t.Errorf("%s: %v", path, err)
		}
	}
	f, err := tempfile.CreateAt(link, true)
	if err != nil {
		t.Fatal(err)
	}
	_, err = f.WriteAt([]byte("new"), 0)
	if err = errors.Join(err, f.Close()); err != nil {
		t.Fatal(err)
	}
	for path, want := range map[string]string{local: "old", link: "new"} {
		if there, err := os.ReadFile(path); err != nil || string(there) != want {
			t.Errorf("%s: %q, %v", path, there, err)
		}
	}
}

// Devices, pipes and sockets are never replaced.
func TestSpecialTargets(t *testing.T) {
	dir := t.TempDir()
	pipe, temp := filepath.Join(dir, "pipe"), filepath.Join(dir, "t")
	if err := exec.Command("mkfifo", pipe).Run(); err != nil {
		t.Skip(err)
	}
	os.WriteFile(temp, []byte("x"), 0o600)
	_, created := tempfile.CreateAt(pipe, true)
	for name, err := range map[string]error{"check": tempfile.Check(pipe), "rename": tempfile.Rename(temp, pipe), "device": tempfile.Check(os.DevNull), "create": created} {
		if bits.AsError(err).Code != hresult.E_ACCESSDENIED {
			t.Errorf("%s: %v", name, err)
		}
	}
	if info, err := os.Lstat(pipe); err != nil || info.Mode()&fs.ModeNamedPipe == 0 {
		t.Errorf("%v, %v", info, err)
	}
}

// What a sync has lost is lost for good, though the system says so once only.
// An ext4 lies on a tmpfs that is full, so that pages which it has taken cannot be written.
func TestSyncThatFailedFailsForEver(t *testing.T) {
	dir := t.TempDir()
	run := func(name string, args ...string) {
		t.Helper()
		if out, err := exec.Command(name, args...).CombinedOutput(); err != nil {
			if os.Getenv("BITS_TEST_ALL") != "" && os.Geteuid() == 0 {
				t.Fatalf("%s: %s", name, out)
			}
			t.Skipf("it needs root and loop mounts: %s: %s", name, out)
		}
	}
	below, disk := filepath.Join(dir, "below"), filepath.Join(dir, "disk")
	os.Mkdir(below, 0o700)
	os.Mkdir(disk, 0o700)
	run("mount", "-t", "tmpfs", "-o", "size=16m", "none", below)
	t.Cleanup(func() { exec.Command("umount", below).Run() })
	image := filepath.Join(below, "image")
	if err := errors.Join(os.WriteFile(image, nil, 0o600), os.Truncate(image, 64<<20)); err != nil {
		t.Fatal(err)
	}
	run("mkfs.ext4", "-q", "-F", "-O", "^has_journal", image)
	run("mount", "-o", "loop", image, disk)
	t.Cleanup(func() { exec.Command("umount", disk).Run() })
	f, err := tempfile.Create(filepath.Join(disk, "t"))
	if err != nil {
		t.Fatal(err)
	}
	defer f.Close()
	block := bytes.Repeat([]byte{1}, 1<<20)
	for i := range 40 {
		if _, err := f.WriteAt(block, int64(i)<<20); err != nil {
			break
		}
	}
	for i := range 4 {
		if err := f.Sync(); err == nil {
			t.Errorf("sync %d after lost writes went well", i)
		}
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
