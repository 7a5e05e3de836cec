package daemon

import (
	"context"
	"crypto/sha256"
	"errors"
	"fmt"
	"io"
	"net"
	"net/http"
	"net/url"
	"os"
	"path/filepath"
	"runtime"
	"slices"
	"strconv"
	"strings"
	"sync"
	"time"

	"bits"
	"bits/hresult"
	"bits/internal/access"
	"bits/internal/certcheck"
	"bits/internal/pac"
	"bits/internal/proxy"
	"bits/internal/transport"
	"bits/internal/wpad"
)

// ways finds by which proxies jobs reach their servers.
type ways struct {
	crls    *certcheck.CRLCache
	workers *pac.Workers
	network wpad.Network

	mu      sync.Mutex
	scripts map[string]script // by owner, place and trust
}

// script is one that was fetched, or found; with a nil source there was none.
type script struct {
	place  string
	source []byte
	notes  []string
	until  time.Time // it is used without a question
	at     time.Time
}

const (
	fetchTime   = 20 * time.Second
	detectTime  = 30 * time.Second
	freshLeast  = 10 * time.Second
	freshMost   = time.Hour
	freshness   = 5 * time.Minute // of a script whose server says nothing, and of what was found in a network
	staleTime   = time.Hour       // a script is used on while it cannot be fetched again
	maxScripts  = 64
	fileFresh   = 5 * time.Second
	answersKept = 256
)

func newWays(crls *certcheck.CRLCache) *ways {
	return &ways{crls: crls, workers: pac.NewWorkers(), network: wpad.System(), scripts: map[string]script{}}
}

// of is the Finder of a job.
func (w *ways) of(job *bits.Job) (proxy.Finder, error) {
	switch s := job.ProxySettings; s.Usage {
	case bits.ProxyPreconfig:
		return proxy.FromEnvironment(job.Secrets.Environment), nil
	case bits.ProxyOverride:
		return proxy.FromLists(s.List, s.Bypass, job.Secrets.ProxyLogins)
	case bits.ProxyAutodetect:
		if s.Script != "" {
			return w.asking(job, func(ctx context.Context) (script, error) { return w.get(ctx, job, s.Script) }), nil
		}
		found := w.asking(job, func(ctx context.Context) (script, error) { return w.detect(ctx, job) })
		return func(ctx context.Context, u *url.URL) (proxy.Choice, error) {
			if proxy.Loopback(u) { // a network must not draw to itself what stays in this machine
				return proxy.Direct(u.Hostname() + " is this machine"), nil
			}
			return found(ctx, u)
		}, nil
	}
	return proxy.None("the job uses no proxy (NO_PROXY)"), nil
}

// asking is the Finder that asks a script.
func (w *ways) asking(job *bits.Job, get func(context.Context) (script, error)) proxy.Finder {
	var mu sync.Mutex
	type result struct {
		choice proxy.Choice
		at     time.Time
	}
	known := map[string]result{} // a script has no memory: it answers the same for a while
	return func(ctx context.Context, u *url.URL) (proxy.Choice, error) {
		s, err := get(ctx)
		if err != nil {
			return proxy.Choice{}, err
		}
		if s.source == nil {
			return proxy.Direct(s.notes...), nil
		}
		about := *u
		if u.Scheme == "https" {
			about = url.URL{Scheme: u.Scheme, Host: u.Host}
		}
		key := fmt.Sprintf("%x %s", sha256.Sum256(s.source), about.String())
		mu.Lock()
		r, ok := known[key]
		mu.Unlock()
		if ok && time.Since(r.at) < freshLeast {
			return r.choice, nil
		}
		text, alerts, err := w.workers.Find(ctx, s.source, &about)
		var route []*url.URL
		if err == nil {
			route, err = proxy.ParseResult(text)
		}
		if err != nil {
			if ctx.Err() != nil {
				return proxy.Choice{}, context.Cause(ctx)
			}
			return proxy.Choice{}, bits.Errorf(hresult.ERROR_WINHTTP_BAD_AUTO_PROXY_SCRIPT, "cannot use the proxy script %s: %w", s.place, err).In(bits.ContextRemoteFile)
		}
		c := proxy.Choice{Route: route, Why: slices.Clone(s.notes)}
		for _, a := range alerts {
			c.Why = append(c.Why, fmt.Sprintf("the script says %q", a))
		}
		c.Why = append(c.Why, fmt.Sprintf("the script %s answers %q", s.place, text))
		mu.Lock()
		if len(known) >= answersKept {
			clear(known)
		}
		known[key] = result{c, time.Now()}
		mu.Unlock()
		return c, nil
	}
}

