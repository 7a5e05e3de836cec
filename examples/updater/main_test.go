package main

import (
	"bytes"
	"crypto/sha256"
	"encoding/hex"
	"errors"
	"os"
	"slices"
	"strings"
	"testing"

	"bits"
	"bits/client"
	"bits/client/bitstest"
)

// pinOf is the pin of the key that the origin shows now.
func pinOf(o *bitstest.Origin) pins {
	sum := sha256.Sum256(o.Certificate().RawSubjectPublicKeyInfo)
	return pins{hex.EncodeToString(sum[:])}
}

// begun starts a service that the application finds by itself, and an origin that it trusts, with a file.
func begun(t *testing.T, options ...bitstest.Option) (*bitstest.Service, *bitstest.Origin, []byte) {
	s, o, data := bitstest.Start(t, options...), bitstest.NewOrigin(t), bitstest.Content(1, 300_000)
	t.Setenv("BITS_SOCKET", s.Socket)
	t.Setenv("SSL_CERT_FILE", o.RootsFile())
	o.File("/update.img", data)
	return s, o, data
}

func wantFile(t *testing.T, name string, want []byte) {
	t.Helper()
	if got, err := os.ReadFile(name); err != nil || !bytes.Equal(got, want) {
		t.Errorf("the file differs: %v", err)
	}
}

// A renewed certificate has the key that is known; a rotated key is declined before a byte of a request is sent.
func TestUpdate(t *testing.T) {
	s, o, data := begun(t)
	trusted := pinOf(o)
	o.Renew()
	bitstest.Must(t, run(t.Context(), trusted, []string{o.URL + "/update.img", s.Path("update.img")}))
	wantFile(t, s.Path("update.img"), data)

	o.Certify()
	requests := o.Requests()
	id, err := begin(t.Context(), &client.Client{}, trusted, o.URL+"/update.img", s.Path("other.img"))
	bitstest.Must(t, err)
	job := s.Await(id, bits.StateTransientError)
	if job.Error.Code != unknownKey || o.Requests() != requests {
		t.Errorf("%+v, %d requests", job.Error, o.Requests()-requests)
	}
}

// The transfer breaks off, then the service is killed, and with it the registration of the application, which starts again.
func TestUpdateSurvives(t *testing.T) {
	s, o, data := begun(t, bitstest.Process)
	o.Fault("/update.img", bitstest.Cut(200_000), bitstest.Stall(100_000))
	first := make(chan error)
	go func() { first <- run(t.Context(), pinOf(o), []string{o.URL + "/update.img", s.Path("update.img")}) }()
	id := s.Find(mine).ID
	s.Retry(id) // else it waits for 600 seconds
	s.Until(id, func(j *bits.Job) bool { return j.Progress.BytesReceived > 200_000 })
	s.Kill()
	o.Certify() // a new key, which nobody has accepted yet
	s.Restart()
	if err := <-first; err == nil || !strings.Contains(err.Error(), "ERROR") {
		t.Errorf("its judge has gone: %v", err)
	}
	bitstest.Must(t, run(t.Context(), pinOf(o), nil))
	wantFile(t, s.Path("update.img"), data)
	if seen := o.Seen(); !slices.ContainsFunc(seen, func(r string) bool { return strings.HasPrefix(r, "GET /update.img bytes=1") }) {
		t.Errorf("it began anew: %q", seen)
	}
}

func TestNoService(t *testing.T) {
	s, o, _ := begun(t)
	s.Stop()
	if err := run(t.Context(), pinOf(o), nil); !errors.Is(err, client.ErrUnreachable) {
		t.Errorf("%v", err)
	}
}
