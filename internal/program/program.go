// Package program runs programs for tests: this one, as the test's own executable, and those of others that must be installed.
//
// A test that imports it becomes the program bits when a [Command] of it starts.
package program

import (
	"context"
	"errors"
	"fmt"
	"io"
	"math/rand/v2"
	"net"
	"os"
	"os/exec"
	"path/filepath"
	"sync"
	"testing"
	"time"

	"bits/internal/cli"
	"bits/internal/console"
)

// marker is the environment variable that makes an executable the program: to the end, or, if it is tied, at most until its standard
// input ends, which it does with the test however that ends.
const marker, tied = "BITS_TEST_PROGRAM", "tied"

// Here, and not in a TestMain: one that is forgotten would run all the tests again, in each process that they start.
func init() {
	role := os.Getenv(marker)
	if role == "" {
		return
	}
	if role == tied {
		go func() {
			io.Copy(io.Discard, os.Stdin)
			os.Exit(1)
		}()
	}
	os.Exit(cli.Main(context.Background(), os.Args[1:], console.Streams{In: os.Stdin, Out: os.Stdout, Err: os.Stderr}))
}

// Command is a command of the program bits, as a process of its own, against the service whose folder is dir.
func Command(dir string, args ...string) *exec.Cmd {
	path, err := os.Executable()
	if err != nil {
		path = "/proc/self/exe"
	}
	cmd := exec.Command(path, args...)
	cmd.Env = append(Env(dir), marker+"=1")
	return cmd
}

// Tied is a Command that ends with the test.
// Closing the pipe, its standard input, kills it too.
func Tied(dir string, args ...string) (*exec.Cmd, io.Closer, error) {
	cmd := Command(dir, args...)
	cmd.Env = append(cmd.Env, marker+"="+tied)
	pipe, err := cmd.StdinPipe()
	return cmd, pipe, err
}

// Env is the environment of programs that use the service whose folder is dir.
func Env(dir string) []string {
	return append(os.Environ(), "BITS_STATE_DIR="+filepath.Join(dir, "state"), "BITS_SOCKET="+Socket(dir))
}

// Socket is the path of that service's socket.
func Socket(dir string) string { return filepath.Join(dir, "run", "s") }

// Patience is how long is waited for anything before a test fails: for what comes at once, on a machine with much else to do.
const Patience = time.Minute

// Until looks until something is so, for as long as [Patience], and reports whether it is.
// It looks ever less often: each look takes from the processors what it waits for.
func Until(is func() bool) bool {
	pause := time.Millisecond
	for end := time.Now().Add(Patience); !is(); pause = min(pause*5/4, 20*time.Millisecond) {
		if time.Now().After(end) {
			return false
		}
		time.Sleep(pause)
	}
	return true
}

// answers waits until something takes connections at a port of loopback.
func answers(port int) bool {
	return Until(func() bool {
		c, err := net.Dial("tcp", fmt.Sprintf("127.0.0.1:%d", port))
		if err == nil {
			c.Close()
		}
		return err == nil
	})
}

// Dir is a new folder with a short path, for sockets, that is removed at the end of the test.
func Dir(t testing.TB) string {
	t.Helper()
	dir, err := os.MkdirTemp("", "bt")
	must(t, err)
	t.Cleanup(func() { os.RemoveAll(dir) })
	return dir
}

// Need skips the test if a program, or a file with its whole path, is not there; where the test script has installed all, that is a failure.
func Need(t testing.TB, program string) string {
	t.Helper()
	if _, err := os.Stat(program); filepath.IsAbs(program) && err == nil {
		return program
	}
	for _, dir := range append(filepath.SplitList(os.Getenv("PATH")), "/usr/sbin", "/sbin", "/opt/homebrew/bin") {
		if path := filepath.Join(dir, program); isProgram(path) {
			return path
		}
	}
	if os.Getenv("BITS_TEST_ALL") != "" {
		t.Fatalf("%s is not installed", program)
	}
	t.Skipf("%s is not installed; .ci/test installs it", program)
	return ""
}

func isProgram(path string) bool {
	info, err := os.Stat(path)
	return err == nil && info.Mode().IsRegular() && info.Mode()&0o111 != 0
}

// Copy puts a copy of the test's own executable at a path, for users who may not go where it is.
// Another process makes it: what this one has open to write, a process that a test beside starts has too, and it could not be run.
func Copy(t testing.TB, path string) {
	t.Helper()
	self, err := os.Executable()
	must(t, err, exec.Command("cp", self, path).Run(), os.Chmod(path, 0o755))
}

// Port is a port of loopback that is free now, and was given to nobody before.
// It lies below those that the system gives to outgoing connections, which could take it before its server does.
func Port(t testing.TB) int {
	t.Helper()
	for range 1000 {
		port := 10_000 + rand.N(20_000)
		l, err := net.Listen("tcp", fmt.Sprintf("127.0.0.1:%d", port))
		if err != nil {
			continue
		}
		l.Close()
		if _, given := ports.LoadOrStore(port, true); !given {
			return port
		}
	}
	t.Fatal("no port of loopback is free")
	return 0
}

var ports sync.Map

func must(t testing.TB, errs ...error) {
	t.Helper()
	if err := errors.Join(errs...); err != nil {
		t.Fatal(err)
	}
}
