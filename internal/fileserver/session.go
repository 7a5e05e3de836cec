package fileserver

import (
	"bytes"
	"context"
	"encoding/asn1"
	"encoding/binary"
	"fmt"
	"net"
	"net/url"
	"sync"
	"time"

	"github.com/cloudsoda/go-smb2"
)

const (
	openTime  = 60 * time.Second // until a file is open: the connection, the login, and the rest
	closeTime = 10 * time.Second
)

// Login is what a server of shares is shown.
type Login struct {
	smb2.Initiator
	As string // for messages: the scheme, and where the login comes from
}

// session is a connection to a server. It serves one request at a time, and is kept for the next one.
//
// All that is asked over it has the context of the session, never that of a request: when a context ends in the middle of a message, the
// library lets the next one be written over it before it was sent. The server then gets a message with the number of another one, and
// answers STATUS_INVALID_PARAMETER from there on. So a request that is given up takes its session with it.
type session struct {
	*smb2.Session
	addr   string
	shares map[string]*smb2.Share
	ahead  time.Duration // how far the clock of the server is ahead of ours
	ctx    context.Context
	cancel context.CancelCauseFunc
	conn   net.Conn
}

// end closes the connection. The cause is what becomes of what is being asked.
func (s *session) end(cause error) {
	s.cancel(cause)
	s.conn.Close()
}

// until ends the session with a context, or after a time, unless it is disarmed before. Disarm reports whether it was in time.
func (s *session) until(ctx context.Context, most time.Duration) (disarm func() bool) {
	stop := context.AfterFunc(ctx, func() { s.end(context.Cause(ctx)) })
	patience := time.AfterFunc(most, func() { s.end(&silence{most}) })
	return func() bool {
		stopped := stop()
		return patience.Stop() && stopped
	}
}

// silence is the error of a server that says nothing.
type silence struct{ length time.Duration }

func (s *silence) Error() string { return "the server said nothing for " + s.length.String() }

// shares are the sessions of a run.
type shares struct {
	config Config
	mu     sync.Mutex
	closed bool
	idle   map[string][]*session // by address
}

// take takes a session that is idle, or makes one.
func (s *shares) take(ctx context.Context, u *url.URL, addr string) (to *session, kept bool, err error) {
	s.mu.Lock()
	if n := len(s.idle[addr]); n > 0 {
		to, s.idle[addr] = s.idle[addr][n-1], s.idle[addr][:n-1]
	}
	s.mu.Unlock()
	if to != nil {
		return to, true, nil
	}
	to, err = s.dial(ctx, u, addr)
	return to, false, err
}

// put gives a session back that is in order.
func (s *shares) put(to *session) {
	s.mu.Lock()
	closed := s.closed
	if !closed {
		s.idle[to.addr] = append(s.idle[to.addr], to)
	}
	s.mu.Unlock()
	if closed {
		to.end(net.ErrClosed)
	}
}

func (s *shares) close() {
	s.mu.Lock()
	idle := s.idle
	s.closed, s.idle = true, nil
	s.mu.Unlock()
	for _, of := range idle {
		for _, to := range of {
			to.end(net.ErrClosed)
		}
	}
}

// dial connects to a server and logs in.
func (s *shares) dial(ctx context.Context, u *url.URL, addr string) (*session, error) {
	conn, err := s.config.Dial(ctx, "tcp", addr)
	if err != nil {
		return nil, err
	}
	heard := &ear{Conn: conn}
	to := &session{addr: addr, shares: map[string]*smb2.Share{}, conn: conn}
	to.ctx, to.cancel = context.WithCancelCause(context.Background())
	disarm := to.until(ctx, openTime)
	choice := &choice{choose: func() (*Login, error) {
		if s.config.Login == nil {
			return nil, nil
		}
		return s.config.Login(to.ctx, u, heard.kerberos())
	}}
	to.Session, err = setUp(to.ctx, heard, u.Hostname(), choice)
	inTime := disarm()
	switch cause := context.Cause(to.ctx); {
	case choice.err != nil && cause == nil:
		err = choice.err
	case cause != nil:
		err = cause
	case !inTime:
		err = context.Cause(ctx)
	case err != nil:
		if status := heard.refusal(); status != 0 {
			err = &smb2.ResponseError{Code: status}
		}
	}
	if err != nil {
		to.end(err)
		return nil, explain(err, u, choice.as)
	}
	to.ahead = heard.ahead()
	heard.stop()
	return to, nil
}

