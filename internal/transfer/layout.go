package transfer

import (
	"slices"

	"bits/internal/byterange"

	"bits"
)

// maxRanges is how many stretches are asked for in one request.
const maxRanges = 64

// endless is the end of what has no known end.
const endless = byterange.Endless

// segment says which stretch of the remote file becomes which stretch of the local one.
type segment struct{ local, remote, length int64 }

func (s segment) here() bits.Range { return bits.Range{Start: s.local, End: s.local + s.length} }

// there returns where a stretch of the local file, within the segment, is in the remote one.
func (s segment) there(r bits.Range) bits.Range {
	by := s.remote - s.local
	return bits.Range{Start: r.Start + by, End: r.End + by}
}

// layout is where the bytes of the remote file go.
// An ordinary file is one segment; of a file with ranges they stand one after another, in the order given.
type layout []segment

// layoutOf returns the layout for a remote file of a size, which may be endless; not ok: a range lies outside of the file.
// No sum overflows: ranges do not overlap.
func layoutOf(ranges []bits.FileRange, total int64) (l layout, ok bool) {
	if ranges == nil {
		return layout{{length: total}}, true
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
			l = append(l, segment{at, r.Offset, n})
		}
		at += n
	}
	return l, true
}

// size is the size of the local file; -1 if it hangs on the unknown size of the remote one.
func (l layout) size() int64 {
	if slices.ContainsFunc(l, func(s segment) bool { return s.remote+s.length == endless }) {
		return -1
	}
	return l[len(l)-1].here().End
}

// settled reports whether every byte of the remote file has its place, though the size of that may be unknown.
func (l layout) settled() bool {
	return !slices.ContainsFunc(l[:len(l)-1], func(s segment) bool { return s.remote+s.length == endless })
}

// remote returns where stretches of the local file are in the remote one: the first ones, at most n, sorted and merged.
func (l layout) remote(local []bits.Range, n int) bits.Ranges {
	var found bits.Ranges
	for _, r := range local {
		for _, s := range l {
			if cut := r.And(s.here()); cut.End > cut.Start {
				found, n = found.Add(s.there(cut)), n-1
			}
			if n == 0 {
				return found
			}
		}
	}
	return found
}

// local returns the segments of a stretch of the remote file.
func (l layout) local(remote bits.Range) (found layout) {
	for _, s := range l {
		whole := bits.Range{Start: s.remote, End: s.remote + s.length}
		if cut := whole.And(remote); cut.End > cut.Start {
			found = append(found, segment{s.local + cut.Start - s.remote, cut.Start, cut.End - cut.Start})
		}
	}
	return found
}

// missing returns what is missing of a stretch of the local file; in on-demand mode only what was requested.
func missing(f *bits.File, onDemand bool, within bits.Range) (gaps []bits.Range) {
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

// wanted returns what is to come next of a file whose size may be endless: what was requested, then what is missing from the position on,
// then the rest. In on-demand mode nothing else than what was requested. It is empty when there is nothing to do.
func wanted(f *bits.File, onDemand bool, size int64) (next []bits.Range) {
	if next = missing(f, true, bits.Range{End: size}); len(next) > 0 || onDemand {
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
	return !f.Finished && (!onDemand || len(missing(f, true, bits.Range{End: endless})) > 0)
}
