package daemon

import (
	"context"
	"fmt"
	"net/http"
	"net/http/httptest"
	"net/url"
	"os"
	"path/filepath"
	"strings"
	"testing"

	"bits"
	"bits/hresult"
	"bits/internal/certcheck"
	"bits/internal/ipc"
	"bits/internal/proxy"
)

// What a server or a network says leads to no file of this machine, and a service of root reads none of another user for a script.
func TestScriptsReadNoFiles(t *testing.T) {
	path := filepath.Join(t.TempDir(), "secret")
	if err := os.WriteFile(path, []byte("function FindProxyForURL() { return 'DIRECT' }"), 0o600); err != nil {
		t.Fatal(err)
	}
	w := newWays(certcheck.NewCRLCache(t.TempDir()))
	away := httptest.NewServer(http.RedirectHandler("file://"+path, http.StatusFound))
	defer away.Close()
	if s, err := w.fetch(context.Background(), &bits.Job{Owner: ipc.Self().Owner}, away.URL); err == nil {
		t.Errorf("a redirect has made it read %q", s.source)
	}
	if !ipc.Self().Admin {
		t.Skipf("only root has users whose files he may not touch; this is user %d", os.Geteuid())
	}
	secure := httptest.NewTLSServer(http.NotFoundHandler())
	defer secure.Close()
	other := &bits.Job{Owner: "unix:54321", Secrets: bits.Secrets{Environment: map[string]string{"SSL_CERT_FILE": path}}}
	if _, err := w.fetch(context.Background(), other, secure.URL); err == nil || bits.AsError(err).Code != hresult.E_NOTIMPL || strings.Contains(err.Error(), path) {
		t.Errorf("of another user: %v", err)
	}
}

// lines are those that a log has got.
type lines []string

func (l *lines) Log(kind string, _ int, format string, args ...any) {
	*l = append(*l, kind+" "+fmt.Sprintf(format, args...))
}

// What a network or a script has decided is in the log of the job, once for each server, also when no proxy is used.
func TestLoggedRoute(t *testing.T) {
	via := &url.URL{Scheme: "http", Host: "proxy.test:1", User: url.UserPassword("ann", "secret")}
	choices := map[string]proxy.Choice{
		"a.test": {Route: []*url.URL{nil}, Why: []string{"no script was found"}},
		"b.test": {Route: []*url.URL{via}, Why: []string{"the script says so"}},
	}
	for asks, want := range map[bool]string{
		true:  "proxy a.test: no script was found|proxy a.test is reached directly|proxy b.test: the script says so|proxy b.test is reached through the proxy http://proxy.test:1",
		false: "proxy b.test is reached through the proxy http://proxy.test:1",
	} {
		var log lines
		route := loggedRoute(&log, func() int { return 0 }, asks, func(_ context.Context, u *url.URL) (proxy.Choice, error) { return choices[u.Host], nil })
		for _, host := range []string{"a.test", "b.test", "a.test", "b.test"} {
			route(context.Background(), &url.URL{Scheme: "http", Host: host})
		}
		if got := strings.Join(log, "|"); got != want {
			t.Errorf("%v: %s", asks, got)
		}
	}
}
