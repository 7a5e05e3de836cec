package certcheck_test

import (
	"bytes"
	"context"
	"crypto/ecdsa"
	"crypto/elliptic"
	"crypto/rand"
	"crypto/rsa"
	"crypto/x509"
	"crypto/x509/pkix"
	"encoding/binary"
	"fmt"
	"math/big"
	"net"
	"net/http"
	"net/http/httptest"
	"os"
	"path/filepath"
	"strings"
	"sync/atomic"
	"testing"
	"time"

	"bits"
	"bits/hresult"
	"bits/internal/certcheck"
	"bits/internal/pki"
)

const allFlags = bits.IgnoreCertName | bits.IgnoreCertDate | bits.IgnoreUnknownCA | bits.IgnoreCertUsage

func expired(c *x509.Certificate) {
	c.NotBefore, c.NotAfter = time.Now().Add(-48*time.Hour), time.Now().Add(-24*time.Hour)
}

func notYet(c *x509.Certificate) {
	c.NotBefore, c.NotAfter = time.Now().Add(24*time.Hour), time.Now().Add(48*time.Hour)
}

func verify(roots *certcheck.Roots, flags bits.SecurityFlags, host string, chain []*x509.Certificate) (hresult.Code, error) {
	_, err := certcheck.Policy{Flags: flags, Roots: roots}.Verify(context.Background(), host, chain)
	if err == nil {
		return 0, nil
	}
	return bits.AsError(err).Code, err
}

// Every set of defects against every set of flags: a certificate passes if and only if each of its defects is forgiven.
func TestEachFlagForgivesItsOwnDefect(t *testing.T) {
	defects := []struct {
		flag bits.SecurityFlags
		code hresult.Code
	}{ // in the order of report
		{bits.IgnoreUnknownCA, hresult.ERROR_WINHTTP_SECURE_INVALID_CA},
		{bits.IgnoreCertName, hresult.ERROR_WINHTTP_SECURE_CERT_CN_INVALID},
		{bits.IgnoreCertDate, hresult.ERROR_WINHTTP_SECURE_CERT_DATE_INVALID},
		{bits.IgnoreCertUsage, hresult.ERROR_WINHTTP_SECURE_CERT_WRONG_USAGE},
	}
	root := pki.Root("root")
	middle := root.Intermediate("middle")
	for _, shape := range []string{"leaf", "self-signed", "dates of the middle", "dates of the root"} {
		for have := bits.SecurityFlags(0); have <= allFlags; have += 2 {
			if have&^allFlags != 0 || shape == "self-signed" && have&bits.IgnoreUnknownCA == 0 {
				continue
			}
			name := "localhost"
			if have&bits.IgnoreCertName != 0 {
				name = "other.example"
			}
			signer, trusted := middle, root
			var changes []func(*x509.Certificate)
			if have&bits.IgnoreCertDate != 0 {
				switch shape {
				case "dates of the middle": // it and the leaf are never valid at one time
					signer = root.Intermediate("middle", notYet)
					changes = append(changes, expired)
				case "dates of the root":
					trusted = pki.Root("old root", expired)
					signer = trusted.Intermediate("middle")
				default:
					changes = append(changes, expired)
				}
			}
			if have&bits.IgnoreCertUsage != 0 {
				changes = append(changes, func(c *x509.Certificate) { c.ExtKeyUsage = []x509.ExtKeyUsage{x509.ExtKeyUsageClientAuth} })
			}
			if shape == "self-signed" {
				signer = nil
			}
			leaf := signer.Server([]string{name}, changes...)
			roots := certcheck.NewRoots(trusted.Cert)
			if have&bits.IgnoreUnknownCA != 0 {
				roots = certcheck.NewRoots(pki.Root("another").Cert)
				if shape == "dates of the root" && have&bits.IgnoreCertDate != 0 {
					continue // the root is not known, and so not its dates
				}
			}
			for flags := bits.SecurityFlags(0); flags <= allFlags; flags += 2 {
				if flags&^allFlags != 0 {
					continue
				}
				want := hresult.Code(0)
				for _, d := range defects {
					if have&d.flag != 0 && flags&d.flag == 0 && want == 0 {
						want = d.code
					}
				}
				if got, err := verify(roots, flags, "localhost", leaf.Chain); got != want {
					t.Errorf("%s, defects %#x, flags %#x: %v, want %v (%v)", shape, have, flags, got, want, err)
				}
			}
		}
	}
}

