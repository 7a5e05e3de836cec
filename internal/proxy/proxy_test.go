package proxy

import (
	"context"
	"errors"
	"net/url"
	"strings"
	"testing"

	"bits"
	"bits/hresult"
)

// A proxy that cannot be used is an error, never a direct connection.
func TestEnvironment(t *testing.T) {
	for value, want := range map[string]string{
		"proxy.test:3128": "http://proxy.test:3128", "http://proxy.test": "http://proxy.test:80", "https://u:p@proxy.test:1": "https://proxy.test:1",
		"socks5://proxy.test": "socks5://proxy.test:1080", "socks5h://u:p@[::1]:9": "socks5h://[::1]:9", "socks://p": "socks5h://p:1080",
		"http://[fd00::1]": "http://[fd00::1]:80", "http://proxy.test/": "http://proxy.test:80",
		"socks4://proxy.test": "", "http://[::1": "", "http://": "", "::": "", "http://p:0": "", "http://p:65536": "", "ftp://p": "",
		"http://p:3128/": "http://p:3128", "http://p:3128/path?q#f": "http://p:3128", "https://p/x": "https://p:443", "p:3128/x": "http://p:3128", "http://p?x": "http://p:80",
		"socks5h://p/": "socks5h://p:1080", "socks5h://localhost/run/socks": "", "http://user/x@p:1": "", "http:///x": "", "/x": "", "http://p :1": "",
	} {
		for _, scheme := range []string{"http", "https"} {
			c, err := FromEnvironment(map[string]string{scheme + "_proxy": value})(context.Background(), address(t, scheme+"://origin.test/x"))
			switch {
			case want == "" && (err == nil || bits.AsError(err).Code != hresult.BG_E_INVALID_PROXY_INFO || bits.AsError(err).Context != bits.ContextQueueManager || strings.Contains(err.Error(), value) && value != "::"):
				t.Errorf("%s_proxy=%s: %v, %v", scheme, value, c, err)
			case want != "" && (err != nil || strings.Join(Names(c.Route), " ") != want):
				t.Errorf("%s_proxy=%s: %v, %v", scheme, value, Names(c.Route), err)
			}
		}
	}
	// Only the proxy that would be used is judged, and the choice says what has decided it.
	for _, c := range []struct {
		environment    map[string]string
		url, want, why string
	}{
		{map[string]string{"all_proxy": "http://proxy.test", "no_proxy": "a.example, .test"}, "http://origin.test/", "DIRECT", "no_proxy of the job's creator has .test"},
		{map[string]string{"all_proxy": "socks4://proxy.test", "NO_PROXY": ".test"}, "https://origin.test/", "DIRECT", "NO_PROXY of the job's creator has .test"},
		{map[string]string{"https_proxy": "socks4://proxy.test"}, "http://origin.test/", "DIRECT", "the job's creator had no http_proxy and no all_proxy"},
		{map[string]string{"all_proxy": "a:1"}, "http://127.0.0.1/", "DIRECT", "127.0.0.1 is this machine"},
		{map[string]string{"http_proxy": "a:1", "HTTP_PROXY": "b:1"}, "http://x.test/", "http://a:1", "http_proxy of the job's creator"},
		{map[string]string{"HTTP_PROXY": "b:1"}, "http://x.test/", "http://b:1", "HTTP_PROXY of the job's creator"},
		{map[string]string{"ALL_PROXY": "b:1", "no_proxy": "*"}, "http://x.test/", "DIRECT", "no_proxy of the job's creator has *"},
		{map[string]string{"http_proxy": "http://u:p@b:1/x"}, "http://x.test/", "http://b:1", "http_proxy of the job's creator, without its path"},
		{map[string]string{"ALL_PROXY": "b:1", "no_proxy": "10.0.0.0/8"}, "http://10.1.2.3/", "DIRECT", "no_proxy of the job's creator has 10.0.0.0/8"},
		{map[string]string{"ALL_PROXY": "b:1", "no_proxy": "[fd00::1]:80"}, "http://[fd00::1]/", "DIRECT", "no_proxy of the job's creator has [fd00::1]:80"},
	} {
		got, err := FromEnvironment(c.environment)(context.Background(), address(t, c.url))
		if err != nil || strings.Join(Names(got.Route), " ") != c.want || got.Why[0] != c.why {
			t.Errorf("%v: %v, %q, %v", c.environment, Names(got.Route), got.Why, err)
		}
	}
}

