package tests

import (
	"crypto/x509"
	"fmt"
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

// certificates is the table of phase one against nginx: what a server shows, the flags, and what becomes of the job.
// Code 0 means that the job is TRANSFERRED.
var certificates = []struct {
	name  string
	flags bits.SecurityFlags
	code  hresult.Code
}{
	{"good", 0, 0},
	{"good", 0x1e, 0},
	{"good", bits.CheckRevocation, 0},
	{"expired", 0, hresult.ERROR_WINHTTP_SECURE_CERT_DATE_INVALID},
	{"expired", bits.IgnoreCertDate, 0},
	{"expired", 0x1e &^ bits.IgnoreCertDate, hresult.ERROR_WINHTTP_SECURE_CERT_DATE_INVALID},
	{"not yet valid", 0, hresult.ERROR_WINHTTP_SECURE_CERT_DATE_INVALID},
	{"not yet valid", bits.IgnoreCertDate, 0},
	{"not yet valid", 0x1e &^ bits.IgnoreCertDate, hresult.ERROR_WINHTTP_SECURE_CERT_DATE_INVALID},
	{"wrong name", 0, hresult.ERROR_WINHTTP_SECURE_CERT_CN_INVALID},
	{"wrong name", bits.IgnoreCertName, 0},
	{"wrong name", 0x1e &^ bits.IgnoreCertName, hresult.ERROR_WINHTTP_SECURE_CERT_CN_INVALID},
	{"unknown authority", 0, hresult.ERROR_WINHTTP_SECURE_INVALID_CA},
	{"unknown authority", bits.IgnoreUnknownCA, 0},
	{"unknown authority", 0x1e &^ bits.IgnoreUnknownCA, hresult.ERROR_WINHTTP_SECURE_INVALID_CA},
	{"self-signed", 0, hresult.ERROR_WINHTTP_SECURE_INVALID_CA},
	{"self-signed", bits.IgnoreUnknownCA, 0},
	{"self-signed", 0x1e &^ bits.IgnoreUnknownCA, hresult.ERROR_WINHTTP_SECURE_INVALID_CA},
	{"wrong usage", 0, hresult.ERROR_WINHTTP_SECURE_CERT_WRONG_USAGE},
	{"wrong usage", bits.IgnoreCertUsage, 0},
	{"wrong usage", 0x1e &^ bits.IgnoreCertUsage, hresult.ERROR_WINHTTP_SECURE_CERT_WRONG_USAGE},
	{"revoked", 0, 0},
	{"revoked", bits.CheckRevocation, hresult.ERROR_WINHTTP_SECURE_CERT_REVOKED},
	{"revoked", bits.CheckRevocation | 0x1e, hresult.ERROR_WINHTTP_SECURE_CERT_REVOKED},
	{"revocation unreachable", 0, 0},
	{"revocation unreachable", bits.CheckRevocation, hresult.ERROR_WINHTTP_SECURE_CERT_REV_FAILED},
	{"revocation unreachable", bits.CheckRevocation | 0x1e, hresult.ERROR_WINHTTP_SECURE_CERT_REV_FAILED},
	{"missing intermediate", 0, hresult.ERROR_WINHTTP_SECURE_INVALID_CA},
	{"missing intermediate", bits.IgnoreUnknownCA, 0},
	{"missing intermediate", 0x1e &^ bits.IgnoreUnknownCA, hresult.ERROR_WINHTTP_SECURE_INVALID_CA},
	{"expired and wrong name", bits.IgnoreCertDate, hresult.ERROR_WINHTTP_SECURE_CERT_CN_INVALID},
	{"expired and wrong name", bits.IgnoreCertName, hresult.ERROR_WINHTTP_SECURE_CERT_DATE_INVALID},
	{"expired and wrong name", bits.IgnoreCertName | bits.IgnoreCertDate, 0},
	{"path length", 0x1e, hresult.ERROR_WINHTTP_SECURE_INVALID_CERT},
}

func TestCertificatesOfNginx(t *testing.T) {
	t.Parallel()
	s := bitstest.Start(t)
	root := pki.Root("root")
	middle := root.Intermediate("middle", func(c *x509.Certificate) { c.MaxPathLenZero = true })
	crls := program.Port(t)
	point := func(name string) func(*x509.Certificate) {
		return func(c *x509.Certificate) {
			c.CRLDistributionPoints = []string{fmt.Sprintf("http://127.0.0.1:%d/%s.crl", crls, name)}
		}
	}
	expired := func(c *x509.Certificate) {
		c.NotBefore, c.NotAfter = time.Now().Add(-48*time.Hour), time.Now().Add(-24*time.Hour)
	}
	local := []string{"localhost"}
	cut := middle.Server(local)
	cut.Chain = cut.Chain[:1]
	pairs := map[string]*pki.Pair{
		"good":    root.Server(local, point("root")),
		"expired": root.Server(local, expired),
		"not yet valid": root.Server(local, func(c *x509.Certificate) {
			c.NotBefore, c.NotAfter = time.Now().Add(time.Hour), time.Now().Add(48*time.Hour)
		}),
		"wrong name":             root.Server([]string{"other.example"}),
		"unknown authority":      pki.Root("unknown").Server(local),
		"self-signed":            (*pki.Pair)(nil).Server(local),
		"wrong usage":            root.Server(local, func(c *x509.Certificate) { c.ExtKeyUsage = []x509.ExtKeyUsage{x509.ExtKeyUsageClientAuth} }),
		"revoked":                root.Server(local, point("root")),
		"revocation unreachable": root.Server(local, point("missing")),
		"missing intermediate":   cut,
		"expired and wrong name": root.Server([]string{"other.example"}, expired),
		"path length":            middle.Intermediate("one too many").Server(local),
	}
	variants := map[string]string{
		"HTTP/1.1 TLS 1.2": "ssl|ssl_protocols TLSv1.2;",
		"HTTP/1.1 TLS 1.3": "ssl|ssl_protocols TLSv1.3;",
		"HTTP/2 TLS 1.2":   "ssl http2|ssl_protocols TLSv1.2;",
		"HTTP/2 TLS 1.3":   "ssl http2|ssl_protocols TLSv1.3;",
	}
	n := program.StartNginx(t, crls, fmt.Sprintf("server { listen 127.0.0.1:%d; }", crls))
	n.File("root.crl", root.CRL(1, pairs["revoked"]))
	data := bitstest.Content(7, 300_000)
	n.File("file", data)
	ports := map[string]int{}
	servers := fmt.Sprintf("server { listen 127.0.0.1:%d; }\n", crls)
	for name, pair := range pairs {
		directives := n.Pair(strings.ReplaceAll(name, " ", "-"), pair)
		for variant, text := range variants {
			listen, more, _ := strings.Cut(text, "|")
			ports[name+variant] = program.Port(t)
			servers += fmt.Sprintf("server { listen 127.0.0.1:%d %s; server_name localhost; %s %s }\n", ports[name+variant], listen, directives, more)
		}
	}
	n.Kill()
	n.Configure(servers)
	n.Start()
	for variant := range variants {
		for _, c := range certificates {
			for _, validator := range []string{"none", "accepts", "declines"} {
				t.Run(fmt.Sprintf("%s/%s/%#x/%s", variant, c.name, uint32(c.flags), validator), func(t *testing.T) {
					t.Parallel()
					url := fmt.Sprintf("https://localhost:%d/file", ports[c.name+variant])
					local := filepath.Join(s.Dir, strings.NewReplacer("/", "-", " ", "-").Replace(t.Name()))
					job, err := s.Create(ctx, bits.Spec{
						Files: []bits.FileSpec{{RemoteName: url, LocalName: local}},
						Properties: map[string]bits.RawMessage{
							"roots": bitstest.JSON(string(root.PEM())), "security_flags": bitstest.JSON(c.flags), "priority": bits.RawMessage(`"FOREGROUND"`),
						},
					})
					bitstest.Must(t, err)
					j := &bitstest.Judge{}
					if validator == "declines" {
						j.Verdict = decline
					}
					if validator != "none" {
						set(t, s, job.ID, j)
					}
					bitstest.Must(t, s.Resume(ctx, job.ID))
					now := s.Until(job.ID, func(j *bits.Job) bool { return j.State != bits.StateQueued && !j.State.Running() })
					state, context, code, asked := bits.StateTransferred, bits.ContextNone, c.code, 0
					switch {
					case code == hresult.ERROR_WINHTTP_SECURE_CERT_REVOKED || code == hresult.ERROR_WINHTTP_SECURE_CERT_REV_FAILED:
						state, context = bits.StateError, bits.ContextRemoteFile
					case code != 0:
						state, context = bits.StateTransientError, bits.ContextRemoteFile
					case validator == "declines":
						state, context, code, asked = bits.StateTransientError, bits.ContextCertificateCallback, declined, 1
					case validator == "accepts":
						asked = 1
					}
					got := bits.JobError{}
					if now.Error != nil {
						got = *now.Error
					}
					if now.State != state || got.Context != context || got.Code != code || len(j.Asked()) != asked {
						t.Errorf("%v, context %d, code %v, asked %d times; want %v, %d, %v, %d (%s)", now.State, got.Context, got.Code, len(j.Asked()), state, context, code, asked, got.Message)
					}
					if state != bits.StateTransferred {
						return
					}
					finish(t, s, job, data)
				})
			}
		}
	}
}

// nginx changes its certificate in mid-job: the next connection asks again.
func TestNginxRotatesInMidJob(t *testing.T) {
	t.Parallel()
	for name, listen := range map[string]string{"HTTP/1.1": "ssl", "HTTP/2": "ssl http2"} {
		t.Run(name, func(t *testing.T) {
			t.Parallel()
			s, j := bitstest.Start(t), &bitstest.Judge{}
			root, port := pki.Root("root"), program.Port(t)
			servers := fmt.Sprintf("server { listen 127.0.0.1:%d; }", port)
			n := program.StartNginx(t, port, servers)
			data := bitstest.Content(8, 8<<20)
			n.File("file", data)
			show := func() {
				n.Kill()
				n.Configure(fmt.Sprintf("server { listen 127.0.0.1:%d %s; limit_rate 4m; %s }", port, listen, n.Pair("leaf", root.Server([]string{"localhost"}))))
				n.Start()
			}
			show()
			job := s.NewJob(map[string]any{"roots": string(root.PEM()), "backoff": bits.Backoff{First: 1, Max: 1}}, fmt.Sprintf("https://localhost:%d/file", port))
			set(t, s, job.ID, j)
			bitstest.Must(t, s.Resume(ctx, job.ID))
			s.Until(job.ID, func(j *bits.Job) bool { return j.Progress.BytesReceived > 1<<20 })
			show()
			s.Await(job.ID, bits.StateTransferred)
			if len(j.Asked()) != 2 {
				t.Errorf("asked %d times, want twice", len(j.Asked()))
			}
			n.Kill() // so that its log is written
			if log, err := os.ReadFile(filepath.Join(n.Dir, "access.log")); err != nil || !strings.Contains(string(log), name) {
				t.Errorf("nginx has not spoken %s: %s (%v)", name, log, err)
			}
			finish(t, s, job, data)
		})
	}
}
