package tests

import (
	"encoding/json"
	"fmt"
	"net/url"
	"os"
	"path/filepath"
	"strings"
	"testing"

	"bits"
	"bits/client/bitstest"
	"bits/hresult"
	"bits/internal/program"
	"bits/internal/wire"
)

// Real proxies, in front of an origin whose name only squid knows: what arrives has come through them.
// With each, an application is asked about the certificate of the origin, and about nothing else.
func TestRealProxies(t *testing.T) {
	t.Parallel()
	s, o := bitstest.Start(t), bitstest.NewOrigin(t)
	data := bitstest.Content(7, 100_000)
	o.File("/f", data)
	squid := program.Port(t)
	log := program.StartSquid(t, squid, "127.0.0.1 "+hostname+"\n", "")
	open, closed, dead := program.Port(t), program.Port(t), program.Port(t)
	program.StartSOCKS(t, open, "", "")
	program.StartSOCKS(t, closed, "user", "s3cret")
	www := program.Port(t)
	web := program.StartNginx(t, www, fmt.Sprintf("server { listen 127.0.0.1:%d; }", www))
	script := func(name, result string) string {
		web.File(name, []byte("function FindProxyForURL(url, host) { return "+result+" }"))
		return fmt.Sprintf(`{"usage":"AUTODETECT","script":"http://127.0.0.1:%d/%s"}`, www, name)
	}
	override := func(list string) string {
		return fmt.Sprintf(`{"usage":"OVERRIDE","list":%q,"bypass":"<-loopback>"}`, list)
	}
	path := filepath.Join(s.Path("."), "local.pac")
	bitstest.Must(t, os.WriteFile(path, []byte(fmt.Sprintf("function FindProxyForURL(u, h) { return 'PROXY 127.0.0.1:%d' }", squid)), 0o600))
	for _, c := range []struct {
		name, settings string
		named          bool // by the name that only squid knows
		code           hresult.Code
	}{
		{"squid", override(fmt.Sprintf("127.0.0.1:%d", squid)), true, 0},
		{"the second of two", override(fmt.Sprintf("127.0.0.1:%d 127.0.0.1:%d", dead, squid)), true, 0},
		{"SOCKS", override(fmt.Sprintf("socks5://127.0.0.1:%d", open)), false, 0},
		{"SOCKS that resolves", override(fmt.Sprintf("socks5h://localhost:%d", open)), false, 0},
		{"SOCKS, then squid", override(fmt.Sprintf("socks5://127.0.0.1:%d https://127.0.0.1:%d http://127.0.0.1:%d", dead, dead, squid)), true, 0},
		{"SOCKS with a login", override(fmt.Sprintf("socks5://user:s3cret@127.0.0.1:%d", closed)), false, 0},
		{"SOCKS with a wrong login", override(fmt.Sprintf("socks5://user:wrong@127.0.0.1:%d", closed)), false, hresult.FromHTTPStatus(407)},
		{"SOCKS without a login", override(fmt.Sprintf("socks5://127.0.0.1:%d", closed)), false, hresult.FromHTTPStatus(407)},
		{"SOCKS that is none", override(fmt.Sprintf("socks5://127.0.0.1:%d", www)), false, hresult.ERROR_WINHTTP_INVALID_SERVER_RESPONSE},
		{"none", override(fmt.Sprintf("127.0.0.1:%d", dead)), true, hresult.ERROR_WINHTTP_CANNOT_CONNECT},
		{"script", script("a.pac", fmt.Sprintf("host == '%s' ? 'PROXY 127.0.0.1:%d' : 'DIRECT'", hostname, squid)), true, 0},
		{"script that says direct", script("a.pac", fmt.Sprintf("host == '%s' ? 'PROXY 127.0.0.1:%d' : 'DIRECT'", hostname, squid)), false, 0},
		{"script with three ways", script("b.pac", fmt.Sprintf("'PROXY 127.0.0.1:%d; SOCKS5 127.0.0.1:%d; DIRECT'", dead, open)), false, 0},
		{"script in a file", fmt.Sprintf(`{"usage":"AUTODETECT","script":%q}`, path), true, 0},
		{"script that throws", script("c.pac", "nothing.at.all"), false, hresult.ERROR_WINHTTP_BAD_AUTO_PROXY_SCRIPT},
		{"script that says nonsense", script("d.pac", "'PROXY'"), false, hresult.ERROR_WINHTTP_BAD_AUTO_PROXY_SCRIPT},
		{"script that is not there", fmt.Sprintf(`{"usage":"AUTODETECT","script":"http://127.0.0.1:%d/none.pac"}`, www), false, hresult.ERROR_WINHTTP_UNABLE_TO_DOWNLOAD_SCRIPT},
		{"script that brings its engine down", script("e.pac", "Math.max.apply(null, {length: 4e9})"), false, hresult.ERROR_WINHTTP_BAD_AUTO_PROXY_SCRIPT},
	} {
		for _, at := range []string{o.Plain, o.URL} {
			if c.named {
				at = hostsName(at)
			}
			spec := bits.Spec{
				Files: []bits.FileSpec{{RemoteName: at + "/f", LocalName: s.Path("f")}},
				Properties: map[string]bits.RawMessage{
					"proxy_settings": bits.RawMessage(c.settings), "security_flags": bitstest.JSON(bits.IgnoreCertName), "priority": bitstest.JSON("FOREGROUND"),
				},
			}
			for name, v := range o.Trust() {
				spec.Properties[name] = bitstest.JSON(v)
			}
			job, err := s.Create(ctx, spec)
			bitstest.Must(t, err)
			j := &bitstest.Judge{}
			set(t, s, job.ID, j)
			now := ended(t, s, job)
			text, err := json.Marshal(now)
			bitstest.Must(t, err)
			if strings.Contains(string(text), "s3cret") {
				t.Errorf("%s: the job tells the password: %s", c.name, text)
			}
			switch {
			case c.code == 0 && (now.State != bits.StateTransferred || now.Error != nil):
				t.Errorf("%s, %s: %v, %+v", c.name, at, now.State, now.Error)
			case c.code != 0 && (now.Error == nil || now.Error.Code != c.code):
				t.Errorf("%s, %s: %v, %+v; want %v", c.name, at, now.State, now.Error, c.code)
			}
			u, _ := url.Parse(at)
			for _, q := range j.Asked() {
				if q.Endpoint != u.Host {
					t.Errorf("%s: asked about %s", c.name, q.Endpoint)
				}
			}
			if want := u.Scheme == "https" && c.code == 0; want != (len(j.Asked()) == 1) {
				t.Errorf("%s, %s: asked %d times", c.name, at, len(j.Asked()))
			}
			_, err = s.Cancel(ctx, job.ID)
			bitstest.Must(t, err)
		}
	}
	if text := log.Log(); !strings.Contains(text, "GET http://"+hostname) || !strings.Contains(text, "CONNECT "+hostname) {
		t.Errorf("squid has seen %s", text)
	}
}

