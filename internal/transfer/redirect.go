package transfer

import (
	"fmt"
	"maps"
	"net/http"
	"net/http/cookiejar"
	"net/url"
	"slices"
	"strings"

	"golang.org/x/net/publicsuffix"

	"bits"
	"bits/hresult"
	"bits/internal/remotename"
)

// Client makes the HTTP client of a run: redirects by the job's policy, cookies that end with the run.
func Client(rt http.RoundTripper, job *bits.Job) *http.Client {
	jar, _ := cookiejar.New(&cookiejar.Options{PublicSuffixList: publicsuffix.List}) // never fails
	return &http.Client{Transport: watching{rt}, Jar: jar, CheckRedirect: redirect(job.SecurityFlags)}
}

// watching watches the body of every answer: net/http reads those of redirects by itself.
type watching struct{ http.RoundTripper }

func (w watching) RoundTrip(r *http.Request) (*http.Response, error) {
	answer, err := w.RoundTripper.RoundTrip(r)
	if err == nil {
		answer.Body = watch(answer.Body)
	}
	return answer, err
}

// logins are the headers that never reach another server than the one that the owner named.
var logins = []string{"Authorization", "Cookie", "Proxy-Authorization"}

func isLogin(name string) bool { return slices.Contains(logins, name) }

func sameOrigin(a, b *url.URL) bool { return a.Scheme == b.Scheme && a.Host == b.Host }

func redirect(flags bits.SecurityFlags) func(*http.Request, []*http.Request) error {
	return func(next *http.Request, via []*http.Request) error {
		refuse := func(format string, args ...any) error {
			return bits.Errorf(hresult.ERROR_WINHTTP_REDIRECT_FAILED, "cannot fetch %s: "+format, append([]any{via[0].URL}, args...)...).In(bits.ContextRemoteFile)
		}
		last := via[len(via)-1].URL
		switch {
		case flags&bits.RedirectMask == bits.RedirectDisallow:
			return http.ErrUseLastResponse
		case len(via) > maxRedirects:
			return refuse("it is redirected more than %d times", maxRedirects)
		case last.Scheme == "https" && next.URL.Scheme == "http" && flags&bits.RedirectHTTPSToHTTP == 0:
			return refuse("it is redirected from https to http (%s)", next.URL)
		}
		// Also from the web to files: a server must not choose what we read here.
		if err := remotename.Check(next.URL.String()); err != nil {
			return refuse("it is redirected to an address that cannot be used: %w", err)
		}
		// net/http copies the headers of the first request to every hop, so the first one decides.
		first := via[0]
		if !sameOrigin(next.URL, first.URL) {
			for _, name := range logins {
				next.Header.Del(name)
			}
		}
		if first.Header.Get("Referer") == "" {
			next.Header.Del("Referer") // net/http adds one, and it would tell a signed URL
		}
		return nil
	}
}

// maxHeaders is how much is kept of the headers of an answer.
const maxHeaders = 64 << 10

// headersOf writes an answer's status line and headers, sorted by name, each line ended by CRLF; whole lines only.
func headersOf(a *http.Response) string {
	text := strings.Builder{}
	fmt.Fprintf(&text, "%s %s\r\n", a.Proto, a.Status)
	for _, name := range slices.Sorted(maps.Keys(a.Header)) {
		for _, value := range a.Header[name] {
			if text.Len()+len(name)+len(value)+4 <= maxHeaders {
				fmt.Fprintf(&text, "%s: %s\r\n", name, value)
			}
		}
	}
	return text.String()
}
