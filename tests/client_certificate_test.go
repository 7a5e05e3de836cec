package tests

import (
	"crypto"
	"crypto/ed25519"
	"crypto/rand"
	"crypto/rsa"
	"crypto/sha1"
	"crypto/tls"
	"crypto/x509"
	"fmt"
	"net"
	"net/http"
	"os"
	"path/filepath"
	"strings"
	"testing"
	"time"

	"bits"
	"bits/client/bitstest"
	"bits/hresult"
	"bits/internal/pki"
	"bits/internal/program"
)

// shown puts a certificate into a file.
func shown(t testing.TB, path string, p *pki.Pair) bits.ClientCertificate {
	t.Helper()
	temp := path + ".new"
	bitstest.Must(t, os.WriteFile(temp, append(p.ChainPEM(), p.KeyPEM()...), 0o600), os.Rename(temp, path))
	return bits.ClientCertificate{File: path}
}

// TestClientCertificates shows certificates of all kinds of keys to nginx, and to Apache, which may ask for them only when it has read
// the path.
func TestClientCertificates(t *testing.T) {
	root, authority := pki.Root("root"), pki.Root("authority of clients")
	rsaKey, err := rsa.GenerateKey(rand.Reader, 2048)
	bitstest.Must(t, err)
	_, edKey, err := ed25519.GenerateKey(rand.Reader)
	bitstest.Must(t, err)
	dir := t.TempDir()
	files := map[string]any{"none": nil}
	for name, key := range map[string]crypto.Signer{"ecdsa": nil, "rsa": rsaKey, "ed25519": edKey} {
		files[name] = shown(t, filepath.Join(dir, name+".pem"), authority.Intermediate("middle").Client(name, key))
	}
	files["stranger"] = shown(t, filepath.Join(dir, "stranger.pem"), pki.Root("unknown").Client("stranger", nil))
	files["expired"] = shown(t, filepath.Join(dir, "expired.pem"), authority.Client("expired", nil, func(c *x509.Certificate) {
		c.NotBefore, c.NotAfter = time.Now().Add(-48*time.Hour), time.Now().Add(-24*time.Hour)
	}))
	s := bitstest.Start(t)
	// A file that no server would take is refused when it is set; by its hash a certificate is taken as it is.
	_, err = s.Create(ctx, bits.Spec{Properties: map[string]bits.RawMessage{"client_certificate": bitstest.JSON(files["expired"])}})
	if e := bits.AsError(err); e.Code != hresult.CERT_E_EXPIRED || !strings.Contains(e.Message, time.Now().Add(-24*time.Hour).UTC().Format("it was valid until 2006-01-02T15:")) {
		t.Errorf("%+v", err)
	}
	bitstest.Must(t, os.MkdirAll(filepath.Join(dir, "stores", "user", "MY"), 0o700))
	t.Setenv("BITS_CERTIFICATES_DIR", filepath.Join(dir, "stores"))
	expired := authority.Client("expired", nil, func(c *x509.Certificate) {
		c.NotBefore, c.NotAfter = time.Now().Add(-48*time.Hour), time.Now().Add(-24*time.Hour)
	})
	shown(t, filepath.Join(dir, "stores", "user", "MY", "expired.pem"), expired)
	files["expired"] = bits.ClientCertificate{Store: "MY", Hash: fmt.Sprintf("%x", sha1.Sum(expired.Cert.Raw))}
	ports := map[string]int{}
	servers := ""
	ca, cert, key, server := filepath.Join(dir, "clients.pem"), filepath.Join(dir, "server.crt"), filepath.Join(dir, "server.key"), root.Server([]string{"localhost"})
	bitstest.Must(t, os.WriteFile(ca, authority.PEM(), 0o644), os.WriteFile(cert, server.ChainPEM(), 0o644), os.WriteFile(key, server.KeyPEM(), 0o644))
	for _, verify := range []string{"on", "optional"} {
		for _, version := range []string{"TLSv1.2", "TLSv1.3"} {
			port := program.Port(t)
			ports["nginx "+verify+" "+version] = port
			servers += fmt.Sprintf("server { listen 127.0.0.1:%d ssl http2; ssl_certificate %s; ssl_certificate_key %s; ssl_protocols %s; ssl_client_certificate %s; ssl_verify_client %s; ssl_verify_depth 3; location / { return 200 $ssl_client_s_dn; } }\n", port, cert, key, version, ca, verify)
		}
	}
	program.StartNginx(t, ports["nginx on TLSv1.2"], servers)
	for _, version := range []string{"TLSv1.2", "TLSv1.3", "TLSv1.2 +TLSv1.3"} {
		port := program.Port(t)
		ports["apache "+version] = port
		a := program.StartApache(t, port, fmt.Sprintf("LoadModule ssl_module /usr/lib/apache2/modules/mod_ssl.so\nSSLEngine on\nSSLProtocol -all +%s\nSSLCertificateFile %s\nSSLCertificateKeyFile %s\nSSLCACertificateFile %s\nSSLVerifyDepth 3\n<Location /late>\nSSLVerifyClient require\n</Location>\n",
			version, cert, key, ca))
		bitstest.Must(t, os.Mkdir(filepath.Join(a.Dir, "www", "late"), 0o755))
		a.File("late/f", []byte("late"))
		a.File("f", []byte("open"))
	}
	get := func(t *testing.T, server, path, who string) (string, hresult.Code) {
		job := s.NewJob(map[string]any{"roots": string(root.PEM()), "client_certificate": files[who], "no_progress_timeout": 0}, fmt.Sprintf("https://localhost:%d%s", ports[server], path))
		now := ended(t, s, job)
		if _, text := logText(t, s, job.ID); who == "expired" {
			tells(t, text, `^tls localhost:\d+ is shown the client certificate "CN=expired", though it has expired: it was valid until `)
		}
		if now.State != bits.StateTransferred {
			return now.Error.Message, now.Error.Code
		}
		_, err := s.Complete(ctx, job.ID)
		bitstest.Must(t, err)
		text, err := os.ReadFile(now.Files[0].LocalName)
		bitstest.Must(t, err, os.Remove(now.Files[0].LocalName))
		return string(text), 0
	}
	const bad, forbidden, needed = hresult.Code(0x80190190), hresult.BG_E_HTTP_ERROR_403, hresult.ERROR_WINHTTP_CLIENT_AUTH_CERT_NEEDED
	for _, c := range []struct {
		server, path string
		want         map[string]any // by who asks: the content, or the code
	}{
		{"nginx on TLSv1.2", "/f", map[string]any{"ecdsa": "CN=ecdsa", "rsa": "CN=rsa", "ed25519": "CN=ed25519", "none": bad, "stranger": bad, "expired": bad}},
		{"nginx on TLSv1.3", "/f", map[string]any{"ecdsa": "CN=ecdsa", "rsa": "CN=rsa", "ed25519": "CN=ed25519", "none": bad, "stranger": bad, "expired": bad}},
		{"nginx optional TLSv1.2", "/f", map[string]any{"ecdsa": "CN=ecdsa", "none": "", "stranger": bad}},
		{"nginx optional TLSv1.3", "/f", map[string]any{"ecdsa": "CN=ecdsa", "none": "", "stranger": bad}},
		{"apache TLSv1.2", "/f", map[string]any{"ecdsa": "open", "none": "open", "stranger": "open"}},
		{"apache TLSv1.2", "/late/f", map[string]any{"ecdsa": "late", "rsa": "late", "ed25519": "late", "none": needed, "stranger": needed}},
		{"apache TLSv1.2 +TLSv1.3", "/late/f", map[string]any{"ecdsa": "late", "rsa": "late", "none": forbidden, "stranger": needed}},
		{"apache TLSv1.3", "/late/f", map[string]any{"ecdsa": forbidden, "none": forbidden}},
	} {
		for who, want := range c.want {
			text, code := get(t, c.server, c.path, who)
			if want != any(text) && want != any(code) {
				t.Errorf("%s%s, %s: %v, %q; want %v", c.server, c.path, who, code, text, want)
			}
		}
	}
}

