package transfer_test

import (
	"bufio"
	"bytes"
	"context"
	"crypto/tls"
	"fmt"
	"io"
	"net"
	"net/http"
	"net/http/httputil"
	"regexp"
	"slices"
	"strconv"
	"strings"
	"sync"
	"testing"
	"time"

	"golang.org/x/net/http2"
	"golang.org/x/net/http2/hpack"

	"bits/internal/pki"
)

// matter are the headers that a request is compared by.
var matter = []string{"Range", "If-Range", "If-Match", "If-Unmodified-Since", "X-Custom", "Authorization", "Cookie", "Referer"}

const host = "origin.example"

var leaf = sync.OnceValue(func() *pki.Pair { return pki.Root("root").Server([]string{host}) })

// server says what it is told to, and writes down what it hears.
type server struct {
	t       testing.TB
	variant string // http, https or h2

	mu          sync.Mutex
	say         []string
	heard       []string
	connections int
}

func (s *server) scheme() string {
	if s.variant == "http" {
		return "http"
	}
	return "https"
}

// dial connects to the server under whatever name: with TLS at the ports 443 and 8443.
func (s *server) dial(_ context.Context, _, addr string) (net.Conn, error) {
	client, far := connection()
	s.mu.Lock()
	s.connections++
	s.mu.Unlock()
	if !strings.HasSuffix(addr, "443") {
		go s.talk(&line{far, far, "http"})
		return client, nil
	}
	c := tls.Server(far, &tls.Config{Certificates: []tls.Certificate{leaf().TLS()}, NextProtos: map[bool][]string{true: {"h2", "http/1.1"}, false: {"http/1.1"}}[s.variant == "h2"]})
	go func() {
		switch err := c.Handshake(); {
		case err != nil:
			far.Close()
		case c.ConnectionState().NegotiatedProtocol == "h2":
			s.talkFrames(&line{c, far, "https"})
		default:
			s.talk(&line{c, far, "https"})
		}
	}()
	return client, nil
}

// verify is phase one, for a server whose certificate is known.
func (s *server) verify(_ context.Context, _ string, cs tls.ConnectionState) error {
	if !cs.PeerCertificates[0].Equal(leaf().Cert) {
		return fmt.Errorf("that is not the server: %v", cs.PeerCertificates[0].Subject)
	}
	return nil
}

// line is a connection: what is said on it, and what carries it.
type line struct {
	net.Conn
	under  *end
	scheme string
}

// next writes down a request, and returns what is said to it.
func (s *server) next(scheme, method, authority, path string, header http.Header) []step {
	target := path
	if scheme != s.scheme() {
		target = scheme + "://" + authority + path
	} else if authority != host {
		target = "//" + authority + path
	}
	text := method + " " + target
	for _, name := range matter {
		if v := header.Get(name); v != "" {
			text += "\n" + name + ": " + v
		}
	}
	if v := header.Values("Accept-Encoding"); len(v) != 1 || v[0] != "identity" {
		s.t.Errorf("%s: Accept-Encoding is %q", text, v)
	}
	s.mu.Lock()
	defer s.mu.Unlock()
	s.heard = append(s.heard, text)
	answer := "HTTP/1.1 599 Too many requests for this script\nContent-Length: 0\n\n"
	if len(s.say) > 0 {
		answer, s.say = s.say[0], s.say[1:]
	}
	return steps(strings.NewReplacer("ORIGIN", s.scheme()+"://"+host, "SCHEME", s.scheme()).Replace(answer))
}

// step is one step of what a server does: it says a text, or does what stands behind an @.
type step struct {
	do   string // empty: text
	text string
}

// many is a text that stands there many times: <1000*x>.
var many = regexp.MustCompile(`<(\d+)\*([^>]*)>`)

