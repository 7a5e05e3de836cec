package proxy

import (
	"net/url"
	"strings"
	"testing"

	"bits"
	"bits/hresult"
)

// A proxy that cannot be used is an error, never a direct connection.
func TestProxy(t *testing.T) {
	for value, want := range map[string]string{
		"proxy.test:3128": "http://proxy.test:3128", "http://proxy.test": "http://proxy.test", "https://u:p@proxy.test:1": "https://u:p@proxy.test:1",
		"socks5://proxy.test": "", "http://[::1": "", "http://": "", "::": "",
	} {
		for _, scheme := range []string{"http", "https"} {
			r := request(t, scheme+"://origin.test/x")
			via, err := FromEnvironment(map[string]string{scheme + "_proxy": value})(r)
			switch {
			case want == "" && (err == nil || bits.AsError(err).Code != hresult.BG_E_INVALID_PROXY_INFO || strings.Contains(err.Error(), value) && value != "::"):
				t.Errorf("%s_proxy=%s: %v, %v", scheme, value, via, err)
			case want != "" && (err != nil || via == nil || via.String() != want):
				t.Errorf("%s_proxy=%s: %v, %v", scheme, value, via, err)
			}
		}
	}
	// Only the proxy that would be used is judged.
	for _, c := range []struct {
		environment map[string]string
		url         string
	}{
		{map[string]string{"all_proxy": "http://proxy.test", "no_proxy": ".test"}, "http://origin.test/"},
		{map[string]string{"all_proxy": "socks5://proxy.test", "no_proxy": ".test"}, "https://origin.test/"},
		{map[string]string{"https_proxy": "socks5://proxy.test"}, "http://origin.test/"},
	} {
		if via, err := FromEnvironment(c.environment)(request(t, c.url)); via != nil || err != nil {
			t.Errorf("%v: %v, %v", c.environment, via, err)
		}
	}
}

func request(t *testing.T, s string) *url.URL {
	t.Helper()
	u, err := url.Parse(s)
	if err != nil {
		t.Fatal(err)
	}
	return u
}
