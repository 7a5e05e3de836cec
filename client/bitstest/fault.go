package bitstest

import (
	"net/http"
	"time"
)

// Fault is something that goes wrong with one request.
type Fault struct {
	serve  func(http.ResponseWriter, *http.Request, http.HandlerFunc)
	always bool
}

// Always is the fault as one that never ends: every request meets it, until [Origin.Fault] is called for the path again.
func (f Fault) Always() Fault {
	f.always = true
	return f
}

// Fault makes the next requests for a path go wrong: each meets one of the faults, in this order, and what follows is sound again.
// It replaces the faults that were left; none mends the path.
func (o *Origin) Fault(path string, faults ...Fault) {
	o.mu.Lock()
	defer o.mu.Unlock()
	o.faults[path] = faults
}

// Status is an answer of that status, without the file.
// 408, 409 and 5xx, but 501 and 505, are transient to the service; other failures are fatal.
func Status(code int) Fault {
	return Fault{serve: func(w http.ResponseWriter, _ *http.Request, _ http.HandlerFunc) { w.WriteHeader(code) }}
}

// Cut breaks the connection after n bytes of the body of the answer; negative: before the header.
func Cut(n int) Fault {
	return after(n, func(*http.Request) {})
}

// Stall falls silent after n bytes of the body of the answer, and leaves the connection open; negative: before the header.
// The service gives up a connection that is silent for a minute, or give_up_after. [Origin.Drop] ends the silence.
func Stall(n int) Fault {
	return after(n, func(r *http.Request) { <-r.Context().Done() })
}

// after calls end after n bytes of the body, and then breaks the connection.
func after(n int, end func(*http.Request)) Fault {
	return Fault{serve: func(w http.ResponseWriter, r *http.Request, page http.HandlerFunc) {
		breakOff := func() {
			end(r)
			panic(http.ErrAbortHandler)
		}
		if n < 0 {
			breakOff()
		}
		left := n
		page(&spoiled{ResponseWriter: w, write: func(p []byte) (int, error) {
			if len(p) <= left {
				left -= len(p)
				return w.Write(p)
			}
			w.Write(p[:left])
			http.NewResponseController(w).Flush()
			breakOff()
			return 0, nil
		}}, r)
	}}
}

// Slow sends the body at so many bytes a second.
func Slow(rate int) Fault {
	const pause = 20 * time.Millisecond
	step := max(rate/int(time.Second/pause), 1)
	return Fault{serve: func(w http.ResponseWriter, r *http.Request, page http.HandlerFunc) {
		page(&spoiled{ResponseWriter: w, write: func(p []byte) (sent int, err error) {
			for sent < len(p) && err == nil {
				var n int
				n, err = w.Write(p[sent:min(sent+step, len(p))])
				sent += n
				http.NewResponseController(w).Flush()
				select {
				case <-time.After(time.Duration(n) * time.Second / time.Duration(max(rate, 1))):
				case <-r.Context().Done():
					return sent, r.Context().Err()
				}
			}
			return sent, err
		}}, r)
	}}
}

// NoRanges sends the whole file, whatever part was asked for, as servers without ranges do.
func NoRanges() Fault {
	return Fault{serve: func(w http.ResponseWriter, r *http.Request, page http.HandlerFunc) {
		r = r.Clone(r.Context())
		r.Header.Del("Range")
		page(&spoiled{ResponseWriter: w, head: func(h http.Header) { h.Del("Accept-Ranges") }}, r)
	}}
}

// NoValidator sends neither ETag nor Last-Modified: nothing proves that the next answer is of the same file.
func NoValidator() Fault {
	return Fault{serve: func(w http.ResponseWriter, r *http.Request, page http.HandlerFunc) {
		page(&spoiled{ResponseWriter: w, head: func(h http.Header) { h.Del("ETag"); h.Del("Last-Modified") }}, r)
	}}
}

// spoiled is an answer on its way through a fault.
type spoiled struct {
	http.ResponseWriter
	head  func(http.Header)         // changes the header; nil: as it is
	write func([]byte) (int, error) // writes the body; nil: as it is
	begun bool
}

func (s *spoiled) WriteHeader(status int) {
	if !s.begun && s.head != nil {
		s.head(s.Header())
	}
	s.begun = true
	s.ResponseWriter.WriteHeader(status)
}

func (s *spoiled) Write(p []byte) (int, error) {
	if !s.begun {
		s.WriteHeader(http.StatusOK)
	}
	if s.write == nil {
		return s.ResponseWriter.Write(p)
	}
	return s.write(p)
}

// Flush implements [http.Flusher].
func (s *spoiled) Flush() { http.NewResponseController(s.ResponseWriter).Flush() }
