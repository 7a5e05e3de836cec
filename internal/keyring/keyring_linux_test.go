package keyring

import (
	"context"
	"errors"
	"net"
	"os"
	"os/exec"
	"path/filepath"
	"slices"
	"strings"
	"syscall"
	"testing"
	"time"
)

func TestBuses(t *testing.T) {
	t.Setenv("XDG_RUNTIME_DIR", "/r")
	for _, c := range []struct{ job, own, want string }{
		{"", "", "/r/bus"},
		{"unix:path=/a%20b,guid=1", "", "/a b /r/bus"},
		{"unix:abstract=/x;unix:path=/y", "unix:path=/z", "@/x /y /z /r/bus"},
		{"unix:path=/r/bus", "unix:path=/r/bus", "/r/bus"},
		{"unixexec:path=/bin/sh,argv1=-c", "tcp:host=127.0.0.1,port=1", "/r/bus"}, // nothing is started, nobody else asked
		{"autolaunch:", "unix:path=%zz", "/r/bus"},
	} {
		t.Setenv(variable, c.own)
		if got := strings.Join(buses(map[string]string{variable: c.job}), " "); got != c.want {
			t.Errorf("%+v: %s", c, got)
		}
	}
}

// Where there is no bus, no keyring, and where the bus is somebody else's, that is said; and nothing hangs where nobody answers.
func TestNoKeyring(t *testing.T) {
	dir := t.TempDir()
	t.Setenv("XDG_RUNTIME_DIR", dir)
	t.Setenv(variable, "")
	_, err := Get(context.Background(), nil, "https://a:443")
	if err == nil || !strings.Contains(err.Error(), "cannot read the keyring: this session has no bus") {
		t.Errorf("%v", err)
	}
	silent, err := net.Listen("unix", filepath.Join(dir, "silent"))
	if err != nil {
		t.Fatal(err)
	}
	defer silent.Close()
	ctx, cancel := context.WithTimeout(context.Background(), 100*time.Millisecond)
	defer cancel()
	if err := Set(ctx, map[string]string{variable: "unix:path=" + filepath.Join(dir, "silent")}, "https://a:443", Login{}); err == nil || !errors.Is(ctx.Err(), context.DeadlineExceeded) {
		t.Errorf("%v", err)
	}
	if os.Geteuid() != 0 {
		t.Skip("only root can start a bus of another user")
	}
	program, err := exec.LookPath("dbus-daemon")
	if err != nil && os.Getenv("BITS_TEST_ALL") != "" {
		t.Fatal(err) // .ci/test installs it
	} else if err != nil {
		t.Skip(err)
	}
	os.Chmod(filepath.Dir(dir), 0o755)
	os.Chmod(dir, 0o777)
	for uid, want := range map[uint32]string{65534: "is that of the user 65534, and this is the user 0", 0: "there is none in this session: nothing answers as org.freedesktop.secrets"} {
		path := filepath.Join(dir, "bus")
		conf := filepath.Join(dir, "conf")
		text := `<!DOCTYPE busconfig PUBLIC "-//freedesktop//DTD D-Bus Bus Configuration 1.0//EN" "http://www.freedesktop.org/standards/dbus/1.0/busconfig.dtd">
<busconfig><type>session</type><listen>unix:path=` + path + `</listen><policy context="default"><allow send_destination="*" eavesdrop="true"/><allow eavesdrop="true"/><allow own="*"/><allow user="*"/></policy></busconfig>`
		if err := os.WriteFile(conf, []byte(text), 0o644); err != nil {
			t.Fatal(err)
		}
		cmd := exec.Command(program, "--config-file="+conf, "--nofork", "--print-address=1")
		cmd.SysProcAttr = &syscall.SysProcAttr{Credential: &syscall.Credential{Uid: uid, Gid: uid}, Pdeathsig: syscall.SIGKILL}
		out, err := cmd.StdoutPipe()
		if err != nil || cmd.Start() != nil {
			t.Fatal(err)
		}
		out.Read(make([]byte, 100)) // its address: it is ready
		_, err = Delete(context.Background(), nil, "https://a:443")
		if err == nil || !strings.Contains(err.Error(), want) {
			t.Errorf("%d: %v", uid, err)
		}
		cmd.Process.Kill()
		cmd.Wait()
		os.Remove(path)
	}
	if !slices.Contains(buses(nil), filepath.Join(dir, "bus")) {
		t.Error("the bus was not looked for")
	}
}