// What is broken is forgiven by no set of flags.
func TestNoFlagForgives(t *testing.T) {
	root := pki.Root("root")
	rsaKey, err := rsa.GenerateKey(rand.Reader, 2048)
	if err != nil {
		t.Fatal(err)
	}
	good := root.Server([]string{"localhost"})
	broken := *good.Cert
	broken.Signature = append([]byte(nil), broken.Signature...)
	broken.Signature[len(broken.Signature)-1] ^= 1
	raw := append([]byte(nil), good.Cert.Raw...)
	raw[len(raw)-1] ^= 1
	parsed, err := x509.ParseCertificate(raw)
	if err != nil {
		t.Fatal(err)
	}
	sha1 := func() *x509.Certificate {
		template := &x509.Certificate{
			SerialNumber: big.NewInt(5), Subject: pkix.Name{CommonName: "localhost"}, DNSNames: []string{"localhost"},
			NotBefore: time.Now().Add(-time.Hour), NotAfter: time.Now().Add(time.Hour), SignatureAlgorithm: x509.SHA1WithRSA,
		}
		issuer := &x509.Certificate{
			SerialNumber: big.NewInt(6), Subject: pkix.Name{CommonName: "rsa"}, IsCA: true, BasicConstraintsValid: true, KeyUsage: x509.KeyUsageCertSign,
			NotBefore: time.Now().Add(-time.Hour), NotAfter: time.Now().Add(time.Hour),
		}
		key, _ := ecdsa.GenerateKey(elliptic.P256(), rand.Reader)
		der, err := x509.CreateCertificate(rand.Reader, template, issuer, key.Public(), rsaKey)
		if err != nil {
			t.Fatal(err)
		}
		c, err := x509.ParseCertificate(der)
		if err != nil {
			t.Fatal(err)
		}
		return c
	}
	selfBroken := (*pki.Pair)(nil).Server([]string{"localhost"}).Cert
	selfRaw := append([]byte(nil), selfBroken.Raw...)
	selfRaw[len(selfRaw)-1] ^= 1
	if selfBroken, err = x509.ParseCertificate(selfRaw); err != nil {
		t.Fatal(err)
	}
	constrained := root.Intermediate("constrained", func(c *x509.Certificate) {
		c.PermittedDNSDomainsCritical, c.PermittedDNSDomains = true, []string{"example.com"}
	})
	flat := root.Intermediate("flat", func(c *x509.Certificate) { c.MaxPathLenZero = true })
	noCA := root.Intermediate("no authority", func(c *x509.Certificate) { c.IsCA, c.KeyUsage = false, x509.KeyUsageDigitalSignature })
	critical := root.Server([]string{"localhost"}, func(c *x509.Certificate) {
		c.ExtraExtensions = []pkix.Extension{{Id: []int{1, 2, 3, 4}, Critical: true, Value: []byte{5, 0}}}
	})
	many := good.Chain
	for len(many) < 40 {
		many = append(many, root.Cert)
	}
	for name, chain := range map[string][]*x509.Certificate{
		"broken signature":              {parsed},
		"broken signature, self-signed": {selfBroken},
		"weak algorithm":                {sha1()},
		"name constraint":               constrained.Server([]string{"localhost"}).Chain,
		"path length":                   flat.Intermediate("one too many").Server([]string{"localhost"}).Chain,
		"issuer that is no authority":   noCA.Server([]string{"localhost"}).Chain,
		"unknown critical extension":    critical.Chain,
		"too many certificates":         many,
	} {
		for _, roots := range []*certcheck.Roots{certcheck.NewRoots(root.Cert), certcheck.NewRoots(root.Cert, pki.Root("another").Cert)} {
			for flags := bits.SecurityFlags(0); flags <= allFlags; flags += 2 {
				got, err := verify(roots, flags, "localhost", chain)
				if name == "weak algorithm" && flags&bits.IgnoreUnknownCA == 0 && got == hresult.ERROR_WINHTTP_SECURE_INVALID_CA {
					continue // both are true
				}
				if got != hresult.ERROR_WINHTTP_SECURE_INVALID_CERT {
					t.Errorf("%s, flags %#x: %v (%v)", name, flags, got, err)
				}
			}
		}
	}
	if got, _ := verify(certcheck.NewRoots(root.Cert), allFlags, "localhost", nil); got != hresult.ERROR_WINHTTP_SECURE_INVALID_CERT {
		t.Errorf("no certificate at all: %v", got)
	}
}

