package certstore

import (
	"crypto"
	"crypto/ecdsa"
	"crypto/ed25519"
	"crypto/elliptic"
	"crypto/rand"
	"crypto/rsa"
	"crypto/x509"
	"crypto/x509/pkix"
	"encoding/pem"
	"os"
	"os/exec"
	"path/filepath"
	"strings"
	"testing"
	"time"

	"software.sslmate.com/src/go-pkcs12"

	"bits"
	"bits/hresult"
	"bits/internal/pki"
)

func place(t *testing.T) (user string) {
	t.Helper()
	dir := t.TempDir()
	t.Setenv(own, dir)
	return filepath.Join(dir, "user")
}

func write(t *testing.T, data []byte, path ...string) {
	t.Helper()
	name := filepath.Join(path...)
	if err := os.MkdirAll(filepath.Dir(name), 0o755); err != nil {
		t.Fatal(err)
	}
	if err := os.WriteFile(name, data, 0o600); err != nil {
		t.Fatal(err)
	}
}

func both(p *pki.Pair) []byte { return append(p.ChainPEM(), p.KeyPEM()...) }

func location(t *testing.T, name string) (l bits.StoreLocation) {
	t.Helper()
	if err := l.UnmarshalText([]byte(name)); err != nil {
		t.Fatal(err)
	}
	return l
}

// codeOf is the code of an error, S_OK for none.
func codeOf(err error) hresult.Code {
	if err == nil {
		return hresult.S_OK
	}
	return bits.AsError(err).Code
}

func TestFindInStores(t *testing.T) {
	user := place(t)
	root := pki.Root("root")
	name := func(country, organization, unit, common string) func(*x509.Certificate) {
		return func(c *x509.Certificate) {
			c.Subject = pkix.Name{Country: []string{country}, Organization: []string{organization}, OrganizationalUnit: []string{unit}, CommonName: common}
		}
	}
	past := func(c *x509.Certificate) {
		c.NotBefore, c.NotAfter = time.Now().Add(-48*time.Hour), time.Now().Add(-24*time.Hour)
	}
	alice := root.Client("alice", nil, name("NO", "Example", "Sales", "Alice"))
	old := root.Client("alice", nil, name("NO", "Example", "Sales", "Alice"), past)
	server := root.Client("alice", nil, name("NO", "Example", "Sales", "Alice"), func(c *x509.Certificate) { c.ExtKeyUsage = []x509.ExtKeyUsage{x509.ExtKeyUsageServerAuth} })
	bob := root.Intermediate("middle").Client("bob", nil)
	write(t, both(old), user, "My", "1-old.pem")
	write(t, both(server), user, "My", "2-server.pem")
	write(t, alice.ChainPEM(), user, "My", "3-without-key.pem")
	write(t, alice.ChainPEM(), user, "My", "4-alice.crt")
	write(t, alice.KeyPEM(), user, "My", "4-alice.key")
	write(t, []byte("nonsense"), user, "My", "5-broken.pem")
	write(t, both(bob), user, "..", "machine", "own", "bob.pem")
	write(t, both(bob), user, "..", "outside.pem")
	write(t, []byte("nonsense"), user, "nonsense", "broken.p12")
	for _, c := range []struct {
		location, store, hash, subject string
		want                           *pki.Pair
		code                           hresult.Code
	}{
		{"CURRENT_USER", "MY", "", "Alice", alice, 0},
		{"CURRENT_USER", "my", "", "sales, ALICE", alice, 0},
		{"CURRENT_SERVICE", "MY", "", "NO, Example, Sales, Alice", alice, 0},
		{"CURRENT_USER", "MY", "", "Example, Alice", nil, hresult.CRYPT_E_NOT_FOUND},
		{"CURRENT_USER", "MY", "", "CN=Alice", nil, hresult.CRYPT_E_NOT_FOUND},
		{"CURRENT_USER", "MY", hash(alice.Cert), "", alice, 0},
		{"CURRENT_USER", "MY", hash(old.Cert), "", old, 0},
		{"CURRENT_USER", "MY", hash(bob.Cert), "", nil, hresult.CRYPT_E_NOT_FOUND},
		{"CURRENT_USER", "ROOT", "", "Alice", nil, hresult.CRYPT_E_NOT_FOUND},
		{"CURRENT_USER", "own", "", "bob", nil, hresult.ERROR_FILE_NOT_FOUND},
		{"CURRENT_USER", "..", "", "bob", nil, hresult.ERROR_FILE_NOT_FOUND},
		{"CURRENT_USER", "nonsense", "", "bob", nil, hresult.CRYPT_E_NOT_FOUND},
		{"LOCAL_MACHINE", "OWN", "", "bob", bob, 0},
		{"LOCAL_MACHINE_ENTERPRISE", "OWN", "", "bob", bob, 0},
		{"CURRENT_USER_GROUP_POLICY", "own", "", "bob", bob, 0},
		{"LOCAL_MACHINE", "MY", "", "bob", nil, hresult.CRYPT_E_NOT_FOUND},
		{"SERVICES", "MY", "", "bob", nil, hresult.ERROR_FILE_NOT_FOUND},
		{"USERS", "MY", "", "bob", nil, hresult.ERROR_FILE_NOT_FOUND},
	} {
		got, err := Find(&bits.ClientCertificate{Location: location(t, c.location), Store: c.store, Hash: c.hash, Subject: c.subject}, nil)
		if codeOf(err) != c.code || (got == nil) != (c.want == nil) || got != nil && (!got.Leaf.Equal(c.want.Cert) || len(got.Certificate) != len(c.want.Chain)) {
			t.Errorf("%s, %s, %s%s: %v", c.location, c.store, c.hash, c.subject, err)
		}
	}
	if os.Getuid() == 0 {
		return // he may read everything
	}
	write(t, both(bob), user, "locked", "bob.pem")
	os.Chmod(filepath.Join(user, "locked", "bob.pem"), 0)
	if _, err := Find(&bits.ClientCertificate{Store: "locked", Subject: "bob"}, nil); codeOf(err) != hresult.E_ACCESSDENIED {
		t.Errorf("a file that may not be read: %v", err)
	}
}

