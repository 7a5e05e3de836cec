package pac

import (
	"context"
	"errors"
	"net/netip"
	"net/url"
	"strings"
	"testing"
	"time"
)

// world has two names, and stands still on a Wednesday.
func world(now string) World {
	at, err := time.Parse(time.RFC3339, now)
	if err != nil {
		panic(err)
	}
	names := map[string][]netip.Addr{
		"a.test": {netip.MustParseAddr("10.1.2.3"), netip.MustParseAddr("fd00::1")}, "six.test": {netip.MustParseAddr("fd00::2")},
	}
	return World{
		Now: func() time.Time { return at },
		Mine: func() []netip.Addr {
			return []netip.Addr{netip.MustParseAddr("192.168.1.7"), netip.MustParseAddr("fd00::7")}
		},
		Lookup: func(_ context.Context, host string) ([]netip.Addr, error) {
			if found := names[host]; found != nil {
				return found, nil
			}
			return nil, errors.New("no such name")
		},
	}
}

func find(t *testing.T, source, at string) (string, error) {
	t.Helper()
	s, err := Compile([]byte(source))
	if err != nil {
		return "", err
	}
	u, err := url.Parse(at)
	if err != nil {
		t.Fatal(err)
	}
	return s.Find(context.Background(), world("2026-03-04T13:30:15Z"), u)
}

func TestFunctions(t *testing.T) {
	for expression, want := range map[string]string{
		`isPlainHostName("www")`: "true", `isPlainHostName("www.test")`: "false", `isPlainHostName("::1")`: "false",
		`dnsDomainIs("www.Mozilla.org", ".mozilla.org")`: "true", `dnsDomainIs("www", ".mozilla.org")`: "false",
		`localHostOrDomainIs("www", "www.mozilla.org")`: "true", `localHostOrDomainIs("www.mozilla.org", "www.mozilla.org")`: "true",
		`localHostOrDomainIs("www.google.com", "www.mozilla.org")`: "false", `localHostOrDomainIs("ww", "www.mozilla.org")`: "false",
		`isResolvable("a.test")`: "true", `isResolvable("six.test")`: "false", `isResolvable("no.test")`: "false", `isResolvableEx("six.test")`: "true",
		`isInNet("a.test", "10.0.0.0", "255.0.0.0")`: "true", `isInNet("10.2.2.2", "10.1.0.0", "255.255.0.0")`: "false", `isInNet("no.test", "0.0.0.0", "0.0.0.0")`: "false", `isInNet("a.test", "x", "y")`: "false",
		`isInNetEx("a.test", "fd00::/8")`: "true", `isInNetEx("10.1.1.1", "10.0.0.0/8")`: "true", `isInNetEx("a.test", "x")`: "false",
		`dnsResolve("a.test")`: "10.1.2.3", `dnsResolve("no.test")`: "null", `dnsResolve("10.0.0.1")`: "10.0.0.1", `dnsResolveEx("a.test")`: "10.1.2.3;fd00::1", `dnsResolveEx("no.test")`: "",
		`myIpAddress()`: "192.168.1.7", `myIpAddressEx()`: "192.168.1.7;fd00::7", `dnsDomainLevels("a.b.c")`: "2", `getClientVersion()`: "1.0",
		`sortIpAddressList("10.0.0.2;fd00::1;10.0.0.1")`: "fd00::1;10.0.0.1;10.0.0.2", `sortIpAddressList("x")`: "",
		`shExpMatch("http://a.test/x", "*/x")`: "true", `shExpMatch("a.test", "?.te*")`: "true", `shExpMatch("a.test", "b*")`: "false", `shExpMatch("", "**")`: "true", `shExpMatch("a+b", "a+b")`: "true", `shExpMatch("axb", "a.b")`: "false",
		`weekdayRange("WED")`: "true", `weekdayRange("MON", "FRI")`: "true", `weekdayRange("SAT", "WED", "GMT")`: "true", `weekdayRange("THU", "FRI")`: "false", `weekdayRange("X")`: "false",
		`dateRange(4)`: "true", `dateRange(5)`: "false", `dateRange("MAR")`: "true", `dateRange(2026)`: "true", `dateRange(1, 15)`: "true", `dateRange("DEC", "MAR", "GMT")`: "true", `dateRange("APR", "JUN")`: "false",
		`dateRange(24, "DEC", 15, "MAR")`: "true", `dateRange(5, "MAR", 15, "AUG")`: "false", `dateRange("JAN", 2026, "FEB", 2027)`: "true", `dateRange(1, "JUN", 2025, 15, "AUG", 2026)`: "true", `dateRange(1, "JUN")`: "false", `dateRange(0)`: "false",
		`timeRange(13)`: "true", `timeRange(12)`: "false", `timeRange(9, 17)`: "true", `timeRange(22, 6)`: "false", `timeRange(13, 0, 13, 30)`: "true", `timeRange(13, 31, 14, 0)`: "false", `timeRange(13, 30, 16, 13, 30, 20)`: "false", `timeRange(0, 0, 0, 23, 59, 59, "GMT")`: "true", `timeRange("x")`: "false",
		`alert("x")`: "undefined", `url`: "http://a.test/p?q", `host`: "a.test",
		`typeof ArrayBuffer + typeof require + typeof process + typeof console`: "undefinedundefinedundefinedundefined",
	} {
		got, err := find(t, "function FindProxyForURL(url, host) { return String("+expression+") }", "http://u:p@A.test/p?q#f")
		if strings.HasPrefix(want, "http") {
			got = strings.ToLower(got)
		}
		if err != nil || got != want {
			t.Errorf("%s: %q, %v; want %q", expression, got, err, want)
		}
	}
}

