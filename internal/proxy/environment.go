package proxy

import (
	"context"
	"errors"
	"net/url"
	"slices"
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
		why := name + " of the job's creator"
		via, more, err := parse(strings.TrimSpace(value))
		switch {
		case err != nil || more == "":
		case SOCKS(via), strings.Contains(more, "@"): // curl takes the path of a SOCKS proxy for a socket; the other is a login that is written wrongly
			err = errors.New("it has a path, and a proxy is a host and a port")
		default:
			why += ", without its path" // as curl does it
		}
		if err != nil {
			return Choice{}, invalid("cannot use %s of the job's creator: %w", name, err).
				WithHint("it is %s://host:port, of the kind %s; make the job again with another %s, or set proxy_settings", "http", Kinds, name)
		}
		return Choice{Route: []*url.URL{via}, Why: []string{why}}, nil
	}
}

// excluded reports whether no_proxy names the host of a URL, and by which entry; by none for this machine.
// The rules are those of httpproxy, and where curl takes an entry for more, so do we: blanks divide too, a name with a dot before it is also
// the name itself, and a dot at the end is none.
func excluded(list string, u *url.URL) (rule string, found bool) {
	about := *u
	if about.Host = hostOf(u); strings.Contains(about.Host, ":") {
		about.Host = "[" + about.Host + "]"
	}
	if port := u.Port(); port != "" {
		about.Host += ":" + port
	}
	direct := func(rule string) bool {
		const some = "http://proxy.invalid"
		c := httpproxy.Config{HTTPProxy: some, HTTPSProxy: some, NoProxy: rule}
		via, err := c.ProxyFunc()(&about)
		return via == nil && err == nil
	}
	if direct("") {
		return "", true
	}
	rules := entries(list)
	plain := make([]string, len(rules))
	for i, rule := range rules {
		if plain[i] = strings.TrimSuffix(strings.TrimPrefix(rule, "."), "."); strings.HasPrefix(rule, "[") && strings.HasSuffix(rule, "]") {
			plain[i] = rule[1 : len(rule)-1]
		}
	}
	if !direct(strings.Join(plain, ",")) {
		return "", false
	}
	return rules[slices.IndexFunc(plain, direct)], true
}
