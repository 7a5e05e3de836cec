package tests

import (
	"bytes"
	"context"
	"errors"
	"fmt"
	"io"
	"io/fs"
	"net"
	"net/http"
	"net/url"
	"os"
	"path/filepath"
	"testing"
	"time"

	"bits"
	"bits/client/bitstest"
	"bits/internal/fileserver"
	"bits/internal/program"
)

// Names of files that look like something else in a URL.
func TestShareNames(t *testing.T) {
	t.Parallel()
	port := program.Port(t)
	m := program.StartSamba(t, port, "secret")
	s := fileserver.New(fileserver.Config{Dial: new(net.Dialer).DialContext})
	t.Cleanup(s.Close)
	bitstest.Must(t, os.MkdirAll(filepath.Join(m.Dir, "www", "Ordner für #1"), 0o755))
	for _, name := range []string{"a b", "a%20b", "#1", "50% + 50%", "ä", "日本語", "a&b=c;d", "it's [1]", "Ordner für #1/f", ".hidden"} {
		m.File(name, []byte(name))
		u := url.URL{Scheme: "smb", Host: fmt.Sprintf("127.0.0.1:%d", port), Path: "/open/" + name}
		r, err := http.NewRequestWithContext(ctx, "GET", u.String(), nil)
		bitstest.Must(t, err)
		answer, err := s.RoundTrip(r)
		if err != nil {
			t.Errorf("%s: %v", name, err)
			continue
		}
		if text, err := io.ReadAll(answer.Body); string(text) != name || err != nil {
			t.Errorf("%s: %q, %v", name, text, err)
		}
		answer.Body.Close()
	}
}

// What happens to a file of a share, to its server and to the request while it is being read. The way from the server is closed in the
// middle of it; what is behind stays.
func TestShareInMidFile(t *testing.T) {
	t.Parallel()
	const size, before = 12 << 20, 3 << 20
	port := program.Port(t)
	m := program.StartSamba(t, port, "secret")
	data := bitstest.Content(4, size)
	for name, c := range map[string]struct {
		then func(path string, cancel func(), open func()) error
		want error
	}{
		"cut": {func(path string, _, open func()) error {
			defer open()
			return os.Truncate(path, 1<<20)
		}, fileserver.ErrChanged},
		"written over": {func(path string, _, open func()) error {
			defer open()
			f, err := os.OpenFile(path, os.O_WRONLY, 0)
			if err == nil {
				_, err = f.WriteAt(bytes.Repeat([]byte("b"), size), 0)
				err = errors.Join(err, f.Close())
			}
			return err
		}, fileserver.ErrChanged},
		"replaced": {func(path string, _, open func()) error {
			defer open()
			return errors.Join(os.WriteFile(path+".new", data[:100], 0o644), os.Rename(path+".new", path))
		}, fileserver.ErrChanged},
		"removed": {func(path string, _, open func()) error {
			defer open()
			return os.Remove(path)
		}, fs.ErrNotExist},
		"given up while the server is silent": {func(_ string, cancel, _ func()) error { cancel(); return nil }, context.Canceled},
	} {
		t.Run(name, func(t *testing.T) {
			t.Parallel()
			file := fmt.Sprintf("f%d", len(name))
			path := filepath.Join(m.Dir, "www", file)
			m.File(file, data)
			way, open := relay(t, port, before)
			t.Cleanup(open)
			s := fileserver.New(fileserver.Config{Dial: new(net.Dialer).DialContext})
			t.Cleanup(s.Close)
			ctx, cancel := context.WithCancel(ctx)
			defer cancel()
			r, err := http.NewRequestWithContext(ctx, "GET", fmt.Sprintf("smb://127.0.0.1:%d/open/%s", way, file), nil)
			bitstest.Must(t, err)
			answer, err := s.RoundTrip(r)
			bitstest.Must(t, err)
			defer answer.Body.Close()
			first := make([]byte, 1<<20)
			_, err = io.ReadFull(answer.Body, first)
			bitstest.Must(t, err, c.then(path, cancel, open))
			at := time.Now()
			rest, err := io.ReadAll(answer.Body)
			if got := append(first, rest...); !errors.Is(err, c.want) || !bytes.HasPrefix(data, got) || err == nil && len(got) != size {
				t.Errorf("%d bytes, the first %d of them right, %v", len(got), len(commonPrefix(got, data)), err)
			}
			if took := time.Since(at); took > 20*time.Second {
				t.Errorf("it took %v", took)
			}
			if ours := new(bits.Error); err != nil && c.want == fileserver.ErrChanged && (!errors.As(err, &ours) || ours.Context != bits.ContextRemoteFile) {
				t.Errorf("%#v", err)
			}
		})
	}
}

func commonPrefix(a, b []byte) []byte {
	n := 0
	for n < len(a) && n < len(b) && a[n] == b[n] {
		n++
	}
	return a[:n]
}