// steps reads an answer: lines that begin with @ are steps; the line end before them belongs to them.
func steps(answer string) (all []step) {
	var text []string
	flush := func() {
		if len(text) > 0 {
			all = append(all, step{text: many.ReplaceAllStringFunc(strings.Join(text, "\n"), repeat)})
		}
		text = nil
	}
	for l := range strings.SplitSeq(answer, "\n") {
		if do, ok := strings.CutPrefix(l, "@"); ok {
			flush()
			do, arg, _ := strings.Cut(do, " ")
			all = append(all, step{do, arg})
		} else {
			text = append(text, l)
		}
	}
	flush()
	return all
}

func repeat(s string) string {
	m := many.FindStringSubmatch(s)
	n, _ := strconv.Atoi(m[1])
	text, err := strconv.Unquote(`"` + m[2] + `"`)
	if err != nil {
		panic(s + ": " + err.Error())
	}
	return strings.Repeat(text, n)
}

// answer is an answer in mid-sentence: what of it was said.
type answer struct {
	method  string
	status  int
	headers [][2]string
	headed  bool // the head was said
	length  int  // Content-Length; -1: none
	chunked bool
	crlf    bool // lines of the body end as those of HTTP do
	sent    int  // bytes of the body
}

// head takes the heads off a text; the last one stays in the answer. Each is given to say, whether it is whole or not.
func (a *answer) head(text string, say func(head string, whole bool)) (body string) {
	for !a.headed && text != "" {
		head, rest, whole := strings.Cut(text, "\n\n")
		text = rest
		lines := strings.Split(head, "\n")
		a.status, a.headers, a.length, a.chunked, a.crlf = 0, nil, -1, false, false
		if _, code, ok := strings.Cut(lines[0], " "); ok {
			fmt.Sscan(code, &a.status)
		}
		for i, l := range lines[1:] {
			name, value, ok := strings.Cut(l, ":")
			value = strings.TrimSpace(value)
			switch lower := strings.ToLower(name); {
			case !ok:
				continue
			case lower == "content-length" && value == "?":
				value = strconv.Itoa(len(a.lines(rest)))
				lines[i+1] = name + ": " + value
				fallthrough
			case lower == "content-length":
				fmt.Sscan(value, &a.length)
			case lower == "transfer-encoding":
				a.chunked = strings.Contains(strings.ToLower(value), "chunked")
				a.crlf = a.crlf || a.chunked
			case lower == "content-type":
				a.crlf = a.crlf || strings.HasPrefix(value, "multipart/byteranges")
			}
			a.headers = append(a.headers, [2]string{name, value})
		}
		say(strings.Join(lines, "\n"), whole)
		if a.headed = a.status/100 != 1; !whole {
			return ""
		}
	}
	return text
}

func (a *answer) lines(body string) string {
	if a.crlf {
		return strings.ReplaceAll(body, "\n", "\r\n")
	}
	return body
}

// bare reports whether the answer has no body whatever its headers say.
func (a *answer) bare() bool {
	return a.method == http.MethodHead || a.status == http.StatusNoContent || a.status == http.StatusNotModified
}

// talk speaks HTTP/1.1.
func (s *server) talk(c *line) {
	defer c.Close()
	r := bufio.NewReader(c)
	for {
		request, err := http.ReadRequest(r)
		if err != nil {
			return
		}
		a := &answer{method: request.Method, length: -1}
		open, told := false, false
		for _, do := range s.next(c.scheme, request.Method, request.Host, request.URL.RequestURI(), request.Header) {
			switch do.do {
			case "":
				text := do.text
				if text == "" && !a.headed {
					return
				}
				text = a.head(text, func(head string, whole bool) {
					if head = strings.ReplaceAll(head, "\n", "\r\n"); whole {
						head += "\r\n\r\n"
					}
					io.WriteString(c, head)
				})
				text = a.lines(text)
				a.sent += len(text)
				io.WriteString(c, text)
			case "raw":
				io.WriteString(c, repeat("<1*"+do.text+">"))
				told = true
			case "end": // the length has said so
			case "open":
				open, told = true, true
			case "wait":
				select {
				case <-time.After(duration(s.t, do.text)):
				case <-c.under.gone:
					return
				}
			case "silence":
				io.Copy(io.Discard, r)
				return
			case "close":
				return
			case "reset":
				c.under.Reset()
				return
			default:
				s.t.Errorf("HTTP/1.1 has no step %q", do.do)
			}
		}
		if !told {
			open = a.bare() || a.length >= 0 && a.sent == a.length || a.chunked && !slices.Contains(a.headers, [2]string{"Connection", "close"})
		}
		if !open {
			return
		}
	}
}

