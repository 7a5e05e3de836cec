package tests

import (
	"fmt"
	"io"
	"net"
	"net/http"
	"testing"

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
	for password, want := range map[string]hresult.Code{"secret": hresult.S_OK, "wrong": hresult.ERROR_LOGON_FAILURE} {
		s := fileserver.New(fileserver.Config{Dial: new(net.Dialer).DialContext, Login: func(string) (string, string) { return "root", password }})
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
