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

// PieceAt is where a piece lies in a file of a size that may be unknown.
func PieceAt(p *bits.Pieces, i int, size *int64) bits.Range {
	r := bits.Range{Start: int64(i) * p.Length, End: int64(i+1) * p.Length}
	if size != nil {
		r.End = min(r.End, *size)
	}
	return r
}

// OfPiece is the digest of a piece that is there.
func OfPiece(p *bits.Pieces, r bits.Range, from io.ReaderAt) (string, error) {
	h := hashes[p.Algorithm]()
	_, err := io.Copy(h, io.NewSectionReader(from, r.Start, r.End-r.Start))
	return hex.EncodeToString(h.Sum(nil)), err
}
