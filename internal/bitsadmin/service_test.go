//go:build unix

package bitsadmin

import (
	"bytes"
	"context"
	"fmt"
	"net"
	"os"
	"path/filepath"
	"strings"
	"testing"

	"bits/client"
	"bits/internal/ipc"
)

// REPAIRSERVICE means the service that the other switches use: that of all users, or at another socket, and not another one that it would
// end.
func TestRepairMeansTheServiceThatHangs(t *testing.T) {
	for _, all := range []bool{false, true} {
		if all && !ipc.Self().Admin {
			t.Skipf("only root has a service of all users; this is user %d", os.Geteuid())
		}
		t.Setenv("BITS_SOCKET", filepath.Join(t.TempDir(), "nobody"))
		path := filepath.Join(t.TempDir(), "s")
		l, err := net.Listen("unix", path) // it takes calls, and never answers
		if err != nil {
			t.Fatal(err)
		}
		defer l.Close()
		var out, said bytes.Buffer
		c := Command{Client: &client.Client{Socket: path, SystemWide: all}, Out: &out, Err: &said}
		c.Run(context.Background(), []string{"/UTIL", "/REPAIRSERVICE"})
		if want := fmt.Sprintf("process %d takes calls", os.Getpid()); !strings.Contains(said.String(), want) {
			t.Errorf("of all users %v: %s%s", all, out.String(), said.String())
		}
	}
}
