package transfer

import (
	"cmp"
	"errors"
	"io"
	"mime"
	"net/http"

	"bits"
	"bits/hresult"
	"bits/internal/byterange"
	"bits/internal/digest"
	"bits/internal/layout"
	"bits/internal/metalink"
	"bits/internal/transport"
	"bits/internal/validator"
)

// check holds the answer against what was asked and what was recorded, before a byte is written.
func (d *download) check() (step, error) {
	a := d.answer
	d.fresh, d.before = false, d.file.Done
	switch a.StatusCode {
	case http.StatusPartialContent:
		return d.checkParts()
	case http.StatusOK:
		return d.checkWhole()
	case http.StatusRequestedRangeNotSatisfiable:
		_, _, total, ok := byterange.ParseContentRange(a.Header.Get("Content-Range"))
		switch {
		case ok && total == 0:
			d.first, d.next = byterange.Part{Body: http.NoBody}, none // an empty file has no range to give; the body is an error page
			return d.begin(0)
		case ok && d.complete(a, total):
			return d.already(total)
		case len(d.file.Done) > 0:
			return d.changed, nil
		case ok && len(d.ask) > 0 && d.ask[0].Start >= total:
			return d.beyond(total)
		case !d.stream:
			return d.distrust, nil
		}
	case http.StatusPreconditionFailed:
		if len(d.file.Done) > 0 {
			return d.changed, nil
		}
	case http.StatusBadRequest: // so do some servers that know no ranges, or not these
		if len(d.file.Done) == 0 && len(d.ask) > 0 && !d.strict {
			return d.distrust, nil
		}
	}
	return nil, d.status(a)
}

func none() (byterange.Part, error) { return byterange.Part{}, io.EOF }

// checkParts takes an answer with one part or several.
func (d *download) checkParts() (step, error) {
	a := d.answer
	if len(d.ask) == 0 {
		return nil, d.fault(hresult.BG_E_INVALID_SERVER_RESPONSE, "the server sent a part of the file, though the whole was asked for")
	}
	kind, parameters, err := mime.ParseMediaType(a.Header.Get("Content-Type"))
	if err == nil && kind == "multipart/byteranges" && len(d.ask) > 1 {
		several := byterange.NewReader(a.Body, parameters["boundary"], d.strict)
		d.next = several.Next
		if d.first, err = d.next(); err == io.EOF || errors.Is(err, byterange.ErrMalformed) {
			return d.distrust, nil
		} else if err != nil {
			return nil, transport.Error(err, d.from())
		}
	} else {
		start, end, total, ok := byterange.ParseContentRange(a.Header.Get("Content-Range"))
		if !ok || start < 0 || total < 0 || a.ContentLength >= 0 && a.ContentLength != end-start {
			return d.distrust, nil
		}
		d.first, d.next = byterange.Part{Range: bits.Range{Start: start, End: end}, Total: total, Body: a.Body}, none
	}
	d.file.NoRanges = false
	switch {
	case !d.asked(d.first):
		return d.distrust, nil
	case len(d.file.Done) == 0:
		return d.begin(d.first.Total)
	case !d.proves(d.first.Total):
		return d.changed, nil
	}
	return d.goOn(d.first.Total)
}

// asked reports whether a part begins where one was asked for, and does not go beyond.
// A server may begin one in what is there already, and put several into one, but not for a strict job.
func (d *download) asked(p byterange.Part) bool {
	last := d.ask[len(d.ask)-1].End
	if !d.strict && len(d.ask) == 1 && p.Start <= d.again.End && p.End > d.again.End {
		return p.End <= last // it begins earlier or later in what is there: that is compared
	}
	for _, r := range d.ask {
		if r.Start == p.Start {
			if d.strict {
				last = r.End
			}
			return p.End <= last
		}
	}
	return false
}

// enough is how long a whole file may be that is read for the sake of some of its ranges, before they are asked for in another way.
const enough = 1 << 20

