package joblog

import (
	"fmt"
	"net/http"
	"net/url"
	"strings"
	"testing"
	"time"

	"bits"
	"bits/hresult"
)

func TestURL(t *testing.T) {
	for _, c := range [][2]string{
		{"https://host/a/b.iso", "https://host/a/b.iso"},
		{"https://host:8080/@scope/pkg", "https://host:8080/@scope/pkg"},
		{"http://[::1]:80/x", "http://[::1]:80/x"},
		{"https://user:pass@host/x", "https://***@host/x"},
		{"https://user@host", "https://***@host"},
		{"https://us@er:p@ss@host/x", "https://***@host/x"},
		{"https://user:pa/ss@host/x", "https://***"}, // a login that is not escaped
		{"https://user%3Apass%40host/x", "https://***"},
		{"https://h/x?X-Amz-Signature=abc&x=1", "https://h/x?X-Amz-Signature=***&x=***"},
		{"https://h/x?sig=a=b", "https://h/x?sig=***"},
		{"https://h/x?abc", "https://h/x?***"},
		{"https://h/x?abc=", "https://h/x?***"},
		{"https://h/x?" + strings.Repeat("k", 41) + "=1", "https://h/x?***"},
		{"https://h/x;jsessionid=abc?y=1", "https://h/x;***?y=***"},
		{"https://h/x#token=abc", "https://h/x#***"},
		{"https://h/#", "https://h/#"},
		{"/x?sig=abc", "/x?sig=***"},
		{"?abc", "?***"},
		{"//user:p@host/x?y=1", "//***@host/x?y=***"},
		{"http://a,http://u:p@b/x", "http://a,http://***@b/x"},
		{"https://web.test/web/https://u:p@b/x?y=1", "https://web.test/web/https://***@b/x?y=***"},
		{"/a;b=c/d", "/a;***"},
		{"", ""},
	} {
		if got := URL(c[0]); got != c[1] {
			t.Errorf("%s: %s, want %s", c[0], got, c[1])
		}
		if again := URL(c[1]); again != c[1] {
			t.Errorf("%s becomes %s", c[1], again)
		}
	}
}

// secret is what no text may have.
const secret = "s3cr3t-Value/42"

func planted() *bits.Job {
	user, password := "ann", "p4ssw0rd!"
	return &bits.Job{ID: "5d0fd2d2-9a5c-4b83-9f6c-0c1d9f1b8a77", Owner: "me", Secrets: bits.Secrets{
		Headers:     "X-Token: " + secret + "\r\nAuthorization: Basic Ym9iOmIwYnNzZWNyZXQ=\r\nProxy-Authorization: Bearer t0ken-of-proxy\r\nCookie: a=c00kie-one; b=\"c00kie-two\"\r\nUser-Agent: my program\r\nX-N: 1\r\n",
		Credentials: []bits.Credential{{User: &user, Password: &password}},
		Environment: map[string]string{"https_proxy": "http://carl:pr%40xy-secret@proxy.test:3128", "SSL_CERT_FILE": "/a@b/file.pem"},
		ProxyLogins: map[string]string{"proxy.test:1": "dave:l1st%40secret"},
	}}
}

func TestMask(t *testing.T) {
	m := MaskOf(planted())
	for _, c := range [][2]string{
		{"it said " + secret + "!", "it said ***!"},
		{"the path " + url.PathEscape(secret), "the path ***"},
		{"Basic Ym9iOmIwYnNzZWNyZXQ= and Ym9iOmIwYnNzZWNyZXQ=, b0bssecret", "*** and ***, ***"},
		{"Bearer", "Bearer"},
		{"c00kie-one c00kie-two", "*** ***"},
		{"p4ssw0rd! YW5uOnA0c3N3MHJkIQ==", "*** ***"},
		{"pr@xy-secret pr%40xy-secret", "*** ***"},
		{"l1st@secret l1st%40secret dave:l1st%40secret", "*** *** ***"},
		{"my program, 1, /a@b/file.pem", "my program, 1, /a@b/file.pem"}, // these are none
		{`Get "https://u:p@h/x?a=b": no`, `Get "https://***@h/x?a=***": no`},
		{"cannot fetch https://h/x?a=b: no.", "cannot fetch https://h/x?a=***: no."},
		{"is it? yes", "is it? yes"},
		{"<https://h/x?a=b>; rel=next", "<https://h/x?a=***>; rel=next"},
	} {
		if got := m.Text(c[0]); got != c[1] {
			t.Errorf("%s: %s, want %s", c[0], got, c[1])
		}
	}
	if got := (Mask{}).Text("http://h/?a=b"); got != "http://h/?a=***" {
		t.Error(got)
	}
}

