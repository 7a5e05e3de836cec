package transfer

import (
	"errors"
	"maps"
	"slices"

	"bits"
	"bits/hresult"
	"bits/internal/content"
	"bits/internal/digest"
	"bits/internal/tempfile"
)

// errPiece is the cause of the error of a bad piece, which can be fetched again alone.
var errPiece = errors.New("a piece is bad")

// digests begins the digests that are to be computed, or goes on with those that are recorded. What cannot be gone on with is read.
func (d *download) digests() error {
	certain := d.certain()
	d.sum = digest.Run(d.named(), d.file.Hashing, certain)
	return d.catchUp(certain)
}

// certain is how many bytes are there from the first on, without a gap.
func (d *download) certain() int64 {
	if len(d.file.Done) == 0 || d.file.Done[0].Start > 0 {
		return 0
	}
	return d.file.Done[0].End
}

func (d *download) named() []string {
	return slices.Concat(slices.Collect(maps.Keys(d.file.Digests)), slices.Collect(maps.Keys(d.promised())))
}

// promised are the digests that the server tells of the file.
func (d *download) promised() map[string]string {
	if d.file.Validator == nil || d.file.Ranges != nil || d.job.OnDemand || d.own {
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
	least, most := int64(0), int64(endless)
	if p := d.file.Pieces; p != nil {
		most = p.Length * int64(len(p.Hashes))
		least = most - p.Length + 1
	}
	if e := d.file.Expected; e != nil {
		least, most = *e, *e
	}
	if size < 0 || size >= least && size <= most {
		return nil
	}
	return d.fault(hresult.BG_E_VALIDATION_FAILED, "it has %d bytes, and is to have %d", size, most)
}

// verify compares the digests of a file that is there, and says what to do if it is not what it should be; nil: it is.
func (d *download) verify() (step, error) {
	if err := d.checkLast(); err != nil {
		return nil, err
	}
	size := *d.file.Size
	if !d.sum.Has(d.named()) { // another source has told one more
		d.sum = digest.Run(d.named(), d.sum.State(), size)
	}
	if err := d.catchUp(size); err != nil {
		return nil, err
	}
	got := d.sum.Sums(size)
	err := d.unexpected(size)
	for _, want := range []map[string]string{d.promised(), d.file.Digests} {
		if differ := content.Compare(want, got); len(differ) > 0 {
			name := differ[0]
			err = d.fault(hresult.BG_E_VALIDATION_FAILED, "its %s is %s, and should be %s", name, got[name], want[name])
		}
	}
	if err == nil || d.file.Ranges != nil {
		return nil, nil
	}
	for i := range d.pieces() { // bytes that went bad on the disk since
		if perr := d.checkPiece(i); perr != nil {
			return nil, perr
		}
	}
	return d.reject(err)
}

// reject throws away a file that is not what it should be. Its source is dropped, and it comes from the next one.
// If several have had a part in it, nobody knows which is to blame: it comes from the last one alone.
func (d *download) reject(fault error) (step, error) {
	next, again := d.file.Source, d.file.Blended
	if !again {
		content.Drop(&d.file)
		next, again = d.sources.Next(&d.file)
	}
	if len(content.All(&d.file)) == 0 {
		d.file.Dropped = nil // if the owner resumes the job, they have another chance
	}
	if err := d.discard(); err != nil {
		return nil, err
	}
	if d.restarts++; again && d.restarts <= maxRestarts {
		d.file.Source = next
		return d.start, nil
	}
	e := *bits.AsError(d.sources.Outcome(&d.file, fault))
	if e.Hint == "" {
		e.Hint = "the server has something else than you expect, or what you expect is wrong; nothing of it is kept: resume the job to fetch it anew"
	}
	d.rejected = true
	return nil, &e
}

// discard forgets the file, and then removes it.
func (d *download) discard() error {
	d.drop()
	d.file.Reset()
	d.sum.Rewind(0)
	made := d.file.Made
	d.file.Made = false
	if err := d.report.Contact(d.file, false); err != nil {
		return err
	}
	var err error
	if d.temp != nil {
		err = d.temp.Close()
		d.temp = nil
	}
	if made || !d.job.HighPerformance {
		err = errors.Join(err, tempfile.Remove(d.file.Temporary))
	}
	return err
}

func (d *download) pieces() int {
	if d.file.Pieces == nil {
		return 0
	}
	return len(d.file.Pieces.Hashes)
}

// checkPieces looks at the pieces that a stretch has made whole.
func (d *download) checkPieces(r bits.Range) error {
	if d.file.Pieces == nil {
		return nil
	}
	for i := int(r.Start / d.file.Pieces.Length); i < d.pieces() && int64(i)*d.file.Pieces.Length < r.End; i++ {
		if err := d.checkPiece(i); err != nil {
			return err
		}
	}
	return nil
}

// checkLast looks at the last piece once more: its end may not have been known.
func (d *download) checkLast() error {
	if n := d.pieces(); n > 0 {
		return d.checkPiece(n - 1)
	}
	return nil
}

// checkPiece looks at a piece if all of it is there. A bad one is taken out of what is there.
func (d *download) checkPiece(i int) error {
	p := d.file.Pieces
	r := digest.PieceAt(p, i, d.file.Size)
	if r.End <= r.Start || len(d.file.Done.Gaps(r)) > 0 {
		return nil
	}
	got, err := digest.OfPiece(p, r, d.temp)
	if err != nil {
		return tempfile.Error(err, "read", d.file.Temporary)
	}
	if got == p.Hashes[i] {
		return nil
	}
	var rest bits.Ranges
	for _, s := range d.file.Done {
		rest = rest.Add(s.And(bits.Range{End: r.Start})).Add(s.And(bits.Range{Start: r.End, End: endless}))
	}
	d.file.Done = rest
	d.sum.Rewind(r.Start)
	e := d.fault(hresult.BG_E_VALIDATION_FAILED, "the %s of the bytes from %d to %d is %s, and should be %s", p.Algorithm, r.Start, r.End-1, got, p.Hashes[i])
	e.Err = errPiece
	return e.WithHint("what is good of the file is kept: resume the job to fetch the rest")
}
