package proxy

import (
	"errors"
	"net/url"
	"strings"
)

// maxRoute is how many entries of a result are looked at.
const maxRoute = 32

// kinds are the words of a result, and what we speak to such a proxy.
// SOCKS means version 4 to some programs; every server of our days speaks 5 too.
var kinds = map[string]string{"PROXY": "http", "HTTP": "http", "HTTPS": "https", "SOCKS": "socks5h", "SOCKS5": "socks5h"}

// ParseResult reads what FindProxyForURL has returned: "PROXY a:1; SOCKS5 b:2; DIRECT".
// An empty text is DIRECT. Entries of an unknown kind are passed over; one that cannot be read, or nothing that is left, is an error.
func ParseResult(text string) (route []*url.URL, err error) {
	n := 0
	for entry := range strings.SplitSeq(text, ";") {
		words := strings.Fields(entry)
		if len(words) == 0 {
			continue
		}
		if n++; n > maxRoute {
			return nil, errors.New("it names too many proxies")
		}
		kind := strings.ToUpper(words[0])
		switch {
		case kind == "DIRECT" && len(words) == 1:
			route = append(route, nil)
		case kinds[kind] == "" && kind != "DIRECT":
		case len(words) != 2 || kind == "DIRECT":
			return nil, errors.New("an entry is no kind of proxy with a host and a port")
		default:
			if strings.Contains(words[1], "://") {
				return nil, errors.New("an entry is no kind of proxy with a host and a port")
			}
			via, err := Parse(kinds[kind] + "://" + words[1])
			if err != nil {
				return nil, err
			}
			if via.User != nil {
				return nil, errors.New("an entry has a login")
			}
			route = append(route, via)
		}
	}
	switch {
	case n == 0:
		return []*url.URL{nil}, nil
	case len(route) == 0:
		return nil, errors.New("it names no proxy of a kind that is known")
	}
	return route, nil
}