// Two authorities of one name are told apart by their keys: one that is not trusted is unknown, not broken.
func TestTwoAuthoritiesOfOneName(t *testing.T) {
	mine, theirs := pki.Root("twin"), pki.Root("twin")
	leaf := theirs.Server([]string{"localhost"})
	if got, err := verify(certcheck.NewRoots(mine.Cert), 0, "localhost", leaf.Chain); got != hresult.ERROR_WINHTTP_SECURE_INVALID_CA {
		t.Errorf("%v (%v)", got, err)
	}
	if got, err := verify(certcheck.NewRoots(mine.Cert, theirs.Cert), 0, "localhost", leaf.Chain); got != 0 {
		t.Errorf("%v (%v)", got, err)
	}
}

func TestNames(t *testing.T) {
	root := pki.Root("root")
	leaf := root.Server([]string{"a.example", "*.b.example", "127.0.0.1", "::1"})
	for host, want := range map[string]hresult.Code{
		"a.example": 0, "A.Example": 0, "a.example.": 0, "x.b.example": 0, "127.0.0.1": 0, "::1": 0,
		"b.example": hresult.ERROR_WINHTTP_SECURE_CERT_CN_INVALID, "x.y.b.example": hresult.ERROR_WINHTTP_SECURE_CERT_CN_INVALID,
		"127.0.0.2": hresult.ERROR_WINHTTP_SECURE_CERT_CN_INVALID, "": hresult.ERROR_WINHTTP_SECURE_CERT_CN_INVALID,
	} {
		if got, err := verify(certcheck.NewRoots(root.Cert), 0, host, leaf.Chain); got != want {
			t.Errorf("%q: %v, want %v (%v)", host, got, want, err)
		}
	}
}

func TestRoots(t *testing.T) {
	root := pki.Root("root")
	dir := t.TempDir()
	file, folder := filepath.Join(dir, "one.pem"), filepath.Join(dir, "folder")
	os.WriteFile(file, root.PEM(), 0o600)
	os.Mkdir(folder, 0o700)
	os.WriteFile(filepath.Join(folder, "two.pem"), append([]byte("# text\n"), root.PEM()...), 0o600)
	leaf := root.Server([]string{"localhost"})
	for name, environment := range map[string]map[string]string{"file": {"SSL_CERT_FILE": file}, "folder": {"SSL_CERT_DIR": dir + string(os.PathListSeparator) + folder}} {
		roots, err := certcheck.FromEnvironment(environment)
		if err != nil {
			t.Fatal(err)
		}
		if got, err := verify(roots, 0, "localhost", leaf.Chain); got != 0 {
			t.Errorf("%s: %v", name, err)
		}
	}
	if _, err := certcheck.FromEnvironment(map[string]string{"SSL_CERT_FILE": filepath.Join(dir, "none")}); bits.AsError(err).Code != hresult.ERROR_WINHTTP_SECURE_INVALID_CA {
		t.Errorf("a file that is not there: %v", err)
	}
	for name, text := range map[string]string{"empty": "", "no PEM": "hello", "a key": string(leaf.KeyPEM()), "cut": string(root.PEM()[:200]), "broken": "-----BEGIN CERTIFICATE-----\nAAAA\n-----END CERTIFICATE-----\n"} {
		if _, err := certcheck.RootsPEM(text); bits.AsError(err).Code != hresult.E_INVALIDARG {
			t.Errorf("%s: %v", name, err)
		}
	}
}

func TestSerializedStore(t *testing.T) {
	leaf := pki.Root("root").Server([]string{"localhost"})
	store := certcheck.SerializedStore(leaf.Chain)
	want := binary.LittleEndian.AppendUint32([]byte("\x00\x00\x00\x00CERT\x20\x00\x00\x00\x01\x00\x00\x00"), uint32(len(leaf.Cert.Raw)))
	want = append(append(want, leaf.Cert.Raw...), make([]byte, 12)...)
	if !bytes.Equal(store, want) {
		t.Errorf("%x", store)
	}
}

func TestEndpoint(t *testing.T) {
	for want, in := range map[string][2]string{"a.example:443": {"A.Example.", "443"}, "[::1]:8443": {"::1", "8443"}} {
		if got := certcheck.Endpoint(in[0], in[1]); got != want {
			t.Errorf("%v: %s, want %s", in, got, want)
		}
	}
}