// A certificate is renewed while its job waits: the next handshake shows the new one, by a file and by a part of the subject; by the hash
// it is not found any more.
func TestClientCertificateRenewed(t *testing.T) {
	dir := t.TempDir()
	t.Setenv("BITS_CERTIFICATES_DIR", dir)
	path := filepath.Join(dir, "user", "MY", "me.pem")
	bitstest.Must(t, os.MkdirAll(filepath.Dir(path), 0o700))
	s, authority := bitstest.Start(t), pki.Root("authority")
	o := bitstest.NewOrigin(t, func(c *tls.Config) { c.ClientAuth = tls.RequestClientCert })
	for way, certificate := range map[string]func(*pki.Pair) bits.ClientCertificate{
		"file":    func(*pki.Pair) bits.ClientCertificate { return bits.ClientCertificate{File: path} },
		"subject": func(*pki.Pair) bits.ClientCertificate { return bits.ClientCertificate{Store: "MY", Subject: "me"} },
		"hash": func(p *pki.Pair) bits.ClientCertificate {
			return bits.ClientCertificate{Store: "MY", Hash: fmt.Sprintf("%x", sha1.Sum(p.Cert.Raw))}
		},
	} {
		first, second := authority.Client("me", nil), authority.Client("me", nil)
		shown(t, path, first)
		o.Page("/"+way, func(w http.ResponseWriter, r *http.Request) {
			if c := r.TLS.PeerCertificates; len(c) > 0 && c[0].Equal(second.Cert) {
				w.Write([]byte("second"))
				return
			}
			w.WriteHeader(http.StatusServiceUnavailable)
		})
		job := s.NewJob(with(o.Trust(), "client_certificate", certificate(first)), o.URL+"/"+way)
		bitstest.Must(t, s.Resume(ctx, job.ID))
		s.Await(job.ID, bits.StateTransientError)
		shown(t, path, second)
		s.Retry(job.ID)
		want := bits.StateTransferred
		if way == "hash" {
			want = bits.StateError
		}
		now := s.Await(job.ID, want)
		if way == "hash" && (now.Error.Code != hresult.CRYPT_E_NOT_FOUND || now.Error.Context != bits.ContextRemoteFile) {
			t.Errorf("%+v", now.Error)
		}
	}
}

