package tests

import (
	"bytes"
	"fmt"
	"io"
	"net"
	"net/http"
	"os"
	"path/filepath"
	"strings"
	"sync"
	"testing"
	"time"

	"bits"
	"bits/client/bitstest"
	"bits/hresult"
	"bits/internal/program"
)

func complete(t *testing.T, s *bitstest.Service, job *bits.Job, want []byte) {
	t.Helper()
	_, err := s.Complete(ctx, job.ID)
	bitstest.Must(t, err)
	if there, err := os.ReadFile(job.Files[0].LocalName); err != nil || !bytes.Equal(there, want) {
		t.Errorf("the file differs: %d bytes, %v", len(there), err)
	}
}

// Files of shares: as a guest, and what goes wrong.
func TestShares(t *testing.T) {
	t.Parallel()
	port := program.Port(t)
	m := program.StartSamba(t, port, "secret")
	data := bitstest.Content(3, 3_000_000)
	m.File("a b.bin", data)
	m.File("locked", data)
	bitstest.Must(t, os.Mkdir(filepath.Join(m.Dir, "www", "dir"), 0o755), os.Chmod(filepath.Join(m.Dir, "www", "locked"), 0o600))
	s := bitstest.Start(t)
	at := fmt.Sprintf("smb://127.0.0.1:%d/", port)
	job := s.NewJob(map[string]any{"strict": true, "custom_headers": "Authorization: Basic x\r\n", "file_acl_flags": 15}, at+"open/a%20b.bin")
	now := ended(t, s, job)
	if now.State != bits.StateTransferred {
		t.Fatalf("%v: %+v", now.State, now.Error)
	}
	complete(t, s, now, data)
	if info, err := os.Stat(now.Files[0].LocalName); err != nil || time.Since(info.ModTime()) < 50*time.Minute {
		t.Errorf("its time is %v, %v", info.ModTime(), err)
	}
	for name, want := range map[string]struct {
		state bits.State
		code  hresult.Code
	}{
		at + "open/missing":     {bits.StateError, hresult.ERROR_FILE_NOT_FOUND},
		at + "open/dir":         {bits.StateError, hresult.E_ACCESSDENIED},
		at + "open/locked":      {bits.StateError, hresult.E_ACCESSDENIED},
		at + "closed/a%20b.bin": {bits.StateError, hresult.E_ACCESSDENIED},
		at + "nowhere/f":        {bits.StateTransientError, hresult.ERROR_BAD_NET_NAME},
		fmt.Sprintf("smb://127.0.0.1:%d/open/f", program.Port(t)): {bits.StateTransientError, hresult.ERROR_BAD_NETPATH},
	} {
		now := ended(t, s, s.NewJob(nil, name))
		if now.State != want.state || now.Error.Code != want.code || now.Error.Context != bits.ContextRemoteFile || now.Error.Protocol != "file" {
			t.Errorf("%s: %v, %+v", name, now.State, now.Error)
		}
		s.Cancel(ctx, now.ID)
	}
}

// relay passes on connections to a port, and of the first one no more than so many bytes before open is called.
func relay(t *testing.T, to int, n int64) (port int, open func()) {
	l, err := net.Listen("tcp", "127.0.0.1:0")
	bitstest.Must(t, err)
	t.Cleanup(func() { l.Close() })
	gate := make(chan struct{})
	go func() {
		for c, err := l.Accept(); err == nil; c, err = l.Accept() {
			s, err := net.Dial("tcp", fmt.Sprintf("127.0.0.1:%d", to))
			if err != nil {
				c.Close()
				continue
			}
			go func() {
				io.Copy(s, c)
				s.Close()
			}()
			go func() {
				io.CopyN(c, s, n)
				<-gate
				io.Copy(c, s)
				c.Close()
			}()
		}
	}()
	return l.Addr().(*net.TCPAddr).Port, sync.OnceFunc(func() { close(gate) })
}

// The server of a share dies in mid-transfer, and comes back: the job goes on where it was; a file that was replaced meanwhile is fetched
// anew.
func TestShareCut(t *testing.T) {
	t.Parallel()
	for _, replaced := range []bool{false, true} {
		port := program.Port(t)
		m := program.StartSamba(t, port, "secret")
		way, open := relay(t, port, 5<<20)
		t.Cleanup(open)
		const size = 12 << 20
		data := bitstest.Content(4, size)
		m.File("f", data)
		time.Sleep(2100 * time.Millisecond) // it rests
		s := bitstest.Start(t)
		job := s.NewJob(map[string]any{"backoff": bits.Backoff{First: 1, Max: 1}}, fmt.Sprintf("smb://127.0.0.1:%d/open/f", way))
		bitstest.Must(t, s.Resume(ctx, job.ID))
		s.Until(job.ID, func(j *bits.Job) bool { return j.Progress.BytesReceived > 2<<20 })
		m.Kill()
		open()
		was := s.Await(job.ID, bits.StateTransientError)
		if was.Error.Code != hresult.ERROR_NETNAME_DELETED || was.Error.Protocol != "file" || len(was.Files[0].Done) == 0 {
			t.Errorf("%+v, %v", was.Error, was.Files[0].Done)
		}
		old, arrived := was.Files[0].Validator, was.Files[0].TransferredBytes()
		if replaced {
			data = bitstest.Content(5, size)
			m.File("f", data)
		}
		m.Start()
		now := s.Await(job.ID, bits.StateTransferred)
		var headers string
		_, err := s.FileProperty(ctx, job.ID, 0, "http_response_headers", &headers)
		bitstest.Must(t, err)
		if resumed := strings.HasPrefix(headers, "HTTP/1.1 206"); resumed == replaced || arrived == 0 {
			t.Errorf("replaced %v, %d bytes before: %s, %+v", replaced, arrived, headers, old)
		}
		complete(t, s, now, data)
	}
}

// Files of this machine, which no server leads to.
func TestFilesOfThisMachine(t *testing.T) {
	t.Parallel()
	s, o := bitstest.Start(t), bitstest.NewOrigin(t)
	data, source := bitstest.Content(6, 3_000_000), filepath.Join(t.TempDir(), "source")
	bitstest.Must(t, os.WriteFile(source, data, 0o600), os.Chtimes(source, time.Time{}, time.Now().Add(-time.Hour)))
	now := ended(t, s, s.NewJob(nil, "file://"+source))
	if now.State != bits.StateTransferred {
		t.Fatalf("%v: %+v", now.State, now.Error)
	}
	complete(t, s, now, data)
	o.Page("/to-file", func(w http.ResponseWriter, r *http.Request) { http.Redirect(w, r, "file://"+source, http.StatusFound) })
	o.Page("/to-share", func(w http.ResponseWriter, r *http.Request) {
		http.Redirect(w, r, "smb://127.0.0.1/open/f", http.StatusFound)
	})
	for _, page := range []string{"/to-file", "/to-share"} {
		for _, flags := range []bits.SecurityFlags{0, bits.RedirectReport, bits.RedirectDisallow} {
			now := ended(t, s, s.NewJob(map[string]any{"security_flags": flags}, o.Plain+page))
			if now.State != bits.StateError || now.Files[0].RemoteName != o.Plain+page {
				t.Errorf("%s, %#x: %v, %+v, %s", page, uint32(flags), now.State, now.Error, now.Files[0].RemoteName)
			}
			s.Cancel(ctx, now.ID)
		}
	}
}
