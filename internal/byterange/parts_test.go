package byterange

import (
	"bytes"
	"errors"
	"io"
	"strings"
	"testing"
	"testing/iotest"
)

// FuzzParts lets a server send any frame: nothing may panic, no part is longer than it says, and the end comes.
func FuzzParts(f *testing.F) {
	f.Add([]byte("\r\n--x\r\nContent-Type: text/plain\r\nContent-Range: bytes 0-2/9\r\n\r\nabc\r\n--x\r\nContent-Range: bytes 5-5/9\r\n\r\nf\r\n--x--\r\n"), true)
	f.Add([]byte("--x\nContent-range: bytes 0-2/9\n\nabc\n--x--"), false)
	f.Add([]byte("preamble\r\n--x \r\nContent-Range: bytes 0-2/*\r\n\r\nabc"), false)
	f.Fuzz(func(t *testing.T, body []byte, strict bool) {
		for _, r := range []io.Reader{bytes.NewReader(body), iotest.OneByteReader(bytes.NewReader(body))} {
			b := NewReader(r, "x", strict)
			total := 0
			for {
				p, err := b.Next()
				if err == io.EOF || errors.Is(err, ErrMalformed) {
					break
				} else if err != nil {
					t.Fatal(err)
				}
				text, err := io.ReadAll(p.Body)
				if err != nil || int64(len(text)) > p.End-p.Start || p.Start < 0 || p.End > p.Total {
					t.Fatalf("%d bytes of %+v, %v", len(text), p, err)
				}
				if total += len(text); total > len(body) {
					t.Fatal("more bytes than there are")
				}
			}
		}
	})
}

// An error of the connection is no fault of the frame.
func TestPartsOfABrokenConnection(t *testing.T) {
	const text = "--x\r\nContent-Range: bytes 0-2/9\r\n\r\nabc\r\n--x\r\nContent-Range: bytes 5-5/9\r\n\r\nf\r\n--x--\r\n"
	broken := errors.New("broken")
	for n := range len(text) {
		b := NewReader(io.MultiReader(strings.NewReader(text[:n]), iotest.ErrReader(broken)), "x", false)
		err := error(nil)
		for err == nil {
			var p Part
			if p, err = b.Next(); err == nil {
				_, err = io.ReadAll(p.Body)
			}
		}
		if !errors.Is(err, broken) || errors.Is(err, ErrMalformed) {
			t.Errorf("cut after %d: %v", n, err)
		}
	}
}
