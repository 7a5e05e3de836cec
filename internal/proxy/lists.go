package proxy

import (
	"context"
	"fmt"
	"net/netip"
	"net/url"
	"slices"
	"strings"
)

// entries divides a list: by blanks, as BITS does, and by commas and semicolons, as other programs do.
func entries(list string) []string {
	return strings.FieldsFunc(list, func(r rune) bool { return r <= ' ' || r == ',' || r == ';' })
}

// proxyFor is one entry of a list of proxies.
type proxyFor struct {
	scheme string // of the URLs that it is for; empty: of those that no other entry is for
	via    *url.URL
	text   string
}

// FromLists finds proxies by the two lists of SetProxySettings, and by the logins that were withheld from
// the first when it was set, by the entry.
//
// An entry of the list is [scheme=][kind://]host[:port]; those that fit a URL are tried in order. One without "scheme=" is for the schemes
// that no other names. An entry of the bypass list is a host, an address, a network (10.0.0.0/8), or a name whose first characters are *
// or a dot; <local> is every name without a dot, and <-loopback> takes this machine out of the hosts that are always direct.
//
// A list that cannot be read is BG_E_INVALID_PROXY_INFO.
func FromLists(list, bypass string, logins map[string]string) (Finder, error) {
	proxies, err := parseList(list, logins)
	if err != nil {
		return nil, err
	}
	around, err := parseBypass(bypass)
	if err != nil {
		return nil, err
	}
	return func(_ context.Context, u *url.URL) (Choice, error) {
		if why := around.match(u); why != "" {
			return Direct(why), nil
		}
		for _, scheme := range []string{u.Scheme, ""} {
			var c Choice
			var named []string
			for i, p := range proxies {
				if p.scheme == scheme {
					c.Route = append(c.Route, p.via)
					named = append(named, fmt.Sprintf("%s (entry %d)", p.text, i+1))
				}
			}
			if len(named) > 0 {
				c.Why = []string{"the job's list of proxies has " + strings.Join(named, ", ")}
				return c, nil
			}
		}
		return Direct("the job's list of proxies has none for " + u.Scheme), nil
	}, nil
}

func parseList(list string, logins map[string]string) (all []proxyFor, err error) {
	for i, text := range entries(list) {
		scheme, rest, with := strings.Cut(text, "=")
		if !with {
			scheme, rest = "", text
		} else if scheme = strings.ToLower(scheme); scheme != "http" && scheme != "https" {
			return nil, invalid("cannot use the job's list of proxies: entry %d is for neither http nor https", i+1)
		}
		via, err := Parse(rest)
		if err == nil && via.User != nil {
			err = fmt.Errorf("it has a login")
		}
		if err != nil {
			return nil, invalid("cannot use the job's list of proxies, entry %d: %w", i+1, err).WithHint("an entry is [http=|https=][kind://]host[:port], the kind %s; entries are divided by blanks", Kinds)
		}
		if login := logins[text]; login != "" {
			// As it stood in the URL.
			u, err := url.Parse("http://" + login + "@host")
			if err != nil {
				return nil, invalid("cannot use the job's list of proxies: the login of entry %d has a character that must be written as %%XX", i+1)
			}
			via.User = u.User
		}
		all = append(all, proxyFor{scheme, via, text})
	}
	if len(all) == 0 {
		return nil, invalid("cannot use the job's list of proxies: it is empty")
	}
	return all, nil
}

// around is a bypass list: what is reached directly.
type around struct {
	local    bool // names without a dot
	loopback bool // this machine
	hosts    []host
}

// host is one entry of a bypass list; what is empty fits all.
type host struct {
	text, scheme, port string
	name, suffix       string // suffix: of a name that began with *
	network            netip.Prefix
	any                bool
}

func parseBypass(list string) (around, error) {
	a := around{loopback: true}
	for i, text := range entries(list) {
		switch strings.ToLower(text) {
		case "<local>":
			a.local = true
			continue
		case "<-loopback>":
			a.loopback = false
			continue
		}
		h, err := parseHost(strings.ToLower(text))
		if err != nil {
			return a, invalid("cannot use the job's bypass list, entry %d (%q): %w", i+1, text, err).WithHint("an entry is a host, an address, a network, *.suffix, <local> or <-loopback>; entries are divided by blanks or semicolons")
		}
		a.hosts = append(a.hosts, h)
	}
	return a, nil
}

func parseHost(text string) (h host, err error) {
	h.text = text
	rest := text
	if scheme, after, ok := strings.Cut(rest, "://"); ok {
		if h.scheme, rest = scheme, after; scheme != "http" && scheme != "https" {
			return h, fmt.Errorf("it is for neither http nor https")
		}
	}
	if network, err := netip.ParsePrefix(rest); err == nil {
		h.network = network.Masked()
		return h, nil
	}
	if ip, err := netip.ParseAddr(strings.Trim(rest, "[]")); err == nil {
		h.network = netip.PrefixFrom(ip.Unmap(), ip.Unmap().BitLen())
		return h, nil
	}
	if i := strings.LastIndexByte(rest, ':'); i >= 0 {
		if rest, h.port = rest[:i], rest[i+1:]; h.port == "" || strings.Trim(h.port, "0123456789") != "" {
			return h, fmt.Errorf("its port is no number")
		}
		if ip, err := netip.ParseAddr(strings.Trim(rest, "[]")); err == nil {
			h.network = netip.PrefixFrom(ip.Unmap(), ip.Unmap().BitLen())
			return h, nil
		}
	}
	switch tail := strings.TrimPrefix(rest, "*"); {
	case rest == "" || strings.ContainsAny(rest, "/<>[]@?\"'\\:"):
		return h, fmt.Errorf("it names no host")
	case strings.Contains(tail, "*"):
		return h, fmt.Errorf("a * stands at the left end only")
	case rest == "*":
		h.any = true
	case tail != rest:
		h.suffix = tail
	case strings.HasPrefix(rest, "."):
		h.suffix = rest
	default:
		h.name = strings.TrimSuffix(rest, ".")
	}
	return h, nil
}

// match says why a URL is reached directly; empty: it is not.
func (a around) match(u *url.URL) string {
	name := hostOf(u)
	ip, err := netip.ParseAddr(name)
	isIP := err == nil
	if a.loopback && loopback(name) {
		return u.Hostname() + " is this machine, and the bypass list has no <-loopback>"
	}
	if a.local && !isIP && !strings.Contains(name, ".") {
		return "the job's bypass list has <local>"
	}
	port := u.Port()
	if port == "" {
		port = map[string]string{"http": "80", "https": "443"}[u.Scheme]
	}
	i := slices.IndexFunc(a.hosts, func(h host) bool {
		switch {
		case h.scheme != "" && h.scheme != u.Scheme, h.port != "" && h.port != port:
			return false
		case h.any:
			return true
		case h.network.IsValid():
			return isIP && h.network.Contains(ip.Unmap().WithZone(""))
		case h.suffix != "":
			return strings.HasSuffix(name, h.suffix)
		}
		return name == h.name
	})
	if i < 0 {
		return ""
	}
	return "the job's bypass list has " + a.hosts[i].text
}