// checkWhole takes an answer that is the whole file: it has changed, or the server has no ranges, or not several at once.
// What is wanted is picked.
func (d *download) checkWhole() (step, error) {
	length, begun := d.answer.ContentLength, len(d.file.Done) > 0
	same := begun && length >= 0 && d.proves(length)
	refused := len(d.ask) > 0 && length != 0 && (same || !begun)
	if same && d.bound && d.unbind() {
		return d.request, nil
	}
	straight := !d.job.OnDemand && (d.file.Ranges == nil && len(d.ask) <= 1 || length >= 0 && length <= enough)
	switch {
	case begun && !same && validator.Portal(d.file.Validator, d.answer):
		return nil, d.portal()
	case begun && !same && (d.strict && length != 0 || !straight):
		return d.changed, nil // that is how If-Range says that the file has changed
	case d.strict && refused:
		return nil, d.fault(hresult.BG_E_INSUFFICIENT_RANGE_SUPPORT, "the server or a proxy ignores ranges")
	case len(d.ask) > 1 && !straight:
		d.single = true
		d.drop()
		return d.request, nil
	}
	demanded := d.job.OnDemand && length != 0
	d.file.NoRanges = d.file.NoRanges || demanded || refused && len(d.ask) == 1
	if demanded {
		return nil, d.noRandomAccess("its server gives the whole file only")
	}
	d.first, d.next = byterange.Part{Range: bits.Range{End: length}, Total: length, Body: d.answer.Body}, none
	if length < 0 {
		d.first.End = endless
	}
	if same {
		return d.goOn(length)
	}
	d.log(begun, "starts over: the server sends the whole file, and it is not proven to be the version that was begun")
	return d.begin(length)
}

// noRandomAccess ends an on-demand job whose server cannot give parts.
func (d *download) noRandomAccess(why string) error {
	if err := d.report.Contact(d.file, false); err != nil {
		return err
	}
	return d.fault(hresult.BG_E_RANDOM_ACCESS_NOT_SUPPORTED, "the job is in on-demand mode, and %s", why)
}

// proves reports whether the answer is of the version that was begun.
// If the owner has given the file another name since, it must be so by size and date, and the proofs of the new name replace the old.
func (d *download) proves(total int64) bool {
	if !d.file.Renamed {
		return validator.Same(d.file.Validator, d.answer, total)
	}
	now := validator.Of(d.answer, total)
	if d.vouched() && d.file.Validator.Size >= 0 && d.file.Validator.Size != total || !d.vouched() && !validator.SameElsewhere(d.file.Validator, now) {
		return false
	}
	d.file.Validator, d.file.Renamed = now, false
	return true
}

// begin takes the answer as a new beginning, and writes down what proves the version.
func (d *download) begin(total int64) (step, error) {
	if d.guest {
		return nil, d.otherVersion()
	}
	if err := d.unexpected(total); err != nil && d.file.Ranges == nil {
		return nil, err
	}
	d.reset()
	d.fresh, d.before, d.file.Renamed = true, nil, false
	d.file.Validator = validator.Of(d.answer, total)
	metalink.Note(&d.file, d.answer, d.promised())
	d.log(len(d.file.Told.Mirrors) > 0, "its server names %d mirrors", len(d.file.Told.Mirrors))
	d.sum = digest.Run(d.named(), nil, 0)
	var ok bool
	d.layout, ok = layout.Of(d.file.Ranges, d.total())
	switch {
	case !ok || layout.Clip(&d.file, d.total()) && d.job.OnDemand:
		return nil, d.outside(total)
	case !d.layout.Settled():
		return nil, d.fault(hresult.BG_E_MISSING_FILE_SIZE, "the server does not tell its size, and a range that goes to the end stands before others")
	case d.job.OnDemand && total != 0 && !validator.Proof(d.file.Validator):
		return nil, d.noRandomAccess("its server tells nothing by which its versions could be told apart")
	}
	if size := d.layout.Size(); size >= 0 {
		d.file.Size = &size
	}
	return d.open, nil
}