func duration(t testing.TB, text string) time.Duration {
	d, err := time.ParseDuration(text)
	if err != nil {
		t.Error(err)
	}
	return d
}

// frames is a connection of HTTP/2.
type frames struct {
	*http2.Framer
	line *line
	mu   sync.Mutex // for writing
	text bytes.Buffer
	pack *hpack.Encoder
}

func (f *frames) write(do func() error) {
	f.mu.Lock()
	defer f.mu.Unlock()
	do() // an error of a client that went away shows in what it has not got
}

// header writes a header block; fields are written as they are.
func (f *frames) header(stream uint32, end bool, fields ...[2]string) {
	f.write(func() error {
		f.text.Reset()
		for _, h := range fields {
			f.pack.WriteField(hpack.HeaderField{Name: h[0], Value: h[1]})
		}
		block := f.text.Bytes()
		first := block[:min(len(block), 16<<10)]
		err := f.WriteHeaders(http2.HeadersFrameParam{StreamID: stream, BlockFragment: first, EndStream: end, EndHeaders: len(first) == len(block)})
		for block = block[len(first):]; len(block) > 0 && err == nil; {
			n := min(len(block), 16<<10)
			err = f.WriteContinuation(stream, n == len(block), block[:n])
			block = block[n:]
		}
		return err
	})
}

func (f *frames) data(stream uint32, end bool, text string) {
	for first := true; first || text != ""; first = false {
		n := min(len(text), 16<<10)
		f.write(func() error { return f.WriteData(stream, end && n == len(text), []byte(text[:n])) })
		text = text[n:]
	}
}

// talkFrames speaks HTTP/2.
func (s *server) talkFrames(c *line) {
	f := &frames{Framer: http2.NewFramer(c, c), line: c}
	f.pack = hpack.NewEncoder(&f.text)
	f.AllowIllegalWrites = true
	f.ReadMetaHeaders = hpack.NewDecoder(4096, nil)
	gone := map[uint32]chan bool{} // streams that the client has not given up
	defer func() {
		c.Close()
		for _, end := range gone {
			close(end)
		}
	}()
	if _, err := io.ReadFull(c, make([]byte, len(http2.ClientPreface))); err != nil {
		return
	}
	f.write(func() error { return f.WriteSettings() })
	for {
		frame, err := f.ReadFrame()
		if err != nil {
			return
		}
		switch frame := frame.(type) {
		case *http2.SettingsFrame:
			if !frame.IsAck() {
				f.write(f.WriteSettingsAck)
			}
		case *http2.PingFrame:
			if !frame.IsAck() {
				f.write(func() error { return f.WritePing(true, frame.Data) })
			}
		case *http2.RSTStreamFrame:
			if end := gone[frame.StreamID]; end != nil {
				close(end)
				delete(gone, frame.StreamID)
			}
		case *http2.MetaHeadersFrame:
			header := http.Header{}
			for _, h := range frame.RegularFields() {
				header.Add(h.Name, h.Value)
			}
			end := make(chan bool)
			gone[frame.StreamID] = end
			a := &answer{method: frame.PseudoValue("method"), length: -1}
			do := s.next("https", a.method, frame.PseudoValue("authority"), frame.PseudoValue("path"), header)
			go s.answer(f, frame.StreamID, a, do, end)
		}
	}
}

// hops are headers that HTTP/2 does not have.
var hops = []string{"connection", "keep-alive", "transfer-encoding", "proxy-connection"}

