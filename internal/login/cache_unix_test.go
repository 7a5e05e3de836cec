//go:build unix

package login

import (
	"fmt"
	"os"
	"path/filepath"
	"strings"
	"syscall"
	"testing"
)

// The cache in the folder of everybody counts only if it is its owner's alone.
func TestUsualCache(t *testing.T) {
	dir, uid := t.TempDir(), fmt.Sprint(os.Geteuid())
	path := filepath.Join(dir, "cache")
	if err := os.WriteFile(path, []byte("tickets"), 0o600); err != nil {
		t.Fatal(err)
	}
	if data, err := ownCache(path, uid); err != nil || string(data) != "tickets" {
		t.Errorf("%q, %v", data, err)
	}
	link, pipe, open := filepath.Join(dir, "link"), filepath.Join(dir, "pipe"), filepath.Join(dir, "open")
	if err := os.Symlink(path, link); err != nil {
		t.Fatal(err)
	}
	if err := syscall.Mkfifo(pipe, 0o600); err != nil {
		t.Fatal(err)
	}
	if err := os.WriteFile(open, []byte("tickets"), 0o600); err != nil || os.Chmod(open, 0o640) != nil {
		t.Fatal(err)
	}
	for _, c := range []struct{ path, uid, want string }{
		{path, uid + "1", "belongs to another user"},
		{path, "", "belongs to another user"},
		{link, uid, "is a link"},
		{pipe, uid, "not a regular file"},
		{open, uid, "other users can read"},
		{filepath.Join(dir, "none"), uid, "no such file"},
		{dir, uid, "not a regular file"},
	} {
		if data, err := ownCache(c.path, c.uid); err == nil || !strings.Contains(err.Error(), c.want) || data != nil {
			t.Errorf("%s: %q, %v", c.want, data, err)
		}
	}
	if _, _, err := usualCache("uid:4294967294"); err == nil || !strings.Contains(err.Error(), "/tmp/krb5cc_4294967294") {
		t.Errorf("%v", err)
	}
}