// setUp begins a session. Neither what a server says in its first messages nor what is made of it there can end more than the session.
func setUp(ctx context.Context, conn net.Conn, host string, by smb2.Initiator) (made *smb2.Session, err error) {
	defer func() {
		if p := recover(); p != nil {
			err = &smb2.InvalidResponseError{Message: fmt.Sprintf("the login cannot be understood: %v", p)}
		}
	}()
	d := smb2.Dialer{Initiator: by}
	return d.DialConn(ctx, conn, host)
}

// choice is an initiator that is chosen when the server has said what it offers.
type choice struct {
	smb2.Initiator
	choose func() (*Login, error)
	as     string
	err    error
}

func (c *choice) OID() asn1.ObjectIdentifier {
	if c.Initiator == nil {
		c.Initiator, c.as = &smb2.NTLMInitiator{User: "guest"}, "as a guest"
		var login *Login
		if login, c.err = c.choose(); login != nil && c.err == nil {
			c.Initiator, c.as = login.Initiator, login.As
		}
	}
	return c.Initiator.OID()
}

func (c *choice) InitSecContext() ([]byte, error) {
	if c.err != nil {
		return nil, c.err
	}
	return c.Initiator.InitSecContext()
}

// ear is a connection that keeps what the server says until the session is there: the library drops what it offers, its clock, and why it
// refuses a login.
type ear struct {
	net.Conn
	mu    sync.Mutex
	heard []byte
	deaf  bool
}

// maxHeard is more than two messages of a login are.
const maxHeard = 256 << 10

func (e *ear) Read(p []byte) (int, error) {
	n, err := e.Conn.Read(p)
	e.mu.Lock()
	defer e.mu.Unlock()
	if !e.deaf && len(e.heard) < maxHeard {
		e.heard = append(e.heard, p[:n]...)
		e.heard = e.heard[:min(len(e.heard), maxHeard)]
	}
	return n, err
}

func (e *ear) stop() {
	e.mu.Lock()
	defer e.mu.Unlock()
	e.heard, e.deaf = nil, true
}

// head is how long the head of a message is (MS-SMB2, section 2.2.1.2).
const head = 64

// messages are those that have come as a whole (MS-SMB2, section 2.1: each has its length before it).
func (e *ear) messages() (all [][]byte) {
	e.mu.Lock()
	defer e.mu.Unlock()
	rest := e.heard
	for len(rest) >= 4 {
		n := int(binary.BigEndian.Uint32(rest))
		if n < head || n > len(rest)-4 {
			break
		}
		all, rest = append(all, rest[4:4+n]), rest[4+n:]
	}
	return all
}

// mechanisms are the names of Kerberos in what a server offers (RFC 4121, section 1; MS-SPNG, section 1.9).
var mechanisms = [][]byte{
	{6, 9, 0x2a, 0x86, 0x48, 0x86, 0xf7, 0x12, 1, 2, 2},
	{6, 9, 0x2a, 0x86, 0x48, 0x82, 0xf7, 0x12, 1, 2, 2},
}

// kerberos reports whether the server offers it.
func (e *ear) kerberos() bool {
	all := e.messages()
	return len(all) > 0 && (bytes.Contains(all[len(all)-1], mechanisms[0]) || bytes.Contains(all[len(all)-1], mechanisms[1]))
}

// refusal is the status of the last message, if it is one that refuses a login.
func (e *ear) refusal() uint32 {
	const sessionSetup, more = 1, 0xC0000016
	all := e.messages()
	if len(all) == 0 {
		return 0
	}
	last := all[len(all)-1]
	status := binary.LittleEndian.Uint32(last[8:])
	if binary.LittleEndian.Uint16(last[12:]) != sessionSetup || status == more {
		return 0
	}
	return status
}

// ahead is how far the clock of the server is ahead of ours (MS-SMB2, section 2.2.4: SystemTime).
func (e *ear) ahead() time.Duration {
	const at, unix = head + 40, 116444736000000000 // in steps of 100 ns since 1601
	for _, m := range e.messages() {
		if negotiate := binary.LittleEndian.Uint16(m[12:]) == 0; negotiate && len(m) >= at+8 {
			if t := int64(binary.LittleEndian.Uint64(m[at:])); t > unix {
				return time.Until(time.Unix(0, (t-unix)*100))
			}
		}
	}
	return 0
}
