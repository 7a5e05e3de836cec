//go:build unix

package tests

import (
	"crypto/tls"
	"crypto/x509"
	"fmt"
	"net"
	"net/http"
	"net/http/httptest"
	"os"
	"os/exec"
	"path/filepath"
	"strings"
	"sync"
	"testing"
	"time"

	"bits"
	"bits/client/bitstest"
	"bits/hresult"
	"bits/internal/pki"
	"bits/internal/program"
)

// overheard is a proxy that writes down what it is asked, and with a login.
type overheard struct {
	proxy
	wants bool // a login

	mu    sync.Mutex
	heard []string
}

func (w *overheard) ServeHTTP(rw http.ResponseWriter, r *http.Request) {
	what := r.Method
	login := r.Header.Get("Proxy-Authorization") != ""
	if login {
		what += " login"
	}
	w.mu.Lock()
	w.heard = append(w.heard, what)
	w.mu.Unlock()
	if w.wants && !login {
		rw.Header().Set("Proxy-Authenticate", `Basic realm="p"`)
		rw.WriteHeader(http.StatusProxyAuthRequired)
		return
	}
	w.proxy.ServeHTTP(rw, r)
}

func (w *overheard) text() string {
	w.mu.Lock()
	defer w.mu.Unlock()
	return strings.Join(w.heard, "|")
}

