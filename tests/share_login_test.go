//go:build unix

package tests

import (
	"context"
	"fmt"
	"io"
	"net"
	"net/http"
	"net/url"
	"os"
	"path/filepath"
	"strings"
	"testing"
	"time"

	"github.com/cloudsoda/go-smb2"

	"bits"
	"bits/client/bitstest"
	"bits/hresult"
	"bits/internal/fileserver"
	"bits/internal/program"
)

// A share that wants a user: with the right password, and with a wrong one.
func TestShareLogin(t *testing.T) {
	t.Parallel()
	port := program.Port(t)
	m := program.StartSamba(t, port, "secret")
	m.File("f", []byte("hello"))
	// As if it was never read since it was written: smbd makes up its time of creation, which changes with the first reading.
	old := time.Now().Add(-2 * time.Hour)
	bitstest.Must(t, os.Chtimes(filepath.Join(m.Dir, "www", "f"), old, old.Add(time.Hour)))
	for password, want := range map[string]hresult.Code{"secret": hresult.S_OK, "wrong": hresult.ERROR_LOGON_FAILURE} {
		s := fileserver.New(fileserver.Config{Dial: new(net.Dialer).DialContext, Login: func(context.Context, *url.URL, bool) (*fileserver.Login, error) {
			return &fileserver.Login{Initiator: &smb2.NTLMInitiator{User: "root", Password: password}}, nil
		}})
		r, err := http.NewRequestWithContext(ctx, "GET", fmt.Sprintf("smb://127.0.0.1:%d/closed/f", port), nil)
		bitstest.Must(t, err)
		answer, err := s.RoundTrip(r)
		if err == nil {
			var text []byte
			if text, err = io.ReadAll(answer.Body); string(text) != "hello" {
				t.Errorf("%q, %v", text, err)
			}
			answer.Body.Close()
		}
		if err != nil && bits.AsError(err).Code != want || err == nil && want != hresult.S_OK {
			t.Errorf("%s: %v", password, err)
		}
		s.Close()
	}
}

// A job logs in to a share with what its file .netrc has for the server, and its log tells no password.
func TestShareLoginOfNetrc(t *testing.T) {
	t.Parallel()
	port := program.Port(t)
	m := program.StartSamba(t, port, planted)
	m.File("f", []byte("hello"))
	s := bitstest.Start(t)
	for password, want := range map[string]hresult.Code{planted: hresult.S_OK, "wrong": hresult.ERROR_LOGON_FAILURE} {
		netrc := write(t, filepath.Join(t.TempDir(), "netrc"), "machine 127.0.0.1 login root password "+password)
		now := ended(t, s, s.NewJob(map[string]any{"login_sources": bits.LoginSources{Netrc: netrc}}, fmt.Sprintf("smb://127.0.0.1:%d/closed/f", port)))
		if want == hresult.S_OK && now.State != bits.StateTransferred || want != hresult.S_OK && (now.State != bits.StateError || now.Error.Code != want) {
			t.Errorf("%s: %v, %+v", password, now.State, now.Error)
		}
		if _, text := logText(t, s, now.ID); strings.Contains(text, planted) {
			t.Errorf("the log tells the password: %s", text)
		}
	}
	// And so does bits get, with a name and a password of its own.
	cmd := program.Command(t.TempDir(), "get", "--quiet", "--user", "root", "--password-file", write(t, s.Path("password"), planted), "-o", s.Path("got"), fmt.Sprintf("smb://127.0.0.1:%d/closed/f", port))
	cmd.Env = append(cmd.Env, s.Env()...)
	out, err := cmd.CombinedOutput()
	if text, rerr := os.ReadFile(s.Path("got")); err != nil || string(text) != "hello" {
		t.Errorf("%v, %q, %v: %s", err, text, rerr, out)
	}
	bitstest.Must(t, os.Remove(s.Path("password")))
	nowhere(t, s)
}