// The entries of no_proxy beside what curl (7.88.1, measured) and httpproxy make of them: it is direct where one of both says so.
func TestNoProxy(t *testing.T) {
	for _, c := range []struct{ list, url, rule string }{
		{".test", "http://a.test/", ".test"}, {".test", "http://test/", ".test"}, // as curl does it
		{"test", "http://a.test/", "test"}, {"a.test", "http://a.test/", "a.test"}, {"a.test", "http://b.a.test/", "a.test"}, {"a.test", "http://xa.test/", ""},
		{"*.test", "http://a.test/", "*.test"}, {"*.test", "http://test/", ""}, {"*", "http://a.test/", "*"}, {"x *", "http://a.test/", "*"},
		{"a.test:80", "http://a.test/", "a.test:80"}, {"a.test:443", "https://a.test/", "a.test:443"}, {"a.test:81", "http://a.test/", ""}, {"a.test:81", "http://a.test:81/", "a.test:81"},
		{"A.TEST", "http://a.Test/", "A.TEST"}, {"a.test.", "http://a.test/", "a.test."}, {"a.test", "http://a.test./", "a.test"}, {"a.test", "http://a.test.:81/", "a.test"}, // as curl does it
		{"10.0.0.0/8", "http://10.1.2.3/", "10.0.0.0/8"}, {"10.1.2.3", "http://10.1.2.3/", "10.1.2.3"}, {"10.1.2.3", "http://10.1.2.30/", ""}, {"10.1.2", "http://10.1.2.3/", ""}, {"10.", "http://10.1.2.3/", ""},
		{"10.0.0.0/8", "http://010.1.2.3/", ""}, {"10.0.0.0/8", "http://a.10.test/", ""}, {"10.0.0.0/99", "http://10.1.2.3/", ""},
		{"fd00::/8", "http://[fd00::1]/", "fd00::/8"}, {"fd00::1", "http://[fd00::1]:81/", "fd00::1"}, {"fd00:0::1", "http://[fd00::1]/", "fd00:0::1"},
		{"[fd00::1]", "http://[fd00::1]/", "[fd00::1]"}, {"[fd00::1]:80", "http://[fd00::1]/", "[fd00::1]:80"}, {"[fd00::1]:81", "http://[fd00::1]/", ""}, {"[fd00::1", "http://[fd00::1]/", ""},
		{"a.test b.test", "http://b.test/", "b.test"}, {"a.test, b.test ,", "http://b.test/", "b.test"}, {"a.test;b.test", "http://b.test/", "b.test"}, {"a.test\nb.test", "http://b.test/", "b.test"},
		{"http://a.test", "http://a.test/", ""}, {"<local>", "http://intranet/", ""}, {"localhost", "http://intranet/", ""}, {".", "http://a.test/", ""}, {", ,", "http://a.test/", ""}, {"[]", "http://a.test/", ""},
	} {
		got, err := FromEnvironment(map[string]string{"all_proxy": "p:1", "no_proxy": c.list})(context.Background(), address(t, c.url))
		route, why := "DIRECT", "no_proxy of the job's creator has "+c.rule
		if c.rule == "" {
			route, why = "http://p:1", "all_proxy of the job's creator"
		}
		if err != nil || strings.Join(Names(got.Route), " ") != route || got.Why[0] != why {
			t.Errorf("%q, %s: %v, %q, %v", c.list, c.url, Names(got.Route), got.Why, err)
		}
	}
	for _, at := range []string{"http://localhost/", "http://LOCALHOST./", "http://127.1.2.3:81/", "http://[::1]/"} { // this machine, whatever the list says; curl needs an entry
		got, err := FromEnvironment(map[string]string{"all_proxy": "p:1"})(context.Background(), address(t, at))
		if err != nil || got.Route[0] != nil {
			t.Errorf("%s: %v, %v", at, got, err)
		}
	}
}

