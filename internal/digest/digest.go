// Package digest computes the digests of a file while its bytes pass, and those of its pieces.
package digest

import (
	"crypto/md5"
	"crypto/sha1"
	"crypto/sha256"
	"crypto/sha512"
	"encoding/hex"
	"hash"
	"io"

	"lukechampine.com/blake3"

	"bits"
)

// hashes are the algorithms that internal/content has names for.
var hashes = map[string]func() hash.Hash{
	"sha512": sha512.New, "sha384": sha512.New384, "sha256": sha256.New, "sha224": sha256.New224, "sha1": sha1.New, "md5": md5.New,
	"blake3": func() hash.Hash { return blake3.New(32, nil) },
}

// Piece is a piece that is not what it should be.
type Piece struct {
	bits.Range
	Got, Want string
}

// BadPiece returns the first bad piece among those that lie in a stretch of a file, even in part, and are there as a whole; nil if there
// is none. The error is that of the reading.
func BadPiece(f *bits.File, within bits.Range, from io.ReaderAt) (*Piece, error) {
	p := f.Pieces
	if p == nil {
		return nil, nil
	}
	for i := max(within.Start, 0) / p.Length; i < int64(len(p.Hashes)) && i*p.Length < within.End; i++ {
		r := bits.Range{Start: i * p.Length, End: (i + 1) * p.Length}
		if f.Size != nil {
			r.End = min(r.End, *f.Size)
		}
		if r.End <= r.Start || len(f.Done.Gaps(r)) > 0 {
			continue
		}
		h := hashes[p.Algorithm]()
		if _, err := io.Copy(h, io.NewSectionReader(from, r.Start, r.End-r.Start)); err != nil {
			return nil, err
		}
		if got := hex.EncodeToString(h.Sum(nil)); got != p.Hashes[i] {
			return &Piece{r, got, p.Hashes[i]}, nil
		}
	}
	return nil, nil
}
