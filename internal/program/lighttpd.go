package program

import (
	"fmt"
	"os"
	"path/filepath"
	"testing"
)

// Lighttpd is a lighttpd.
type Lighttpd struct{ WebServer }

// StartLighttpd starts a lighttpd with some lines of configuration besides those that it needs; it answers at the port given when it is
// ready.
func StartLighttpd(t testing.TB, port int, lines string) *Lighttpd {
	t.Helper()
	l := &Lighttpd{newWebServer(t, port)}
	conf := filepath.Join(l.Dir, "lighttpd.conf")
	text := fmt.Sprintf("server.bind = \"127.0.0.1\"\nserver.port = %[1]d\nserver.document-root = \"%[2]s/www\"\nserver.errorlog = \"%[2]s/error.log\"\nserver.upload-dirs = ( \"%[2]s/tmp\" )\n%[3]s\n", port, l.Dir, lines)
	must(t, os.WriteFile(conf, []byte(text), 0o644))
	l.args = []string{Need(t, "lighttpd"), "-D", "-f", conf}
	l.Start()
	t.Cleanup(l.Kill)
	return l
}

// PythonServer is the server that comes with Python: HTTP/1.0, and no ranges.
type PythonServer struct{ WebServer }

// StartPythonServer starts one; it answers at the port given when it is ready.
func StartPythonServer(t testing.TB, port int) *PythonServer {
	t.Helper()
	p := &PythonServer{newWebServer(t, port)}
	p.args = []string{Need(t, "python3"), "-u", "-m", "http.server", "--bind", "127.0.0.1", "--directory", filepath.Join(p.Dir, "www"), fmt.Sprint(port)}
	p.quiet = true // it logs what it is asked
	p.Start()
	t.Cleanup(p.Kill)
	return p
}
