package tests

import (
	"bytes"
	"context"
	"fmt"
	"io"
	"net"
	"net/http"
	"sync/atomic"
	"testing"
	"time"

	"bits/client/bitstest"
	"bits/internal/fileserver"
	"bits/internal/program"
)

// late is a connection whose writer is not scheduled at once, as on a busy machine.
type late struct{ net.Conn }

func (l late) Write(p []byte) (int, error) {
	time.Sleep(time.Millisecond)
	return l.Conn.Write(p)
}

// Requests that are given up, at any point, do no harm to those after them; those that are not share one session.
func TestShareGivenUp(t *testing.T) {
	t.Parallel()
	port := program.Port(t)
	m := program.StartSamba(t, port, "secret")
	data := bitstest.Content(3, 3_000_000)
	m.File("f", data)
	var dials atomic.Int32
	s := fileserver.New(fileserver.Config{Dial: func(ctx context.Context, network, addr string) (net.Conn, error) {
		dials.Add(1)
		c, err := new(net.Dialer).DialContext(ctx, network, addr)
		return late{c}, err
	}})
	defer s.Close()
	get := func(method string, n int64) {
		t.Helper()
		r, err := http.NewRequestWithContext(ctx, method, fmt.Sprintf("smb://127.0.0.1:%d/open/f", port), nil)
		bitstest.Must(t, err)
		answer, err := s.RoundTrip(r)
		bitstest.Must(t, err)
		defer answer.Body.Close()
		if got, err := io.ReadAll(io.LimitReader(answer.Body, n)); err != nil || !bytes.Equal(got, data[:n]) {
			t.Errorf("%s: %d bytes of %d, %v", method, len(got), n, err)
		}
	}
	all := int64(len(data))
	for range 3 {
		get("HEAD", 0)
		get("GET", all)
	}
	if n := dials.Load(); n != 1 {
		t.Errorf("%d connections for requests one after another", n)
	}
	for _, n := range []int64{0, 1, 512 << 10, 1<<20 - 1, 1 << 20, 1<<20 + 1, all - 1} {
		get("GET", n)
		get("HEAD", 0)
		get("GET", all)
	}
}
