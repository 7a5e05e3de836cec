package certcheck_test

import (
	"bytes"
	"context"
	"crypto/rand"
	"crypto/x509"
	"crypto/x509/pkix"
	"encoding/asn1"
	"errors"
	"fmt"
	"math/big"
	"net/http"
	"net/http/httptest"
	"os"
	"path/filepath"
	"strings"
	"sync"
	"sync/atomic"
	"testing"
	"testing/synctest"
	"time"

	"bits"
	"bits/hresult"
	"bits/internal/certcheck"
	"bits/internal/pki"
)

const (
	ok      = hresult.S_OK
	revoked = hresult.ERROR_WINHTTP_SECURE_CERT_REVOKED
	unknown = hresult.ERROR_WINHTTP_SECURE_CERT_REV_FAILED
)

// by fetches lists directly, and files too, as the transport of a job does.
var by = func() http.RoundTripper {
	t := &http.Transport{DisableKeepAlives: true}
	t.RegisterProtocol("file", http.NewFileTransport(http.Dir("/")))
	return t
}()

// roundTrip is a function as an http.RoundTripper.
type roundTrip func(*http.Request) (*http.Response, error)

func (f roundTrip) RoundTrip(r *http.Request) (*http.Response, error) { return f(r) }

// lists is a server of revocation lists.
type lists struct {
	*httptest.Server
	fetched atomic.Int64
	mu      sync.Mutex
	at      map[string][]byte
}

func serve(t *testing.T) *lists {
	l := &lists{at: map[string][]byte{}}
	l.Server = httptest.NewServer(http.HandlerFunc(func(w http.ResponseWriter, r *http.Request) {
		l.fetched.Add(1)
		l.mu.Lock()
		defer l.mu.Unlock()
		if to, ok := bytes.CutPrefix(l.at[r.URL.Path], []byte("to ")); ok {
			w.Header().Set("Location", string(to))
			w.WriteHeader(http.StatusFound)
			return
		}
		w.Write(l.at[r.URL.Path])
	}))
	t.Cleanup(l.Close)
	return l
}

// put changes what is at a path, and returns its URL.
func (l *lists) put(path string, list []byte) string {
	l.mu.Lock()
	defer l.mu.Unlock()
	l.at[path] = list
	return l.URL + path
}

// listedAt makes a certificate name its distribution points.
func listedAt(urls ...string) func(*x509.Certificate) {
	return func(c *x509.Certificate) { c.CRLDistributionPoints = urls }
}

// listWith makes a list of nobody with one more extension.
func listWith(t *testing.T, issuer *pki.Pair, id asn1.ObjectIdentifier, value []byte) []byte {
	t.Helper()
	list, err := x509.CreateRevocationList(rand.Reader, &x509.RevocationList{
		Number: big.NewInt(1), ThisUpdate: time.Now().Add(-time.Hour), NextUpdate: time.Now().Add(time.Hour),
		ExtraExtensions: []pkix.Extension{{Id: id, Critical: id[0] == 2, Value: value}},
	}, issuer.Cert, issuer.Key)
	if err != nil {
		t.Fatal(err)
	}
	return list
}

// checking is a policy that checks revocation.
func checking(dir string, roots ...*pki.Pair) certcheck.Policy {
	var certs []*x509.Certificate
	for _, r := range roots {
		certs = append(certs, r.Cert)
	}
	return certcheck.Policy{Flags: bits.CheckRevocation, Roots: certcheck.NewRoots(certs...), CRLs: certcheck.NewCRLCache(dir), Lists: by}
}

func codeOf(err error) hresult.Code {
	if err == nil {
		return ok
	}
	return bits.AsError(err).Code
}

