package login

import (
	"context"
	"crypto/tls"
	"crypto/x509"
	"encoding/base64"
	"io"
	"net/http"
	"net/url"
	"strings"
	"testing"

	"bits"
	"bits/internal/pki"
)

// Whatever a server says, leg after leg: it ends, what it is sent is a header, and only Basic tells the password, to who asks for Basic.
func FuzzLegs(f *testing.F) {
	const token = "TlRMTVNTUAACAAAAAAAAADgAAAABggAAASNFZ4mrze8AAAAAAAAAAAAAAAA4AAAA"
	f.Add(`Digest realm="a", nonce="n", qop="auth"`, `Digest realm="a", nonce="m", stale=true, algorithm=SHA-256`, `Basic realm="x"`, `nextnonce="k"`)
	f.Add(`Digest realm="a", nonce="n"`, `Digest realm="a", nonce="m", stale=true, algorithm=UNKNOWN`, ``, ``)
	f.Add(`Digest realm="a", nonce="n"`, `Digest realm="a", nonce="m", stale=true, qop="auth-int"`, ``, ``)
	f.Add(`NTLM`, `NTLM `+token, `NTLM`, ``)
	f.Add(`Negotiate, NTLM, Digest nonce=x, Basic`, `NTLM ====`, "Digest realm=\"\", nonce=\"\\\"\", opaque=\"\\\\\", userhash=true, charset=UTF-8", `=,"`)
	user, password := "j\"ö:e", "s3cret-of-joe"
	plain := "joe"
	control := func(s string) bool { return strings.ContainsFunc(s, func(r rune) bool { return r < ' ' || r == 0x7f }) }
	f.Fuzz(func(t *testing.T, one, two, three, info string) {
		if control(one + two + three + info) {
			t.Skip("net/http sends no such thing on")
		}
		l := &Login{Credentials: []bits.Credential{
			{Target: bits.AuthServer, Scheme: bits.Basic, User: &plain, Password: &password},
			{Target: bits.AuthServer, Scheme: bits.Digest, User: &user, Password: &password},
			{Target: bits.AuthServer, Scheme: bits.NTLM, User: &plain, Password: &password},
		}}
		defer l.Close()
		p := l.Server(&url.URL{Scheme: "https", Host: "origin.test", Path: "/f"})
		said, sent := []string{"", one, two, three}, 0
		for range 2 { // the second request begins with what was taken
			_, _, err := p.Do(context.Background(), "GET", "/f", func(authorization string, _ bool) (*http.Response, error) {
				sent++
				asked := said[min(sent-1, len(said)-1)]
				if control(authorization) {
					t.Errorf("%q was sent", authorization)
				}
				if _, basic, _ := strings.Cut(authorization, "Basic "); basic != "" && !strings.Contains(strings.ToLower(one+two+three), "basic") || strings.Contains(authorization, password) {
					t.Errorf("%q, %q", authorization, asked)
				}
				status := http.StatusUnauthorized
				if sent > len(said)-1 {
					status = http.StatusOK
				}
				head := http.Header{"Www-Authenticate": {said[min(sent, len(said)-1)]}, "Authentication-Info": {info}}
				return &http.Response{StatusCode: status, ProtoMajor: 1, Header: head, Body: io.NopCloser(strings.NewReader("no"))}, nil
			})
			if err != nil || sent > 2*(maxLegs+1) {
				t.Errorf("%v after %d requests", err, sent)
			}
		}
	})
}

// Whatever the challenge of NTLM is, with and without a TLS connection to bind it to, the answer is a message or an error.
func FuzzNTLM(f *testing.F) {
	challenge := append([]byte("NTLMSSP\x00\x02\x00\x00\x00\x00\x00\x00\x00\x38\x00\x00\x00\x01\x02\x81\x00\x01\x23\x45\x67\x89\xab\xcd\xef"), make([]byte, 40)...)
	challenge[40], challenge[42], challenge[44] = 16, 16, 48 // the target information: a name, and its end
	copy(challenge[48:], "\x02\x00\x08\x00J\x00O\x00E\x00S\x00\x00\x00\x00\x00")
	f.Add(challenge)
	f.Add(challenge[:32])
	secure := &tls.ConnectionState{PeerCertificates: []*x509.Certificate{pki.Root("root").Server([]string{"a"}).Cert}}
	f.Fuzz(func(t *testing.T, challenge []byte) {
		for _, state := range []*tls.ConnectionState{nil, secure} {
			l := &ntlmLogin{id: Identity{User: "joe", Password: "s3cret"}, started: true}
			text, err := l.next(context.Background(), Challenge{Token: base64.StdEncoding.EncodeToString(challenge)}, demand{tls: state})
			if message, ok := strings.CutPrefix(text, "NTLM TlRMTVNTUAAD"); err == nil && (!ok || message == "") {
				t.Errorf("%q for %q", text, challenge)
			}
		}
	})
}
