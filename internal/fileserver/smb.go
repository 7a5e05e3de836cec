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
	"time"

	"github.com/cloudsoda/go-smb2"

	"bits"
	"bits/hresult"
)

// remote is a file of a share.
//
// Samba tells who has a file open the modification time from when it was opened, whatever other programs of its machine write meanwhile.
// So after a reading the file is closed and opened anew before it is looked at.
type remote struct {
	file    *smb2.File
	read    bool // since it was opened
	of      *shares
	session *session
	disarm  func() bool
	url     *url.URL
}

// file opens a file of a share: smb://server[:port]/share/path. When the context ends, so does the session.
func (s *shares) file(ctx context.Context, u *url.URL) (file, error) {
	addr := net.JoinHostPort(u.Hostname(), cmp.Or(u.Port(), "445"))
	for {
		to, kept, err := s.take(ctx, u, addr)
		if err != nil {
			return nil, err
		}
		disarm := to.until(ctx, openTime)
		f, err := to.open(u)
		inTime := disarm()
		if cause := context.Cause(to.ctx); cause != nil {
			err = cause
		} else if !inTime {
			err = cmp.Or(context.Cause(ctx), error(net.ErrClosed))
		}
		if err == nil {
			r := &remote{file: f, of: s, session: to, url: u}
			r.disarm = context.AfterFunc(ctx, func() { to.end(context.Cause(ctx)) })
			return r, nil
		}
		if ofFile(err) {
			s.put(to)
			return nil, explain(err, u, "")
		}
		if to.end(err); !kept || ctx.Err() != nil { // one that was kept may be dead since
			return nil, explain(err, u, "")
		}
	}
}