// get is a script of a place, from memory or fetched.
func (w *ways) get(ctx context.Context, job *bits.Job, place string) (script, error) {
	key := w.trust(job) + place
	before, fresh := w.recall(key)
	if fresh {
		return before, nil
	}
	now, err := w.fetch(ctx, job, place)
	switch {
	case err == nil:
		w.remember(key, now)
		return now, nil
	case ctx.Err() != nil:
		return script{}, context.Cause(ctx)
	case before.source != nil && time.Since(before.at) < staleTime:
		before.notes = append(slices.Clip(before.notes), fmt.Sprintf("the script cannot be fetched again, and is used on: %v", err))
		return before, nil
	}
	var refused *bits.Error
	if errors.As(err, &refused) && refused.Code == hresult.E_NOTIMPL {
		return script{}, err // another user's file
	}
	return script{}, bits.Errorf(hresult.ERROR_WINHTTP_UNABLE_TO_DOWNLOAD_SCRIPT, "cannot fetch the proxy script %s: %w", place, err).In(bits.ContextRemoteFile).
		WithHint("the job was told to use this script, and does not go another way without it")
}

// detect searches the network for a script. If there is none, the job goes without a proxy, and its log says so.
func (w *ways) detect(ctx context.Context, job *bits.Job) (script, error) {
	addrs, _ := net.InterfaceAddrs()
	key := w.trust(job) + fmt.Sprint("detected ", addrs) // another network is asked anew
	if found, fresh := w.recall(key); fresh {
		return found, nil
	}
	searching, cancel := context.WithTimeout(ctx, detectTime)
	defer cancel()
	places, notes := w.network.Find(searching)
	found := script{at: time.Now(), until: time.Now().Add(freshness)}
	for _, place := range places {
		s, err := w.fetch(searching, job, place)
		if err == nil {
			found.place, found.source = place, s.source
			break
		}
		notes = append(notes, fmt.Sprintf("%s is no use: %v", place, err))
	}
	if ctx.Err() != nil {
		return script{}, context.Cause(ctx)
	}
	if found.source == nil {
		notes = append(notes, "no script was found, so no proxy is used")
	}
	found.notes = notes
	w.remember(key, found)
	return found, nil
}

// trust is what a script that is kept belongs to: the owner, and whom the job trusts.
func (w *ways) trust(job *bits.Job) string {
	sum := sha256.Sum256([]byte(fmt.Sprintf("%q %d %q %q %q", job.Owner, job.SecurityFlags, job.Roots, job.Secrets.Environment["SSL_CERT_FILE"], job.Secrets.Environment["SSL_CERT_DIR"])))
	return string(sum[:])
}

func (w *ways) recall(key string) (script, bool) {
	w.mu.Lock()
	defer w.mu.Unlock()
	s, ok := w.scripts[key]
	return s, ok && time.Now().Before(s.until)
}

func (w *ways) remember(key string, s script) {
	w.mu.Lock()
	defer w.mu.Unlock()
	if len(w.scripts) >= maxScripts {
		clear(w.scripts)
	}
	w.scripts[key] = s
}

