//go:build unix

package conformance

import (
	"bytes"
	"os"
	"os/exec"
	"path/filepath"
	"syscall"
	"testing"

	"bits/client/bitstest"
	"bits/internal/program"
)

// Rows of an ordinary user are run by one, in a process of his.
func TestOrdinaryUser(t *testing.T) {
	if os.Getuid() != 0 {
		t.Skipf("this is user %d, an ordinary one: TestConformance has shown it", os.Getuid())
	}
	t.Parallel()
	dir := program.Dir(t)
	test, folder := filepath.Join(dir, "test"), filepath.Join(dir, "rows")
	bitstest.Must(t, os.Chmod(dir, 0o755), os.CopyFS(filepath.Join(folder, "testdata"), os.DirFS("testdata")))
	program.Copy(t, test)
	cmd := exec.Command(test, "-test.run", "^TestConformance$", "-test.count=1", "-test.v")
	cmd.Dir, cmd.Env = folder, append(os.Environ(), "BITS_CONFORMANCE=ordinary", "HOME="+folder)
	cmd.SysProcAttr = &syscall.SysProcAttr{Credential: &syscall.Credential{Uid: 65534, Gid: 65534}}
	out, err := cmd.CombinedOutput()
	if err != nil {
		t.Errorf("%v\n%s", err, out)
	}
	n := 0
	for _, r := range all(t) {
		if r.marks["user"] == "ordinary" {
			n++
		}
	}
	if passed := count(out, "        --- PASS"); n == 0 || passed < n {
		t.Errorf("%d rows of an ordinary user, and %d tests passed: %s", n, passed, out)
	}
}

func count(out []byte, what string) int { return bytes.Count(out, []byte(what)) }
