package transfer

import (
	"fmt"
	"maps"
	"net/http"
	"slices"
	"strconv"
	"strings"
	"time"

	"bits"
)

// validatorOf writes down what proves that a later answer is of the same version.
//
// A strong ETag is proof.
// A Last-Modified with the size is, if the file had rested for a second when the server answered (RFC 9110, section 8.8.2.2):
// a file that changes twice in a second keeps its date.
// The same holds for an ETag that is made of nothing but date and size, as nginx makes them.
func validatorOf(a *http.Response, size int64) *bits.Validator {
	v := &bits.Validator{Size: size, Modified: a.Header.Get("Last-Modified")}
	modified, err := http.ParseTime(v.Modified)
	rested := false
	if date, derr := http.ParseTime(a.Header.Get("Date")); err == nil && derr == nil {
		rested = date.Sub(modified) >= time.Second
	}
	if rested {
		v.LastModified = v.Modified
	}
	etag := a.Header.Get("ETag")
	strong := strings.HasPrefix(etag, `"`) && len(etag) > 2
	if derived := err == nil && etag == fmt.Sprintf(`"%x-%x"`, modified.Unix(), size); strong && (rested || !derived) {
		v.ETag = etag
	}
	return v
}

// provable reports whether a later answer can be told from one of another version.
func provable(v *bits.Validator) bool { return v != nil && (v.ETag != "" || v.LastModified != "") }

// same reports whether a partial answer is of the version that was begun: everything that was recorded must agree.
// A server leaves the date out of an answer to If-Range with an ETag (RFC 9110, section 15.3.7).
func same(v *bits.Validator, a *http.Response, total int64) bool {
	modified := a.Header.Get("Last-Modified")
	return total == v.Size &&
		(v.ETag == "" || a.Header.Get("ETag") == v.ETag) &&
		(v.Modified == "" || modified == v.Modified || modified == "" && v.ETag != "")
}

// sameElsewhere reports whether what another URL gives is what was begun: by size and by a date that is proof on both sides.
// The ETag of another URL proves nothing, but where both have one, a difference is taken for one of the content.
func sameElsewhere(begun, now *bits.Validator) bool {
	return begun.Size >= 0 && begun.Size == now.Size && begun.LastModified != "" && begun.LastModified == now.LastModified &&
		(begun.ETag == "" || now.ETag == "" || begun.ETag == now.ETag)
}

// maxHeaders is how much is kept of the headers of an answer.
const maxHeaders = 64 << 10

// headersOf writes an answer's status line and headers, sorted by name, each line ended by CRLF; whole lines only.
func headersOf(a *http.Response) string {
	text := strings.Builder{}
	fmt.Fprintf(&text, "%s %s\r\n", a.Proto, a.Status)
	for _, name := range slices.Sorted(maps.Keys(a.Header)) {
		for _, value := range a.Header[name] {
			if text.Len()+len(name)+len(value)+4 <= maxHeaders {
				fmt.Fprintf(&text, "%s: %s\r\n", name, value)
			}
		}
	}
	return text.String()
}

// contentRange reads "bytes 0-99/1000", "bytes 0-99/*" and "bytes */1000" (RFC 9110, section 14.4).
// end is one past the last byte; what is not told is -1.
func contentRange(s string) (start, end, total int64, ok bool) {
	unit, rest, _ := strings.Cut(strings.TrimSpace(s), " ")
	span, size, cut := strings.Cut(strings.TrimSpace(rest), "/")
	if !strings.EqualFold(unit, "bytes") || !cut {
		return 0, 0, 0, false
	}
	start, end, total = -1, -1, -1
	if size != "*" {
		if total, ok = number(size); !ok {
			return 0, 0, 0, false
		}
	}
	if span == "*" {
		return start, end, total, total >= 0
	}
	first, last, _ := strings.Cut(span, "-")
	start, ok = number(first)
	end, ok2 := number(last)
	end++
	if !ok || !ok2 || end <= start || end <= 0 || total >= 0 && end > total {
		return 0, 0, 0, false
	}
	return start, end, total, true
}

// number reads decimal digits and nothing else.
func number(s string) (int64, bool) {
	if s == "" || strings.Trim(s, "0123456789") != "" {
		return 0, false
	}
	n, err := strconv.ParseInt(s, 10, 64)
	return n, err == nil
}
