package login

import (
	"cmp"
	"context"
	"crypto/sha256"
	"fmt"
	"io"
	"maps"
	"net/http"
	"net/url"
	"path"
	"slices"
	"strings"
	"sync"
	"time"

	"bits"
	"bits/hresult"
)

const (
	maxLegs   = 12               // for one request, whatever the other side says
	maxDrain  = 64 << 10         // of the body of a challenge; beyond it the connection is given up
	drainTime = 10 * time.Second // for that body: no other watch is over it
)

// Party is a server or a proxy, with what it was shown before in this run.
type Party struct {
	login  *Login
	target bits.AuthTarget
	url    *url.URL

	mu     sync.Mutex
	active *active         // what it has taken
	bad    map[string]bool // fingerprints of names and passwords that it has refused
}

// active is a login that may be used again without a challenge.
type active struct {
	conversation
	scheme    scheme
	challenge Challenge
	below     string // the folder of the first request: Basic is good for what is below it (RFC 7617, section 2.2)
	id        Identity
}

// fingerprint tells names and passwords apart without keeping them.
func (id Identity) fingerprint() string {
	sum := sha256.Sum256([]byte(id.User + "\x00" + id.Password + "\x00" + id.Token))
	return fmt.Sprintf("%t %x", id.Implicit, sum[:8])
}

func (p *Party) status() (code int, asks, info string) {
	if p.target == bits.AuthProxy {
		return http.StatusProxyAuthRequired, "Proxy-Authenticate", "Proxy-Authentication-Info"
	}
	return http.StatusUnauthorized, "Www-Authenticate", "Authentication-Info"
}

// Do sends a request with the authorizations that the other side asks for, one after another, the strongest first, until it asks no more or
// there is nothing left to show: then refused says what was tried, and the answer is the last one, its body unread.
// All legs must go over one connection if that is kept open. With http1 it must speak HTTP/1.1 from now on.
func (p *Party) Do(ctx context.Context, method, uri string, send func(authorization string, http1 bool) (*http.Response, error)) (answer *http.Response, refused *bits.Error, err error) {
	code, asks, info := p.status()
	d := demand{method: method, uri: uri, host: strings.ToLower(p.url.Hostname())}
	a := attempt{p: p, dead: map[string]bool{}}
	authorization, http1 := a.again(ctx, d), false
	for leg := 0; ; leg++ {
		if answer, err = send(authorization, http1); err != nil {
			return nil, nil, err
		}
		if answer.StatusCode != code {
			a.taken(answer.Header.Get(info), uri)
			return answer, nil, nil
		}
		d.tls = answer.TLS
		challenges := Parse(answer.Header.Values(asks))
		authorization, http1 = a.next(ctx, challenges, d, answer.ProtoMajor > 1)
		if authorization == "" || leg == maxLegs {
			p.remember(nil)
			return answer, a.refusal(challenges, code), nil
		}
		drain(answer.Body)
	}
}

// drain reads the body of a challenge, so that its connection can be used again, and closes it.
func drain(body io.ReadCloser) {
	patience := time.AfterFunc(drainTime, func() { body.Close() })
	defer patience.Stop()
	io.Copy(io.Discard, io.LimitReader(body, maxDrain))
	body.Close()
}

// attempt is what becomes of one request.
type attempt struct {
	p     *Party
	now   *active // the login that was shown last
	old   bool    // it was shown without a challenge
	known bool    // a login was not shown because it was refused before
	stale int     // how often a nonce was too old
	dead  map[string]bool
	tried []string
	notes []string // why others were not
}

// again is the authorization of a login that was taken before.
func (a *attempt) again(ctx context.Context, d demand) string {
	a.p.mu.Lock()
	was := a.p.active
	a.p.mu.Unlock()
	if was == nil || !was.scheme.repeat || was.scheme.name == "basic" && !strings.HasPrefix(d.uri, was.below) {
		return ""
	}
	authorization, err := was.next(ctx, was.challenge, d)
	if err != nil {
		return ""
	}
	now := *was
	a.now, a.old = &now, true
	return authorization
}

// taken remembers the login that has opened the door.
func (a *attempt) taken(info, uri string) {
	if a.now == nil {
		return
	}
	if fresh := Parse([]string{"Info " + info}); a.now.scheme.name == "digest" && len(fresh) == 1 && fresh[0].Params["nextnonce"] != "" {
		a.now.challenge.Params = maps.Clone(a.now.challenge.Params) // another request may be reading the old ones
		a.now.challenge.Params["nonce"] = fresh[0].Params["nextnonce"]
	}
	if !a.old {
		folder, _, _ := strings.Cut(uri, "?")
		a.now.below = folder[:strings.LastIndexByte(folder, '/')+1]
	}
	a.p.remember(a.now)
}

func (p *Party) remember(a *active) {
	p.mu.Lock()
	defer p.mu.Unlock()
	p.active = a
}