// The user's stores are where the session that made the job has its settings.
func TestPlaceOfTheSession(t *testing.T) {
	t.Setenv(own, "")
	config := t.TempDir()
	write(t, both(pki.Root("root").Client("me", nil)), config, "bits", "certificates", "MY", "me.pem")
	if _, err := Find(&bits.ClientCertificate{Store: "MY", Subject: "me"}, map[string]string{"XDG_CONFIG_HOME": config}); err != nil {
		t.Error(err)
	}
}

// All kinds of keys, and all ways in which openssl writes them down.
func TestFiles(t *testing.T) {
	root, dir := pki.Root("root"), t.TempDir()
	path := func(name string) string { return filepath.Join(dir, name) }
	rsaKey, err := rsa.GenerateKey(rand.Reader, 2048)
	if err != nil {
		t.Fatal(err)
	}
	ecKey, err := ecdsa.GenerateKey(elliptic.P384(), rand.Reader)
	if err != nil {
		t.Fatal(err)
	}
	_, edKey, err := ed25519.GenerateKey(rand.Reader)
	if err != nil {
		t.Fatal(err)
	}
	ec, err := x509.MarshalECPrivateKey(ecKey)
	if err != nil {
		t.Fatal(err)
	}
	old := map[string][]byte{
		"rsa": pem.EncodeToMemory(&pem.Block{Type: "RSA PRIVATE KEY", Bytes: x509.MarshalPKCS1PrivateKey(rsaKey)}),
		"ec":  append([]byte("-----BEGIN EC PARAMETERS-----\nBgUrgQQAIg==\n-----END EC PARAMETERS-----\n"), pem.EncodeToMemory(&pem.Block{Type: "EC PRIVATE KEY", Bytes: ec})...),
	}
	write(t, []byte("secret\r\nmore"), path("password"))
	write(t, []byte("wrong"), path("wrong"))
	for name, key := range map[string]crypto.Signer{"rsa": rsaKey, "ec": ecKey, "ed": edKey} {
		pair := root.Intermediate("middle").Client(name, key)
		good := func(what, file, key, password string, chain int) {
			t.Helper()
			got, err := Find(&bits.ClientCertificate{File: path(file), Key: key, PasswordFile: password}, nil)
			if err != nil || !got.Leaf.Equal(pair.Cert) || len(got.Certificate) != chain {
				t.Errorf("%s, %s: %v", name, what, err)
			}
		}
		bad := func(what, file, key, password string, code hresult.Code, words string) {
			t.Helper()
			_, err := Find(&bits.ClientCertificate{File: path(file), Key: key, PasswordFile: password}, nil)
			if codeOf(err) != code || !strings.Contains(err.Error()+" / "+bits.AsError(err).Hint, words) {
				t.Errorf("%s, %s: %v", name, what, err)
			}
		}
		write(t, both(pair), path(name+".pem"))
		good("PEM", name+".pem", "", "", 2)
		write(t, append(pair.KeyPEM(), pair.ChainPEM()...), path(name+"-key-first.pem"))
		good("key first", name+"-key-first.pem", "", "", 2)
		write(t, pair.Cert.Raw, path(name+"-der.cer"))
		write(t, pair.KeyPEM(), path(name+"-der.key"))
		good("DER, key beside it", name+"-der.cer", "", "", 1)
		good("key elsewhere", name+".pem", path(name+"-der.key"), "", 2)
		if old[name] != nil {
			write(t, append(pair.ChainPEM(), old[name]...), path(name+"-old.pem"))
			good("key of old form", name+"-old.pem", "", "", 2)
		}
		for what, encoder := range map[string]*pkcs12.Encoder{"modern": pkcs12.Modern2023, "legacy": pkcs12.LegacyDES} {
			data, err := encoder.Encode(key, pair.Cert, pair.Chain[1:], "secret")
			if err != nil {
				t.Fatal(err)
			}
			write(t, data, path(name+".p12"))
			good("PKCS#12 "+what, name+".p12", "", path("password"), 2)
		}
		bad("PKCS#12 without password", name+".p12", "", "", hresult.E_INVALIDARG, "NAME.pass")
		bad("PKCS#12 with another password", name+".p12", "", path("wrong"), hresult.E_INVALIDARG, "wrong or missing")
		if openssl, err := exec.LookPath("openssl"); err == nil {
			for _, args := range [][]string{{"-aes256"}, {"-v2", "aes-128-cbc", "-v2prf", "hmacWithSHA1"}, {"-scrypt"}} {
				args := append([]string{"pkcs8", "-topk8", "-in", path(name + "-der.key"), "-out", path(name + "-locked.key"), "-passout", "pass:secret"}, args...)
				if args[len(args)-1] == "-aes256" {
					args = []string{"pkey", "-in", path(name + "-der.key"), "-out", path(name + "-locked.key"), "-passout", "pass:secret", "-aes256"}
				}
				if out, err := exec.Command(openssl, args...).CombinedOutput(); err != nil {
					t.Fatalf("%s", out)
				}
				good(strings.Join(args, " "), name+".pem", path(name+"-locked.key"), path("password"), 2)
				bad("no password", name+".pem", path(name+"-locked.key"), "", hresult.E_INVALIDARG, "wrong or missing")
			}
			if name == "rsa" {
				if out, err := exec.Command(openssl, "rsa", "-traditional", "-aes128", "-in", path(name+"-der.key"), "-out", path("ancient.key"), "-passout", "pass:secret").CombinedOutput(); err != nil {
					t.Fatalf("%s", out)
				}
				bad("encrypted in the old way", name+".pem", path("ancient.key"), path("password"), hresult.E_INVALIDARG, "openssl pkey")
			}
		}
		bad("key of another", name+".pem", path("other.key"), "", hresult.ERROR_FILE_NOT_FOUND, "other.key")
		write(t, root.Client("other", nil).KeyPEM(), path("other.key"))
		bad("key of another", name+".pem", path("other.key"), "", hresult.E_INVALIDARG, "belongs to another")
		os.Remove(path("other.key"))
		write(t, pair.ChainPEM(), path(name+"-alone.crt"))
		bad("no key", name+"-alone.crt", "", "", hresult.ERROR_WINHTTP_CLIENT_CERT_NO_PRIVATE_KEY, "no private key")
	}
	for what, data := range map[string]string{"empty": "", "nonsense": "\x30\x03abc", "only a key": string(old["rsa"])} {
		write(t, []byte(data), path("bad"))
		if _, err := Find(&bits.ClientCertificate{File: path("bad")}, nil); codeOf(err) != hresult.E_INVALIDARG {
			t.Errorf("%s: %v", what, err)
		}
	}
	if _, err := Find(&bits.ClientCertificate{File: dir}, nil); codeOf(err) != hresult.E_INVALIDARG {
		t.Errorf("a folder: %v", err)
	}
}
