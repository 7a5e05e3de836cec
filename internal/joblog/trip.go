package joblog

import (
	"cmp"
	"crypto/tls"
	"net"
	"net/http"
	"net/http/httptrace"
	"net/textproto"
	"strconv"
	"strings"
	"sync"
)

// Log is where lines go. It masks them.
type Log interface {
	Log(kind string, file int, format string, args ...any)
}

// Trips is an http.RoundTripper that logs what goes over another one: names, connections, requests as they are written, answers.
type Trips struct {
	http.RoundTripper
	Log  Log
	File func() int // the file that is being fetched, -1 if none
}

// RoundTrip sends a request.
func (t Trips) RoundTrip(r *http.Request) (*http.Response, error) {
	file := t.File()
	if before := r.Response; before != nil {
		t.Log.Log(Redirect, file, "%s %s: goes on to %s", before.Proto, before.Status, r.URL)
	}
	answer, err := t.RoundTripper.RoundTrip(r.WithContext(httptrace.WithClientTrace(r.Context(), t.trace(r, file))))
	if err == nil {
		t.Log.Log(Response, file, "%s", Answer(answer.Proto, answer.Status, answer.Header))
	}
	return answer, err
}

// trace hears what happens on the way; some of it in other goroutines.
func (t Trips) trace(r *http.Request, file int) *httptrace.ClientTrace {
	var mu sync.Mutex
	var name, proto string
	head := head{method: r.Method, target: r.URL.RequestURI()}
	return &httptrace.ClientTrace{
		DNSStart: func(i httptrace.DNSStartInfo) {
			mu.Lock()
			defer mu.Unlock()
			name = i.Host
		},
		DNSDone: func(i httptrace.DNSDoneInfo) {
			mu.Lock()
			defer mu.Unlock()
			if i.Err != nil {
				t.Log.Log(Connect, file, "cannot resolve %s: %v", name, i.Err)
				return
			}
			var addresses []string
			for _, a := range i.Addrs {
				addresses = append(addresses, a.String())
			}
			t.Log.Log(Connect, file, "%s is %s", name, strings.Join(addresses, ", "))
		},
		ConnectDone: func(_, addr string, err error) {
			if err != nil {
				t.Log.Log(Connect, file, "cannot connect to %s: %v", addr, err)
			} else {
				t.Log.Log(Connect, file, "connected to %s", addr)
			}
		},
		GotConn: func(i httptrace.GotConnInfo) {
			mu.Lock()
			defer mu.Unlock()
			proto = protocol(i.Conn)
		},
		WroteHeaderField: func(key string, values []string) {
			mu.Lock()
			defer mu.Unlock()
			head.add(key, values)
		},
		WroteHeaders: func() {
			mu.Lock()
			defer mu.Unlock()
			t.Log.Log(Request, file, "%s", head.text(proto))
			head.lines = nil // the same request may be written again
		},
		Got1xxResponse: func(code int, header textproto.MIMEHeader) error {
			mu.Lock()
			defer mu.Unlock()
			t.Log.Log(Response, file, "%s", Answer(proto, strconv.Itoa(code)+" "+http.StatusText(code), http.Header(header)))
			return nil
		},
	}
}

// protocol is what is spoken over a connection.
func protocol(c net.Conn) string {
	if secure, ok := c.(*tls.Conn); ok && secure.ConnectionState().NegotiatedProtocol == "h2" {
		return "HTTP/2.0"
	}
	return "HTTP/1.1"
}

// head is the head of a request as it is written.
type head struct {
	method, target, host string
	lines                []string
}

func (h *head) add(key string, values []string) {
	for _, v := range values {
		switch strings.ToLower(key) {
		case ":authority", "host":
			h.host = v
		case ":method", ":path", ":scheme":
		default:
			h.lines = append(h.lines, Header(http.CanonicalHeaderKey(key), v))
		}
	}
}

func (h *head) text(proto string) string {
	first := h.method + " " + URL(h.target) + " " + cmp.Or(proto, "HTTP/1.1")
	return strings.Join(append([]string{first, Header("Host", h.host)}, h.lines...), "\n")
}