// What is explained is what a job does, and says what has decided it; no login is in it.
func TestProxyExplain(t *testing.T) {
	t.Parallel()
	s := bitstest.Start(t)
	env := map[string]string{"http_proxy": "http://u:s3cret@p.test:1", "no_proxy": ".local.test"}
	for _, c := range []struct{ settings, url, route, why string }{
		{`{"usage":"PRECONFIG"}`, "http://a.test/", "http://p.test:1", "http_proxy of the job's creator"},
		{`{"usage":"PRECONFIG"}`, "http://a.local.test/", "DIRECT", "no_proxy of the job's creator has .local.test"},
		{`{"usage":"PRECONFIG"}`, "https://a.test/", "DIRECT", "no https_proxy"},
		{`{"usage":"NO_PROXY"}`, "http://a.test/", "DIRECT", "NO_PROXY"},
		{`{"usage":"OVERRIDE","list":"u:s3cret@q:1 https://r","bypass":"*.b.test"}`, "http://a.test/", "http://q:1 https://r:443", "q:1 (entry 1)"},
		{`{"usage":"OVERRIDE","list":"q:1","bypass":"*.b.test"}`, "http://a.b.test/", "DIRECT", "*.b.test"},
		{`{"usage":"AUTODETECT"}`, "http://127.0.0.1/", "DIRECT", "this machine"},
	} {
		var settings bits.ProxySettings
		bitstest.Must(t, json.Unmarshal([]byte(c.settings), &settings))
		job, err := s.Create(ctx, bits.Spec{Environment: env, Properties: map[string]bits.RawMessage{"proxy_settings": bits.RawMessage(c.settings)}})
		bitstest.Must(t, err)
		var of, would wire.Route
		bitstest.Must(t, s.Do(ctx, "GET", "/jobs/"+job.ID+"/proxy?url="+url.QueryEscape(c.url), nil, &of))
		bitstest.Must(t, s.Do(ctx, "POST", "/proxy", wire.Explain{URL: c.url, ProxySettings: settings, Environment: env}, &would))
		for _, r := range []wire.Route{of, would} {
			if strings.Join(r.Route, " ") != c.route || !strings.Contains(strings.Join(r.Why, "\n"), c.why) || strings.Contains(fmt.Sprint(r), "s3cret") {
				t.Errorf("%s, %s: %+v", c.settings, c.url, r)
			}
		}
	}
	for _, c := range []struct {
		settings string
		url      string
		code     hresult.Code
	}{
		{`{"usage":"OVERRIDE","list":"a:b"}`, "http://a.test/", hresult.BG_E_INVALID_PROXY_INFO},
		{`{"usage":"OVERRIDE"}`, "http://a.test/", hresult.E_INVALIDARG},
		{`{"usage":"AUTODETECT","script":"ftp://a/"}`, "http://a.test/", hresult.E_INVALIDARG},
		{`{"usage":"AUTODETECT","script":"http://u:p@a/"}`, "http://a.test/", hresult.E_INVALIDARG},
		{`{"usage":"NO_PROXY","script":"http://a/"}`, "http://a.test/", hresult.E_INVALIDARG},
		{`{"usage":"NO_PROXY"}`, "file:///x", hresult.E_INVALIDARG},
	} {
		var settings bits.ProxySettings
		bitstest.Must(t, json.Unmarshal([]byte(c.settings), &settings))
		if err := s.Do(ctx, "POST", "/proxy", wire.Explain{URL: c.url, ProxySettings: settings}, nil); bits.AsError(err).Code != c.code {
			t.Errorf("%s: %v", c.settings, err)
		}
	}
}
