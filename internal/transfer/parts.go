package transfer

import (
	"bufio"
	"errors"
	"io"
	"net/textproto"
	"strings"

	"bits"
)

// part is a stretch of the remote file that an answer holds; its End may be endless.
type part struct {
	bits.Range
	total int64
	body  io.Reader
}

const (
	maxRanges   = 64  // asked for in one request
	maxLines    = 32  // before the first part, and of the head of each
	strictLines = 2   // before the first part, as BITS allows
	strictHead  = 180 // bytes of other headers of a part, as BITS allows
)

// errMalformed is what an answer of several parts is that cannot be read.
var errMalformed = errors.New("the parts of the answer cannot be told from each other")

// byteRanges reads an answer of several parts (RFC 9110, section 14.6).
// A part ends where its Content-Range says, and nowhere else; the delimiter must follow there.
type byteRanges struct {
	r         *bufio.Reader
	delimiter string
	strict    bool
	body      *io.LimitedReader // of the part before; nil: there was none
}

// next returns the next part; io.EOF after the last.
func (b *byteRanges) next() (part, error) {
	if err := b.delimit(); err != nil {
		return part{}, err
	}
	span, others := "", 0
	for range maxLines {
		line, err := b.line()
		if err != nil {
			return part{}, err
		}
		if line == "" {
			start, end, total, ok := contentRange(span)
			if !ok || start < 0 || total < 0 || b.strict && others > strictHead {
				return part{}, errMalformed
			}
			b.body = &io.LimitedReader{R: b.r, N: end - start}
			return part{bits.Range{Start: start, End: end}, total, b.body}, nil
		}
		name, value, ok := strings.Cut(line, ":")
		switch name = textproto.CanonicalMIMEHeaderKey(name); {
		case !ok || name == "Content-Range" && span != "":
			return part{}, errMalformed
		case name == "Content-Range":
			span = value
		case name != "Content-Type":
			others += len(line)
		}
	}
	return part{}, errMalformed
}

// delimit passes what is left of the part before, and the delimiter after it.
func (b *byteRanges) delimit() error {
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
			return errMalformed
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
			return errMalformed
		}
	}
}

// line reads a line without its end; one that is long is malformed, and so is the end of the body, but the last delimiter needs no end.
func (b *byteRanges) line() (string, error) {
	line, err := b.r.ReadSlice('\n')
	if err == io.EOF && len(line) == 0 || err == bufio.ErrBufferFull {
		return "", errMalformed
	} else if err != nil && err != io.EOF {
		return "", err
	}
	return strings.TrimSuffix(strings.TrimSuffix(string(line), "\n"), "\r"), nil
}
