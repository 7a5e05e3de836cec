package daemon

import (
	"context"
	"crypto/tls"
	"net/url"
	"sync"

	"bits/internal/certcheck"
	"bits/internal/joblog"
	"bits/internal/proxy"
	"bits/internal/transport"
)

// judged is what phase two of one connection needs, and remembers who has judged the certificate.
type judged struct {
	certcheck.Memory
	certcheck.Asker
	by string
}

const (
	byRules       = "the rules of the system and the job"
	byApplication = "the application, asked now"
	byMemory      = "the application, asked before"
)

func (j *judged) Accepted(ctx context.Context, endpoint string, sha256 [32]byte) (bool, error) {
	known, err := j.Memory.Accepted(ctx, endpoint, sha256)
	if known {
		j.by = byMemory
	}
	return known, err
}

func (j *judged) Ask(ctx context.Context, q certcheck.Question) error {
	j.by = byApplication
	return j.Asker.Ask(ctx, q)
}

// logged is a check of certificates that logs what it has found, and by whom: that is what the check returns.
func logged(log joblog.Log, file func() int, check func(context.Context, string, tls.ConnectionState) (string, error)) func(context.Context, string, tls.ConnectionState) error {
	return func(ctx context.Context, endpoint string, cs tls.ConnectionState) error {
		by, err := check(ctx, endpoint, cs)
		log.Log(joblog.TLS, file(), "%s", joblog.Certificate(endpoint, cs, by, err))
		return err
	}
}

// loggedRoute logs the way to each server, once, and what is to be told of how it was found.
func loggedRoute(log joblog.Log, file func() int, find func(context.Context, *url.URL) (proxy.Choice, error)) transport.Route {
	var told sync.Map
	return func(ctx context.Context, u *url.URL) ([]*url.URL, error) {
		c, err := find(ctx, u)
		if err == nil && (len(c.Route) == 0 || c.Route[0] == nil) {
			return c.Route, nil
		}
		if _, again := told.LoadOrStore(u.Scheme+"://"+u.Host, true); again {
			return c.Route, err
		}
		if err != nil {
			log.Log(joblog.Proxy, file(), "cannot find the proxy for %s: %v", u.Host, err)
			return c.Route, err
		}
		log.Log(joblog.Proxy, file(), "%s is reached through the proxy %s", u.Host, proxy.Name(c.Route[0]))
		return c.Route, nil
	}
}