// Revocation lists come by the way of the bytes: through proxies that want a login, by the next one where one is dead, and over TLS with the
// authorities of the job. A proxy is shown the login when it asks, and one over TLS not before its own lists were seen.
func TestListsThroughProxies(t *testing.T) {
	t.Parallel()
	helper := program.Need(t, "/usr/lib/squid/basic_ncsa_auth")
	s, root, dir := bitstest.Start(t), pki.Root("root"), program.Dir(t)
	os.Chmod(dir, 0o777)
	hash, err := exec.Command(program.Need(t, "openssl"), "passwd", "-apr1", planted).Output()
	bitstest.Must(t, err)
	squid, dead := program.Port(t), program.Port(t)
	log := program.StartSquid(t, squid, "127.0.0.1 "+hostname+"\n", fmt.Sprintf("auth_param basic program %s %s\nauth_param basic realm p\nauth_param basic children 1\nacl in proxy_auth REQUIRED\nhttp_access deny !in\n",
		helper, write(t, filepath.Join(dir, "users"), "joe:"+string(hash))))

	var mu sync.Mutex
	revoked := map[string]*pki.Pair{}
	kept := http.HandlerFunc(func(w http.ResponseWriter, r *http.Request) {
		mu.Lock()
		defer mu.Unlock()
		if pair := revoked[r.URL.Path]; pair != nil {
			w.Write(root.CRL(1, pair))
			return
		}
		w.Write(root.CRL(1))
	})
	secure := func(h http.Handler, pair *pki.Pair) string {
		l, err := tls.Listen("tcp", "127.0.0.1:0", &tls.Config{Certificates: []tls.Certificate{pair.TLS()}})
		bitstest.Must(t, err)
		server := &http.Server{Handler: h, TLSNextProto: map[string]func(*http.Server, *tls.Conn, http.Handler){}}
		go server.Serve(l)
		t.Cleanup(func() { server.Close() })
		_, port, _ := net.SplitHostPort(l.Addr().String())
		return port
	}
	plain := httptest.NewServer(kept)
	t.Cleanup(plain.Close)
	lists := hostsName(plain.URL)
	secureLists := "https://" + hostname + ":" + secure(kept, root.Server([]string{hostname}))
	page := http.HandlerFunc(func(w http.ResponseWriter, _ *http.Request) { w.Write([]byte("there")) })
	at := func(point string) func(*x509.Certificate) {
		return func(c *x509.Certificate) { c.CRLDistributionPoints = []string{point} }
	}
	via := fmt.Sprintf("http://joe:%s@127.0.0.1:%d", planted, squid)
	for i, c := range []struct {
		name  string
		lists string
		list  string // of proxies: S is the squid with its login, D a dead one, P the proxy of the case
		bad   string // what is revoked: origin, proxy
		over  bool   // the proxy of the case is reached over TLS
		wants bool   // it wants a login
		code  hresult.Code
		heard string // by the proxy of the case
	}{
		{name: "squid", lists: lists, list: "S"},
		{name: "squid, revoked", lists: lists, list: "S", bad: "origin", code: hresult.ERROR_WINHTTP_SECURE_CERT_REVOKED},
		{name: "squid, over https", lists: secureLists, list: "S"},
		{name: "the second of two", lists: lists, list: "http=D http=S https=S"},
		{name: "the second of two, over https", lists: secureLists, list: "D S"},
		{name: "none that lives", lists: lists, list: "http=D https=S", code: hresult.ERROR_WINHTTP_SECURE_CERT_REV_FAILED},
		{name: "a login that nobody wants", lists: lists, list: "P", heard: "CONNECT|GET"},
		{name: "a login that is wanted", lists: lists, list: "P", wants: true, heard: "CONNECT|CONNECT login|GET login"},
		// The proxy's own certificate is on a list too, which comes through it, or through another.
		{name: "TLS", lists: lists, list: "P", over: true, heard: "GET|CONNECT|GET"},
		{name: "TLS, over https", lists: secureLists, list: "P", over: true, heard: "CONNECT|CONNECT|CONNECT"},
		{name: "TLS, revoked", lists: lists, list: "P", over: true, bad: "proxy", code: hresult.ERROR_WINHTTP_SECURE_FAILURE_PROXY, heard: "GET"},
		{name: "TLS with a login", lists: lists, list: "https=P http=S", over: true, wants: true, heard: "CONNECT|CONNECT login"},
		{name: "TLS with a login, revoked", lists: lists, list: "https=P http=S", over: true, wants: true, bad: "proxy", code: hresult.ERROR_WINHTTP_SECURE_FAILURE_PROXY},
		{name: "TLS with a login, circle", lists: lists, list: "P", over: true, wants: true, code: hresult.ERROR_WINHTTP_SECURE_FAILURE_PROXY, heard: "GET"},
	} {
		paths := []string{fmt.Sprintf("/%d-origin.crl", i), fmt.Sprintf("/%d-proxy.crl", i)}
		ofOrigin, ofProxy := root.Server([]string{hostname}, at(c.lists+paths[0])), root.Server([]string{"localhost"}, at(c.lists+paths[1]))
		mu.Lock()
		switch c.bad {
		case "origin":
			revoked[paths[0]] = ofOrigin
		case "proxy":
			revoked[paths[1]] = ofProxy
		}
		mu.Unlock()
		origin, p := secure(page, ofOrigin), &overheard{wants: c.wants}
		of := httptest.NewServer(p)
		t.Cleanup(of.Close)
		own := strings.Replace(of.URL, "://", "://joe:"+planted+"@", 1)
		if c.over {
			own = fmt.Sprintf("https://joe:%s@localhost:%s", planted, secure(p, ofProxy))
		}
		job, err := s.Create(ctx, bits.Spec{
			Files: []bits.FileSpec{{RemoteName: "https://" + hostname + ":" + origin + "/f", LocalName: s.Path("f")}},
			Properties: map[string]bits.RawMessage{
				"roots": bitstest.JSON(string(root.PEM())), "security_flags": bitstest.JSON(bits.CheckRevocation), "priority": bitstest.JSON("FOREGROUND"),
				"proxy_settings": bitstest.JSON(bits.ProxySettings{Usage: bits.ProxyOverride, List: strings.NewReplacer("S", via, "D", fmt.Sprintf("127.0.0.1:%d", dead), "P", own).Replace(c.list)}),
			},
		})
		bitstest.Must(t, err)
		began := time.Now()
		now := ended(t, s, job)
		if took := time.Since(began); took > 10*time.Second {
			t.Errorf("%s: it took %v", c.name, took)
		}
		switch {
		case c.code == 0 && now.State != bits.StateTransferred:
			t.Errorf("%s: %v, %+v", c.name, now.State, now.Error)
		case c.code != 0 && (now.Error == nil || now.Error.Code != c.code):
			t.Errorf("%s: %v, %+v; want %v", c.name, now.State, now.Error, c.code)
		case c.bad != "" && !strings.Contains(now.Error.Message, "it is revoked"):
			t.Errorf("%s: %+v", c.name, now.Error)
		}
		if heard := p.text(); heard != c.heard {
			t.Errorf("%s: the proxy was asked %s; want %s", c.name, heard, c.heard)
		}
		nowhere(t, s, now)
		_, err = s.Cancel(ctx, job.ID)
		bitstest.Must(t, err)
	}
	if text := log.Log(); !strings.Contains(text, "/407 ") || !strings.Contains(text, "GET "+lists+"/0-origin.crl joe") {
		t.Errorf("squid has seen %s", text)
	}
}