// outside is the error of a range that is not in the file. A request for one, in on-demand mode, is forgotten, so that the job can go on.
func (d *download) outside(total int64) error {
	if d.file.Ranges == nil {
		if err := d.report.Contact(d.file, false); err != nil {
			return err
		}
	}
	return d.fault(hresult.BG_E_INVALID_RANGE, "a range lies outside of its %d bytes", total)
}

// beyond goes on after asking for what lies behind the end of the file: a range there is an error, a position is not.
func (d *download) beyond(total int64) (step, error) {
	d.reset()
	d.file.Validator = &bits.Validator{Size: total} // for the size alone
	if _, ok := layout.Of(d.file.Ranges, total); !ok || layout.Clip(&d.file, d.total()) && d.job.OnDemand {
		d.file.Validator = nil
		return nil, d.outside(total)
	}
	d.drop()
	d.file.Validator, d.file.Position = nil, 0
	return d.request, nil
}

// distrust asks in a simpler way: the server's ranges are not what they say. What came with this answer counts for nothing.
func (d *download) distrust() (step, error) {
	if d.strict {
		return nil, d.fault(hresult.BG_E_INVALID_SERVER_RESPONSE, "asked for %s, it sent %q, %q", byterange.Header(d.ask), d.answer.Header.Get("Content-Type"), d.answer.Header.Get("Content-Range"))
	}
	d.log(true, "the answer is refused: it is not what was asked for; asks in a simpler way")
	var keep bits.Ranges
	if len(d.ask) > 1 {
		d.single = true
		keep = d.before
	} else {
		d.stream = true
	}
	if d.opened {
		if err := d.report.Checkpoint(d.file.Number, keep, nil, 0, false); err != nil {
			return nil, err
		}
	}
	if len(keep) == 0 {
		return d.restart(nil)
	}
	d.drop()
	d.file.Done = keep
	d.sum.Rewind(layout.Prefix(d.file.Done))
	return d.request, nil
}

// changed begins anew: the remote file is not the one that was begun.
// An application may have read parts of a file of an on-demand job; it is told.
func (d *download) changed() (step, error) {
	if d.job.OnDemand && !d.file.Renamed {
		d.reset()
		if err := d.report.Contact(d.file, false); err != nil {
			return nil, err
		}
		return nil, d.fault(hresult.BG_E_REMOTE_FILE_CHANGED, "it has changed since its first bytes came")
	}
	d.log(true, "starts over: the remote file is not the version that was begun")
	return d.restart(d.fault(hresult.BG_E_REMOTE_FILE_CHANGED, "it changed %d times during the transfer", d.restarts+1))
}

// restart drops what is there; too many times in one run are an error.
func (d *download) restart(often error) (step, error) {
	d.drop()
	if d.guest {
		return nil, d.otherVersion()
	}
	d.reset()
	if d.restarts++; d.restarts > maxRestarts && often != nil {
		return nil, often
	}
	return d.request, nil
}

// limit is the error of a job that would become larger than it may.
func (d *download) limit() error {
	return d.fault(hresult.BG_E_MAX_DOWNLOAD_SIZE_LIMIT_REACHED, "with it the job would have more than its max_download_size of %d bytes", *d.job.MaxDownloadSize)
}

// reset forgets what is there of the file; it goes on to come from where it came.
func (d *download) reset() {
	source := d.file.Source
	d.file.Reset()
	d.file.Source, d.hosted = source, nil
	d.sum.Rewind(0)
}

// otherVersion is the error of a source that cannot go on with what came from another.
func (d *download) otherVersion() error {
	return d.fault(hresult.BG_E_REMOTE_FILE_CHANGED, "it is not the version that was begun at %s", cmp.Or(d.home, d.file.RemoteName))
}
