package digest_test

import (
	"bytes"
	"errors"
	"io"
	"maps"
	"strings"
	"testing"

	"bits/client/bitstest"
	"bits/internal/content"
	"bits/internal/digest"
)

// abc are the digests of "abc", of FIPS 180, RFC 1321 and the test of b3sum.
var abc = map[string]string{
	"md5":    "900150983cd24fb0d6963f7d28e17f72",
	"sha1":   "a9993e364706816aba3e25717850c26c9cd0d89d",
	"sha224": "23097d223405d8228642a477bda255b32aadbce4bda0b3f7e36c9da7",
	"sha256": "ba7816bf8f01cfea414140de5dae2223b00361a396177a9cb410ff61f20015ad",
	"sha384": "cb00753f45a35e8bb5a03d699ac65007272c32ab0eded1631a8b605a43ff5bed8086072ba1e7cc2358baeca134c825a7",
	"sha512": "ddaf35a193617abacc417349ae20413112e6fa4e89a97ea20a9eeee64b55d39a2192992a274fc1a836ba3c23a3feebbd454d4423643ce80e2a9ac94fa54ca49f",
	"blake3": "6437b3ac38465133ffb63b75273a8db548c558465d79db03fd359c6cd5bd9d85",
}

func TestKnownDigests(t *testing.T) {
	r := digest.Run(content.Names(), nil, 0)
	r.Pass([]byte("abc"), 0)
	if got := r.Sums(3); !maps.Equal(got, abc) {
		t.Errorf("%v", got)
	}
}

// counted counts the bytes that are read.
type counted struct {
	io.ReaderAt
	n int
}

func (c *counted) ReadAt(p []byte, at int64) (int, error) {
	n, err := c.ReaderAt.ReadAt(p, at)
	c.n += n
	return n, err
}

func going() error { return nil }

// A digest is taken up where its state was written down: not one byte before it is read again, of any but blake3.
func TestStateSpansRuns(t *testing.T) {
	data := bitstest.Content(1, 1<<20)
	for _, name := range content.Names() {
		whole := digest.Run([]string{name}, nil, 0)
		whole.Pass(data, 0)
		want := whole.Sums(int64(len(data)))
		var written []byte
		from := &counted{ReaderAt: bytes.NewReader(data)}
		for at := 0; at < len(data); at += 300_000 {
			r := digest.Run([]string{name}, written, int64(at))
			if err := r.Read(from, int64(at), going); err != nil { // nothing, if the state is there
				t.Fatal(err)
			}
			end := min(at+300_000, len(data))
			r.Pass(data[at:end], int64(at))
			if written = r.State(); end == len(data) && !maps.Equal(r.Sums(int64(end)), want) {
				t.Errorf("%s: %v, want %v", name, r.Sums(int64(end)), want)
			}
		}
		if again := map[bool]int{true: 300_000 + 600_000 + 900_000}[name == "blake3"]; from.n != again {
			t.Errorf("%s: %d bytes were read again, want %d", name, from.n, again)
		}
	}
}

// A state that does not fit counts for nothing: the file is read.
func TestStateThatDoesNotFit(t *testing.T) {
	content := []byte("0123456789")
	r := digest.Run([]string{"sha256", "sha1"}, nil, 0)
	r.Pass(content[:6], 0)
	good := r.State()
	r.Pass(content[6:], 6)
	want := r.Sums(10)
	for what, c := range map[string]struct {
		written []byte
		done    int64
		read    int
	}{
		"good":            {good, 6, 4},
		"more was done":   {good, 8, 4},
		"less is certain": {good, 5, 10},
		"none":            {nil, 6, 10},
		"no JSON":         {[]byte("x"), 6, 10},
		"of others":       {[]byte(`{"md5":{"at":6,"hash":"AAAA"}}`), 6, 10},
		"no state":        {[]byte(`{"sha256":{"at":6,"hash":"AAAA"},"sha1":{"at":-1}}`), 6, 10},
		"half of one":     {bytes.Replace(good, []byte(`"sha1":{"at":6`), []byte(`"sha1":{"at":9`), 1), 6, 10},
	} {
		r := digest.Run([]string{"sha256", "sha1"}, c.written, c.done)
		from := &counted{ReaderAt: bytes.NewReader(content)}
		if err := r.Read(from, 10, going); err != nil {
			t.Fatal(what, err)
		}
		if got := r.Sums(10); !maps.Equal(got, want) || from.n != c.read {
			t.Errorf("%s: %v of %d bytes read, want %d", what, got, from.n, c.read)
		}
	}
}

// Bytes that come out of order are read when their turn comes.
func TestOutOfOrder(t *testing.T) {
	r := digest.Run([]string{"sha256"}, nil, 0)
	r.Pass([]byte("c"), 2)
	r.Pass([]byte("a"), 0)
	r.Pass([]byte("ab"), 0) // once more
	if at := r.Behind(3); at != 2 || len(r.Sums(3)) != 0 {
		t.Errorf("it is at %d", at)
	}
	from := &counted{ReaderAt: strings.NewReader("abc")}
	if err := r.Read(from, 3, going); err != nil || from.n != 1 || r.Sums(3)["sha256"] != abc["sha256"] {
		t.Errorf("%v, %d bytes read, %v", err, from.n, r.Sums(3))
	}
	if r.Rewind(2); r.Behind(3) != 0 || r.State() != nil {
		t.Errorf("it was not wound back: %d", r.Behind(3))
	}
	if err := r.Read(strings.NewReader("ab"), 3, going); err == nil {
		t.Error("a file that is too short was read to its end")
	}
	if err := r.Read(from, 3, func() error { return io.EOF }); !errors.Is(err, io.EOF) {
		t.Errorf("it was not stopped: %v", err)
	}
}

// FuzzState lets the record say anything: nothing may panic.
func FuzzState(f *testing.F) {
	r := digest.Run(content.Names(), nil, 0)
	r.Pass([]byte("abc"), 0)
	f.Add(r.State(), int64(3))
	f.Fuzz(func(t *testing.T, written []byte, done int64) {
		r := digest.Run(content.Names(), written, done)
		if at := r.Behind(1 << 60); at > max(done, 0) {
			t.Errorf("it is at %d of %d", at, done)
		}
		r.Pass([]byte("x"), 0)
	})
}
