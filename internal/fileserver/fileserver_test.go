package fileserver

import (
	"bytes"
	"context"
	"errors"
	"io"
	"net"
	"net/http"
	"os"
	"path/filepath"
	"strings"
	"testing"
	"time"

	"bits"
	"bits/hresult"
)

func server(t *testing.T) *Server {
	s := New(Config{Dial: new(net.Dialer).DialContext})
	t.Cleanup(s.Close)
	return s
}

// aged writes a file that has rested.
func aged(t *testing.T, path string, data []byte) {
	t.Helper()
	if err := os.WriteFile(path, data, 0o644); err != nil {
		t.Fatal(err)
	}
	at := time.Now().Add(-time.Hour)
	if err := os.Chtimes(path, at, at); err != nil {
		t.Fatal(err)
	}
}

func ask(t *testing.T, s *Server, method, url string, head ...string) (*http.Response, error) {
	t.Helper()
	r, err := http.NewRequestWithContext(context.Background(), method, url, nil)
	if err != nil {
		t.Fatal(err)
	}
	for i := 0; i < len(head); i += 2 {
		r.Header.Set(head[i], head[i+1])
	}
	return s.RoundTrip(r)
}

func read(t *testing.T, a *http.Response, err error) []byte {
	t.Helper()
	if err != nil {
		t.Fatal(err)
	}
	defer a.Body.Close()
	data, err := io.ReadAll(a.Body)
	if err != nil {
		t.Fatal(err)
	}
	return data
}

func TestLocal(t *testing.T) {
	dir, s := t.TempDir(), server(t)
	data := bytes.Repeat([]byte("0123456789"), 300_000)
	path := filepath.Join(dir, "a b")
	aged(t, path, data)
	url := "file://" + filepath.ToSlash(dir) + "/a%20b"
	a, err := ask(t, s, "GET", url)
	if got := read(t, a, err); !bytes.Equal(got, data) || a.StatusCode != 200 || a.ContentLength != int64(len(data)) || a.Header.Get("Last-Modified") == "" {
		t.Errorf("%d bytes, %+v", len(got), a)
	}
	// A file that was touched just now proves nothing.
	if tag := a.Header.Get("ETag"); !strings.HasPrefix(tag, `W/"`) {
		t.Errorf("ETag %s", tag)
	}
	time.Sleep(rest)
	a, err = ask(t, s, "HEAD", url)
	tag := a.Header.Get("ETag")
	if got := read(t, a, err); len(got) != 0 || a.ContentLength != int64(len(data)) || !strings.HasPrefix(tag, `"`) {
		t.Errorf("%d bytes, %+v", len(got), a)
	}
	a, err = ask(t, s, "GET", url, "Range", "bytes=2999990-", "If-Range", tag)
	if got := read(t, a, err); string(got) != "0123456789" || a.StatusCode != 206 || a.Header.Get("ETag") != tag {
		t.Errorf("%q, %+v", got, a)
	}
	a, err = ask(t, s, "GET", url, "Range", "bytes=0-1,5-6", "If-Range", tag)
	if got := read(t, a, err); !strings.HasPrefix(a.Header.Get("Content-Type"), "multipart/byteranges") || a.ContentLength != int64(len(got)) {
		t.Errorf("%q, %+v", got, a)
	}
	aged(t, path, append([]byte("x"), data[1:]...)) // the same size and time: the change time tells
	a, err = ask(t, s, "GET", url, "Range", "bytes=10-", "If-Range", tag)
	if got := read(t, a, err); a.StatusCode != 200 || len(got) != len(data) {
		t.Errorf("%d bytes, %+v", len(got), a)
	}
	a, err = ask(t, s, "GET", url, "Range", "bytes=99999999-")
	if read(t, a, err); a.StatusCode != 416 {
		t.Errorf("%+v", a)
	}
	for url, want := range map[string]hresult.Code{
		"file://" + dir:                      hresult.E_ACCESSDENIED,
		"file://" + dir + "/missing":         hresult.ERROR_FILE_NOT_FOUND,
		"file://" + dir + "/missing/missing": hresult.ERROR_PATH_NOT_FOUND,
		"file://" + dir + "/a%20b/c":         hresult.ERROR_PATH_NOT_FOUND,
	} {
		if _, err := ask(t, s, "GET", url); bits.AsError(err).Code != want || bits.AsError(err).Context != bits.ContextRemoteFile {
			t.Errorf("%s: %v", url, err)
		}
	}
	if _, err := ask(t, s, "POST", url); bits.AsError(err).Code != hresult.BG_E_NOT_SUPPORTED_WITH_CUSTOM_HTTP_METHOD {
		t.Errorf("POST: %v", err)
	}
}

// A file that changes while it is read: the answer breaks off, with nothing in it but the version that it began with.
func TestChangesWhileRead(t *testing.T) {
	for what, change := range map[string]func(path string) error{
		"written over": func(path string) error {
			f, err := os.OpenFile(path, os.O_WRONLY, 0)
			if err == nil {
				_, err = f.WriteAt(bytes.Repeat([]byte("b"), 10<<20), 0)
				err = errors.Join(err, f.Close())
			}
			return err
		},
		"cut": func(path string) error { return os.Truncate(path, 5<<20) },
	} {
		path, s := filepath.Join(t.TempDir(), "f"), server(t)
		aged(t, path, bytes.Repeat([]byte("a"), 10<<20))
		a, err := ask(t, s, "GET", "file://"+filepath.ToSlash(path))
		if err != nil {
			t.Fatal(err)
		}
		io.ReadFull(a.Body, make([]byte, 100))
		if err := change(path); err != nil {
			t.Fatal(err)
		}
		rest, err := io.ReadAll(a.Body)
		if !errors.Is(err, ErrChanged) || bytes.Contains(rest, []byte("b")) || len(rest) > 2*mostLocal {
			t.Errorf("%s: %d bytes, %v", what, len(rest), err)
		}
		a.Body.Close()
	}
}