// A script sees no login, and of an https URL the origin only; it remembers nothing from one URL to the next.
func TestWhatAScriptSees(t *testing.T) {
	for at, want := range map[string]string{
		"https://u:p@a.test:8443/secret?token=1#f": "https://a.test:8443/", "https://a.test": "https://a.test/", "http://u:p@a.test": "http://a.test/", "http://[fd00::1]:8/x": "http://[fd00::1]:8/x",
	} {
		if got, err := find(t, "function FindProxyForURL(url, host) { return url }", at); err != nil || got != want {
			t.Errorf("%s: %q, %v", at, got, err)
		}
	}
	s, err := Compile([]byte("var n = 0; function FindProxyForURLEx(u, h) { return String(++n + (globalThis.seen = (globalThis.seen || 0) + 1)) }"))
	if err != nil {
		t.Fatal(err)
	}
	for range 2 {
		if got, err := s.Find(context.Background(), World{}, &url.URL{Scheme: "http", Host: "a"}); got != "2" || err != nil {
			t.Errorf("%q, %v", got, err)
		}
	}
}

func TestBadScripts(t *testing.T) {
	body := func(s string) string { return "function FindProxyForURL(u, h) {" + s + "}" }
	for name, c := range map[string]struct{ source, want string }{
		"syntax":       {"function {", "SyntaxError"},
		"nothing":      {"var x = 1", "no function FindProxyForURL"},
		"throws":       {body("throw 'no'"), "no"},
		"no text":      {body("return 7"), "something else"},
		"undefined":    {body(""), "something else"},
		"long":         {body("return 'x'.repeat(10000)"), "more than"},
		"too long":     {strings.Repeat(" ", MaxSource+1), "more than"},
		"loop":         {body("for (;;) { try { for (;;); } catch (e) {} }"), "computes for more than"},
		"recursion":    {body("return FindProxyForURL(u, h)"), "FindProxyForURL"},
		"repeat":       {body("return 'x'.repeat(1e9)"), "too much"},
		"join":         {body("return new Array(1e9).join('x')"), "too much"},
		"look-ups":     {body("for (var i = 0; i < 100; i++) try { dnsResolve('a' + i) } catch (e) {} return 'DIRECT'"), "looks up more than"},
		"long operand": {body("return shExpMatch(Array(9000).join('a'), '*a*a*b') ? 'x' : 'y'"), "too long"},
		"source map":   {"//# sourceMappingURL=/etc/passwd\n" + body("return 7"), "something else"},
	} {
		t.Run(name, func(t *testing.T) {
			t.Parallel()
			if got, err := find(t, c.source, "http://a.test/"); err == nil || !strings.Contains(err.Error(), c.want) {
				t.Errorf("%q, %v; want %q", got, err, c.want)
			}
		})
	}
}

// A script that brings its engine down takes its process with it, and nothing else; the next one is answered.
func TestWorkers(t *testing.T) {
	w := NewWorkers()
	defer w.Close()
	u := &url.URL{Scheme: "http", User: url.UserPassword("u", "p"), Host: "a.test", Path: "/x"}
	body := func(s string) string { return "function FindProxyForURL(u, h) {" + s + "; return 'PROXY ' + h + ':1'}" }
	for _, c := range []struct{ source, want string }{
		{body("alert('hello ' + u)"), ""},
		{strings.Repeat("[", 400_000), "brought its engine down"},
		{body("Math.max.apply(null, {length: 4e9})"), "brought its engine down"},
		{body(""), ""},
		{body("throw 'no'"), "no"},
		{body(`/^(a+)+(?=b)$/.test(Array(40).join('a'))`), ""}, // is given up after a second
	} {
		got, alerts, err := w.Find(context.Background(), []byte(c.source), u)
		switch {
		case c.want != "" && (err == nil || !strings.Contains(err.Error(), c.want)):
			t.Errorf("%.80s: %q, %v; want %q", c.source, got, err, c.want)
		case c.want == "" && (err != nil || got != "PROXY a.test:1"):
			t.Errorf("%.80s: %q, %v", c.source, got, err)
		case strings.Contains(c.source, "alert") && (len(alerts) != 1 || alerts[0] != "hello http://a.test/x"):
			t.Errorf("%q", alerts)
		}
	}
	ctx, cancel := context.WithTimeout(context.Background(), 200*time.Millisecond)
	defer cancel()
	if _, _, err := w.Find(ctx, []byte(body("for (;;);")), u); err != context.DeadlineExceeded {
		t.Errorf("%v", err)
	}
}

func FuzzScript(f *testing.F) {
	f.Add("function FindProxyForURL(u, h) { return 'DIRECT' }", "a.test")
	f.Fuzz(func(t *testing.T, source, host string) {
		if len(source) > 1000 {
			return
		}
		if s, err := Compile([]byte(source)); err == nil {
			s.Find(context.Background(), World{}, &url.URL{Scheme: "http", Host: host})
		}
		if shExpMatch(host, source) && !shExpMatch(host, "*"+source) {
			t.Errorf("%q, %q", host, source)
		}
	})
}
