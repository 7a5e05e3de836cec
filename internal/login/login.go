// Package login answers servers and proxies that ask for a login.
//
// A [Login] belongs to one run of one job. Nothing is shown before a challenge, nor to another server than the one that the owner has named:
// that one has a [Party] of its own, and so has each proxy. What a server is shown, a proxy never sees, and the other way round.
package login

import (
	"context"
	"net/http"
	"net/url"
	"strings"
	"sync"

	"github.com/jcmturner/gokrb5/v8/client"

	"bits"
	"bits/hresult"
)

// Login has what the owner of a job has given for logins.
type Login struct {
	Owner       string
	Environment map[string]string // of the job's creator: where his tickets are
	Credentials []bits.Credential
	Sources     bits.LoginSources
	Stored      bits.AuthTarget         // PROXY: the owner's own identity and keyring may be used for proxies
	Found       func(secrets ...string) // hears the secrets that are about to be shown to somebody; nil: nobody does
	Warn        func(text string)       // hears once what is wrong with the file .netrc; nil: nobody does

	mu      sync.Mutex
	parties map[string]*Party
	clients map[string]*client.Client
	warned  bool
}

// Of makes the Login of a run of a job.
func Of(job *bits.Job) *Login {
	l := &Login{Owner: job.Owner, Environment: job.Secrets.Environment, Credentials: job.Secrets.Credentials, Stored: job.StoredCredentials}
	if job.LoginSources != nil {
		l.Sources = *job.LoginSources
	}
	return l
}

// Server is who answers at the origin of a URL.
func (l *Login) Server(u *url.URL) *Party { return l.party(bits.AuthServer, u) }

// Proxy is the proxy at a URL. Name and password in it count as given for it.
func (l *Login) Proxy(u *url.URL) *Party { return l.party(bits.AuthProxy, u) }

func (l *Login) party(target bits.AuthTarget, u *url.URL) *Party {
	l.mu.Lock()
	defer l.mu.Unlock()
	key := target.String() + " " + Origin(u)
	if target == bits.AuthProxy && u.User != nil {
		key += " " + u.User.String()
	}
	p := l.parties[key]
	if p == nil {
		if l.parties == nil {
			l.parties = map[string]*Party{}
		}
		p = &Party{login: l, target: target, url: u}
		l.parties[key] = p
	}
	return p
}

// found tells which secrets a login has, in every way in which they are shown as they are.
func (l *Login) found(id Identity) {
	if l.Found != nil {
		l.Found(id.Token, id.Password, id.User+":"+id.Password)
	}
}

// Origin is the origin of a URL: scheme, host in lower case, and port.
func Origin(u *url.URL) string {
	port := u.Port()
	if port == "" {
		port = map[string]string{"http": "80", "https": "443", "smb": "445"}[u.Scheme]
	}
	return u.Scheme + "://" + strings.ToLower(u.Hostname()) + ":" + port
}

// Request says for which request a login may be shown, and why none of them was taken. It goes with the context.
type Request struct {
	Named   *url.URL    // what the owner has named: no other origin gets a login
	Refused *bits.Error // set when the last answer still asks for a login
}

type requestKey struct{}

// With lets the requests of a context log in.
func With(ctx context.Context, r *Request) context.Context {
	return context.WithValue(ctx, requestKey{}, r)
}

// Connections sends requests, and can be told to use HTTP/1.1 for an origin: logins that belong to a connection need one.
type Connections interface {
	http.RoundTripper
	HTTP1(u *url.URL)
}

// RoundTripper logs in to servers.
type RoundTripper struct {
	Login *Login
	Base  Connections
}

// RoundTrip sends a request, and what must follow if the server asks for a login. An answer that still asks for one is returned as it is.
func (t RoundTripper) RoundTrip(r *http.Request) (*http.Response, error) {
	x, _ := r.Context().Value(requestKey{}).(*Request)
	if x == nil {
		return t.Base.RoundTrip(r)
	}
	x.Refused = nil
	if x.Named == nil || Origin(x.Named) != Origin(r.URL) {
		answer, err := t.Base.RoundTrip(r)
		if err == nil && answer.StatusCode == http.StatusUnauthorized && x.Named != nil {
			x.Refused = bits.Errorf(hresult.BG_E_HTTP_ERROR_401, "cannot fetch %s: it asks for a login, and the job's is for %s alone", bare(r.URL), Origin(x.Named)).In(bits.ContextRemoteFile).
				WithHint("name the file with the address that asks")
		}
		return answer, err
	}
	p := t.Login.Server(r.URL)
	answer, refused, err := p.Do(r.Context(), r.Method, r.URL.RequestURI(), func(authorization string, http1 bool) (*http.Response, error) {
		if http1 {
			t.Base.HTTP1(r.URL)
		}
		if authorization == "" {
			return t.Base.RoundTrip(r)
		}
		again := r.Clone(r.Context()) // a RoundTripper changes no request of others
		again.Header.Set("Authorization", authorization)
		return t.Base.RoundTrip(again)
	})
	x.Refused = refused
	return answer, err
}

// bare is a URL for messages.
func bare(u *url.URL) string {
	c := *u
	c.User = nil
	return c.String()
}