func TestLists(t *testing.T) {
	for _, c := range []struct{ list, bypass, url, want string }{
		{"p", "", "http://a.test/", "http://p:80"},
		{"p:1 https://q", "", "https://a.test/", "http://p:1 https://q:443"},
		{"http=http://p1 p2", "", "http://a.test/", "http://p1:80"},
		{"http=http://p1 p2", "", "https://a.test/", "http://p2:80"},
		{"http=p1 http=p2:8 https=p3", "", "http://a.test/", "http://p1:80 http://p2:8"},
		{"HTTP=p1", "", "https://a.test/", "DIRECT"},
		{"p1,p2;p3", "", "http://a.test/", "http://p1:80 http://p2:80 http://p3:80"},
		{"[::1]:8", "", "http://[fd00::2]/", "http://[::1]:8"},
		{"socks5://s", "", "https://a.test/", "socks5://s:1080"},
		{"https=socks5h://s:1", "", "https://a.test/", "socks5h://s:1"},
		{"p", "", "http://localhost/", "DIRECT"},
		{"p", "", "http://x.localhost./", "DIRECT"},
		{"p", "", "http://127.9.9.9/", "DIRECT"},
		{"p", "", "http://[::1]/", "DIRECT"},
		{"p", "<-loopback>", "http://127.0.0.1/", "http://p:80"},
		{"p", "<local>", "http://intranet/", "DIRECT"},
		{"p", "<LOCAL>", "http://intranet.test/", "http://p:80"},
		{"p", "<local>", "http://[fd00::1]/", "http://p:80"},
		{"p", "*.microsoft.com", "http://WWW.Microsoft.com/", "DIRECT"},
		{"p", "*.microsoft.com", "http://microsoft.com/", "http://p:80"},
		{"p", "*soft.com", "http://microsoft.com/", "DIRECT"},
		{"p", ".test", "http://a.test/", "DIRECT"},
		{"p", "a.test", "http://b.a.test/", "http://p:80"},
		{"p", "a.test;b.test", "http://b.test/", "DIRECT"},
		{"p", "*", "http://b.test/", "DIRECT"},
		{"p", "a.test:81", "http://a.test/", "http://p:80"},
		{"p", "a.test:81", "http://a.test:81/", "DIRECT"},
		{"p", "https://a.test", "http://a.test/", "http://p:80"},
		{"p", "https://a.test", "https://a.test/", "DIRECT"},
		{"p", "10.0.0.0/8", "http://10.2.3.4/", "DIRECT"},
		{"p", "10.0.0.1", "http://10.0.0.1/", "DIRECT"},
		{"p", "[fd00::1]", "http://[fd00::1]/", "DIRECT"},
		{"p", "[fd00::1]:80", "http://[fd00:0::1]/", "DIRECT"},
		{"p", "fd00::/8", "http://[fd00::1]/", "DIRECT"},
		// What cannot be read.
		{"ftp=p", "", "", ""}, {"http=", "", "", ""}, {"p:x", "", "", ""}, {"socks4://p", "", "", ""}, {"http://p/x", "", "", ""}, {" ", "", "", ""}, {"u:p@h", "", "", ""},
		{"p", "aaa.*", "", ""}, {"p", "a*b", "", ""}, {"p", "**", "", ""}, {"p", "a:b", "", ""}, {"p", "ftp://a", "", ""}, {"p", "<loca>", "", ""}, {"p", "a/b", "", ""},
	} {
		find, err := FromLists(c.list, c.bypass, nil)
		if c.want == "" {
			if e := bits.AsError(err); err == nil || e.Code != hresult.BG_E_INVALID_PROXY_INFO || e.Context != bits.ContextQueueManager {
				t.Errorf("%q, %q: %v", c.list, c.bypass, err)
			}
			continue
		}
		if err != nil {
			t.Errorf("%q, %q: %v", c.list, c.bypass, err)
			continue
		}
		got, err := find(context.Background(), address(t, c.url))
		if err != nil || strings.Join(Names(got.Route), " ") != c.want || len(got.Why) == 0 {
			t.Errorf("%q, %q, %s: %v, %q, %v; want %s", c.list, c.bypass, c.url, Names(got.Route), got.Why, err, c.want)
		}
	}
}

// A list is used with the logins that were withheld, and nothing that is shown has one.
func TestLogins(t *testing.T) {
	for url, want := range map[string]string{"http://a.test/": "http://u:s3cret@p:1", "https://a.test/": "http://x%40y@z"} {
		find, err := FromLists("http=p:1 https=http://z plain", "", map[string]string{"http=p:1": "u:s3cret", "https=http://z": "x%40y"})
		if err != nil {
			t.Fatal(err)
		}
		c, err := find(context.Background(), address(t, url))
		if err != nil || c.Route[0].String() != want || strings.Contains(strings.Join(append(c.Why, Names(c.Route)...), " "), "s3cret") {
			t.Errorf("%s: %v, %v", url, c, err)
		}
	}
}

