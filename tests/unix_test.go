//go:build unix

package tests

import (
	"os"
	"os/exec"
	"path/filepath"
	"strings"
	"syscall"
	"testing"

	"bits/client/bitstest"
	"bits/hresult"
	"bits/internal/program"
)

// Another user gets nothing: not the socket, and, if he reaches it by the folly of its owner, no answer.
func TestAnotherUserGetsNothing(t *testing.T) {
	t.Parallel()
	asRoot(t)
	s := bitstest.Start(t)
	for path, want := range map[string]os.FileMode{filepath.Dir(s.Socket): 0o700, s.Socket: 0o600, filepath.Join(s.Dir, "state"): 0o700} {
		if info, err := os.Stat(path); err != nil || info.Mode().Perm() != want {
			t.Errorf("%s: %v, %v; want mode %v", path, info.Mode(), err, want)
		}
	}
	ask := func() (string, error) {
		cmd := exec.Command(program.Need(t, "curl"), "-sS", "--unix-socket", s.Socket, "http://bits/v1/jobs")
		cmd.SysProcAttr = &syscall.SysProcAttr{Credential: &syscall.Credential{Uid: 65534, Gid: 65534}}
		out, err := cmd.CombinedOutput()
		return string(out), err
	}
	if out, err := ask(); err == nil {
		t.Errorf("another user reached the socket: %s", out)
	}
	bitstest.Must(t, os.Chmod(s.Dir, 0o755), os.Chmod(filepath.Dir(s.Socket), 0o755), os.Chmod(s.Socket, 0o666))
	if out, err := ask(); err != nil || !strings.Contains(out, hresult.E_ACCESSDENIED.String()) {
		t.Errorf("another user was answered: %s, %v", out, err)
	}
}

// The service inherits no file of who starts it: a lock, for example, would be held as long as it lives.
func TestServiceInheritsNothing(t *testing.T) {
	home := program.Dir(t)
	lock, err := os.Create(filepath.Join(home, "lock"))
	bitstest.Must(t, err)
	defer lock.Close()
	bitstest.Must(t, syscall.Flock(int(lock.Fd()), syscall.LOCK_EX))
	cmd := program.Command(home, "list")
	cmd.ExtraFiles = []*os.File{lock}
	if out, err := cmd.CombinedOutput(); err != nil {
		t.Fatalf("%v: %s", err, out)
	}
	t.Cleanup(func() { program.Command(home, "api", "POST", "/v1/system/stop").Run() })
	lock.Close()
	again, err := os.Open(filepath.Join(home, "lock"))
	bitstest.Must(t, err)
	defer again.Close()
	if err := syscall.Flock(int(again.Fd()), syscall.LOCK_EX|syscall.LOCK_NB); err != nil {
		t.Errorf("the lock is still held: %v", err)
	}
}
