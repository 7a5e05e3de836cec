// Package validator tells versions of a remote file apart by what its server says of them (RFC 9110, section 8.8, and RFC 9530).
package validator

import (
	"fmt"
	"mime"
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
// A digest of the whole is, whatever else changes.
func Of(a *http.Response, size int64) *bits.Validator {
	v := &bits.Validator{Size: size, Modified: a.Header.Get("Last-Modified"), URL: Place(a), Encoding: encoding(a), Digests: Digests(a)}
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

// Place is where an answer came from, without what must not be shown.
func Place(a *http.Response) string {
	if a.Request == nil || a.Request.URL == nil {
		return ""
	}
	u := *a.Request.URL
	u.User, u.RawQuery, u.ForceQuery, u.Fragment, u.RawFragment = nil, "", false, "", ""
	return u.String()
}

// encoding is the Content-Encoding; "" for identity.
func encoding(a *http.Response) string {
	e := strings.ToLower(strings.Join(a.Header.Values("Content-Encoding"), ", "))
	if e == "identity" {
		return ""
	}
	return e
}

// Proof reports whether a later answer can be told from one of another version.
func Proof(v *bits.Validator) bool {
	return v != nil && (v.ETag != "" || v.LastModified != "" || len(v.Digests) > 0)
}

// Condition is what If-Range asks with; "" if there is nothing that it could be.
func Condition(v *bits.Validator) string {
	if v.ETag != "" {
		return v.ETag
	}
	return v.LastModified
}

// Same reports whether an answer, whole or part, is of the version that was begun: everything that was recorded must agree, but a digest
// that agrees is enough.
// A server leaves the date, the encoding and the digests out of an answer to If-Range with an ETag (RFC 9110, section 15.3.7).
// Where the answer comes from is not asked: redirects lead to another mirror, or to a new signature, and the same version is there too.
func Same(v *bits.Validator, a *http.Response, total int64) bool {
	if total < 0 || v.Size >= 0 && total != v.Size || a.Header.Get("Content-Encoding") != "" && encoding(a) != v.Encoding {
		return false
	}
	agreed, differ := false, false
	for name, sum := range Digests(a) {
		if begun := v.Digests[name]; begun != "" {
			agreed, differ = agreed || begun == sum, differ || begun != sum
		}
	}
	if agreed || differ {
		return !differ
	}
	modified := a.Header.Get("Last-Modified")
	return (v.ETag == "" || a.Header.Get("ETag") == v.ETag) &&
		(v.Modified == "" || modified == v.Modified || modified == "" && v.ETag != "") &&
		(v.ETag != "" || v.LastModified != "" || len(v.Digests) == 0) // those that were proof alone must be told again
}

// SameElsewhere reports whether what another URL gives is what was begun: by a digest, else by size and by a date that is proof on both
// sides.
// The ETag of another URL proves nothing, but where both have one, a difference is taken for one of the content.
func SameElsewhere(begun, now *bits.Validator) bool {
	if begun.Size < 0 || begun.Size != now.Size || begun.Encoding != now.Encoding {
		return false
	}
	agreed := false
	for name, sum := range now.Digests {
		switch begun.Digests[name] {
		case sum:
			agreed = true
		case "":
		default:
			return false
		}
	}
	return agreed || begun.LastModified != "" && begun.LastModified == now.LastModified &&
		(begun.ETag == "" || now.ETag == "" || begun.ETag == now.ETag)
}

// Elsewhere reports whether a version can be found again under another URL.
func Elsewhere(v *bits.Validator) bool { return v.LastModified != "" || len(v.Digests) > 0 }

// Complete reports whether an answer of 416 says that nothing is missing: the whole, of the version that was begun, ends where we are.
func Complete(v *bits.Validator, a *http.Response, done bits.Ranges, total int64) bool {
	etag, modified := a.Header.Get("ETag"), a.Header.Get("Last-Modified")
	return Proof(v) && (v.Size < 0 || v.Size == total) && (etag == "" || v.ETag == "" || etag == v.ETag) &&
		(modified == "" || v.Modified == "" || modified == v.Modified) && len(done) == 1 && done[0] == bits.Range{End: total}
}

// Portal reports whether a whole answer looks like the page of a network that wants a login, not like a new version of the file: a page
// without anything that proves a version, where there was proof before.
func Portal(v *bits.Validator, a *http.Response) bool {
	kind, _, _ := mime.ParseMediaType(a.Header.Get("Content-Type"))
	return Proof(v) && (kind == "text/html" || kind == "application/xhtml+xml") && !Proof(Of(a, a.ContentLength))
}
