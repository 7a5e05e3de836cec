package login_test

import (
	"context"
	"io"
	"net/http"
	"net/url"
	"testing"
	"testing/synctest"
	"time"

	"bits"
	"bits/internal/login"
)

// A challenge whose body never ends holds nobody up: neither one that falls silent nor one that goes on.
func TestBodyOfChallenge(t *testing.T) {
	for name, endless := range map[string]bool{"silent": false, "endless": true} {
		synctest.Test(t, func(t *testing.T) {
			l := &login.Login{Credentials: []bits.Credential{secret(bits.AuthServer, bits.Basic, "ann", "x")}}
			began, legs := time.Now(), 0
			answer, refused, err := l.Server(&url.URL{Scheme: "http", Host: "h"}).Do(context.Background(), "GET", "/f", func(authorization string, _ bool) (*http.Response, error) {
				legs++
				if authorization != "" {
					return &http.Response{StatusCode: 200, Body: http.NoBody}, nil
				}
				in, out := io.Pipe()
				go func() {
					for err := error(nil); endless && err == nil; _, err = out.Write(make([]byte, 1000)) {
					}
				}()
				return &http.Response{StatusCode: 401, Header: http.Header{"Www-Authenticate": {"Basic realm=x"}}, Body: in}, nil
			})
			if err != nil || refused != nil || answer.StatusCode != 200 || legs != 2 || time.Since(began) > time.Minute {
				t.Errorf("%s: %v, %v, %v, %d legs, %v", name, answer, refused, err, legs, time.Since(began))
			}
		})
	}
}
