package bits

import (
	"slices"
)

// Range is a half-open stretch of bytes: Start is in it, End is not.
type Range struct {
	Start int64 `json:"start"`
	End   int64 `json:"end"`
}

// Ranges is a set of bytes: sorted stretches that neither touch nor overlap.
type Ranges []Range

// Len is the number of bytes in the set.
func (r Ranges) Len() (n int64) {
	for _, s := range r {
		n += s.End - s.Start
	}
	return n
}

// Add returns the set with the stretch in it.
// An empty or negative stretch changes nothing.
func (r Ranges) Add(s Range) Ranges {
	if s.End <= s.Start || s.Start < 0 {
		return r
	}
	all := append(slices.Clone(r), s)
	slices.SortFunc(all, func(a, b Range) int { return int(min(1, max(-1, a.Start-b.Start))) })
	out := all[:1]
	for _, next := range all[1:] {
		if last := &out[len(out)-1]; next.Start <= last.End {
			last.End = max(last.End, next.End)
		} else {
			out = append(out, next)
		}
	}
	return out
}

// Gaps returns the stretches of within that are not in the set, in order.
func (r Ranges) Gaps(within Range) (gaps []Range) {
	at := within.Start
	for _, s := range r {
		if s.Start >= within.End {
			break
		}
		if s.Start > at {
			gaps = append(gaps, Range{at, s.Start})
		}
		at = max(at, s.End)
	}
	if at < within.End {
		gaps = append(gaps, Range{at, within.End})
	}
	return gaps
}

// And returns what two stretches have in common; it is empty if its End is not beyond its Start.
func (r Range) And(o Range) Range { return Range{max(r.Start, o.Start), min(r.End, o.End)} }
