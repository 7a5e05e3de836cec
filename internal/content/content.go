// Package content holds what is known beforehand of the content of files: digests, as people, lists and servers write them, pieces, and
// the sources that have the same.
package content

import (
	"fmt"
	"net/http"
	"net/url"
	"slices"
	"strings"

	"bits"
	"bits/hresult"
	"bits/internal/remotename"
)

// What can be said of the content of one file.
const (
	maxMirrors  = 100
	maxPieces   = 1 << 16
	minPiece    = 1 << 10
	maxPiece    = 1 << 30
	maxExpected = 1 << 60
)

// Of accepts what is known beforehand of the content of a file, and returns it in its one form.
func Of(kind bits.JobType, f bits.FileSpec) (bits.FileSpec, error) {
	if f.Digests == nil && f.Pieces == nil && f.Mirrors == nil && f.Expected == nil && !f.MirrorsFromServer {
		return f, nil
	}
	pieces := f.Pieces
	given, err := checkDigests(f.Digests)
	f.Digests, f.Mirrors = given, slices.Clone(f.Mirrors)
	for _, rule := range []struct {
		broken bool
		what   string
	}{
		{kind != bits.Download, fmt.Sprintf("the type of the job is %s", kind)},
		{f.Ranges != nil, "they are of the whole file, and it is added with ranges"},
		{err != nil, fmt.Sprint(err)},
		{f.Expected != nil && (*f.Expected < 0 || *f.Expected > maxExpected), "expected_size is no number of bytes"},
		{len(f.Mirrors) > maxMirrors, fmt.Sprintf("there are more than %d mirrors", maxMirrors)},
		{pieces != nil && (pieces.Length < minPiece || pieces.Length > maxPiece), fmt.Sprintf("the length of pieces is %d to %d bytes", minPiece, maxPiece)},
		{pieces != nil && (len(pieces.Hashes) == 0 || len(pieces.Hashes) > maxPieces), fmt.Sprintf("there are 1 to %d pieces", maxPieces)},
		{pieces != nil && f.Expected != nil && int64(len(pieces.Hashes)) != (*f.Expected+pieces.Length-1)/max(pieces.Length, 1), "the pieces do not have its expected_size"},
	} {
		if rule.broken {
			return f, bits.Errorf(hresult.E_INVALIDARG, "cannot add %s with what is said of its content: %s", f.RemoteName, rule.what)
		}
	}
	if pieces != nil {
		one := &bits.Pieces{Length: pieces.Length, Hashes: slices.Clone(pieces.Hashes)}
		for i, h := range one.Hashes {
			if one.Algorithm, one.Hashes[i], err = Check(pieces.Algorithm, h); err != nil {
				return f, bits.Errorf(hresult.E_INVALIDARG, "cannot add %s with its pieces: the one at %d: %w", f.RemoteName, i, err)
			}
		}
		f.Pieces = one
	}
	seen := map[string]bool{f.RemoteName: true}
	for _, m := range f.Mirrors {
		if err := remotename.Check(m); err != nil {
			return f, bits.Errorf(hresult.E_INVALIDARG, "cannot add %s with its mirrors: %w", f.RemoteName, err)
		}
		switch {
		case seen[m]:
			return f, bits.Errorf(hresult.E_INVALIDARG, "cannot add %s with its mirrors: %s is there twice", f.RemoteName, m)
		case HTTPS(f.RemoteName) && !HTTPS(m) && !Strong(f.Digests):
			return f, bits.Errorf(hresult.E_INVALIDARG, "cannot add %s with its mirrors: %s is not https, and without a strong digest of the file nobody could tell what comes from there", f.RemoteName, m).
				WithHint("give a sha256, or an https mirror")
		}
		seen[m] = true
	}
	return f, nil
}

// HTTPS reports whether a URL is one of https.
func HTTPS(name string) bool {
	u, err := url.Parse(name)
	return err == nil && strings.EqualFold(u.Scheme, "https")
}

// checkDigests brings digests into their one form.
func checkDigests(given map[string]string) (map[string]string, error) {
	var all map[string]string
	for name, value := range given {
		name, value, err := Check(name, value)
		if err != nil {
			return nil, err
		}
		if all[name] != "" && all[name] != value {
			return nil, fmt.Errorf("there are two of %s that differ", name)
		}
		if all == nil {
			all = map[string]string{}
		}
		all[name] = value
	}
	return all, nil
}

// Unexpected says why a remote file of a size cannot be the one that its owner means; empty if it can, or nobody knows.
func Unexpected(f *bits.File, size int64) string {
	switch p := f.Pieces; {
	case size < 0:
	case f.Expected != nil && size != *f.Expected:
		return fmt.Sprintf("it has %d bytes, and is to have %d", size, *f.Expected)
	case p != nil && (size+p.Length-1)/p.Length != int64(len(p.Hashes)):
		return fmt.Sprintf("it has %d bytes, and is to have %d pieces of %d", size, len(p.Hashes), p.Length)
	}
	return ""
}

// Cut reports whether an answer without a length, of which n bytes came, ended too early: the end of its connection was its only end, and
// more is expected.
func Cut(f *bits.File, a *http.Response, n int64) bool {
	return a.ProtoMajor == 1 && len(a.TransferEncoding) == 0 && f.Expected != nil && n < *f.Expected
}
