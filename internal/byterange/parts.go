// Package byterange reads and writes the ranges of HTTP (RFC 9110, section 14): what is asked for, and the parts of an answer.
package byterange

import (
	"bufio"
	"errors"
	"io"
	"net/textproto"
	"strings"

	"bits"
)

// Part is a stretch of the remote file that an answer holds; its End may be endless.
type Part struct {
	bits.Range
	Total int64
	Body  io.Reader
}

const (
	maxLines    = 32  // before the first part, and of the head of each
	strictLines = 2   // before the first part, as BITS allows
	strictHead  = 180 // bytes of other headers of a part, as BITS allows
)

// ErrMalformed is what an answer of several parts is that cannot be read.
var ErrMalformed = errors.New("the parts of the answer cannot be told from each other")

// Reader reads an answer of several parts (RFC 9110, section 14.6).
// A part ends where its Content-Range says, and nowhere else; the delimiter must follow there.
type Reader struct {
	r         *bufio.Reader
	delimiter string
	strict    bool
	body      *io.LimitedReader // of the part before; nil: there was none
}

// Next returns the next part; io.EOF after the last.
func (b *Reader) Next() (Part, error) {
	if err := b.delimit(); err != nil {
		return Part{}, err
	}
	span, others := "", 0
	for range maxLines {
		line, err := b.line()
		if err != nil {
			return Part{}, err
		}
		if line == "" {
			start, end, total, ok := ParseContentRange(span)
			if !ok || start < 0 || total < 0 || b.strict && others > strictHead {
				return Part{}, ErrMalformed
			}
			b.body = &io.LimitedReader{R: b.r, N: end - start}
			return Part{bits.Range{Start: start, End: end}, total, b.body}, nil
		}
		name, value, ok := strings.Cut(line, ":")
		switch name = textproto.CanonicalMIMEHeaderKey(name); {
		case !ok || name == "Content-Range" && span != "":
			return Part{}, ErrMalformed
		case name == "Content-Range":
			span = value
		case name != "Content-Type":
			others += len(line)
		}
	}
	return Part{}, ErrMalformed
}

// NewReader reads parts that are divided by the boundary. A strict one takes no more beside the parts than BITS does.
func NewReader(body io.Reader, boundary string, strict bool) *Reader {
	return &Reader{r: bufio.NewReader(body), delimiter: "--" + boundary, strict: strict}
}

// delimit passes what is left of the part before, and the delimiter after it.
func (b *Reader) delimit() error {
	most := maxLines
	if b.strict {
		most = strictLines
	}
	if b.body != nil {
		if _, err := io.Copy(io.Discard, b.body); err != nil {
			return err
		}
		if line, err := b.line(); err != nil {
			return err
		} else if line != "" {
			return ErrMalformed
		}
		most = 0
	}
	for n := 0; ; n++ {
		line, err := b.line()
		if err != nil {
			return err
		}
		switch strings.TrimRight(line, " \t") {
		case b.delimiter:
			return nil
		case b.delimiter + "--":
			return io.EOF
		}
		if n >= most || b.strict && line != "" {
			return ErrMalformed
		}
	}
}

// line reads a line without its end; one that is long is malformed, and so is the end of the body, but the last delimiter needs no end.
func (b *Reader) line() (string, error) {
	line, err := b.r.ReadSlice('\n')
	if err == io.EOF && len(line) == 0 || err == bufio.ErrBufferFull {
		return "", ErrMalformed
	} else if err != nil && err != io.EOF {
		return "", err
	}
	return strings.TrimSuffix(strings.TrimSuffix(string(line), "\n"), "\r"), nil
}
