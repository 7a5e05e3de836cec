// Package layout says where the bytes of a remote file go in the local one, which of them are to come next, and how many there may be.
package layout

import (
	"slices"

	"bits/internal/byterange"

	"bits"
)

// MaxRanges is how many stretches are asked for in one request.
const MaxRanges = 64

// Segment says which stretch of the remote file becomes which stretch of the local one.
type Segment struct{ local, remote, length int64 }

// Here is where it is in the local file.
func (s Segment) Here() bits.Range { return bits.Range{Start: s.local, End: s.local + s.length} }

// There returns where a stretch of the local file, within the segment, is in the remote one.
func (s Segment) There(r bits.Range) bits.Range {
	by := s.remote - s.local
	return bits.Range{Start: r.Start + by, End: r.End + by}
}

// Layout is where the bytes of the remote file go.
// An ordinary file is one segment; of a file with ranges they stand one after another, in the order given.
type Layout []Segment

// Of returns the layout for a remote file of a size, which may be byterange.Endless; not ok: a range lies outside of the file.
// No sum overflows: ranges do not overlap.
func Of(ranges []bits.FileRange, total int64) (l Layout, ok bool) {
	if ranges == nil {
		return Layout{{length: total}}, true
	}
	at := int64(0)
	for _, r := range ranges {
		n := r.Length
		if n == bits.ToEOF {
			n = total - r.Offset
		}
		if n <= 0 || r.Offset > total-n {
			return nil, false
		}
		if last := len(l) - 1; last >= 0 && l[last].remote+l[last].length == r.Offset {
			l[last].length += n
		} else {
			l = append(l, Segment{at, r.Offset, n})
		}
		at += n
	}
	return l, true
}

// Whole reports whether the local file is the remote one, byte by byte.
func Whole(ranges []bits.FileRange, total int64) bool {
	l, ok := Of(ranges, total)
	return ok && len(l) == 1 && l[0] == Segment{length: total}
}

// Size is the size of the local file; -1 if it hangs on the unknown size of the remote one.
func (l Layout) Size() int64 {
	if slices.ContainsFunc(l, func(s Segment) bool { return s.remote+s.length == byterange.Endless }) {
		return -1
	}
	return l[len(l)-1].Here().End
}

// Settled reports whether every byte of the remote file has its place, though the size of that may be unknown.
func (l Layout) Settled() bool {
	return !slices.ContainsFunc(l[:len(l)-1], func(s Segment) bool { return s.remote+s.length == byterange.Endless })
}

// Remote returns where stretches of the local file are in the remote one: the first ones, at most n, sorted and merged.
func (l Layout) Remote(local []bits.Range, n int) bits.Ranges {
	var found bits.Ranges
	for _, r := range local {
		for _, s := range l {
			if cut := r.And(s.Here()); cut.End > cut.Start {
				found, n = found.Add(s.There(cut)), n-1
			}
			if n == 0 {
				return found
			}
		}
	}
	return found
}

// Local returns the segments of a stretch of the remote file.
func (l Layout) Local(remote bits.Range) (found Layout) {
	for _, s := range l {
		whole := bits.Range{Start: s.remote, End: s.remote + s.length}
		if cut := whole.And(remote); cut.End > cut.Start {
			found = append(found, Segment{s.local + cut.Start - s.remote, cut.Start, cut.End - cut.Start})
		}
	}
	return found
}

// Missing returns what is missing of a stretch of the local file; in on-demand mode only what was requested.
func Missing(f *bits.File, onDemand bool, within bits.Range) (gaps []bits.Range) {
	if !onDemand {
		return f.Done.Gaps(within)
	}
	for _, r := range f.Requested {
		if cut := r.And(within); cut.End > cut.Start {
			gaps = append(gaps, f.Done.Gaps(cut)...)
		}
	}
	return gaps
}

// Wanted returns what is to come next of a file whose size may be byterange.Endless: what was requested, then what is missing from the position on,
// then the rest. In on-demand mode nothing else than what was requested. It is empty when there is nothing to do.
func Wanted(f *bits.File, onDemand bool, size int64) (next []bits.Range) {
	if next = Missing(f, true, bits.Range{End: size}); len(next) > 0 || onDemand {
		return next
	}
	from := min(f.Position, size)
	if next = f.Done.Gaps(bits.Range{Start: from, End: size}); len(next) > 0 {
		return next
	}
	return f.Done.Gaps(bits.Range{End: from})
}

// Wants reports whether there is something to fetch of a file.
func Wants(f *bits.File, onDemand bool) bool {
	return !f.Finished && (!onDemand || len(Missing(f, true, bits.Range{End: byterange.Endless})) > 0)
}

// Budget is what max_download_size leaves for a file beside the others.
func Budget(job *bits.Job, file int) int64 {
	if job.MaxDownloadSize == nil {
		return byterange.Endless
	}
	left := *job.MaxDownloadSize
	for i := range job.Files {
		if f := &job.Files[i]; f.Number != file && f.Size != nil && !job.OnDemand {
			left -= *f.Size
		} else if f.Number != file {
			left -= f.Done.Len()
		}
	}
	return left
}

// Clip takes what lies outside of a file of so many bytes out of what was requested, and reports whether there was something.
func Clip(f *bits.File, total int64) (outside bool) {
	var within bits.Ranges
	for _, r := range f.Requested {
		outside = outside || total != byterange.Endless && (r.Start > total || r.End > total && r.End != byterange.Endless) // that one means: to the end
		within = within.Add(r.And(bits.Range{End: total}))
	}
	f.Requested = within
	return outside
}

// Prefix is how many bytes are there from the first on, without a gap.
func Prefix(done bits.Ranges) int64 {
	if len(done) == 0 || done[0].Start > 0 {
		return 0
	}
	return done[0].End
}
