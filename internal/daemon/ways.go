package daemon

import (
	"context"
	"net/url"

	"bits"
	"bits/internal/proxy"
)

// ways finds by which proxies a job reaches its servers.
type ways struct{}

// of is the Finder of a job.
func (w ways) of(job *bits.Job) (proxy.Finder, error) {
	switch s := job.ProxySettings; s.Usage {
	case bits.ProxyPreconfig:
		return proxy.FromEnvironment(job.Secrets.Environment), nil
	case bits.ProxyOverride:
		return proxy.FromLists(s.List, s.Bypass, job.Secrets.ProxyLogins)
	case bits.ProxyAutodetect:
		return proxy.None("nothing was found"), nil
	}
	return proxy.None("the job uses no proxy (NO_PROXY)"), nil
}

// first is the first proxy of a route, for what knows one only: the fetching of revocation lists.
func first(ctx context.Context, route func(context.Context, *url.URL) ([]*url.URL, error)) func(*url.URL) (*url.URL, error) {
	return func(u *url.URL) (*url.URL, error) {
		all, err := route(ctx, u)
		if err != nil || len(all) == 0 {
			return nil, err
		}
		return all[0], nil
	}
}
