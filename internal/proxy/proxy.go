// Package proxy decides by which proxy a URL is reached.
package proxy

import (
	"net/url"
	"strings"

	"golang.org/x/net/http/httpproxy"

	"bits"
	"bits/hresult"
)

// FromEnvironment finds the proxy for a URL by the usual variables of an environment.
func FromEnvironment(environment map[string]string) func(*url.URL) (*url.URL, error) {
	get := func(names ...string) string {
		for _, n := range names {
			if v := environment[n]; v != "" {
				return v
			}
		}
		return ""
	}
	given := map[string]string{
		"http":  get("http_proxy", "HTTP_PROXY", "all_proxy", "ALL_PROXY"),
		"https": get("https_proxy", "HTTPS_PROXY", "all_proxy", "ALL_PROXY"),
	}
	// httpproxy passes over a proxy that it cannot read, and would connect directly. So it decides whether there is one, and no more.
	const some = "http://proxy.invalid"
	config := httpproxy.Config{NoProxy: get("no_proxy", "NO_PROXY")}
	if given["http"] != "" {
		config.HTTPProxy = some
	}
	if given["https"] != "" {
		config.HTTPSProxy = some
	}
	find := config.ProxyFunc()
	return func(u *url.URL) (*url.URL, error) {
		if via, err := find(u); via == nil || err != nil {
			return nil, err
		}
		proxy := given[u.Scheme]
		if !strings.Contains(proxy, "://") {
			proxy = "http://" + proxy
		}
		via, err := url.Parse(proxy)
		if err != nil || via.Host == "" || via.Scheme != "http" && via.Scheme != "https" {
			return nil, bits.Errorf(hresult.BG_E_INVALID_PROXY_INFO, "cannot use the proxy of the job's environment: it is not the URL of an http or https proxy").In(bits.ContextQueueManager)
		}
		return via, nil
	}
}
