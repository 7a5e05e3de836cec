//go:build unix

package fileserver

import (
	"path/filepath"
	"syscall"
	"testing"

	"bits"
	"bits/hresult"
)

// What is no file is not opened, and keeps nobody waiting.
func TestNoFiles(t *testing.T) {
	pipe := filepath.Join(t.TempDir(), "pipe")
	if err := syscall.Mkfifo(pipe, 0o600); err != nil {
		t.Fatal(err)
	}
	for _, path := range []string{pipe, "/dev/zero", "/dev/tty"} {
		if _, err := ask(t, server(t), "GET", "file://"+path); bits.AsError(err).Code != hresult.E_ACCESSDENIED {
			t.Errorf("%s: %v", path, err)
		}
	}
}