// A certificate runs out while its job waits: that is said, with its days, and the one that comes then is used.
func TestClientCertificateExpires(t *testing.T) {
	t.Parallel()
	s, authority, path := bitstest.Start(t), pki.Root("authority"), filepath.Join(t.TempDir(), "me.pem")
	o := bitstest.NewOrigin(t, func(c *tls.Config) { c.ClientAuth = tls.RequestClientCert })
	o.File("/f", []byte("x"))
	job := s.NewJob(with(o.Trust(), "client_certificate", shown(t, path, authority.Client("me", nil))), o.URL+"/f")
	days := func(c *x509.Certificate) {
		c.NotBefore, c.NotAfter = time.Now().Add(time.Hour), time.Now().Add(2*time.Hour)
	}
	shown(t, path, authority.Client("me", nil, days))
	bitstest.Must(t, s.Resume(ctx, job.ID))
	now := s.Await(job.ID, bits.StateTransientError)
	if e := now.Error; e.Code != hresult.CERT_E_EXPIRED || e.Context != bits.ContextRemoteFile || !strings.Contains(e.Message, "it is valid from "+time.Now().Add(time.Hour).UTC().Format("2006-")) {
		t.Errorf("%+v", e)
	}
	_, text := logText(t, s, job.ID)
	tells(t, text, `^tls localhost:\d+ asks for a client certificate: cannot use the client certificate .*me.pem: it is valid from `)
	if o.Requests() > 0 {
		t.Errorf("a request was sent: %v", o.Seen())
	}
	shown(t, path, authority.Client("me", nil))
	s.Retry(job.ID)
	s.Await(job.ID, bits.StateTransferred)
}

// A redirect leads to a server that asks for a certificate too: it is not shown the one that is for the first.
func TestClientCertificateOfRedirect(t *testing.T) {
	t.Parallel()
	s, o := bitstest.Start(t), bitstest.NewOrigin(t, func(c *tls.Config) { c.ClientAuth = tls.RequestClientCert })
	who := func(w http.ResponseWriter, r *http.Request) {
		if len(r.TLS.PeerCertificates) > 0 {
			w.Write([]byte("known"))
		}
	}
	o.Page("/known", who)
	other := o.Listen()
	o.Page("/away", func(w http.ResponseWriter, r *http.Request) { http.Redirect(w, r, other+"/known", http.StatusFound) })
	cert := shown(t, filepath.Join(t.TempDir(), "me.pem"), pki.Root("authority").Client("me", nil))
	for page, want := range map[string]int64{"/known": 5, "/away": 0} {
		now := ended(t, s, s.NewJob(with(o.Trust(), "client_certificate", cert), o.URL+page))
		if now.State != bits.StateTransferred || *now.Files[0].Size != want {
			t.Errorf("%s: %v, %v, %+v", page, now.State, now.Files[0].Size, now.Error)
		}
	}
}

// A proxy that demands a certificate is none that the job's is for.
func TestClientCertificateDemandedByProxy(t *testing.T) {
	t.Parallel()
	for _, version := range []uint16{tls.VersionTLS12, tls.VersionTLS13} {
		s, root := bitstest.Start(t), pki.Root("root")
		l, err := tls.Listen("tcp", "127.0.0.1:0", &tls.Config{Certificates: []tls.Certificate{root.Server([]string{"localhost"}).TLS()}, ClientAuth: tls.RequireAnyClientCert, MinVersion: version, MaxVersion: version})
		bitstest.Must(t, err)
		t.Cleanup(func() { l.Close() })
		go func() {
			for c, err := l.Accept(); err == nil; c, err = l.Accept() {
				go func() {
					c.(*tls.Conn).Handshake()
					c.Close()
				}()
			}
		}()
		_, port, _ := net.SplitHostPort(l.Addr().String())
		cert := shown(t, filepath.Join(t.TempDir(), "me.pem"), root.Client("me", nil))
		job, err := s.Create(ctx, bits.Spec{
			Files:       []bits.FileSpec{{RemoteName: "https://origin.test/f", LocalName: s.Path("f")}},
			Environment: map[string]string{"https_proxy": "https://localhost:" + port},
			Properties:  map[string]bits.RawMessage{"roots": bitstest.JSON(string(root.PEM())), "client_certificate": bitstest.JSON(cert)},
		})
		bitstest.Must(t, err)
		now := ended(t, s, job)
		if now.State != bits.StateError || now.Error.Code != hresult.ERROR_WINHTTP_CLIENT_AUTH_CERT_NEEDED_PROXY {
			t.Errorf("%s: %v, %+v", tls.VersionName(version), now.State, now.Error)
		}
	}
}
