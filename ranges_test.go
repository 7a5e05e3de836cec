package bits_test

import (
	"testing"

	"bits"
)

// FuzzRanges holds the ranges against a plain set of bytes.
func FuzzRanges(f *testing.F) {
	f.Add([]byte{0, 4, 8, 2, 3, 6})
	f.Fuzz(func(t *testing.T, b []byte) {
		var ranges bits.Ranges
		var set [300]bool
		for ; len(b) >= 2; b = b[2:] {
			r := bits.Range{Start: int64(b[0]), End: int64(b[0]) + int64(b[1]%32)}
			before := append(bits.Ranges(nil), ranges...)
			after := ranges.Add(r)
			for i := range before {
				if before[i] != ranges[i] {
					t.Fatal("Add changed what it was called on")
				}
			}
			ranges = after
			for i := r.Start; i < r.End; i++ {
				set[i] = true
			}
		}
		n := int64(0)
		for i := range set {
			if set[i] {
				n++
			}
		}
		if ranges.Len() != n {
			t.Fatalf("%v has %d bytes, want %d", ranges, ranges.Len(), n)
		}
		for i := range ranges {
			if ranges[i].Start >= ranges[i].End || i > 0 && ranges[i-1].End >= ranges[i].Start {
				t.Fatalf("%v is not in order", ranges)
			}
		}
		within := bits.Range{Start: 7, End: 290}
		for _, gap := range ranges.Gaps(within) {
			if gap.Start >= gap.End || gap.And(within) != gap {
				t.Fatalf("%v is no gap of %v in %v", gap, ranges, within)
			}
			for i := gap.Start; i < gap.End; i++ {
				if set[i] {
					t.Fatalf("%d is in %v, and in the gap %v", i, ranges, gap)
				}
				set[i] = true
			}
		}
		for i := within.Start; i < within.End; i++ {
			if !set[i] {
				t.Fatalf("%d is neither in %v nor in a gap", i, ranges)
			}
		}
	})
}
