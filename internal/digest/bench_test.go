package digest_test

import (
	"testing"

	"bits/client/bitstest"
	"bits/internal/content"
	"bits/internal/digest"
)

// BenchmarkPass is what each digest costs beside the copying.
func BenchmarkPass(b *testing.B) {
	data := bitstest.Content(1, 512<<10)
	for _, name := range content.Names() {
		b.Run(name, func(b *testing.B) {
			r, at := digest.Run([]string{name}, nil, 0), int64(0)
			b.SetBytes(int64(len(data)))
			for b.Loop() {
				r.Pass(data, at)
				at += int64(len(data))
			}
		})
	}
}
