package fileserver

import (
	"cmp"
	"context"
	"errors"
	"fmt"
	"io"
	"io/fs"
	"net"
	"net/url"
	"strings"
	"sync"

	"github.com/cloudsoda/go-smb2"

	"bits"
	"bits/hresult"
)

// shares are the connections of a run to shares: one for each server.
type shares struct {
	config Config
	mu     sync.Mutex
	closed bool
	open   map[string]*session
}

// session is a connection to a server.
type session struct {
	*smb2.Session
	conn net.Conn
}

// remote is a file of a share.
type remote struct {
	*smb2.File
	share *smb2.Share
	lost  func()
	url   *url.URL
}

// file opens a file of a share: smb://server[:port]/share/path.
func (s *shares) file(ctx context.Context, u *url.URL) (file, error) {
	share, path, _ := strings.Cut(strings.TrimPrefix(u.Path, "/"), "/")
	addr := net.JoinHostPort(u.Hostname(), cmp.Or(u.Port(), "445"))
	for again := true; ; again = false {
		session, kept, err := s.session(ctx, addr, u)
		if err != nil {
			return nil, err
		}
		f, err := open(ctx, session, share, path)
		if err == nil {
			f.url, f.lost = u, func() { s.drop(addr, session) }
			return f, nil
		}
		var answered *smb2.ResponseError
		if errors.As(err, &answered) || errors.Is(err, fs.ErrNotExist) || errors.Is(err, fs.ErrPermission) {
			return nil, explain(err, u)
		}
		if s.drop(addr, session); !kept || !again || ctx.Err() != nil { // one that was kept may be dead since
			return nil, explain(err, u)
		}
	}
}

