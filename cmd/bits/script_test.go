package main

import (
	"context"
	"errors"
	"net/http"
	"os"
	"os/exec"
	"path/filepath"
	"strconv"
	"testing"
	"time"

	"github.com/rogpeppe/go-internal/testscript"

	"bits/client"
	"bits/client/bitstest"
	"bits/internal/program"
)

func TestMain(m *testing.M) {
	testscript.Main(m, map[string]func(){"bits": main, "bitsadmin": main})
}

// TestScripts runs the command lines of testdata/script, each against a service and an origin of its own.
// The environment: URL (https) and PLAIN (http) of the origin, CACERT, and the folders of the service.
func TestScripts(t *testing.T) {
	testscript.Run(t, testscript.Params{
		Dir: "testdata/script",
		Setup: func(env *testscript.Env) error {
			o := bitstest.NewOrigin(env.T().(testing.TB))
			o.File("/file", bitstest.Content(1, 300_000))
			o.File("/small", []byte("hello\n"))
			o.File("/dir/", []byte("index\n"))
			o.File("/n\xff\xfeä", []byte("hello\n"))
			o.Page("/broken", func(w http.ResponseWriter, _ *http.Request) { w.WriteHeader(http.StatusServiceUnavailable) })
			o.Page("/header", func(w http.ResponseWriter, r *http.Request) {
				w.Write([]byte(r.Header.Get("X-Secret") + r.Header.Get("Authorization")))
			})
			o.Page("/login", func(w http.ResponseWriter, r *http.Request) {
				if user, password, _ := r.BasicAuth(); user != "joe" || password != "secret" {
					w.Header().Set("WWW-Authenticate", `Basic realm="vault"`)
					w.WriteHeader(http.StatusUnauthorized)
				}
			})
			slow := func(w http.ResponseWriter, r *http.Request) {
				for range 1000 {
					w.Write(make([]byte, 1000))
					w.(http.Flusher).Flush()
					select {
					case <-time.After(10 * time.Millisecond):
					case <-r.Context().Done():
						return
					}
				}
			}
			o.Page("/endless", slow)
			o.Page("/slow", func(w http.ResponseWriter, r *http.Request) {
				w.Header().Set("Content-Length", "1000000")
				slow(w, r)
			})
			run := program.Dir(env.T().(testing.TB))
			for name, value := range map[string]string{
				"URL": o.URL, "PLAIN": o.Plain, "CACERT": filepath.Join(env.WorkDir, "ca.pem"), "HOME": env.WorkDir,
				"BYTES":          "\xff\xfe",
				"BITS_STATE_DIR": filepath.Join(env.WorkDir, "state"), "BITS_SOCKET": filepath.Join(run, "r", "s"),
			} {
				env.Setenv(name, value)
			}
			service := &client.Client{Socket: filepath.Join(run, "r", "s")}
			env.Defer(func() { service.Do(context.Background(), "POST", "/system/stop", nil, nil) })
			return errors.Join(
				os.WriteFile(filepath.Join(env.WorkDir, "ca.pem"), o.Roots(), 0o600),
				os.WriteFile(filepath.Join(env.WorkDir, "file.want"), bitstest.Content(1, 300_000), 0o600),
			)
		},
		Cmds: map[string]func(*testscript.TestScript, bool, []string){
			// exits CODE COMMAND...: the command ends with this code.
			"exits": func(ts *testscript.TestScript, neg bool, args []string) {
				code := 0
				var exit *exec.ExitError
				if err := ts.Exec(args[1], args[2:]...); errors.As(err, &exit) {
					code = exit.ExitCode()
				} else if err != nil {
					ts.Fatalf("%v", err)
				}
				if got := strconv.Itoa(code); got != args[0] {
					ts.Fatalf("exit code %s, want %s", got, args[0])
				}
			},
			// setout NAME: sets a variable to the last standard output, without its final line break.
			"setout": func(ts *testscript.TestScript, neg bool, args []string) {
				text := ts.ReadFile("stdout")
				for len(text) > 0 && text[len(text)-1] == '\n' {
					text = text[:len(text)-1]
				}
				ts.Setenv(args[0], text)
			},
			// short NAME: cuts a variable to eight characters.
			"short": func(ts *testscript.TestScript, neg bool, args []string) { ts.Setenv(args[0], ts.Getenv(args[0])[:8]) },
			// mode FILE OCTAL: checks the mode of a file.
			"mode": func(ts *testscript.TestScript, neg bool, args []string) {
				info, err := os.Stat(ts.MkAbs(args[0]))
				if err != nil || strconv.FormatUint(uint64(info.Mode().Perm()), 8) != args[1] {
					ts.Fatalf("mode %o (%v), want %s", info.Mode().Perm(), err, args[1])
				}
			},
		},
	})
}