// refused reports whether a name and password are known to be no good.
func (p *Party) refused(print string) bool {
	p.mu.Lock()
	defer p.mu.Unlock()
	return p.bad[print]
}

// next is the authorization to show now; none: there is none left.
func (a *attempt) next(ctx context.Context, challenges []Challenge, d demand, http2 bool) (authorization string, http1 bool) {
	if now := a.now; now != nil {
		i := strongest(challenges, now.scheme)
		switch {
		case i >= 0 && challenges[i].Token != "" && now.scheme.bound:
			if text, err := now.next(ctx, challenges[i], d); err == nil { // the next leg
				return text, false
			} else {
				a.note(now.scheme, err)
			}
		case i >= 0 && now.scheme.name == "digest" && a.stale < 2 && (a.old || strings.EqualFold(challenges[i].Params["stale"], "true")):
			a.old = false
			a.stale++
			now.challenge = challenges[i]
			if text, err := now.next(ctx, challenges[i], d); err == nil {
				return text, false
			} else {
				a.note(now.scheme, err)
			}
		}
		a.reject(now)
		a.now = nil
	}
	a.old = false
	for _, s := range schemes {
		i := strongest(challenges, s)
		if i < 0 {
			continue
		}
		found, notes := a.p.login.find(ctx, a.p.target, a.p.url, s)
		a.notes = append(a.notes, notes...)
		for _, id := range found {
			print := id.fingerprint()
			if a.dead[s.name+print] {
				continue
			} else if a.p.refused(print) {
				a.known = true
				continue
			}
			a.dead[s.name+print] = true
			a.p.login.found(id)
			c, err := s.begin(a.p.login, challenges[i], id)
			text := ""
			if err == nil {
				text, err = c.next(ctx, challenges[i], d)
			}
			if err != nil {
				a.note(s, err)
				continue
			}
			a.now = &active{conversation: c, scheme: s, challenge: challenges[i], id: id}
			a.tried = append(a.tried, s.title+" ("+id.from+")")
			return text, s.bound && http2
		}
	}
	return "", false
}

// reject remembers that a name and password are no good: a weaker scheme would only show them to more ears.
func (a *attempt) reject(r *active) {
	a.p.mu.Lock()
	defer a.p.mu.Unlock()
	if a.p.bad == nil {
		a.p.bad = map[string]bool{}
	}
	if r.scheme.name != "bearer" { // its file is read anew
		a.p.bad[r.id.fingerprint()] = true
	}
}

func (a *attempt) note(s scheme, err error) {
	if text := s.title + ": " + strings.TrimPrefix(err.Error(), s.title+": "); !slices.Contains(a.notes, text) {
		a.notes = append(a.notes, text)
	}
}

// strongest is the challenge of a scheme; of several for Digest the one with the best algorithm. -1: there is none.
func strongest(challenges []Challenge, s scheme) int {
	best := -1
	for i, c := range challenges {
		if c.Scheme != s.name {
			continue
		}
		if best < 0 {
			best = i
		} else if s.name == "digest" {
			old, _ := algorithm(challenges[best])
			if rank, _ := algorithm(c); rank >= 0 && (old < 0 || rank < old) {
				best = i
			}
		}
	}
	return best
}

// refusal says what was offered and what was tried; never what was shown.
func (a *attempt) refusal(challenges []Challenge, code int) *bits.Error {
	var offered []string
	for _, c := range challenges {
		title := c.Scheme
		for _, s := range schemes {
			if s.name == c.Scheme {
				title = s.title
			}
		}
		if title = clean(title); !slices.Contains(offered, title) {
			offered = append(offered, title)
		}
	}
	who, hint := "server "+Origin(a.p.url), "bits get --user NAME asks for the password; for a job: bits call JOB set-credentials; docs/logins.md names other ways"
	if a.p.target == bits.AuthProxy {
		who, hint = "proxy "+Origin(a.p.url), "bits get --proxy-user NAME asks for the password; for a job: bits call JOB set-credentials, with the target PROXY; docs/logins.md names other ways"
	}
	text := fmt.Sprintf("cannot log in: the %s offers %s", who, cmp.Or(strings.Join(offered, ", "), "no way to log in"))
	switch {
	case len(a.tried) > 0:
		hint = "check the name and the password, or the token; if they are right, the server does not let this user in"
		text += ", and has refused " + strings.Join(a.tried, ", ")
	case a.known:
		text += ", and has refused the login before"
	default:
		text += ", and the job has no login for it"
	}
	if len(a.notes) > 0 {
		text += "; " + strings.Join(a.notes, "; ")
	}
	return bits.Errorf(hresult.FromHTTPStatus(code), "%s", text).In(bits.ContextRemoteFile).WithHint("%s", hint)
}

// clean keeps what a scheme may consist of, for messages.
func clean(s string) string {
	if len(s) > 40 {
		s = s[:40]
	}
	return path.Clean(s)
}
