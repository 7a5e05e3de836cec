package tests

import (
	"errors"
	"fmt"
	"io"
	"net/http"
	"os"
	"os/exec"
	"strings"
	"sync"
	"syscall"
	"testing"
	"time"

	"golang.org/x/sys/unix"

	"bits/client/bitstest"
)

// terminal is one with a command at it.
type terminal struct {
	t            *testing.T
	cmd          *exec.Cmd
	outer, inner *os.File

	mu   sync.Mutex
	said strings.Builder
}

// at starts a command at a terminal of its own.
func at(t *testing.T, cmd *exec.Cmd) *terminal {
	t.Helper()
	outer, err := os.OpenFile("/dev/ptmx", os.O_RDWR|unix.O_NOCTTY, 0)
	if err != nil {
		t.Skip(err)
	}
	bitstest.Must(t, unix.IoctlSetPointerInt(int(outer.Fd()), unix.TIOCSPTLCK, 0))
	n, err := unix.IoctlGetInt(int(outer.Fd()), unix.TIOCGPTN)
	bitstest.Must(t, err)
	inner, err := os.OpenFile(fmt.Sprintf("/dev/pts/%d", n), os.O_RDWR|unix.O_NOCTTY, 0)
	bitstest.Must(t, err)
	x := &terminal{t: t, cmd: cmd, outer: outer, inner: inner}
	t.Cleanup(func() { outer.Close(); inner.Close() })
	cmd.Stdin, cmd.Stdout, cmd.Stderr = inner, inner, inner
	cmd.SysProcAttr = &syscall.SysProcAttr{Setsid: true, Setctty: true, Pdeathsig: syscall.SIGKILL}
	bitstest.Must(t, cmd.Start())
	go func() {
		for b := make([]byte, 4096); ; {
			n, err := outer.Read(b)
			x.mu.Lock()
			x.said.Write(b[:n])
			x.mu.Unlock()
			if err != nil {
				return
			}
		}
	}()
	return x
}

func (x *terminal) text() string {
	x.mu.Lock()
	defer x.mu.Unlock()
	return x.said.String()
}

func (x *terminal) echoes() bool {
	x.t.Helper()
	now, err := unix.IoctlGetTermios(int(x.inner.Fd()), unix.TCGETS)
	bitstest.Must(x.t, err)
	return now.Lflag&unix.ECHO != 0
}

// answer waits for a question, and types an answer.
func (x *terminal) answer(question, keys string) {
	x.t.Helper()
	until(x.t, question, func() bool { return strings.Contains(x.text(), question) && !x.echoes() })
	_, err := io.WriteString(x.outer, keys)
	bitstest.Must(x.t, err)
}

// exit waits for the command; the terminal must be as it was.
func (x *terminal) exit(code int) {
	x.t.Helper()
	hangs := time.AfterFunc(time.Minute, func() { x.cmd.Process.Kill() })
	err := x.cmd.Wait()
	hangs.Stop()
	var failed *exec.ExitError
	if got := 0; err != nil && !errors.As(err, &failed) || x.cmd.ProcessState.ExitCode() != code {
		x.t.Errorf("exit code %d, %v, want %d: %s", got, err, code, x.text())
	}
	if !x.echoes() {
		x.t.Error("the terminal has lost its echo")
	}
}

// A password is asked for at a terminal, and not shown there; Ctrl-C leaves the terminal as it was.
func TestPasswordAtTerminal(t *testing.T) {
	t.Parallel()
	s, o := bitstest.Start(t), bitstest.NewOrigin(t)
	o.Page("/f", func(w http.ResponseWriter, r *http.Request) {
		if _, password, _ := r.BasicAuth(); password != planted {
			w.Header().Set("WWW-Authenticate", `Basic realm="r"`)
			w.WriteHeader(http.StatusUnauthorized)
			return
		}
		io.WriteString(w, "there")
	})
	x := at(t, s.Command("get", "-u", "joe", "-o", s.Path("f"), o.Plain+"/f"))
	x.answer("Password of joe: ", planted+"\n")
	x.exit(0)
	if text, err := os.ReadFile(s.Path("f")); err != nil || string(text) != "there" {
		t.Errorf("%q, %v", text, err)
	}
	said := x.text()
	for question, cmd := range map[string]*exec.Cmd{
		"Password of jim: ":                    s.Command("get", "-U", "jim", "-o", s.Path("g"), o.Plain+"/f"),
		"Password of joe at " + o.Plain + ": ": s.Command("login", "--user", "joe", o.Plain),
	} {
		x := at(t, cmd)
		x.answer(question, "half\x03")
		x.exit(130)
		said += x.text()
	}
	if strings.Contains(said, planted) || strings.Contains(said, "half") {
		t.Errorf("the password was shown: %s", said)
	}
	// Two passwords from one standard input, a line each.
	cmd := s.Command("get", "-u", "joe", "--password-file", "-", "-U", "jim", "--proxy-password-file", "-", "-o", s.Path("h"), o.Plain+"/f")
	cmd.Stdin = strings.NewReader(planted + "\r\nother\n")
	if out, err := cmd.CombinedOutput(); err != nil {
		t.Errorf("%v: %s", err, out)
	}
}