func open(ctx context.Context, to *session, share, path string) (*remote, error) {
	mounted, err := to.WithContext(ctx).Mount(share)
	if err != nil {
		return nil, fmt.Errorf("the share %s: %w", share, err)
	}
	mounted = mounted.WithContext(ctx)
	f, err := mounted.Open(strings.ReplaceAll(path, "/", `\`))
	if err != nil {
		return nil, err
	}
	info, err := f.Stat()
	if err == nil && info.IsDir() {
		err = &smb2.ResponseError{Code: 0xC00000BA}
	}
	if err != nil {
		f.Close()
		return nil, err
	}
	return &remote{File: f, share: mounted}, nil
}

// session is the connection to a server, and whether it was there.
func (s *shares) session(ctx context.Context, addr string, u *url.URL) (*session, bool, error) {
	s.mu.Lock()
	there := s.open[addr]
	s.mu.Unlock()
	if there != nil {
		return there, true, nil
	}
	conn, err := s.config.Dial(ctx, "tcp", addr)
	if err != nil {
		return nil, false, err
	}
	user, password := "guest", ""
	if s.config.Login != nil {
		if name, secret := s.config.Login(u.Hostname()); name != "" {
			user, password = name, secret
		}
	}
	domain, name, ok := strings.Cut(user, `\`)
	if !ok {
		domain, name = "", user
	}
	d := smb2.Dialer{Initiator: &smb2.NTLMInitiator{User: name, Password: password, Domain: domain}}
	stop := context.AfterFunc(ctx, func() { conn.Close() })
	made, err := d.DialConn(ctx, conn, addr)
	if !stop() || err != nil {
		conn.Close()
		if err == nil {
			err = context.Cause(ctx)
		}
		return nil, false, explain(err, u)
	}
	s.mu.Lock()
	defer s.mu.Unlock()
	if s.closed {
		conn.Close()
		return nil, false, net.ErrClosed
	}
	fresh := &session{made, conn}
	s.open[addr] = fresh
	return fresh, false, nil
}

// drop forgets a connection.
func (s *shares) drop(addr string, gone *session) {
	s.mu.Lock()
	defer s.mu.Unlock()
	if s.open[addr] == gone {
		delete(s.open, addr)
	}
	gone.conn.Close()
}

func (s *shares) close() {
	s.mu.Lock()
	defer s.mu.Unlock()
	s.closed = true
	for _, there := range s.open {
		there.conn.Close()
	}
}

func (r *remote) Close() error {
	err := r.File.Close()
	r.share.Umount()
	return err
}

func (r *remote) ReadAt(p []byte, at int64) (int, error) {
	n, err := r.File.ReadAt(p, at)
	return n, r.known(err)
}

func (r *remote) identify() (identity, error) {
	info, err := r.Stat()
	if err != nil {
		return identity{}, r.known(err)
	}
	s, ok := info.(*smb2.FileStat)
	if !ok {
		return identity{}, errors.New("the server does not describe the file")
	}
	return identity{
		size: s.EndOfFile, modified: s.LastWriteTime, changed: s.ChangeTime,
		is: fmt.Sprint(s.FileId, s.EndOfFile, s.CreationTime.UnixNano(), s.LastWriteTime.UnixNano(), s.ChangeTime.UnixNano()),
	}, nil
}

// known explains an error in mid-file, after which the connection is of no use.
func (r *remote) known(err error) error {
	if err == nil || errors.Is(err, io.EOF) {
		return err
	}
	r.lost()
	return explain(err, r.url)
}

// codes are those of what servers of shares say (MS-ERREF, section 2.3.1).
var codes = map[uint32]struct {
	code hresult.Code
	why  string
}{
	0xC000000F: {hresult.ERROR_FILE_NOT_FOUND, "it is not there"},
	0xC0000022: {hresult.E_ACCESSDENIED, "the server does not let this user read it"},
	0xC0000033: {hresult.ERROR_INVALID_NAME, "there can be no file of that name"},
	0xC0000043: {hresult.ERROR_SHARING_VIOLATION, "another program uses it"},
	0xC0000056: {hresult.ERROR_FILE_NOT_FOUND, "it is being removed"},
	0xC0000064: {hresult.ERROR_LOGON_FAILURE, "the server does not know this user"},
	0xC000006A: {hresult.ERROR_LOGON_FAILURE, "the user name or the password is wrong"},
	0xC000006D: {hresult.ERROR_LOGON_FAILURE, "the user name or the password is wrong"},
	0xC000006E: {hresult.ERROR_LOGON_FAILURE, "the account is restricted"},
	0xC0000071: {hresult.ERROR_LOGON_FAILURE, "the password has expired"},
	0xC0000072: {hresult.ERROR_LOGON_FAILURE, "the account is disabled"},
	0xC00000BA: {hresult.E_ACCESSDENIED, "it is a folder"},
	0xC00000BE: {hresult.ERROR_BAD_NETPATH, "the server was not found"},
	0xC00000C9: {hresult.ERROR_NETNAME_DELETED, "the connection to the share is gone"},
	0xC00000CC: {hresult.ERROR_BAD_NET_NAME, "the server has no share of that name"},
	0xC0000203: {hresult.ERROR_NETNAME_DELETED, "the session is gone"},
	0xC0000234: {hresult.ERROR_LOGON_FAILURE, "the account is locked"},
	0xC000035C: {hresult.ERROR_NETNAME_DELETED, "the session has expired"},
}

// explain makes an error of a share one of ours.
func explain(err error, u *url.URL) error {
	fault := func(code hresult.Code, why string) error {
		return &bits.Error{Code: code, Context: bits.ContextRemoteFile, Message: fmt.Sprintf("cannot fetch %s: %s", u, why), Err: err}
	}
	var answered *smb2.ResponseError
	var broken *smb2.InvalidResponseError
	var ours *bits.Error
	switch {
	case errors.As(err, &ours) || errors.Is(err, context.Canceled):
		return err
	case errors.As(err, &answered):
		if known, ok := codes[answered.Code]; ok {
			return fault(known.code, known.why)
		}
		return fault(hresult.ERROR_NETNAME_DELETED, answered.Error())
	case errors.Is(err, fs.ErrNotExist):
		return fault(hresult.ERROR_FILE_NOT_FOUND, "it is not there")
	case errors.Is(err, fs.ErrPermission):
		return fault(hresult.E_ACCESSDENIED, "the server does not let this user read it")
	case errors.As(err, &broken):
		return fault(hresult.ERROR_NETNAME_DELETED, broken.Message)
	case errors.Is(err, context.DeadlineExceeded):
		return err
	}
	return fault(hresult.ERROR_NETNAME_DELETED, "the connection to the server broke off")
}
