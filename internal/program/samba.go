package program

import (
	"fmt"
	"os"
	"os/exec"
	"path/filepath"
	"strings"
	"testing"
)

// Samba is an smbd: the share "open" for guests, and "closed" for a user; both are its folder www.
type Samba struct{ WebServer }

// StartSamba starts an smbd at a port, with a user of a name and a password, who is the account that runs the test. Lines of its
// configuration may be added.
func StartSamba(t testing.TB, port int, password string, lines ...string) *Samba {
	t.Helper()
	s := &Samba{newWebServer(t, port)}
	program, tool := Need(t, "smbd"), Need(t, "smbpasswd")
	if os.Geteuid() != 0 {
		t.Skipf("smbd needs root to change its user; this is user %d", os.Geteuid())
	}
	conf := filepath.Join(s.Dir, "smb.conf")
	must(t, os.MkdirAll(filepath.Join(s.Dir, "private"), 0o700), os.WriteFile(conf, fmt.Appendf(nil, `[global]
server role = standalone server
interfaces = 127.0.0.1
bind interfaces only = yes
smb ports = %[2]d
disable netbios = yes
load printers = no
map to guest = bad user
guest account = nobody
log file = %[1]s/error.log
pid directory = %[1]s/tmp
lock directory = %[1]s/tmp
state directory = %[1]s/tmp
cache directory = %[1]s/tmp
private dir = %[1]s/private
passdb backend = smbpasswd:%[1]s/private/passwd
ncalrpc dir = %[1]s/tmp/nc
%[3]s
[open]
path = %[1]s/www
guest ok = yes
[closed]
path = %[1]s/www
valid users = root
`, s.Dir, port, strings.Join(lines, "\n")), 0o644))
	add := exec.Command(tool, "-c", conf, "-s", "-a", "root")
	add.Stdin = strings.NewReader(password + "\n" + password + "\n")
	if out, err := add.CombinedOutput(); err != nil {
		t.Fatalf("%v: %s", err, out)
	}
	s.args = []string{program, "-F", "--no-process-group", "-s", conf}
	s.Start()
	t.Cleanup(s.Kill)
	return s
}

// Kill ends it and the processes that serve its connections.
func (s *Samba) Kill() {
	if s.cmd != nil {
		killChildren(s.cmd.Process.Pid)
	}
	s.WebServer.Kill()
}
