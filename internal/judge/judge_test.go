//go:build unix

package judge

import (
	"bytes"
	"context"
	"errors"
	"fmt"
	"os"
	"os/exec"
	"path/filepath"
	"strconv"
	"strings"
	"syscall"
	"testing"
	"time"

	"bits"
	"bits/hresult"
)

func question() bits.Question {
	return bits.Question{
		Job: "j", URL: "https://a/b", Endpoint: "a:443", Chain: [][]byte{{1}}, Deadline: time.Now().Add(30 * time.Second),
		Facts: bits.Certificate{Subject: "CN=a\n\x1b[2J\u202e", Issuer: "CN=b\x00c"},
	}
}

// ask asks a line of shell, and returns what was said of it.
func ask(ctx context.Context, line string, q bits.Question) (said string, err error) {
	var notes bytes.Buffer
	c := &Command{Args: Shell(line), Err: os.Stderr, Note: func(format string, args ...any) { fmt.Fprintf(&notes, format+"\n", args...) }}
	err = c.ValidateServerCertificate(ctx, q)
	c.Wait()
	return notes.String(), err
}

func TestVerdicts(t *testing.T) {
	for _, c := range []struct {
		line, said string
		code       hresult.Code
	}{
		{"grep -q BEGIN", "accepted the certificate of a:443 (CN=a??[2J?)\n", 0},
		// What stands in a certificate brings no control character into the environment.
		{`test "$BITS_SUBJECT|$BITS_ISSUER" = "CN=a??[2J?|CN=b?c"`, "accepted the certificate of a:443 (CN=a??[2J?)\n", 0},
		{"exit 3", "declined the certificate of a:443 (CN=a??[2J?): exit status 3 (0x80004005)\n", hresult.E_FAIL},
		{"echo no 0x80041234; exit 1", "declined the certificate of a:443 (CN=a??[2J?): exit status 1 (0x80041234)\n", 0x80041234},
		// A success code is no decline of its own.
		{"echo 0; exit 1", "declined the certificate of a:443 (CN=a??[2J?): exit status 1 (0x80004005)\n", hresult.E_FAIL},
	} {
		said, err := ask(t.Context(), c.line, question())
		if said != c.said || err != nil && bits.AsError(err).Code != c.code || (err == nil) != (c.code == 0) {
			t.Errorf("%s: %q, %v", c.line, said, err)
		}
	}
}

// The end of the context and of the question are no verdicts, and leave no process behind.
func TestEnds(t *testing.T) {
	pids := filepath.Join(t.TempDir(), "pids")
	line := "sleep 60 & echo $! > " + pids + "; wait"
	late := question()
	late.Deadline = time.Now().Add(500 * time.Millisecond)
	soon, cancel := context.WithTimeout(t.Context(), 500*time.Millisecond)
	defer cancel()
	for want, run := range map[error]func() (string, error){
		context.DeadlineExceeded: func() (string, error) { return ask(t.Context(), line, late) },
		context.Canceled: func() (string, error) {
			ctx, cancel := context.WithCancel(t.Context())
			context.AfterFunc(soon, cancel)
			return ask(ctx, line, question())
		},
	} {
		said, err := run()
		if said != "" || !errors.Is(err, want) {
			t.Errorf("%q, %v, want %v", said, err, want)
		}
		text, err := os.ReadFile(pids)
		if err != nil {
			t.Fatal(err)
		}
		pid, err := strconv.Atoi(strings.TrimSpace(string(text)))
		if err != nil {
			t.Fatal(err)
		}
		for end := time.Now().Add(10 * time.Second); syscall.Kill(pid, 0) == nil && !zombie(pid); time.Sleep(5 * time.Millisecond) {
			if time.Now().After(end) {
				t.Fatalf("process %d is left", pid)
			}
		}
	}
}

// zombie reports whether nothing but an entry is left of a process.
func zombie(pid int) bool {
	out, _ := exec.Command("ps", "-o", "stat=", "-p", strconv.Itoa(pid)).Output()
	return strings.HasPrefix(strings.TrimSpace(string(out)), "Z")
}

// What Typed gives is the same command when a shell has read it.
func TestTyped(t *testing.T) {
	for _, line := range []string{`echo "it's $HOME; > x"`, `a 'b' c`, "two\nlines", `\`, ``} {
		out, err := exec.Command("/bin/sh", "-c", "printf '%s|' "+Typed(line)).Output()
		if want := "sh|-c|" + line + "|"; err != nil || string(out) != want {
			t.Errorf("%q became %q, %v", line, out, err)
		}
	}
}
