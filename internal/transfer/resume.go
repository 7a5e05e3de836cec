package transfer

import (
	"errors"
	"net/http"

	"bits"
	"bits/hresult"
	"bits/internal/byterange"
	"bits/internal/content"
	"bits/internal/validator"
)

// errOther ends the reading of an answer whose bytes are not those that are there.
var errOther = errors.New("the remote file is not the one that was begun")

// resumable reports whether what is there can be continued: the version of an answer can be told, or what comes of it will be.
func (d *download) resumable() bool {
	v := d.file.Validator
	return v != nil && (d.vouched() || validator.Proof(v) && (!d.file.Renamed || validator.Elsewhere(v)))
}

// vouched reports whether a digest of the whole is known that the finished file is held against: then an answer need not prove its version.
func (d *download) vouched() bool { return content.Vouched(&d.file) }

// condition is what the request is bound to the version with; "" if it is not. The answer is checked all the same.
func (d *download) condition() string {
	v := d.file.Validator
	switch {
	case len(d.file.Done) == 0 || len(d.ask) == 0 || d.plain || d.shared.deaf.Has(d.job.Owner, v.URL), d.vouched() && d.file.Renamed:
		return ""
	case d.file.Renamed: // the ETag of another URL proves nothing
		return v.LastModified
	}
	return validator.Condition(v)
}

// overlap lets what is asked for begin with the last of what is there.
func (d *download) overlap() {
	first := &d.ask[0]
	if len(d.ask) > 1 || d.job.OnDemand {
		return
	}
	d.again = bits.Range{Start: first.Start, End: first.Start}
	for _, s := range d.layout.Local(bits.Range{Start: max(0, first.Start-d.seam), End: first.Start}) {
		if s.There(s.Here()).End != first.Start {
			continue
		}
		there := s.Here()
		for _, gap := range d.file.Done.Gaps(there) {
			there.Start = gap.End
		}
		d.again = s.There(there)
	}
	first.Start = d.again.Start
}

// compare holds bytes of the remote file against those that are there. If these came with the same answer, that contradicts itself.
func (d *download) compare(b []byte, at int64) error {
	for _, s := range d.layout.Local(bits.Range{Start: at, End: at + int64(len(b))}) {
		for _, r := range d.file.Done {
			cut := r.And(s.Here())
			if cut.End <= cut.Start {
				continue
			}
			from := s.There(cut)
			if equal, err := d.temp.Equal(b[from.Start-at:from.End-at], cut.Start); err != nil {
				return err
			} else if !equal && len(d.before.Gaps(cut)) > 0 {
				return byterange.ErrMalformed
			} else if !equal {
				return errOther
			}
		}
	}
	return nil
}

// goOn takes an answer that is of the version that was begun. It may come from another place, and tell the size at last.
func (d *download) goOn(total int64) (step, error) {
	v := *d.file.Validator
	d.file.Blended = true
	if v.Size < 0 || d.file.Size == nil {
		if err := d.ended(total); err != nil {
			return nil, err
		}
	}
	v.Size, v.URL = total, validator.Place(d.answer)
	if v.Size != d.file.Validator.Size || v.URL != d.file.Validator.URL {
		d.file.Validator = &v
	}
	return d.open, nil
}

// unbind asks again without If-Range: the server has sent the whole, though it is of the version that the request was bound to.
// It is worth that if a part is all that can be used, or much would be read for nothing; else only the next request is another one.
func (d *download) unbind() bool {
	d.shared.deaf.Add(d.job.Owner, validator.Place(d.answer))
	if !d.strict && !d.job.OnDemand && d.again.End <= enough || d.answer.Header.Get("Accept-Ranges") == "none" {
		return false
	}
	d.log(true, "the whole file came though it is the version that was begun: asks again without If-Range")
	d.plain = true
	d.drop()
	return true
}

// portal is the error of an answer that a network has sent in the place of the server. What is there stays.
func (d *download) portal() error {
	d.report.Answered(headersOf(d.answer))
	return d.fault(hresult.ERROR_WINHTTP_INVALID_SERVER_RESPONSE, "a page came in the place of the file that was begun (%s)", d.answer.Request.URL.Redacted()).
		WithHint("this network may want a login, in a browser; what is there of the file is kept")
}

// already ends a file of which nothing is missing, as the server says with 416.
func (d *download) already(total int64) (step, error) {
	if err := d.ended(total); err != nil {
		return nil, err
	}
	d.log(true, "nothing is missing, says the server (416)")
	d.drop()
	return d.finish, nil
}

// complete reports whether an answer of 416 says that nothing is missing.
func (d *download) complete(a *http.Response, total int64) bool {
	return d.file.Ranges == nil && d.temp != nil && d.bound && validator.Complete(d.file.Validator, a, d.file.Done, total)
}
