package bitstest

import (
	"fmt"
	"os"
	"path/filepath"
	"testing"
)

// Apache is an Apache httpd.
type Apache struct{ WebServer }

// StartApache starts an httpd with some directives besides those that it needs; it answers at the port given when it is ready.
func StartApache(t testing.TB, port int, directives string) *Apache {
	t.Helper()
	a := &Apache{newWebServer(t, port)}
	program := Need(t, "apache2")
	modules := ""
	for _, name := range []string{"mpm_event", "authz_core"} {
		if path := filepath.Join("/usr/lib/apache2/modules", "mod_"+name+".so"); isThere(path) {
			modules += fmt.Sprintf("LoadModule %s_module %s\n", name, path)
		}
	}
	user := ""
	if os.Geteuid() == 0 {
		user = "User nobody\nGroup nogroup\n"
	}
	conf := fmt.Sprintf("%[1]s%[2]sServerRoot %[3]s\nDefaultRuntimeDir %[3]s/tmp\nPidFile %[3]s/pid\nServerName localhost\nListen 127.0.0.1:%[4]d\nErrorLog %[3]s/error.log\nDocumentRoot %[3]s/www\n%[5]s\n", modules, user, a.Dir, port, directives)
	Must(t, os.WriteFile(filepath.Join(a.Dir, "httpd.conf"), []byte(conf), 0o644))
	a.args = []string{program, "-X", "-d", a.Dir, "-f", filepath.Join(a.Dir, "httpd.conf")} // -X: one process, which ends when it is killed
	a.Start()
	t.Cleanup(a.Kill)
	return a
}

func isThere(path string) bool {
	_, err := os.Stat(path)
	return err == nil
}
