//go:build unix

package launch_test

import (
	"context"
	"fmt"
	"os"
	"path/filepath"
	"strings"
	"syscall"
	"testing"
	"time"

	"bits"
	"bits/client"
	"bits/client/bitstest"
	"bits/hresult"
	"bits/internal/cli"
	"bits/internal/console"
	"bits/internal/ipc"
	"bits/internal/launch"
	"bits/internal/program"
)

// TestMain is also what is started as the service: the program itself, or, with LAUNCH_SAYS, something that is none.
func TestMain(m *testing.M) {
	if text := os.Getenv("LAUNCH_SAYS"); text != "" && len(os.Args) > 1 && os.Args[1] == "daemon" {
		fmt.Println(text)
		time.Sleep(time.Minute)
		return
	}
	if len(os.Args) > 1 && os.Args[1] == "daemon" {
		os.Exit(cli.Main(context.Background(), os.Args[1:], console.Streams{In: os.Stdin, Out: os.Stdout, Err: os.Stderr}))
	}
	os.Exit(m.Run())
}

// connect connects in a new folder.
func connect(t *testing.T, dir string, patience time.Duration) error {
	t.Helper()
	t.Setenv("BITS_STATE_DIR", filepath.Join(dir, "state"))
	t.Setenv("BITS_SOCKET", filepath.Join(dir, "run", "s"))
	c := &client.Client{}
	return launch.Service{Client: c, Patience: patience, Note: t.Logf}.Connect(context.Background())
}

// unavailable checks that the error says what is wrong and what to do, with the code of a service that cannot be reached.
func unavailable(t *testing.T, err error, message, hint string) {
	t.Helper()
	if err == nil {
		t.Fatalf("no error, want %q", message)
	}
	e := bits.AsError(err)
	if e.Code != hresult.RPC_S_SERVER_UNAVAILABLE || e.Code.Exit() != 5 || !strings.Contains(e.Message, message) || !strings.Contains(e.Hint, hint) {
		t.Errorf("%v (%v, try: %s), want %q, %q", err, e.Code, e.Hint, message, hint)
	}
}

// What is started and is no service is ended, and waited for no longer than it takes to see that.
func TestStrangeFirstLine(t *testing.T) {
	t.Setenv("LAUNCH_SAYS", "hello")
	begin := time.Now()
	unavailable(t, connect(t, program.Dir(t), time.Minute), `its first word was "hello\n"`, "daemon.log")
	if took := time.Since(begin); took > 40*time.Second {
		t.Errorf("it took %v", took)
	}
}

// A service that is stopped takes connections and never answers: that is said, with its process.
func TestSilentService(t *testing.T) {
	dir := program.Dir(t)
	bitstest.Must(t, connect(t, dir, time.Minute))
	c := &client.Client{}
	system, err := c.System(context.Background())
	bitstest.Must(t, err, syscall.Kill(system.PID, syscall.SIGSTOP))
	defer func() {
		syscall.Kill(system.PID, syscall.SIGCONT)
		bitstest.Must(t, c.Do(context.Background(), "POST", "/system/stop", nil, nil))
	}()
	// The signal stops it soon, not at once.
	for stat := ""; !strings.Contains(stat, ") T "); time.Sleep(time.Millisecond) {
		text, err := os.ReadFile(fmt.Sprintf("/proc/%d/stat", system.PID))
		if os.IsNotExist(err) {
			time.Sleep(time.Second) // a system without /proc
			break
		}
		stat = string(text)
	}
	unavailable(t, connect(t, dir, time.Second), "it has not answered for 1s", fmt.Sprintf("its process, %d,", system.PID))
}

// The state folder is held by a service that this socket does not lead to.
func TestHeldState(t *testing.T) {
	dir := program.Dir(t)
	bitstest.Must(t, os.Mkdir(filepath.Join(dir, "state"), 0o700))
	unlock, err := ipc.Lock(filepath.Join(dir, "state", "lock"))
	bitstest.Must(t, err)
	defer unlock()
	unavailable(t, connect(t, dir, time.Second), "another one holds the state folder", "end that one")
}
