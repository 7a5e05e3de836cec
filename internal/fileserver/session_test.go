package fileserver

import (
	"bytes"
	"context"
	"encoding/binary"
	"errors"
	"io"
	"net"
	"net/url"
	"testing"
	"testing/synctest"
	"time"

	"bits"
	"bits/hresult"
)

// A server that takes the connection and says nothing, or a part of a message: the request ends after its time, or with its context, and
// nothing is left of it.
func TestSilentServer(t *testing.T) {
	for name, says := range map[string][]byte{"nothing": nil, "half a length": {0, 0}, "half a message": {0, 0, 1, 0, 0xfe, 'S', 'M', 'B'}} {
		synctest.Test(t, func(t *testing.T) {
			s := New(Config{Dial: func(context.Context, string, string) (net.Conn, error) {
				ours, theirs := net.Pipe()
				go func() {
					theirs.Write(says)
					io.Copy(io.Discard, theirs)
				}()
				return ours, nil
			}})
			defer s.Close()
			at := time.Now()
			_, err := ask(t, s, "GET", "smb://server/share/f")
			if e := bits.AsError(err); e.Code != hresult.ERROR_WINHTTP_TIMEOUT || e.Context != bits.ContextRemoteFile || time.Since(at) != openTime {
				t.Errorf("%s: after %v: %v", name, time.Since(at), err)
			}
		})
	}
	synctest.Test(t, func(t *testing.T) {
		s := New(Config{Dial: func(context.Context, string, string) (net.Conn, error) {
			ours, theirs := net.Pipe()
			go io.Copy(io.Discard, theirs)
			return ours, nil
		}})
		defer s.Close()
		ctx, cancel := context.WithTimeout(t.Context(), time.Second)
		defer cancel()
		_, _, err := s.open(ctx, &url.URL{Scheme: "smb", Host: "server", Path: "/share/f"})
		if !errors.Is(err, context.DeadlineExceeded) {
			t.Error(err)
		}
	})
}

// message is a message of a server: a command, a status, and what follows.
func message(command uint16, status uint32, body []byte) []byte {
	m := make([]byte, 4+head, 4+head+len(body))
	copy(m[4:], "\xfeSMB")
	binary.LittleEndian.PutUint32(m[12:], status)
	binary.LittleEndian.PutUint16(m[16:], command)
	m = append(m, body...)
	binary.BigEndian.PutUint32(m, uint32(len(m)-4))
	return m
}

// What is heard of the login: what is offered, the clock, why it is refused; of whatever a server says.
func TestEar(t *testing.T) {
	clock := binary.LittleEndian.AppendUint64(make([]byte, 40), uint64(time.Now().Add(time.Hour).UnixNano()/100+116444736000000000))
	for name, c := range map[string]struct {
		heard    []byte
		kerberos bool
		refusal  uint32
		ahead    bool
	}{
		"nothing":           {},
		"offers Kerberos":   {message(0, 0, append(clock, mechanisms[0]...)), true, 0, true},
		"offers it of old":  {message(0, 0, mechanisms[1]), true, 0, false},
		"offers NTLM":       {message(0, 0, clock), false, 0, true},
		"too short":         {[]byte{0, 0, 0, 1, 7, 9, 9}, false, 0, false},
		"a part":            {message(0, 0, clock)[:90], false, 0, false},
		"asks for more":     {append(message(0, 0, nil), message(1, 0xC0000016, nil)...), false, 0, false},
		"refuses":           {append(message(0, 0, nil), message(1, 0xC000006D, nil)...), false, 0xC000006D, false},
		"refuses to talk":   {message(0, 0xC00000BB, nil), false, 0, false},
		"longer than it is": {[]byte{0xff, 0xff, 0xff, 0xff, 0xfe, 'S', 'M', 'B'}, false, 0, false},
	} {
		ours, theirs := net.Pipe()
		go func() { theirs.Write(c.heard); theirs.Close() }()
		e := &ear{Conn: ours}
		if got, _ := io.ReadAll(e); !bytes.Equal(got, c.heard) {
			t.Errorf("%s: %x", name, got)
		}
		ahead := e.ahead()
		if e.kerberos() != c.kerberos || e.refusal() != c.refusal || (ahead > 59*time.Minute && ahead <= time.Hour) != c.ahead || !c.ahead && ahead != 0 {
			t.Errorf("%s: Kerberos %v, refusal %#x, ahead %v", name, e.kerberos(), e.refusal(), ahead)
		}
	}
}

// The clock that counts is that of the server: a file that was touched just now there proves nothing.
func TestClockOfServer(t *testing.T) {
	now := time.Now()
	for _, c := range []struct {
		touched, ahead time.Duration // both beside our clock
		weak           bool
	}{{0, 0, true}, {-time.Minute, 0, false}, {-time.Minute, -time.Minute, true}, {time.Minute, time.Minute, true}, {time.Minute, 2 * time.Minute, false}} {
		tag := etag(identity{modified: now.Add(c.touched), changed: now.Add(c.touched), ahead: c.ahead, is: "x"}, now)
		if weak := tag[0] == 'W'; weak != c.weak {
			t.Errorf("%+v: %s", c, tag)
		}
	}
}