// revocationCase is a server of lists, and what became of a certificate that points to it.
func TestRevocation(t *testing.T) {
	lists := map[string]func() []byte{}
	var fetched atomic.Int64
	server := httptest.NewServer(http.HandlerFunc(func(w http.ResponseWriter, r *http.Request) {
		fetched.Add(1)
		if list := lists[r.URL.Path]; list != nil {
			w.Write(list())
			return
		}
		http.NotFound(w, r)
	}))
	defer server.Close()
	closed, err := net.Listen("tcp", "127.0.0.1:0")
	if err != nil {
		t.Fatal(err)
	}
	closed.Close()
	root, other := pki.Root("root"), pki.Root("other")
	at := func(points ...string) func(*x509.Certificate) {
		return func(c *x509.Certificate) {
			for _, p := range points {
				if !strings.Contains(p, ":") {
					p = server.URL + p
				}
				c.CRLDistributionPoints = append(c.CRLDistributionPoints, p)
			}
		}
	}
	n := 0
	list := func(make func() []byte) string {
		n++
		path := fmt.Sprintf("/%d.crl", n)
		lists[path] = make
		return path
	}
	custom := func(change func(*x509.RevocationList)) func() []byte {
		return func() []byte {
			l := &x509.RevocationList{Number: big.NewInt(1), ThisUpdate: time.Now().Add(-time.Hour), NextUpdate: time.Now().Add(time.Hour)}
			change(l)
			der, err := x509.CreateRevocationList(rand.Reader, l, root.Cert, root.Key)
			if err != nil {
				t.Error(err)
			}
			return der
		}
	}
	var bad *pki.Pair
	withBad := list(func() []byte { return root.CRL(1, bad) })
	bad = root.Server([]string{"localhost"}, at(withBad))
	good := list(func() []byte { return root.CRL(1) })
	middleList := list(func() []byte { return nil })
	middle := root.Intermediate("middle", at(good))
	lists[middleList] = func() []byte { return middle.CRL(1) }
	var badMiddle *pki.Pair
	badMiddle = root.Intermediate("bad middle", at(list(func() []byte { return root.CRL(1, badMiddle) })))
	critical := []pkix.Extension{{Id: []int{1, 2, 3, 4}, Critical: true, Value: []byte{5, 0}}}
	scope := func(der ...byte) []pkix.Extension {
		return []pkix.Extension{{Id: []int{2, 5, 29, 28}, Critical: true, Value: der}}
	}
	for _, c := range []struct {
		name string
		leaf *pki.Pair
		want hresult.Code
	}{
		{"not on the list", root.Server([]string{"localhost"}, at(good)), ok},
		{"on the list", bad, revoked},
		{"no distribution point", root.Server([]string{"localhost"}), unknown},
		{"not at the URL", root.Server([]string{"localhost"}, at("/none")), unknown},
		{"nobody answers", root.Server([]string{"localhost"}, at("http://"+closed.Addr().String()+"/x")), unknown},
		{"first point dead, second alive", root.Server([]string{"localhost"}, at("/none", good)), ok},
		{"not HTTP", root.Server([]string{"localhost"}, at("ldap://x/y")), unknown},
		{"no list", root.Server([]string{"localhost"}, at(list(func() []byte { return []byte("hello") }))), unknown},
		{"list of another authority", root.Server([]string{"localhost"}, at(list(func() []byte { return other.CRL(1) }))), unknown},
		{"broken signature", root.Server([]string{"localhost"}, at(list(func() []byte {
			l := root.CRL(1)
			l[len(l)-1] ^= 1
			return l
		}))), unknown},
		{"ended", root.Server([]string{"localhost"}, at(list(custom(func(l *x509.RevocationList) { l.NextUpdate = time.Now().Add(-time.Minute) })))), unknown},
		{"not begun", root.Server([]string{"localhost"}, at(list(custom(func(l *x509.RevocationList) { l.ThisUpdate = time.Now().Add(time.Minute) })))), unknown},
		{"critical extension", root.Server([]string{"localhost"}, at(list(custom(func(l *x509.RevocationList) { l.ExtraExtensions = critical })))), unknown},
		{"of authorities only", root.Server([]string{"localhost"}, at(list(custom(func(l *x509.RevocationList) { l.ExtraExtensions = scope(0x30, 3, 0x82, 1, 0xff) })))), unknown},
		{"of users only", root.Server([]string{"localhost"}, at(list(custom(func(l *x509.RevocationList) { l.ExtraExtensions = scope(0x30, 3, 0x81, 1, 0xff) })))), ok},
		{"indirect", root.Server([]string{"localhost"}, at(list(custom(func(l *x509.RevocationList) { l.ExtraExtensions = scope(0x30, 3, 0x84, 1, 0xff) })))), unknown},
		{"behind an authority", middle.Server([]string{"localhost"}, at(middleList)), ok},
		{"behind a revoked authority", badMiddle.Server([]string{"localhost"}, at(list(func() []byte { return badMiddle.CRL(1) }))), revoked},
	} {
		t.Run(c.name, func(t *testing.T) {
			policy := certcheck.Policy{Flags: bits.CheckRevocation, Roots: certcheck.NewRoots(root.Cert), CRLs: certcheck.NewCRLCache(t.TempDir()), Lists: by}
			_, err := policy.Verify(context.Background(), "localhost", c.leaf.Chain)
			got := hresult.S_OK
			if err != nil {
				got = bits.AsError(err).Code
			}
			if got != c.want {
				t.Errorf("%v, want %v (%v)", got, c.want, err)
			}
			policy.Flags = 0
			if _, err := policy.Verify(context.Background(), "localhost", c.leaf.Chain); err != nil {
				t.Errorf("without the flag: %v", err)
			}
		})
	}

	t.Run("cache", func(t *testing.T) {
		dir, leaf := t.TempDir(), root.Server([]string{"localhost"}, at(good))
		policy := certcheck.Policy{Flags: bits.CheckRevocation, Roots: certcheck.NewRoots(root.Cert), CRLs: certcheck.NewCRLCache(dir), Lists: by}
		check := func(what string, want int64) {
			t.Helper()
			before := fetched.Load()
			if _, err := policy.Verify(context.Background(), "localhost", leaf.Chain); err != nil {
				t.Errorf("%s: %v", what, err)
			}
			if n := fetched.Load() - before; n != want {
				t.Errorf("%s: the list was fetched %d times, want %d", what, n, want)
			}
		}
		check("first", 1)
		check("from memory", 0)
		policy.CRLs = certcheck.NewCRLCache(dir)
		check("from disk", 0)
		os.RemoveAll(dir)
		check("from disk, which is gone", 1)
		policy.Now = func() time.Time { return time.Now().Add(23*time.Hour + 59*time.Minute) }
		check("until nextUpdate", 0)
	})
}

