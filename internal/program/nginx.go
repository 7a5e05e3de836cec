package program

import (
	"fmt"
	"net"
	"os"
	"os/exec"
	"path/filepath"
	"syscall"
	"testing"
	"time"

	"bits/internal/pki"
)

// Nginx is an nginx of its own.
type Nginx struct {
	Dir  string // its prefix; the folder www in it holds the files
	t    testing.TB
	path string
	cmd  *exec.Cmd
	port int
}

// StartNginx starts an nginx whose configuration is %s in its block http; it answers at the port given when it is ready.
func StartNginx(t testing.TB, port int, servers string) *Nginx {
	t.Helper()
	n := &Nginx{Dir: Dir(t), t: t, path: Need(t, "nginx"), port: port}
	os.Chmod(n.Dir, 0o755)
	must(t, os.MkdirAll(filepath.Join(n.Dir, "www"), 0o755), os.MkdirAll(filepath.Join(n.Dir, "tmp"), 0o777))
	os.Chmod(filepath.Join(n.Dir, "tmp"), 0o777)
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

// Start starts it and waits until it answers.
func (n *Nginx) Start() {
	n.t.Helper()
	n.cmd = exec.Command(n.path, "-p", n.Dir, "-e", filepath.Join(n.Dir, "error.log"), "-c", filepath.Join(n.Dir, "nginx.conf"))
	n.cmd.Stderr = os.Stderr
	n.cmd.SysProcAttr = dieWithParent()
	must(n.t, n.cmd.Start())
	for end := time.Now().Add(10 * time.Second); time.Now().Before(end); time.Sleep(5 * time.Millisecond) {
		if c, err := net.Dial("tcp", fmt.Sprintf("127.0.0.1:%d", n.port)); err == nil {
			c.Close()
			return
		}
	}
	log, _ := os.ReadFile(filepath.Join(n.Dir, "error.log"))
	n.t.Fatalf("nginx does not answer: %s", log)
}

// Kill ends it at once.
func (n *Nginx) Kill() {
	if n.cmd != nil {
		n.cmd.Process.Signal(syscall.SIGKILL)
		n.cmd.Wait()
		n.cmd = nil
	}
}

// File puts a file into its folder, with a time that is an hour old.
func (n *Nginx) File(name string, data []byte) {
	n.t.Helper()
	path := filepath.Join(n.Dir, "www", name)
	temp := path + ".new"
	old := time.Now().Add(-time.Hour)
	must(n.t, os.WriteFile(temp, data, 0o644), os.Chtimes(temp, old, old), os.Rename(temp, path))
}

// Pair writes a certificate and its key, and returns the directives that use them.
func (n *Nginx) Pair(name string, p *pki.Pair) string {
	n.t.Helper()
	cert, key := filepath.Join(n.Dir, name+".crt"), filepath.Join(n.Dir, name+".key")
	must(n.t, os.WriteFile(cert, p.ChainPEM(), 0o644), os.WriteFile(key, p.KeyPEM(), 0o644))
	return fmt.Sprintf("ssl_certificate %s; ssl_certificate_key %s;", cert, key)
}