// fetch gets a script, directly.
func (w *ways) fetch(ctx context.Context, job *bits.Job, place string) (script, error) {
	s := script{place: place, at: time.Now()}
	u, err := url.Parse(place)
	if path := place; filepath.IsAbs(path) || err == nil && u.Scheme == "file" {
		if !filepath.IsAbs(path) {
			path = filepath.FromSlash(u.Path)
			if runtime.GOOS == "windows" {
				path = strings.TrimPrefix(path, `\`)
			}
		}
		s.source, err = readScript(job, path)
		s.until = time.Now().Add(fileFresh)
		return s, err
	}
	if err != nil {
		return s, err
	}
	ctx, cancel := context.WithTimeout(ctx, fetchTime)
	defer cancel()
	rules := rulesOf(job, w.crls)
	t := transport.New(ctx, transport.Config{Origin: rules.by(lists{config: transport.Config{Origin: rules.by(nil)}})})
	defer t.Close()
	client := &http.Client{Transport: t, CheckRedirect: func(next *http.Request, via []*http.Request) error {
		switch {
		case len(via) > 5 || via[0].URL.Scheme == "https" && next.URL.Scheme != "https":
			return errors.New("it is redirected too often, or to http")
		case next.URL.Scheme != "http" && next.URL.Scheme != "https":
			return errors.New("it is redirected to a file: a server does not choose what is read here")
		}
		return nil
	}}
	r, err := http.NewRequestWithContext(ctx, http.MethodGet, place, nil)
	if err != nil {
		return s, err
	}
	r.Header.Set("User-Agent", "bits/1")
	answer, err := client.Do(r)
	if err != nil {
		return s, transport.Error(err, place)
	}
	defer answer.Body.Close()
	if answer.StatusCode != http.StatusOK {
		return s, fmt.Errorf("the server answered %s", answer.Status)
	}
	s.until = time.Now().Add(fresh(answer.Header))
	s.source, err = readAll(answer.Body)
	return s, err
}

func readScript(job *bits.Job, path string) ([]byte, error) {
	if err := access.Files(job); err != nil {
		return nil, err
	}
	info, err := os.Stat(path)
	if err == nil && !info.Mode().IsRegular() {
		err = errors.New("it is no file")
	}
	if err != nil {
		return nil, err
	}
	f, err := os.Open(path)
	if err != nil {
		return nil, err
	}
	defer f.Close()
	return readAll(f)
}

func readAll(r io.Reader) ([]byte, error) {
	source, err := io.ReadAll(io.LimitReader(r, pac.MaxSource+1))
	switch {
	case err == nil && len(source) > pac.MaxSource:
		err = fmt.Errorf("it has more than %d bytes", pac.MaxSource)
	case err == nil && len(source) == 0:
		err = errors.New("it is empty")
	}
	return source, err
}

// fresh is how long an answer may be used without a question (RFC 9111), within bounds: no file of a job costs a fetch of its own.
func fresh(h http.Header) time.Duration {
	age := freshness
	if at, err := http.ParseTime(h.Get("Expires")); err == nil {
		age = time.Until(at)
	}
	for d := range strings.SplitSeq(h.Get("Cache-Control"), ",") {
		name, value, _ := strings.Cut(strings.ToLower(strings.TrimSpace(d)), "=")
		if n, err := strconv.Atoi(strings.Trim(value, `"`)); name == "max-age" && err == nil {
			age = time.Duration(min(n, int(freshMost/time.Second))) * time.Second
		} else if name == "no-store" || name == "no-cache" {
			age = 0
			break
		}
	}
	return min(max(age, freshLeast), freshMost)
}

// explain says how a job reaches a URL.
func (w *ways) explain(ctx context.Context, job *bits.Job, u *url.URL) (proxy.Choice, error) {
	find, err := w.of(job)
	if err != nil {
		return proxy.Choice{}, err
	}
	return find(ctx, u)
}