// The cases of the suite that bring lists of their own.
func TestLimboCRLs(t *testing.T) {
	optional := map[string]bool{"crl::crlnumber-missing": true} // many private authorities leave the number out, and nothing depends on it
	for _, c := range limbo(t) {
		if len(c.CRLs) == 0 {
			continue
		}
		var roots []*x509.Certificate
		for _, p := range c.Trusted {
			certs, err := parse(p)
			if err != nil {
				t.Fatal(err)
			}
			roots = append(roots, certs...)
		}
		sent, err := parse(append([]string{c.Peer}, c.Untrusted...)...)
		if err != nil {
			t.Fatal(err)
		}
		server := httptest.NewServer(http.HandlerFunc(func(w http.ResponseWriter, _ *http.Request) { w.Write([]byte(c.CRLs[0])) }))
		for _, cert := range sent {
			cert.CRLDistributionPoints = []string{server.URL}
		}
		policy := certcheck.Policy{
			Flags: bits.CheckRevocation, Roots: certcheck.NewRoots(roots...), Now: func() time.Time { return c.Time }, CRLs: certcheck.NewCRLCache(t.TempDir()), Lists: by,
		}
		_, err = policy.Verify(context.Background(), c.Name.Value, sent)
		if want := c.Result == "SUCCESS" || optional[c.ID]; want != (err == nil) {
			t.Errorf("%s: %v, want %s", c.ID, err, c.Result)
		}
		server.Close()
	}
}

func FuzzRootsPEM(f *testing.F) {
	f.Add(string(pki.Root("root").PEM()))
	f.Fuzz(func(t *testing.T, text string) {
		if roots, err := certcheck.RootsPEM(text); (roots == nil) == (err == nil) {
			t.Error(roots, err)
		}
	})
}
