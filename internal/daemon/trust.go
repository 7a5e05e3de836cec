package daemon

import (
	"context"
	"crypto/tls"
	"io"
	"net"
	"net/http"
	"net/url"
	"sync"

	"bits"
	"bits/hresult"
	"bits/internal/access"
	"bits/internal/certcheck"
	"bits/internal/joblog"
	"bits/internal/transport"
)

// rules are phase one of a job.
// Reading the authorities takes longer than a small file, so it waits for the first certificate.
type rules func() (certcheck.Policy, error)

func rulesOf(job *bits.Job, crls *certcheck.CRLCache) rules {
	return sync.OnceValues(func() (certcheck.Policy, error) {
		roots, err := roots(job)
		return certcheck.Policy{Flags: job.SecurityFlags, Roots: roots, CRLs: crls}, err
	})
}

// roots are the authorities of a job: its own, else what its creator's environment names, else the system's.
func roots(job *bits.Job) (*certcheck.Roots, error) {
	if job.Roots != "" {
		return certcheck.RootsPEM(job.Roots)
	}
	if env := job.Secrets.Environment; env["SSL_CERT_FILE"] != "" || env["SSL_CERT_DIR"] != "" {
		if err := access.Files(job); err != nil {
			return nil, err
		}
	}
	return certcheck.FromEnvironment(job.Secrets.Environment)
}

// by judges with the lists that come in some way.
func (r rules) by(lists http.RoundTripper) transport.Verify {
	return func(ctx context.Context, endpoint string, cs tls.ConnectionState) error {
		p, err := r()
		if err != nil {
			return err
		}
		host, _, err := net.SplitHostPort(endpoint)
		if err != nil {
			return err
		}
		if p.Lists = lists; lists == nil {
			p.Flags &^= bits.CheckRevocation
		}
		_, err = p.Verify(ctx, host, cs.PeerCertificates)
		return err
	}
}

// proxies judges proxies.
func proxies(check transport.Verify) transport.Verify {
	return func(ctx context.Context, endpoint string, cs tls.ConnectionState) error {
		if err := check(ctx, endpoint, cs); err != nil {
			return bits.Errorf(hresult.ERROR_WINHTTP_SECURE_FAILURE_PROXY, "cannot use the proxy: %w", err).In(bits.ContextRemoteFile)
		}
		return nil
	}
}

// lists fetches revocation lists in the way of a job's bytes, with connections of their own that end with the fetch.
//
// There are two, so that no list is needed to fetch itself. That of the servers goes as the bytes do. That of the proxies, by which they
// are judged, looks at no list: until then a proxy over TLS is shown no login, and what it can do is to hold back a list, which has its
// signature. The servers that lists are kept on are judged without lists by both.
type lists struct {
	log    joblog.Log
	file   func() int
	config transport.Config
}

// listsOf returns how the lists of a job come, those about servers and those about proxies, and the check of proxies.
func listsOf(r rules, log joblog.Log, file func() int, c transport.Config) (ofServers lists, proxy transport.Verify) {
	c.Origin = r.by(nil)
	ofServers = lists{log, file, c}
	logins := c.Logins
	c.Logins = func(via *url.URL) transport.Answerer {
		if via.Scheme == "https" {
			return nil
		}
		return logins(via)
	}
	c.Proxy = proxies(r.by(nil))
	check := proxies(r.by(lists{log, file, c}))
	ofServers.config.Proxy = logged(log, file, func(ctx context.Context, endpoint string, cs tls.ConnectionState) (string, error) {
		return byRules, check(ctx, endpoint, cs)
	})
	return ofServers, ofServers.config.Proxy
}

// RoundTrip fetches a list, or follows a redirect to it.
func (l lists) RoundTrip(r *http.Request) (*http.Response, error) {
	ctx := valueless{r.Context()}
	t := transport.New(ctx, l.config)
	var way http.RoundTripper = t
	if l.log != nil {
		way = joblog.Trips{RoundTripper: t, Log: l.log, File: l.file}
	}
	answer, err := way.RoundTrip(r.WithContext(ctx))
	if err != nil {
		t.Close()
		return nil, transport.Error(err, r.URL.String())
	}
	answer.Body = ending{answer.Body, t}
	return answer, nil
}

// valueless is a context without values: those of a handshake are of the request that it is made for, which is being logged too.
type valueless struct{ context.Context }

func (valueless) Value(any) any { return nil }

// ending is a body with which its connection ends.
type ending struct {
	io.ReadCloser
	t *transport.Transport
}

func (e ending) Close() error {
	err := e.ReadCloser.Close()
	e.t.Close()
	return err
}
