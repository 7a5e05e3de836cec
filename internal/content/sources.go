package content

import (
	"cmp"
	"maps"
	"slices"

	"bits"
	"bits/hresult"
)

// A source is dropped for the second bad piece in a run, if there were not so many good pieces between them, whoever gave those: what
// has damaged one may be over, and each is checked.
const forgiven = 16

// Sources that give less than a leap each before they fail are asked in turn so many times in a run, and then after the delay of the job.
const (
	leap     = 1 << 20
	maxSteps = 100
)

// Sources chooses in one run where a file comes from, by what has become of each. A source is a mirror, or the remote name, which is empty.
type Sources struct {
	faults  map[string]*bits.Error
	strikes map[string]int64 // bytes that were there when one last gave a bad piece
	most    int64            // bytes that were there when a source failed
	steps   int              // how often there were few more than before
}

// From is the URL that a file comes from.
func From(f *bits.File) string { return cmp.Or(f.Source, f.RemoteName) }

// Given is the name of a file that its owner gave.
func Given(f *bits.File) string { return cmp.Or(f.Original, f.RemoteName) }

// Mirrors are those that the owner has given, and then those that the server has named.
func Mirrors(f *bits.File) []string { return slices.Concat(f.Mirrors, f.Told.Mirrors) }

// Vouched reports whether a digest of the whole is known, or digests of the pieces, whoever gives the bytes.
func Vouched(f *bits.File) bool { return len(f.Digests)+len(f.Told.Digests) > 0 || f.Pieces != nil }

// All are the sources that may be asked, in order.
func All(f *bits.File) []string {
	return slices.DeleteFunc(slices.Concat([]string{""}, Mirrors(f)), func(s string) bool { return slices.Contains(f.Dropped, cmp.Or(s, Given(f))) })
}

// Afresh reports whether the source in use is worth another beginning after the content came out wrong: it has not come in one answer, so
// that it may have been put together from two versions, and this is the first time.
func Afresh(f *bits.File) bool {
	name := cmp.Or(f.Source, Given(f))
	if !f.Blended || slices.Contains(f.Afresh, name) {
		return false
	}
	f.Afresh = append(slices.Clip(f.Afresh), name)
	return true
}

// Forgive gives all sources another chance, and reports whether one needed it.
func Forgive(f *bits.File) bool {
	needed := len(f.Dropped)+len(f.Afresh) > 0
	f.Dropped, f.Afresh = nil, nil
	return needed
}

// Drop takes the source in use out, until its owner resumes the job after an error.
func Drop(f *bits.File) { f.Dropped = append(slices.Clip(f.Dropped), cmp.Or(f.Source, Given(f))) }

// Start chooses the source at the beginning of a run: the one before, if there is something of it that another name has not replaced.
func Start(f *bits.File) {
	all := All(f)
	if len(all) == 0 {
		Forgive(f)
		all = []string{""}
	}
	if begun := len(f.Done) > 0; f.Renamed || !begun || !slices.Contains(all, f.Source) {
		f.Renamed = f.Renamed || begun
		f.Source = all[0]
	}
}

// Failed notes that the source in use has failed.
func (s *Sources) Failed(f *bits.File, e *bits.Error) {
	if s.faults == nil {
		s.faults, s.strikes = map[string]*bits.Error{}, map[string]int64{}
	}
	if n := f.Done.Len(); n > s.most {
		if n-s.most < leap {
			s.steps++
		}
		s.most = n
		if s.steps <= maxSteps { // who has failed may be better now, but for those that want to be left alone
			maps.DeleteFunc(s.faults, func(_ string, e *bits.Error) bool { return e.After == 0 })
		}
	}
	s.faults[f.Source] = e
}

// Next is the next source that has not failed.
func (s *Sources) Next(f *bits.File) (string, bool) {
	for _, name := range All(f) {
		if s.faults[name] == nil {
			return name, true
		}
	}
	return "", false
}

// BadPiece notes that the piece which the source in use gave is bad, and chooses the source to give it again: another, or this one once
// more if there is no other. A second one, soon after, is too much: then it is dropped.
func (s *Sources) BadPiece(f *bits.File, e *bits.Error) (string, bool) {
	s.Failed(f, e)
	last := f.Source
	for _, name := range All(f) {
		if name != last && s.faults[name] == nil {
			last = name
			break
		}
	}
	before, struck := s.strikes[f.Source]
	s.strikes[f.Source] = f.Done.Len()
	if !struck || f.Done.Len()-before >= forgiven*f.Pieces.Length {
		delete(s.faults, f.Source)
		return last, true
	} else if len(All(f)) > 1 {
		Drop(f)
	}
	return s.Next(f)
}

// Passing reports whether one of the faults may pass, so that its source may go on later.
func (s *Sources) Passing() bool {
	for _, e := range s.faults {
		if e.Code.Transient() {
			return true
		}
	}
	return false
}

// Outcome is the error of a file whose sources have all failed: one that may pass, else the last.
func (s *Sources) Outcome(f *bits.File, last error) error {
	if len(Mirrors(f)) == 0 {
		return last
	}
	e := *bits.AsError(last)
	for _, name := range All(f) {
		if fault := s.faults[name]; fault != nil && fault.Code.Transient() {
			e = *fault
			break
		}
	}
	return e.WithHint("none of its %d sources could give it, and this is what became of one", 1+len(Mirrors(f)))
}

// Else reports whether another source may do better than the one that has failed.
func Else(e *bits.Error) bool {
	return e.Code != hresult.BG_E_MAX_DOWNLOAD_SIZE_LIMIT_REACHED && (e.Context == bits.ContextRemoteFile || e.Context == bits.ContextGeneralTransport)
}
