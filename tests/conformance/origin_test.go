package conformance

import (
	"bytes"
	"crypto/tls"
	"fmt"
	"io"
	"net/http"
	"net/http/httptest"
	"strconv"
	"strings"
	"sync"
	"time"

	"bits/client/bitstest"
)

// origin is the web server of all rows. The first element of a path is a row's own, the second says what happens there; what follows
// tells files apart.
type origin struct {
	server *httptest.Server
	secure *httptest.Server // the same by https, which asks for a certificate

	mu    sync.Mutex
	gates map[string]chan struct{} // by row
	seen  map[string][]string
}

var (
	content  = bitstest.Content(1, 1000)
	modified = time.Now().Add(-24 * time.Hour).Truncate(time.Second)
)

// pages is what happens at a path.
var pages = map[string]func(o *origin, w http.ResponseWriter, r *http.Request){
	// A good server.
	"ok": func(_ *origin, w http.ResponseWriter, r *http.Request) { whole(w, r) },
	// The same content, on a server that has another ETag and date.
	"other": func(_ *origin, w http.ResponseWriter, r *http.Request) {
		w.Header().Set("ETag", `"other"`)
		http.ServeContent(w, r, "", modified.Add(-time.Hour), bytes.NewReader(bitstest.Content(2, 1000)))
	},
	// Half of the file, and the rest when the gate is opened: a job stays TRANSFERRING.
	"half": func(o *origin, w http.ResponseWriter, r *http.Request) {
		select {
		case <-o.gate(r):
			whole(w, r)
			return
		default:
		}
		start := 0
		fmt.Sscanf(r.Header.Get("Range"), "bytes=%d-", &start)
		start = min(start, len(content))
		w.Header().Set("ETag", `"ok"`)
		w.Header().Set("Last-Modified", modified.UTC().Format(http.TimeFormat))
		w.Header().Set("Content-Length", strconv.Itoa(len(content)-start))
		w.Header().Set("Content-Range", fmt.Sprintf("bytes %d-%d/%d", start, len(content)-1, len(content)))
		w.WriteHeader(http.StatusPartialContent)
		middle := max(len(content)/2, start)
		w.Write(content[start:middle])
		w.(http.Flusher).Flush()
		o.wait(r)
		w.Write(content[middle:])
	},
	// No answer until the gate is opened: a job stays CONNECTING.
	"dead": func(o *origin, w http.ResponseWriter, r *http.Request) {
		o.wait(r)
		whole(w, r)
	},
	// No size: the end of the answer is the end of the file.
	"nosize": func(_ *origin, w http.ResponseWriter, r *http.Request) {
		w.(http.Flusher).Flush()
		w.Write(content)
	},
	// A size, and no ranges.
	"norange": func(_ *origin, w http.ResponseWriter, r *http.Request) {
		w.Header().Set("Content-Length", strconv.Itoa(len(content)))
		w.Write(content)
	},
	// It wants a name and a password.
	"login": func(_ *origin, w http.ResponseWriter, r *http.Request) {
		if user, password, _ := r.BasicAuth(); user != "u" || password != "p" {
			w.Header().Set("WWW-Authenticate", `Basic realm="login"`)
			w.WriteHeader(http.StatusUnauthorized)
			return
		}
		whole(w, r)
	},
	// The header fields of the request are the content.
	"echo": func(_ *origin, w http.ResponseWriter, r *http.Request) { echo(w, r) },
	// The name in the certificate that the client has shown.
	"who": func(_ *origin, w http.ResponseWriter, r *http.Request) {
		name := "nobody"
		if r.TLS != nil && len(r.TLS.PeerCertificates) > 0 {
			name = r.TLS.PeerCertificates[0].Subject.CommonName
		}
		http.ServeContent(w, r, "", modified, strings.NewReader(name))
	},
	// The same, when the gate is opened.
	"deadecho": func(o *origin, w http.ResponseWriter, r *http.Request) {
		o.wait(r)
		echo(w, r)
	},
	// Elsewhere is a good server.
	"moved": func(_ *origin, w http.ResponseWriter, r *http.Request) {
		row := strings.Split(r.URL.Path, "/")[1]
		http.Redirect(w, r, "/"+row+"/ok/moved", http.StatusFound)
	},
	// The gate decides between 404 and a good server: what was repaired.
	"repaired": func(o *origin, w http.ResponseWriter, r *http.Request) {
		select {
		case <-o.gate(r):
			whole(w, r)
		default:
			http.NotFound(w, r)
		}
	},
}

func echo(w http.ResponseWriter, r *http.Request) {
	b := fmt.Appendf(nil, "%s|%s|%s", r.Method, r.Header.Get("X-Mine"), r.Header.Get("User-Agent"))
	http.ServeContent(w, r, "", modified, bytes.NewReader(b))
}

func whole(w http.ResponseWriter, r *http.Request) {
	w.Header().Set("ETag", `"ok"`)
	http.ServeContent(w, r, "", modified, bytes.NewReader(content))
}

func newOrigin() *origin {
	o := &origin{gates: map[string]chan struct{}{}, seen: map[string][]string{}}
	o.server = httptest.NewServer(o)
	o.secure = httptest.NewUnstartedServer(o)
	o.secure.TLS = &tls.Config{ClientAuth: tls.RequestClientCert}
	o.secure.StartTLS()
	return o
}

func (o *origin) close() {
	o.server.Close()
	o.secure.Close()
}

func (o *origin) ServeHTTP(w http.ResponseWriter, r *http.Request) {
	parts := append(strings.Split(r.URL.Path, "/"), "", "")
	o.mu.Lock()
	o.seen[parts[1]] = append(o.seen[parts[1]], r.Method+" /"+strings.Join(parts[2:len(parts)-2], "/"))
	o.mu.Unlock()
	if page := pages[parts[2]]; page != nil {
		page(o, w, r)
		return
	}
	status, err := strconv.Atoi(parts[2])
	if err != nil {
		status = http.StatusNotFound
	}
	w.Header().Set("X-Said", "no")
	w.WriteHeader(status)
	io.WriteString(w, "no")
}

func (o *origin) gate(r *http.Request) chan struct{} {
	return o.gateOf(strings.Split(r.URL.Path, "/")[1])
}

func (o *origin) gateOf(row string) chan struct{} {
	o.mu.Lock()
	defer o.mu.Unlock()
	if o.gates[row] == nil {
		o.gates[row] = make(chan struct{})
	}
	return o.gates[row]
}

func (o *origin) wait(r *http.Request) {
	select {
	case <-o.gate(r):
	case <-r.Context().Done():
	}
}

// open opens the gate of a row.
func (o *origin) open(row string) {
	gate := o.gateOf(row)
	select {
	case <-gate:
	default:
		close(gate)
	}
}

// requests are those of a row so far.
func (o *origin) requests(row string) []string {
	o.mu.Lock()
	defer o.mu.Unlock()
	return append([]string(nil), o.seen[row]...)
}
