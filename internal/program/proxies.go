package program

import (
	"fmt"
	"os"
	"path/filepath"
	"testing"
)

// Squid is a squid, an HTTP proxy.
type Squid struct{ WebServer }

// StartSquid starts a squid with some directives besides those that it needs; it answers at the port given when it is ready.
// Names below .test are those of hosts: lines of a hosts file.
func StartSquid(t testing.TB, port int, hosts, directives string) *Squid {
	t.Helper()
	s := &Squid{newWebServer(t, port)}
	program := Need(t, "squid")
	path := filepath.Join(s.Dir, "hosts")
	must(t, os.WriteFile(path, []byte(hosts), 0o644))
	os.Chmod(s.Dir, 0o777) // squid changes its user
	conf := fmt.Sprintf("http_port 127.0.0.1:%[1]d\npid_filename none\naccess_log stdio:%[2]s/access.log\ncache_log %[2]s/error.log\ncache deny all\ncoredump_dir %[2]s\nhosts_file %[2]s/hosts\nshutdown_lifetime 0 seconds\npinger_enable off\nbuffered_logs off\n%[3]s\nhttp_access allow all\n", port, s.Dir, directives)
	must(t, os.WriteFile(filepath.Join(s.Dir, "squid.conf"), []byte(conf), 0o644))
	s.args = []string{program, "-N", "-f", filepath.Join(s.Dir, "squid.conf")}
	s.Start()
	t.Cleanup(s.Kill)
	return s
}

// Log is its access log.
func (s *Squid) Log() string {
	text, _ := os.ReadFile(filepath.Join(s.Dir, "access.log"))
	return string(text)
}

// StartSOCKS starts a microsocks, a SOCKS 5 server; with a user it wants the login.
func StartSOCKS(t testing.TB, port int, user, password string) {
	t.Helper()
	s := newWebServer(t, port)
	s.quiet = true // it tells of each connection
	s.args = []string{Need(t, "microsocks"), "-i", "127.0.0.1", "-p", fmt.Sprint(port)}
	if user != "" {
		s.args = append(s.args, "-u", user, "-P", password)
	}
	s.Start()
	t.Cleanup(s.Kill)
}