// answer says an answer on a stream.
func (s *server) answer(f *frames, stream uint32, a *answer, all []step, gone chan bool) {
	ended := false
	for i, do := range all {
		last := i == len(all)-1
		switch do.do {
		case "":
			if do.text == "" && !a.headed {
				f.line.Close()
				return
			}
			text := do.text
			if !a.headed {
				var heads [][][2]string
				text = a.head(text, func(string, bool) {
					fields := [][2]string{{":status", strconv.Itoa(a.status)}}
					for _, h := range a.headers {
						if name := strings.ToLower(h[0]); !slices.Contains(hops, name) {
							fields = append(fields, [2]string{name, h[1]})
						}
					}
					heads = append(heads, fields)
				})
				ended = last && (a.bare() || text == "" && max(a.length, 0) == 0 && !a.chunked)
				for i, fields := range heads {
					f.header(stream, ended && i == len(heads)-1, fields...)
				}
				if ended {
					return
				}
			}
			text = a.lines(text)
			cut := false
			if a.chunked {
				body, err := io.ReadAll(httputil.NewChunkedReader(strings.NewReader(text)))
				text, cut = string(body), err != nil
			}
			a.sent += len(text)
			ended = last && !cut && a.sent >= a.length
			if text != "" || ended {
				f.data(stream, ended, text)
			}
		case "wait":
			select {
			case <-time.After(duration(s.t, do.text)):
			case <-gone:
				return
			}
		case "silence":
			return
		case "close":
			f.line.Close()
			return
		case "reset":
			f.line.under.Reset()
			return
		case "end":
			f.data(stream, true, "")
			ended = true
		case "data":
			f.data(stream, false, do.text)
		case "headers":
			f.header(stream, false, fields(do.text)...)
			a.headed = true
		case "trailers":
			f.header(stream, true, fields(do.text)...)
			ended = true
		case "rst":
			f.write(func() error { return f.WriteRSTStream(stream, code(s.t, do.text)) })
			ended = true
		case "goaway":
			name, id, told := strings.Cut(do.text, " ")
			n := stream
			if told {
				v, _ := strconv.Atoi(id)
				n = uint32(v)
			}
			f.write(func() error { return f.WriteGoAway(n, code(s.t, name), []byte("that is all")) })
		case "ping":
			f.write(func() error { return f.WritePing(false, [8]byte{1}) })
		case "settings":
			f.write(func() error { return f.WriteSettings(settings(s.t, do.text)...) })
		case "frame":
			var kind, flags uint8
			var id uint32
			var text string
			if _, err := fmt.Sscanf(do.text, "%d %d %d %q", &kind, &flags, &id, &text); err != nil {
				s.t.Error(do.text, err)
			}
			f.write(func() error { return f.WriteRawFrame(http2.FrameType(kind), http2.Flags(flags), id, []byte(text)) })
		default:
			s.t.Errorf("HTTP/2 has no step %q", do.do)
		}
	}
	if !ended {
		f.line.Close() // as HTTP/1.1 does whose answer is cut
	}
}

// fields reads header fields: name: value | name: value. Nothing about them is set right.
func fields(text string) (all [][2]string) {
	for part := range strings.SplitSeq(text, " | ") {
		at := strings.LastIndex(part, ": ")
		all = append(all, [2]string{part[:at], part[at+2:]})
	}
	return all
}

func code(t testing.TB, name string) http2.ErrCode {
	for c := range http2.ErrCode(256) {
		if c.String() == name {
			return c
		}
	}
	if n, err := strconv.ParseUint(name, 0, 32); err == nil {
		return http2.ErrCode(n)
	}
	t.Errorf("there is no code %q", name)
	return 0
}

func settings(t testing.TB, text string) (all []http2.Setting) {
	for part := range strings.FieldsSeq(text) {
		var s http2.Setting
		if _, err := fmt.Sscanf(part, "%d=%d", &s.ID, &s.Val); err != nil {
			t.Error(part, err)
		}
		all = append(all, s)
	}
	return all
}