// open opens a file.
func (to *session) open(u *url.URL) (*smb2.File, error) {
	share, path, _ := strings.Cut(strings.TrimPrefix(u.Path, "/"), "/")
	mounted := to.shares[share]
	if mounted == nil {
		fresh, err := to.WithContext(to.ctx).Mount(share)
		if err != nil {
			return nil, fmt.Errorf("the share %s: %w", share, err)
		}
		mounted = fresh.WithContext(to.ctx)
		to.shares[share] = mounted
	}
	return mounted.Open(strings.ReplaceAll(path, "/", `\`))
}

// Close closes the file, and gives the session back.
func (r *remote) Close() error {
	patience := time.AfterFunc(closeTime, func() { r.session.end(&silence{closeTime}) })
	err := r.file.Close()
	if inTime := patience.Stop(); !r.disarm() || !inTime || err != nil {
		r.session.end(cmp.Or(err, error(net.ErrClosed)))
		return err
	}
	r.of.put(r.session)
	return nil
}

func (r *remote) ReadAt(p []byte, at int64) (int, error) {
	r.read = true
	n, err := r.file.ReadAt(p, at)
	return n, r.known(err)
}

func (r *remote) identify() (identity, error) {
	if r.read {
		if err := r.file.Close(); err != nil {
			return identity{}, r.known(err)
		}
		f, err := r.session.open(r.url)
		if err != nil {
			return identity{}, r.known(err)
		}
		r.file, r.read = f, false
	}
	info, err := r.file.Stat()
	if err != nil {
		return identity{}, r.known(err)
	}
	if info.IsDir() {
		return identity{}, explain(&smb2.ResponseError{Code: statusFolder}, r.url, "")
	}
	s, ok := info.(*smb2.FileStat)
	if !ok {
		return identity{}, errors.New("the server does not describe the file")
	}
	return identity{
		size: s.EndOfFile, modified: s.LastWriteTime, changed: s.ChangeTime, ahead: r.session.ahead,
		// The time of creation tells nothing: Samba makes one up from the others, and it moves when a file is read for the first time.
		is: fmt.Sprint(s.FileId, s.EndOfFile, s.LastWriteTime.UnixNano(), s.ChangeTime.UnixNano()),
	}, nil
}

// known explains an error in mid-file, after which the session is of no use.
func (r *remote) known(err error) error {
	if err == nil || errors.Is(err, io.EOF) {
		return err
	}
	if cause := context.Cause(r.session.ctx); cause != nil {
		err = cause
	}
	r.session.end(err)
	return explain(err, r.url, "")
}

const statusFolder = 0xC00000BA // STATUS_FILE_IS_A_DIRECTORY

// codes are those of what servers of shares say (MS-ERREF, section 2.3.1).
var codes = map[uint32]struct {
	code hresult.Code
	why  string
}{
	0xC000000F:   {hresult.ERROR_FILE_NOT_FOUND, "it is not there"},
	0xC0000022:   {hresult.E_ACCESSDENIED, "the server does not let this user read it"},
	0xC0000033:   {hresult.ERROR_INVALID_NAME, "there can be no file of that name"},
	0xC0000043:   {hresult.ERROR_SHARING_VIOLATION, "another program uses it"},
	0xC0000056:   {hresult.ERROR_FILE_NOT_FOUND, "it is being removed"},
	0xC0000064:   {hresult.ERROR_LOGON_FAILURE, "the server does not know this user"},
	0xC000006A:   {hresult.ERROR_LOGON_FAILURE, "the user name or the password is wrong"},
	0xC000006D:   {hresult.ERROR_LOGON_FAILURE, "the user name or the password is wrong"},
	0xC000006E:   {hresult.ERROR_LOGON_FAILURE, "the account is restricted"},
	0xC0000071:   {hresult.ERROR_LOGON_FAILURE, "the password has expired"},
	0xC0000072:   {hresult.ERROR_LOGON_FAILURE, "the account is disabled"},
	0xC00000B5:   {hresult.ERROR_WINHTTP_TIMEOUT, "the server has waited for its disk for too long"},
	statusFolder: {hresult.E_ACCESSDENIED, "it is a folder"},
	0xC00000BE:   {hresult.ERROR_BAD_NETPATH, "the server was not found"},
	0xC00000C9:   {hresult.ERROR_NETNAME_DELETED, "the connection to the share is gone"},
	0xC00000CC:   {hresult.ERROR_BAD_NET_NAME, "the server has no share of that name"},
	0xC0000203:   {hresult.ERROR_NETNAME_DELETED, "the session is gone"},
	0xC0000234:   {hresult.ERROR_LOGON_FAILURE, "the account is locked"},
	0xC000035C:   {hresult.ERROR_NETNAME_DELETED, "the session has expired"},
}

// ofFile reports whether an error is one of a file or a share, and not of the session.
func ofFile(err error) bool {
	var answered *smb2.ResponseError
	if errors.As(err, &answered) {
		known, ok := codes[answered.Code]
		return ok && known.code != hresult.ERROR_NETNAME_DELETED
	}
	return errors.Is(err, fs.ErrNotExist) || errors.Is(err, fs.ErrPermission)
}

// explain makes an error of a share one of ours. As is the login that was shown.
func explain(err error, u *url.URL, as string) error {
	fault := func(code hresult.Code, why string) error {
		if code == hresult.ERROR_LOGON_FAILURE && as != "" {
			why += " (tried: " + as + ")"
		}
		return &bits.Error{Code: code, Context: bits.ContextRemoteFile, Message: fmt.Sprintf("cannot fetch %s: %s", u, why), Err: err}
	}
	var answered *smb2.ResponseError
	var broken *smb2.InvalidResponseError
	var silent *silence
	var ours *bits.Error
	switch {
	case errors.As(err, &ours) || errors.Is(err, context.Canceled) || errors.Is(err, context.DeadlineExceeded):
		return err
	case errors.As(err, &silent):
		return fault(hresult.ERROR_WINHTTP_TIMEOUT, silent.Error())
	case errors.As(err, &answered):
		if known, ok := codes[answered.Code]; ok {
			return fault(known.code, known.why)
		}
		return fault(hresult.ERROR_NETNAME_DELETED, answered.Error())
	case errors.Is(err, fs.ErrNotExist):
		return fault(hresult.ERROR_FILE_NOT_FOUND, "it is not there")
	case errors.Is(err, fs.ErrPermission):
		return fault(hresult.E_ACCESSDENIED, "the server does not let this user read it")
	case errors.Is(err, smb2.ErrRequestNotAccepted):
		return fault(hresult.ERROR_NETNAME_DELETED, "the server has as many connections as it takes")
	case errors.As(err, &broken):
		return fault(hresult.ERROR_NETNAME_DELETED, broken.Message)
	}
	return fault(hresult.ERROR_NETNAME_DELETED, "the connection to the server broke off")
}
