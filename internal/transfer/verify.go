package transfer

import (
	"errors"
	"maps"
	"slices"

	"bits"
	"bits/hresult"
	"bits/internal/content"
	"bits/internal/digest"
	"bits/internal/layout"
	"bits/internal/tempfile"
)

// errPiece is the cause of the error of a bad piece, which can be fetched again alone.
var errPiece = errors.New("a piece is bad")

// digests begins the digests that are to be computed, or goes on with those that are recorded. What cannot be gone on with is read.
func (d *download) digests() error {
	certain := layout.Prefix(d.file.Done)
	d.sum = digest.Run(d.named(), d.file.Hashing, certain)
	return d.catchUp(certain)
}

func (d *download) named() []string {
	return slices.Concat(slices.Collect(maps.Keys(d.file.Digests)), slices.Collect(maps.Keys(d.file.Told.Digests)), slices.Collect(maps.Keys(d.promised())))
}

// promised are the digests that the server tells of the file. What is put together of ranges has none; nobody knows what they are of if
// the job has a method of its own.
func (d *download) promised() map[string]string {
	if d.file.Validator == nil || d.own || !layout.Whole(d.file.Ranges, d.total()) {
		return nil
	}
	return d.file.Validator.Digests
}

func (d *download) catchUp(to int64) error {
	if d.temp == nil {
		return nil
	}
	if err := d.sum.Read(d.temp, to, func() error { return d.ctx.Err() }); err != nil {
		return tempfile.Error(err, "read", d.file.Temporary)
	}
	return nil
}

// unexpected is the error of a remote file that is not as large as its owner knows; nil if it is, or nobody knows.
func (d *download) unexpected(size int64) error {
	if why := content.Unexpected(&d.file, size); why != "" {
		return d.fault(hresult.BG_E_VALIDATION_FAILED, "%s", why)
	}
	return nil
}

// verify compares the digests of a file that is there, and says what to do if it is not what it should be; nil: it is.
func (d *download) verify() (step, error) {
	size := *d.file.Size
	if err := d.checkPieces(bits.Range{Start: size - 1, End: size}); err != nil { // where the last one ends may not have been known
		return nil, err
	}
	if !d.sum.Has(d.named()) { // another source has told one more
		d.sum = digest.Run(d.named(), d.sum.State(), size)
	}
	if err := d.catchUp(size); err != nil {
		return nil, err
	}
	got := d.sum.Sums(size)
	err := d.unexpected(size)
	for _, want := range []map[string]string{d.promised(), d.file.Told.Digests, d.file.Digests} {
		if differ := content.Compare(want, got); len(differ) > 0 {
			name := differ[0]
			err = d.fault(hresult.BG_E_VALIDATION_FAILED, "its %s is %s, and should be %s", name, got[name], want[name])
		}
	}
	if err == nil {
		return nil, nil
	}
	if perr := d.checkPieces(bits.Range{End: size}); perr != nil { // bytes that went bad on the disk since
		return nil, perr
	}
	return d.reject(err)
}

// reject throws away a file that is not what it should be. If several answers have had a part in it, nobody knows which is to blame, and
// they may be of two versions: it comes once more, from the last source alone. Else that is dropped, and it comes from the next one.
func (d *download) reject(fault error) (step, error) {
	next, again := d.file.Source, !d.job.OnDemand && content.Afresh(&d.file)
	d.log(again, "starts over: the file came in several answers, and is not what it should be")
	if !again {
		content.Drop(&d.file)
		next, again = d.sources.Next(&d.file)
	}
	if err := d.discard(); err != nil {
		return nil, err
	}
	if d.restarts++; again && d.restarts <= maxRestarts {
		d.file.Source = next
		return d.start, nil
	}
	e := *bits.AsError(d.sources.Outcome(&d.file, fault))
	if len(content.Mirrors(&d.file)) == 0 {
		e.Hint = "the server has something else than you expect, or what you expect is wrong; nothing of it is kept"
	}
	d.rejected = true
	return nil, &e
}

// discard forgets the file, and then removes it; that it was the job's own is forgotten last, so that nothing bad stays under its name.
func (d *download) discard() error {
	d.drop()
	d.file.Reset()
	d.sum.Rewind(0)
	if err := d.report.Contact(d.file, false); err != nil {
		return err
	}
	var err error
	if d.temp != nil {
		err = d.temp.Close()
		d.temp = nil
	}
	made := d.file.Made
	if made || !d.job.HighPerformance {
		err = errors.Join(err, tempfile.Remove(d.file.Temporary))
	}
	if err != nil || !made {
		return err
	}
	d.file.Made = false
	return d.report.Contact(d.file, false)
}

// checkPieces looks at the pieces of which a stretch has brought something, if they are there. The bad ones are taken out of what is there.
func (d *download) checkPieces(r bits.Range) (fault error) {
	for {
		bad, err := digest.BadPiece(&d.file, r, d.temp)
		if err != nil {
			return tempfile.Error(err, "read", d.file.Temporary)
		} else if bad == nil {
			return fault
		}
		var rest bits.Ranges
		for _, s := range d.file.Done {
			rest = rest.Add(s.And(bits.Range{End: bad.Start})).Add(s.And(bits.Range{Start: bad.End, End: endless}))
		}
		d.file.Done = rest
		d.sum.Rewind(bad.Start)
		e := d.fault(hresult.BG_E_VALIDATION_FAILED, "the %s of the bytes from %d to %d is %s, and should be %s", d.file.Pieces.Algorithm, bad.Start, bad.End-1, bad.Got, bad.Want)
		e.Err, e.Hint = errPiece, "what is good of the file is kept, and only the rest is fetched when the job goes on"
		fault = e
	}
}
