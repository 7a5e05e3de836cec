package layout

import (
	"testing"

	"bits/internal/byterange"

	"bits"
)

// model is a file of which the test knows each byte.
type model struct {
	ranges []bits.FileRange
	total  int64
}

// FuzzLayout holds the layout against the definition: the bytes of the ranges, one after another.
func FuzzLayout(f *testing.F) {
	f.Add([]byte{10, 3, 30, 2, 20, 4}, byte(36), byte(5), byte(9))
	f.Fuzz(func(t *testing.T, b []byte, total, from, n byte) {
		m := model{total: int64(total)}
		taken := [512]bool{}
		for ; len(b) >= 2; b = b[2:] {
			r := bits.FileRange{Offset: int64(b[0]), Length: int64(b[1] % 16)}
			free := r.Length > 0
			for i := r.Offset; i < r.Offset+r.Length; i++ {
				free = free && !taken[i]
			}
			if !free {
				continue
			}
			for i := r.Offset; i < r.Offset+r.Length; i++ {
				taken[i] = true
			}
			m.ranges = append(m.ranges, r)
		}
		if m.ranges == nil {
			t.Skip("no range is left")
		}
		var bytes []int64 // of the remote file, as they stand in the local one
		inside := true
		for _, r := range m.ranges {
			inside = inside && r.Offset+r.Length <= m.total
			for i := range r.Length {
				bytes = append(bytes, r.Offset+i)
			}
		}
		l, ok := Of(m.ranges, m.total)
		if ok != inside {
			t.Fatalf("%+v: %v", m, ok)
		}
		if !ok {
			return
		}
		if l.Size() != int64(len(bytes)) {
			t.Fatalf("%+v: %d bytes", m, l.Size())
		}
		for _, s := range l.Local(bits.Range{Start: int64(from), End: int64(from) + int64(n)}) {
			for i := range s.length {
				if at := s.remote + i; at < int64(from) || at >= int64(from)+int64(n) || bytes[s.local+i] != at {
					t.Fatalf("%+v: %+v", m, s)
				}
			}
		}
		file := bits.File{Done: bits.Ranges(nil).Add(bits.Range{Start: int64(from), End: int64(from) + int64(n)})}
		asked := l.Remote(Wanted(&file, false, l.Size()), MaxRanges)
		for i, at := range bytes {
			if there := int64(i) >= int64(from) && int64(i) < int64(from)+int64(n); there == (len(asked.Gaps(bits.Range{Start: at, End: at + 1})) == 0) && len(m.ranges) <= MaxRanges/2 {
				t.Fatalf("%+v: byte %d is there: %v; asked for %v", m, at, there, asked)
			}
		}
	})
}

// What is wanted next.
func TestWanted(t *testing.T) {
	const size = 100
	done := bits.Ranges{{Start: 10, End: 20}}
	for _, c := range []struct {
		name     string
		file     bits.FileDetails
		onDemand bool
		size     int64
		want     string
	}{
		{"the rest", bits.FileDetails{}, false, size, "bytes=0-9,20-99"},
		{"without an end", bits.FileDetails{}, false, byterange.Endless, "bytes=0-9,20-"},
		{"requested", bits.FileDetails{Requested: bits.Ranges{{Start: 15, End: 25}, {Start: 50, End: 51}}}, false, size, "bytes=20-24,50-50"},
		{"requested, all there", bits.FileDetails{Requested: bits.Ranges{{Start: 15, End: 20}}}, false, size, "bytes=0-9,20-99"},
		{"position", bits.FileDetails{Position: 30}, false, size, "bytes=30-99"},
		{"position at the end", bits.FileDetails{Position: size}, false, size, "bytes=0-9,20-99"},
		{"position beyond", bits.FileDetails{Position: 2 * size}, false, size, "bytes=0-9,20-99"},
		{"requested before position", bits.FileDetails{Position: 30, Requested: bits.Ranges{{Start: 0, End: 1}}}, false, size, "bytes=0-0"},
		{"on demand", bits.FileDetails{Requested: bits.Ranges{{Start: 5, End: 12}}}, true, size, "bytes=5-9"},
		{"on demand, all there", bits.FileDetails{Position: 30, Requested: bits.Ranges{{Start: 10, End: 12}}}, true, size, "bytes="},
		{"on demand, nothing", bits.FileDetails{}, true, size, "bytes="},
	} {
		f := bits.File{Done: done, FileDetails: c.file}
		l, _ := Of(nil, c.size)
		if got := byterange.Header(l.Remote(Wanted(&f, c.onDemand, c.size), MaxRanges)); got != c.want {
			t.Errorf("%s: %s, want %s", c.name, got, c.want)
		}
		if got := Wants(&f, c.onDemand); got != (c.want != "bytes=") {
			t.Errorf("%s: Wants is %v", c.name, got)
		}
	}
}
