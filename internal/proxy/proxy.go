// Package proxy decides by which proxies a URL is reached: by the variables of an environment, by lists in the form of BITS, or by what a
// script has returned. It is pure.
package proxy

import (
	"context"
	"errors"
	"net"
	"net/url"
	"strconv"
	"strings"

	"bits"
	"bits/hresult"
)

// Choice is how a URL is reached, and why.
type Choice struct {
	Route []*url.URL // proxies, tried in order; nil is a direct connection
	Why   []string   // what has decided it, for people; without secrets
}

// Finder finds the way to a URL.
type Finder func(ctx context.Context, u *url.URL) (Choice, error)

// Direct is the choice of no proxy.
func Direct(why ...string) Choice { return Choice{Route: []*url.URL{nil}, Why: why} }

// None is the Finder of a job that uses no proxy, for a reason.
func None(why string) Finder {
	return func(context.Context, *url.URL) (Choice, error) { return Direct(why), nil }
}

// ports are the kinds of proxies that we speak to, and their ports.
// With socks5 the names of servers are resolved here, with socks5h by the proxy.
var ports = map[string]string{"http": "80", "https": "443", "socks5": "1080", "socks5h": "1080"}

// Kinds names them to people.
const Kinds = "http, https, socks5 or socks5h"

// Parse reads [scheme://][user:password@]host[:port]; without a scheme it is an HTTP proxy.
// The error says nothing of the text, which may hold a password.
func Parse(text string) (*url.URL, error) {
	via, more, err := parse(text)
	if err == nil && more != "" {
		return nil, errors.New("it has a path, and a proxy is a host and a port")
	}
	return via, err
}

// parse also returns what stands behind the port, but for a slash alone.
func parse(text string) (via *url.URL, more string, err error) {
	if !strings.Contains(text, "://") {
		text = "http://" + text
	}
	u, err := url.Parse(text)
	if err != nil {
		return nil, "", errors.New("it is not the URL of a proxy")
	}
	if u.Scheme == "socks" { // as desktops write it
		u.Scheme = "socks5h"
	}
	port, err := strconv.Atoi(u.Port())
	switch {
	case ports[u.Scheme] == "":
		return nil, "", errors.New("it is not the URL of a proxy of a kind that is known: " + Kinds)
	case u.Hostname() == "" || strings.ContainsAny(u.Hostname(), "*<>\"%/\\ ") && !strings.Contains(u.Hostname(), ":"):
		return nil, "", errors.New("it names no host")
	case u.Port() != "" && (err != nil || port < 1 || port > 65535):
		return nil, "", errors.New("its port is no number from 1 to 65535")
	}
	via = &url.URL{Scheme: u.Scheme, User: u.User, Host: u.Host}
	u.Scheme, u.User, u.Host = "", nil, ""
	return via, strings.TrimPrefix(u.String(), "/"), nil
}

// Address is the host and the port of a proxy.
func Address(via *url.URL) string {
	port := via.Port()
	if port == "" {
		port = ports[via.Scheme]
	}
	return net.JoinHostPort(via.Hostname(), port)
}

// SOCKS reports whether the proxy speaks SOCKS.
func SOCKS(via *url.URL) bool { return via != nil && strings.HasPrefix(via.Scheme, "socks") }

// Name is a proxy for people and logs: without its login; DIRECT for none.
func Name(via *url.URL) string {
	if via == nil {
		return "DIRECT"
	}
	return via.Scheme + "://" + Address(via)
}

// Names are those of a route.
func Names(route []*url.URL) []string {
	names := make([]string, len(route))
	for i, via := range route {
		names[i] = Name(via)
	}
	return names
}

// invalid is the error of settings that cannot be obeyed: found when the job runs, as in BITS.
func invalid(format string, args ...any) *bits.Error {
	return bits.Errorf(hresult.BG_E_INVALID_PROXY_INFO, format, args...).In(bits.ContextQueueManager)
}

// loopback reports whether a host is this machine: localhost, what stands below it, and the addresses of loopback.
func loopback(host string) bool {
	if host == "localhost" || strings.HasSuffix(host, ".localhost") {
		return true
	}
	ip := net.ParseIP(host)
	return ip != nil && ip.IsLoopback()
}

// Loopback reports whether the URL is of this machine.
func Loopback(u *url.URL) bool { return loopback(hostOf(u)) }

// hostOf is the host of a URL in lower case, without the dot of a full name.
func hostOf(u *url.URL) string { return strings.TrimSuffix(strings.ToLower(u.Hostname()), ".") }