func TestHeader(t *testing.T) {
	for _, c := range [][3]string{
		{"Content-Length", "5", "5"},
		{"etag", `"x"`, `"x"`},
		{"Set-Cookie", "a=b", "***"},
		{"Cookie", "a=b", "***"},
		{"X-Api-Key", "b", "***"},
		{"Authorization", "Bearer abc", "Bearer ***"},
		{"Authorization", "abc", "***"},
		{"Proxy-Authorization", "Digest username=x", "Digest ***"},
		{"WWW-Authenticate", `Negotiate`, "Negotiate"},
		{"WWW-Authenticate", `Digest realm="Basic abc", nonce="x", Basic realm="y"`, "Digest, Basic ***"},
		{"Location", "https://h/x?sig=abc", "https://h/x?sig=***"},
		{"Location", "x;sid=1", "x;***"},
		{"Link", `<https://u:p@h/x?a=b#c>; rel=duplicate, </y#z>; pri=1`, `<https://***@h/x?a=***#***>; rel=duplicate, </y#***>; pri=1`},
		{"Via", "1.1 http://u:p@h/", "1.1 http://***@h/"},
		{"Server", "a\r\nCookie: b", "a  Cookie: b"},
	} {
		if got := Header(c[0], c[1]); got != c[0]+": "+c[2] {
			t.Errorf("%s: %s", c[0], got)
		}
	}
}

// Lines that are not heads are one line, and none is long.
func TestNew(t *testing.T) {
	j := planted()
	if l := New(j, MaskOf(j), Run, -1, "a\r\nb "+secret); l.Text != "a b ***" || l.File != nil || l.Job != j.ID || l.Owner != "me" {
		t.Errorf("%+v", l)
	}
	if l := New(j, Mask{}, Request, 3, "a\nb"); l.Text != "a\nb" || *l.File != 3 {
		t.Errorf("%+v", l)
	}
	l := New(j, Mask{}, Run, 0, "x"+strings.Repeat("ü", MaxText))
	if len(l.Text) > MaxText+20 || strings.Contains(l.Text, "\ufffd") || !strings.HasSuffix(l.Text, "ü ... (cut)") {
		t.Errorf("%d bytes: ... %s", len(l.Text), l.Text[len(l.Text)-20:])
	}
}

func TestStateText(t *testing.T) {
	at := time.Now().Add(12 * time.Second)
	j := &bits.Job{State: bits.StateTransientError, Failures: 3, NextRetry: &at, Error: &bits.JobError{Code: hresult.BG_E_NETWORK_DISCONNECTED, Name: "BG_E_NETWORK_DISCONNECTED", Message: "no network"}}
	if got := StateText(j); !strings.HasPrefix(got, "TRANSIENT_ERROR: no network (0x") || !strings.Contains(got, "; failure 3 in a row; next try in 12s, at ") && !strings.Contains(got, "next try in 11.") {
		t.Error(got)
	}
	j.State = bits.StateQueued
	if got := StateText(j); got != "QUEUED" {
		t.Error(got)
	}
}

func TestTail(t *testing.T) {
	var tail Tail
	for i := range 5000 {
		tail.Add(Line{N: int64(i)})
	}
	if got := tail.Lines(); len(got) != MaxLines || got[First-1].N != First-1 || got[First].N != 5000-(MaxLines-First) || got[MaxLines-1].N != 4999 {
		t.Error(len(got), got[First-1].N, got[First].N)
	}
	for i := range 200 {
		tail.Add(Line{N: int64(i), Text: strings.Repeat("x", 4096)})
	}
	if tail.Size() > MaxBytes || len(tail.Lines()) != First+MaxBytes/4096 {
		t.Error(tail.Size(), len(tail.Lines()))
	}
}

// No secret survives, wherever it stands in a URL, in a header or in a text.
func FuzzMask(f *testing.F) {
	f.Add("X-Token", "user", "h.test:80", "/a b", "sig")
	f.Add("x-é", "", "[::1]", "/;x=y/z?", "a;b&c")
	f.Add("Location", "a:b@c", "h", "/http://q/", "#")
	f.Fuzz(func(t *testing.T, name, user, host, path, key string) {
		const token = "T0kenThatIsSecret"
		hidden := func(text string) {
			t.Helper()
			if strings.Contains(text, token) {
				t.Errorf("%q tells it", text)
			}
		}
		for _, u := range []*url.URL{
			{Scheme: "https", User: url.UserPassword(user, token), Host: host, Path: path},
			{Scheme: "https", Host: host, Path: path, RawQuery: url.Values{key: {token}}.Encode()},
			{Scheme: "https", Host: host, Path: path, RawQuery: token},
			{Path: path, RawQuery: url.Values{key: {token}}.Encode()},
			{Scheme: "https", Host: host, Path: path, Fragment: token},
		} {
			text := u.String()
			if _, err := url.Parse(text); err != nil {
				continue // no program would print it
			}
			hidden(URL(text))
			hidden((Mask{}).Text(fmt.Sprintf("Get %q: %s", text, path)))
			hidden(Header("Location", text))
			hidden(Answer("HTTP/1.1", "302 Found", http.Header{"Location": {text}, "Link": {"<" + text + ">"}}))
		}
		if headers[http.CanonicalHeaderKey(name)] == hide {
			hidden(Header(name, token))
			hidden(Header(name, path+token+key))
		}
		hidden(Header("Authorization", user+" "+token))
		hidden(Header("WWW-Authenticate", "Digest nonce="+token+path))
		j := &bits.Job{Secrets: bits.Secrets{Headers: "X-Secret: " + token + "\r\n"}}
		hidden(New(j, MaskOf(j), Run, -1, path+token+key).Text)
	})
}