// A list that names its distribution point counts only there: a list of another shard has the same issuer, and proves nothing.
func TestListOfAnotherPoint(t *testing.T) {
	root, server := pki.Root("root"), serve(t)
	point := server.URL + "/a.crl"
	leaf := root.Server([]string{"localhost"}, listedAt(point))
	element := func(class, tag int, parts ...[]byte) []byte {
		der, err := asn1.Marshal(asn1.RawValue{Class: class, Tag: tag, IsCompound: tag == 0 || tag == 1 || tag == asn1.TagSequence, Bytes: bytes.Join(parts, nil)})
		if err != nil {
			t.Fatal(err)
		}
		return der
	}
	const context = asn1.ClassContextSpecific
	uri := func(u string) []byte { return element(context, 6, []byte(u)) }
	full := func(names ...[]byte) []byte { return element(context, 0, element(context, 0, names...)) }
	scoped := func(parts ...[]byte) []byte {
		return listWith(t, root, asn1.ObjectIdentifier{2, 5, 29, 28}, element(asn1.ClassUniversal, asn1.TagSequence, parts...))
	}
	for _, c := range []struct {
		name  string
		scope []byte
		want  hresult.Code
	}{
		{"no name", []byte{0x81, 1, 0xff}, ok},
		{"its own", full(uri(point)), ok},
		{"its own among others", full(uri("ldap://x/y"), element(context, 2, []byte("x")), uri(point)), ok},
		{"another", full(uri(server.URL + "/b.crl")), unknown},
		{"one that begins like it", full(uri(point + "x")), unknown},
		{"no URI but a DNS name", full(element(context, 2, []byte(point))), unknown},
		{"relative to the issuer", element(context, 0, element(context, 1, uri(point))), unknown},
		{"no form", element(context, 0), unknown},
		{"no names", full(), unknown},
		{"two forms", element(context, 0, element(context, 0, uri(point)), element(context, 1)), unknown},
		{"a name that is cut", full([]byte{0x86, 0x7f, 'h'}), unknown},
	} {
		server.put("/a.crl", scoped(c.scope))
		policy := checking(t.TempDir(), root)
		if _, err := policy.Verify(t.Context(), "localhost", leaf.Chain); codeOf(err) != c.want {
			t.Errorf("%s: %v, want %v", c.name, err, c.want)
		}
		// What does not count is not kept either, or it would stand in the way of the right one until its end.
		server.put("/a.crl", root.CRL(2, leaf))
		if c.want == ok {
			continue
		}
		if _, err := policy.Verify(t.Context(), "localhost", leaf.Chain); codeOf(err) != revoked {
			t.Errorf("%s, then the right one: %v", c.name, err)
		}
	}
}

// Where an unknown authority is forgiven, a chain that just stops has a certificate that nobody answers for.
func TestRevocationOfAnIncompleteChain(t *testing.T) {
	server := serve(t)
	root := pki.Root("localhost")
	middle := root.Intermediate("middle", listedAt(server.put("/root.crl", root.CRL(1))))
	at := listedAt(server.URL + "/middle.crl")
	good, bad := middle.Server([]string{"localhost"}, at), middle.Server([]string{"localhost"}, at)
	server.put("/middle.crl", middle.CRL(1, bad))
	own := (*pki.Pair)(nil).Server([]string{"localhost"})
	namesake := root.Server([]string{"localhost"}, listedAt(server.URL+"/root.crl"), func(c *x509.Certificate) {
		c.AuthorityKeyId = root.Cert.SubjectKeyId // its issuer has its name, and another key
	})
	stranger := pki.Root("stranger")
	for _, c := range []struct {
		name string
		root *pki.Pair
		sent []*x509.Certificate
		want hresult.Code
	}{
		{"complete", root, good.Chain, ok},
		{"complete, revoked", root, bad.Chain, revoked},
		{"leaf alone", root, good.Chain[:1], unknown},
		{"leaf alone, revoked", root, bad.Chain[:1], unknown},
		{"no root", stranger, good.Chain, unknown},
		{"no root, revoked", stranger, bad.Chain, revoked},
		{"root of its own", stranger, append(good.Chain, root.Cert), ok},
		{"root of its own, revoked", stranger, append(bad.Chain, root.Cert), revoked},
		{"self-signed", root, own.Chain, ok},
		{"self-issued by name only", stranger, namesake.Chain, unknown},
		{"self-issued by name only, with its root", root, namesake.Chain, ok},
		{"the job trusts the middle", middle, good.Chain[:1], ok},
		{"the job trusts the middle, revoked", middle, bad.Chain[:1], revoked},
		{"the job trusts the leaf", good, good.Chain[:1], ok},
	} {
		policy := checking(t.TempDir(), c.root)
		policy.Flags |= bits.IgnoreUnknownCA
		if _, err := policy.Verify(t.Context(), "localhost", c.sent); codeOf(err) != c.want {
			t.Errorf("%s: %v, want %v", c.name, err, c.want)
		}
	}
}

