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

// A cache that is being written just now is cut off somewhere: the service goes on.
func TestCacheThatIsCutOff(t *testing.T) {
	dir := t.TempDir()
	conf, path := filepath.Join(dir, "krb5.conf"), filepath.Join(dir, "cache")
	if err := os.WriteFile(conf, []byte("[libdefaults]\ndefault_realm = BITS.TEST\n"), 0o600); err != nil {
		t.Fatal(err)
	}
	whole := "\x05\x04\x00\x0c\x00\x01\x00\x08\xff\xff\xff\xff\x00\x00\x00\x00\x00\x00\x00\x01\x00\x00\x00\x01\x00\x00\x00\x04TEST\x00\x00\x00\x03joe"
	l := &Login{Environment: map[string]string{"KRB5_CONFIG": conf, "KRB5CCNAME": path}}
	for n := range len(whole) {
		if err := os.WriteFile(path, []byte(whole[:n]), 0o600); err != nil {
			t.Fatal(err)
		}
		c, err := beginNegotiate(l, Challenge{}, Identity{Implicit: true})
		if err == nil {
			_, err = c.next(t.Context(), Challenge{}, demand{host: "localhost"})
		}
		if err == nil || !strings.Contains(err.Error(), "Kerberos") {
			t.Errorf("%d: %v", n, err)
		}
	}
}
