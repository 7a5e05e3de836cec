package program

import (
	"fmt"
	"os"
	"os/exec"
	"path/filepath"
	"syscall"
	"testing"
	"time"

	"bits/internal/pki"
)

// WebServer is a real web server in a process of its own.
type WebServer struct {
	Dir  string // its prefix; the folder www in it holds the files
	t    testing.TB
	args []string
	cmd  *exec.Cmd
	port int

	quiet bool // what it writes to its standard error is of no use
}

func newWebServer(t testing.TB, port int) WebServer {
	t.Helper()
	s := WebServer{Dir: Dir(t), t: t, port: port}
	os.Chmod(s.Dir, 0o755)
	must(t, os.MkdirAll(filepath.Join(s.Dir, "www"), 0o755), os.MkdirAll(filepath.Join(s.Dir, "tmp"), 0o777))
	os.Chmod(filepath.Join(s.Dir, "tmp"), 0o777)
	return s
}

// Start starts it and waits until it answers.
func (s *WebServer) Start() {
	s.t.Helper()
	s.cmd = exec.Command(s.args[0], s.args[1:]...)
	if !s.quiet {
		s.cmd.Stderr = os.Stderr
	}
	s.cmd.SysProcAttr = dieWithParent()
	must(s.t, s.cmd.Start())
	if !answers(s.port) {
		log, _ := os.ReadFile(filepath.Join(s.Dir, "error.log"))
		s.t.Fatalf("%s does not answer: %s", s.args[0], log)
	}
}

// Kill ends it at once.
func (s *WebServer) Kill() {
	if s.cmd != nil {
		s.cmd.Process.Signal(syscall.SIGKILL)
		s.cmd.Wait()
		s.cmd = nil
	}
}

// File puts a file into its folder, with a time that is an hour old.
func (s *WebServer) File(name string, data []byte) { s.FileAt(name, data, time.Now().Add(-time.Hour)) }

// FileAt puts a file into its folder, with a time.
func (s *WebServer) FileAt(name string, data []byte, at time.Time) {
	s.t.Helper()
	path := filepath.Join(s.Dir, "www", name)
	temp := path + ".new"
	must(s.t, os.WriteFile(temp, data, 0o644), os.Chtimes(temp, at, at), os.Rename(temp, path))
}

// Nginx is an nginx.
type Nginx struct{ WebServer }

// StartNginx starts an nginx whose configuration is %s in its block http; it answers at the port given when it is ready.
func StartNginx(t testing.TB, port int, servers string) *Nginx {
	t.Helper()
	n := &Nginx{newWebServer(t, port)}
	n.args = []string{Need(t, "nginx"), "-p", n.Dir, "-e", filepath.Join(n.Dir, "error.log"), "-c", filepath.Join(n.Dir, "nginx.conf")}
	n.Configure(servers)
	n.Start()
	t.Cleanup(n.Kill)
	return n
}

// Configure writes the configuration, which counts from the next Start or Reload.
func (n *Nginx) Configure(servers string) {
	temp := ""
	for _, kind := range []string{"client_body", "proxy", "fastcgi", "uwsgi", "scgi"} {
		temp += fmt.Sprintf("%s_temp_path %s/tmp/%s;\n", kind, n.Dir, kind)
	}
	conf := fmt.Sprintf("daemon off;\nmaster_process off;\nworker_processes 1;\npid %[1]s/pid;\nerror_log %[1]s/error.log;\nevents { worker_connections 512; }\nhttp {\naccess_log %[1]s/access.log;\nsendfile on;\nroot %[1]s/www;\n%[2]s\n%[3]s\n}\n", n.Dir, temp, servers)
	must(n.t, os.WriteFile(filepath.Join(n.Dir, "nginx.conf"), []byte(conf), 0o644))
}

// Pair writes a certificate and its key, and returns the directives that use them.
func (n *Nginx) Pair(name string, p *pki.Pair) string {
	n.t.Helper()
	cert, key := filepath.Join(n.Dir, name+".crt"), filepath.Join(n.Dir, name+".key")
	must(n.t, os.WriteFile(cert, p.ChainPEM(), 0o644), os.WriteFile(key, p.KeyPEM(), 0o644))
	return fmt.Sprintf("ssl_certificate %s; ssl_certificate_key %s;", cert, key)
}