// However many points and chains there are, a handshake waits CRLTime for lists, and the last fetch that was begun in it.
func TestRevocationTime(t *testing.T) {
	points := make([]string, 30)
	for i := range points {
		points[i] = fmt.Sprintf("http://lists.example/%d", i)
	}
	root, now := pki.Root("root"), time.Now()
	middle := root.Intermediate("middle", listedAt(points...))
	one, two := root.Server([]string{"localhost"}, listedAt(points...)), middle.Server([]string{"localhost"}, listedAt(points...))
	for _, c := range []struct {
		name   string
		policy certcheck.Policy
		sent   []*x509.Certificate
		each   time.Duration // of a fetch
		want   int64         // fetches
	}{
		{"one chain", checking(t.TempDir(), root), one.Chain, time.Second, certcheck.CRLPoints},
		{"two chains", checking(t.TempDir(), root, middle), two.Chain, time.Second, 2 * certcheck.CRLPoints},
		{"one chain, slow", checking(t.TempDir(), root), one.Chain, 7 * time.Second, 3},
		{"two chains, slow", checking(t.TempDir(), root, middle), two.Chain, 4 * time.Second, 4},
	} {
		synctest.Test(t, func(t *testing.T) {
			var fetches int64
			c.policy.Now = func() time.Time { return now } // the clock of synctest begins before the certificates do
			c.policy.Lists = roundTrip(func(*http.Request) (*http.Response, error) {
				fetches++
				time.Sleep(c.each)
				return nil, errors.New("no way there")
			})
			began := time.Now()
			_, err := c.policy.Verify(t.Context(), "localhost", c.sent)
			late := err != nil && strings.Contains(err.Error(), "did not come within "+certcheck.CRLTime.String())
			if codeOf(err) != unknown || late != (c.each > time.Second) || fetches != c.want || time.Since(began) != time.Duration(c.want)*c.each {
				t.Errorf("%s: %v, %d fetches in %s; want %d", c.name, err, fetches, time.Since(began), c.want)
			}
		})
	}
}

// A point that does not answer does not take the time of the next one.
func TestPointThatHangs(t *testing.T) {
	root, server := pki.Root("root"), serve(t)
	hangs := httptest.NewServer(http.HandlerFunc(func(_ http.ResponseWriter, r *http.Request) { <-r.Context().Done() }))
	defer hangs.Close()
	leaf := root.Server([]string{"localhost"}, listedAt(hangs.URL, server.put("/root.crl", root.CRL(1))))
	ctx, cancel := context.WithTimeout(t.Context(), 4*time.Second)
	defer cancel()
	if _, err := checking(t.TempDir(), root).Verify(ctx, "localhost", leaf.Chain); err != nil {
		t.Error(err)
	}
}

// A job that is suspended in the middle of the check gets no verdict.
func TestContextEndsInRevocation(t *testing.T) {
	root, why := pki.Root("root"), errors.New("the job was suspended")
	for _, c := range []struct{ cause, want error }{{nil, context.Canceled}, {why, why}} {
		ctx, cancel := context.WithCancelCause(t.Context())
		hangs := httptest.NewServer(http.HandlerFunc(func(_ http.ResponseWriter, r *http.Request) {
			cancel(c.cause)
			<-r.Context().Done()
		}))
		leaf := root.Server([]string{"localhost"}, listedAt(hangs.URL, hangs.URL+"/2"))
		if _, err := checking(t.TempDir(), root).Verify(ctx, "localhost", leaf.Chain); err != c.want {
			t.Errorf("%v, want %v", err, c.want)
		}
		hangs.Close()
	}

	// Nor does it go on with lists that are at hand: those of many chains are much work.
	server := serve(t)
	leaf, policy := root.Server([]string{"localhost"}, listedAt(server.put("/root.crl", root.CRL(1)))), checking(t.TempDir(), root)
	ctx, cancel := context.WithCancel(t.Context())
	if _, err := policy.Verify(ctx, "localhost", leaf.Chain); err != nil {
		t.Error(err)
	}
	cancel()
	if _, err := policy.Verify(ctx, "localhost", leaf.Chain); err != context.Canceled {
		t.Errorf("with the list at hand: %v", err)
	}
}