func TestResult(t *testing.T) {
	for text, want := range map[string]string{
		"": "DIRECT", " ; ": "DIRECT", "DIRECT": "DIRECT", "direct;": "DIRECT",
		"PROXY p:1": "http://p:1", "proxy p": "http://p:80", "HTTP p:1;HTTPS q:2; SOCKS s;SOCKS5 t:3;DIRECT": "http://p:1 https://q:2 socks5h://s:1080 socks5h://t:3 DIRECT",
		"SOCKS4 a:1; PROXY [::1]:2": "http://[::1]:2", "QUIC a:1; DIRECT": "DIRECT",
		"PROXY a; DIRECT": "http://a:80 DIRECT", "\tPROXY\ta:1 ;\r\n https [fd00::1] ;direct ; ": "http://a:1 https://[fd00::1]:443 DIRECT", "SOCKS5 a:65535": "socks5h://a:65535", "PROXY a:1; PROXY a:1": "http://a:1 http://a:1",
		strings.Repeat("PROXY a;", maxRoute): strings.TrimSuffix(strings.Repeat("http://a:80 ", maxRoute), " "), strings.Repeat("DIRECT;", maxRoute+1): "",
		"SOCKS5 a:0": "", "PROXY a:1/x": "", "PROXY a:1?x": "", "PROXY *:1": "", "HTTPS": "", "PROXY a:1, DIRECT": "", "DIRECT, PROXY a:1": "", "null": "", "undefined": "",
		"SOCKS4 a:1": "", "PROXY": "", "PROXY a b": "", "PROXY a:b": "", "DIRECT x": "", "PROXY http://a:1": "", "PROXY u:p@a:1": "", "nonsense": "",
	} {
		route, err := ParseResult(text)
		if want == "" && err == nil || want != "" && (err != nil || strings.Join(Names(route), " ") != want) {
			t.Errorf("%q: %v, %v; want %s", text, Names(route), err, want)
		}
	}
}

// Whatever is parsed without error is a proxy with a host and a port, and is written without its login.
func FuzzParsers(f *testing.F) {
	for _, s := range []string{"http=u:p@h:1 socks5://[::1]:2", "PROXY a:1; DIRECT", "*.a <local> 10.0.0.0/8 [::1]:80", "%", "a@b@c=d://"} {
		f.Add(s)
	}
	f.Fuzz(func(t *testing.T, text string) {
		check := func(route []*url.URL) {
			for _, via := range route {
				if via == nil {
					continue
				}
				if again, err := Parse(via.String()); err != nil || Address(again) != Address(via) || ports[via.Scheme] == "" || via.Hostname() == "" {
					t.Errorf("%q: %v, %v", text, via, err)
				}
			}
		}
		if via, err := Parse(text); err == nil {
			check([]*url.URL{via})
		}
		if route, err := ParseResult(text); err == nil {
			check(route)
		}
		for _, environment := range []map[string]string{{"http_proxy": text}, {"all_proxy": "p", "no_proxy": text}} {
			c, err := FromEnvironment(environment)(context.Background(), &url.URL{Scheme: "http", Host: "a.test"})
			if e := (*bits.Error)(nil); err != nil && !errors.As(err, &e) || err == nil && len(c.Route) != 1 {
				t.Errorf("%q: %v, %v", environment, c, err)
			}
			check(c.Route)
		}
		find, err := FromLists(text, text, map[string]string{text: text})
		if err == nil {
			c, err := find(context.Background(), &url.URL{Scheme: "http", Host: "a.test"})
			if err != nil {
				t.Errorf("%q: %v", text, err)
			}
			check(c.Route)
		} else if e := (*bits.Error)(nil); !errors.As(err, &e) {
			t.Errorf("%q: %v", text, err)
		}
	})
}

func address(t *testing.T, s string) *url.URL {
	t.Helper()
	u, err := url.Parse(s)
	if err != nil {
		t.Fatal(err)
	}
	return u
}
