package proxy

import (
	"context"
	"net/url"
	"strings"

	"golang.org/x/net/http/httpproxy"
)

// variables are those that hold the proxy for a scheme; the first that has a value counts.
var variables = map[string][]string{
	"http":  {"http_proxy", "HTTP_PROXY", "all_proxy", "ALL_PROXY"},
	"https": {"https_proxy", "HTTPS_PROXY", "all_proxy", "ALL_PROXY"},
	"":      {"no_proxy", "NO_PROXY"},
}

// FromEnvironment finds proxies by the usual variables of an environment.
// A proxy that cannot be read is BG_E_INVALID_PROXY_INFO, for the URLs that it would be used for.
func FromEnvironment(environment map[string]string) Finder {
	get := func(scheme string) (name, value string) {
		for _, n := range variables[scheme] {
			if v := environment[n]; v != "" {
				return n, v
			}
		}
		return "", ""
	}
	unlisted, list := get("")
	return func(_ context.Context, u *url.URL) (Choice, error) {
		name, value := get(u.Scheme)
		if name == "" {
			return Direct("the job's creator had no " + u.Scheme + "_proxy and no all_proxy"), nil
		}
		if rule, found := excluded(list, u); found && rule == "" {
			return Direct(u.Hostname() + " is this machine"), nil
		} else if found {
			return Direct(unlisted + " of the job's creator has " + rule), nil
		}
		via, err := Parse(strings.TrimSpace(value))
		if err != nil {
			return Choice{}, invalid("cannot use %s of the job's creator: %w", name, err).
				WithHint("it is %s://host:port, of the kind %s; make the job again with another %s, or set proxy_settings", "http", Kinds, name)
		}
		return Choice{Route: []*url.URL{via}, Why: []string{name + " of the job's creator"}}, nil
	}
}

// excluded reports whether no_proxy names the host of a URL, and by which entry; by none for this machine.
// The rules are those of httpproxy.
func excluded(list string, u *url.URL) (rule string, found bool) {
	direct := func(list string) bool {
		const some = "http://proxy.invalid"
		c := httpproxy.Config{HTTPProxy: some, HTTPSProxy: some, NoProxy: list}
		via, err := c.ProxyFunc()(u)
		return via == nil && err == nil
	}
	if direct("") {
		return "", true
	}
	if !direct(list) {
		return "", false
	}
	for rule := range strings.SplitSeq(list, ",") {
		if direct(rule) {
			return strings.TrimSpace(rule), true
		}
	}
	return list, true
}
