package daemon

import (
	"context"
	"crypto/tls"
	"fmt"
	"net/http"
	"net/url"
	"strings"
	"sync"

	"bits"
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

// loggedRoute logs the way to each server, once. If a script or the network is asked, it logs how it was found too, also where it is a
// direct one.
func loggedRoute(log joblog.Log, file func() int, asks bool, find func(context.Context, *url.URL) (proxy.Choice, error)) transport.Route {
	var told sync.Map
	return func(ctx context.Context, u *url.URL) ([]*url.URL, error) {
		c, err := find(ctx, u)
		direct := err == nil && (len(c.Route) == 0 || c.Route[0] == nil)
		if direct && !asks {
			return c.Route, nil
		}
		if _, again := told.LoadOrStore(fmt.Sprint(u.Scheme, "://", u.Host, proxy.Names(c.Route)), true); again {
			return c.Route, err
		}
		if err != nil {
			log.Log(joblog.Proxy, file(), "cannot find the proxy for %s: %v", u.Host, err)
			return c.Route, err
		}
		if asks {
			for _, why := range c.Why {
				log.Log(joblog.Proxy, file(), "%s: %s", u.Host, why)
			}
		}
		if direct {
			log.Log(joblog.Proxy, file(), "%s is reached directly", u.Host)
		} else {
			log.Log(joblog.Proxy, file(), "%s is reached through the proxy %s", u.Host, proxy.Name(c.Route[0]))
		}
		return c.Route, nil
	}
}

// heard logs what a proxy is asked for a tunnel and answers, and its challenges. Other requests and answers are logged as the server's.
type heard struct {
	transport.Answerer
	log  joblog.Log
	file func() int
}

func (h heard) Do(ctx context.Context, method, uri string, send func(string, bool) (*http.Response, error)) (*http.Response, *bits.Error, error) {
	return h.Answerer.Do(ctx, method, uri, func(authorization string, http1 bool) (*http.Response, error) {
		answer, err := send(authorization, http1)
		if err != nil || method != http.MethodConnect && answer.StatusCode != http.StatusProxyAuthRequired {
			return answer, err
		}
		if method == http.MethodConnect {
			head := []string{"CONNECT " + uri + " HTTP/1.1", joblog.Header("Host", uri)}
			if authorization != "" {
				head = append(head, joblog.Header("Proxy-Authorization", authorization))
			}
			h.log.Log(joblog.Request, h.file(), "%s", strings.Join(head, "\n"))
		}
		h.log.Log(joblog.Response, h.file(), "%s", joblog.Answer(answer.Proto, answer.Status, answer.Header))
		return answer, nil
	})
}