// The cache is bounded in memory, by number and by size, and on disk.
func TestCRLCacheIsBounded(t *testing.T) {
	root, server := pki.Root("root"), serve(t)
	noFolder := filepath.Join(t.TempDir(), "file")
	if err := os.WriteFile(noFolder, nil, 0o600); err != nil {
		t.Fatal(err)
	}
	// rig returns a function that checks a certificate and says how often its list was fetched.
	rig := func(dir string, list []byte, n int) func(int) int64 {
		policy, leaves := checking(dir, root), make([]*pki.Pair, n)
		for i := range leaves {
			leaves[i] = root.Server([]string{"localhost"}, listedAt(server.put(fmt.Sprintf("/%d.crl", i), list)))
		}
		return func(i int) int64 {
			t.Helper()
			before := server.fetched.Load()
			if _, err := policy.Verify(t.Context(), "localhost", leaves[i].Chain); err != nil {
				t.Error(err)
			}
			return server.fetched.Load() - before
		}
	}
	large := listWith(t, root, asn1.ObjectIdentifier{1, 2, 3}, make([]byte, certcheck.CRLSize*3/8))
	for _, c := range []struct {
		name string
		list []byte
		fits int
	}{
		{"number", root.CRL(1), certcheck.CRLMemory},
		{"size", large, 2},
	} {
		fetches := rig(noFolder, c.list, c.fits+1)
		for i := range c.fits {
			fetches(i)
		}
		for _, step := range []struct {
			leaf int
			want int64
		}{{0, 0}, {c.fits, 1}, {0, 0}, {1, 1}} { // the second was not used for longest, and made room
			if n := fetches(step.leaf); n != step.want {
				t.Errorf("%s: the list of leaf %d was fetched %d times, want %d", c.name, step.leaf, n, step.want)
			}
		}
	}

	dir := t.TempDir()
	const old = certcheck.CRLFiles + 50
	for i := range old {
		name := filepath.Join(dir, fmt.Sprint(i))
		at := time.Now().Add(-time.Hour - time.Duration(i)*time.Minute)
		if err := errors.Join(os.WriteFile(name, nil, 0o600), os.Chtimes(name, at, at)); err != nil {
			t.Fatal(err)
		}
	}
	fetches := rig(dir, root.CRL(1), 1)
	if n := fetches(0); n != 1 {
		t.Errorf("the list was fetched %d times", n)
	}
	entries, err := os.ReadDir(dir)
	if err != nil || len(entries) != certcheck.CRLFiles {
		t.Errorf("%d files are left, want %d (%v)", len(entries), certcheck.CRLFiles, err)
	}
	for i, want := range map[int]bool{0: true, certcheck.CRLFiles - 2: true, certcheck.CRLFiles - 1: false, old - 1: false} {
		if _, err := os.Stat(filepath.Join(dir, fmt.Sprint(i))); (err == nil) != want {
			t.Errorf("file %d: %v", i, err)
		}
	}
}

// A list is sought over http and https only, and along a bounded number of redirects.
func TestWayToAList(t *testing.T) {
	root, server := pki.Root("root"), serve(t)
	server.put("/root.crl", root.CRL(1))
	file := filepath.Join(t.TempDir(), "root.crl")
	if err := os.WriteFile(file, root.CRL(1), 0o600); err != nil {
		t.Fatal(err)
	}
	for _, c := range []struct {
		name    string
		point   string
		want    hresult.Code
		fetches int64
	}{
		{"straight", server.URL + "/root.crl", ok, 1},
		{"to another place", server.put("/1", []byte("to /root.crl")), ok, 2},
		{"to a file", server.put("/2", []byte("to file://"+filepath.ToSlash(file))), unknown, 1},
		{"to another protocol", server.put("/3", []byte("to ftp://localhost/root.crl")), unknown, 1},
		{"in a circle", server.put("/4", []byte("to /4")), unknown, 10},
		{"nowhere", "http://255.255.255.255/root.crl", unknown, 0},
		{"at a file", "file://" + filepath.ToSlash(file), unknown, 0},
		{"at no host", "http:///root.crl", unknown, 0},
	} {
		before := server.fetched.Load()
		leaf := root.Server([]string{"localhost"}, listedAt(c.point))
		_, err := checking(t.TempDir(), root).Verify(t.Context(), "localhost", leaf.Chain)
		if n := server.fetched.Load() - before; codeOf(err) != c.want || n != c.fetches {
			t.Errorf("%s: %v after %d requests, want %v after %d", c.name, err, n, c.want, c.fetches)
		}
	}
	policy := checking(t.TempDir(), root)
	policy.Lists = nil // and not net/http's own way, which goes by our environment
	leaf := root.Server([]string{"localhost"}, listedAt(server.URL+"/root.crl"))
	if _, err := policy.Verify(t.Context(), "localhost", leaf.Chain); codeOf(err) != unknown {
		t.Errorf("no way at all: %v", err)
	}
}
