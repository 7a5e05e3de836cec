// Package validator tells versions of a remote file apart by what its server says of them (RFC 9110, section 8.8).
package validator

import (
	"fmt"
	"net/http"
	"strings"
	"time"

	"bits"
)

// Of writes down what proves that a later answer is of the same version.
//
// A strong ETag is proof.
// A Last-Modified with the size is, if the file had rested for a second when the server answered (RFC 9110, section 8.8.2.2):
// a file that changes twice in a second keeps its date.
// The same holds for an ETag that is made of nothing but date and size, as nginx makes them.
func Of(a *http.Response, size int64) *bits.Validator {
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

// Proof reports whether a later answer can be told from one of another version.
func Proof(v *bits.Validator) bool { return v != nil && (v.ETag != "" || v.LastModified != "") }

// Same reports whether a partial answer is of the version that was begun: everything that was recorded must agree.
// A server leaves the date out of an answer to If-Range with an ETag (RFC 9110, section 15.3.7).
func Same(v *bits.Validator, a *http.Response, total int64) bool {
	modified := a.Header.Get("Last-Modified")
	return total == v.Size &&
		(v.ETag == "" || a.Header.Get("ETag") == v.ETag) &&
		(v.Modified == "" || modified == v.Modified || modified == "" && v.ETag != "")
}

// SameElsewhere reports whether what another URL gives is what was begun: by size and by a date that is proof on both sides.
// The ETag of another URL proves nothing, but where both have one, a difference is taken for one of the content.
func SameElsewhere(begun, now *bits.Validator) bool {
	return begun.Size >= 0 && begun.Size == now.Size && begun.LastModified != "" && begun.LastModified == now.LastModified &&
		(begun.ETag == "" || now.ETag == "" || begun.ETag == now.ETag)
}
