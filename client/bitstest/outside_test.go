package bitstest_test

import (
	"fmt"
	"os"
	"os/exec"
	"path/filepath"
	"testing"

	"bits/client/bitstest"
)

// The kit serves a module that is not ours: the example of an application, with its tests, in a module of its own.
func TestOutside(t *testing.T) {
	t.Parallel()
	root, err := filepath.Abs("../..")
	bitstest.Must(t, err)
	dir := t.TempDir()
	sums, err := os.ReadFile(filepath.Join(root, "go.sum"))
	bitstest.Must(t, err,
		os.CopyFS(dir, os.DirFS(filepath.Join(root, "examples", "updater"))),
		os.WriteFile(filepath.Join(dir, "go.sum"), sums, 0o600),
		os.WriteFile(filepath.Join(dir, "go.mod"), fmt.Appendf(nil, "module example.com/mine\n\ngo 1.26.0\n\nrequire bits v0.0.0\n\nreplace bits => %s\n", root), 0o600))
	cmd := exec.Command("go", "test", "-count=1", ".")
	cmd.Dir = dir
	cmd.Env = append(os.Environ(), "GOFLAGS=-mod=mod", "GOWORK=off")
	if out, err := cmd.CombinedOutput(); err != nil {
		t.Errorf("%v: %s", err, out)
	}
}
