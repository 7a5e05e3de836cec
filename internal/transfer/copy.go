package transfer

import (
	"errors"
	"io"
	"sync/atomic"
	"time"

	"bits"
	"bits/hresult"
	"bits/internal/byterange"
	"bits/internal/content"
	"bits/internal/layout"
	"bits/internal/transport"
)

// watched is a body that is closed when no byte comes for StallTime. The time between two reads does not count: a slow disk is no
// silence of the server.
type watched struct {
	io.ReadCloser
	timer   *time.Timer
	stalled atomic.Bool
}

func watch(body io.ReadCloser) *watched {
	w := &watched{ReadCloser: body}
	w.timer = time.AfterFunc(StallTime, func() {
		w.stalled.Store(true)
		body.Close()
	})
	w.timer.Stop()
	return w
}

func (w *watched) Read(p []byte) (int, error) {
	w.timer.Reset(StallTime)
	n, err := w.ReadCloser.Read(p)
	w.timer.Stop()
	if err != nil && w.stalled.Load() {
		err = transport.ErrStalled(StallTime)
	}
	return n, err
}

// copy moves the bytes of an answer, part by part.
func (d *download) copy() (step, error) {
	marks := checkpoints{d: d, last: time.Now()}
	size := max(d.until(d.first.Range)-d.first.Start, 1)
	if len(d.ask) > 1 {
		size = bufferSize // other parts may be larger
	}
	buf := make([]byte, min(bufferSize, size))
	p, failure := d.first, error(nil)
	for failure == nil {
		if failure = d.take(p, buf, &marks); failure == nil {
			p, failure = d.following()
		}
	}
	malformed := errors.Is(failure, byterange.ErrMalformed)
	if failure == io.EOF || malformed {
		failure = nil
	}
	if err := marks.wait(); failure == nil {
		failure = err
	}
	d.seam = min(d.shared.seam, max(d.file.Done.Len()-d.before.Len(), 0)/8) // a server that gives little at once gives little twice
	switch {
	case errors.Is(failure, errOther):
		return d.parted()
	case failure != nil:
		marks.record(false) // what has arrived stays
		return nil, failure
	case malformed, !d.whole() && len(d.wanted()) > 0 && !d.resumable(): // the next piece may be of another version
		return d.distrust, nil
	}
	d.drop()
	if d.whole() {
		return d.finish, nil
	}
	if err := marks.record(false); err != nil {
		return nil, err
	}
	return d.request, nil
}

// following is the next part of the answer; io.EOF after the last.
func (d *download) following() (byterange.Part, error) {
	p, err := d.next()
	switch {
	case err == nil && (p.Total != d.first.Total || !d.asked(p)):
		err = byterange.ErrMalformed
	case err != nil && err != io.EOF && !errors.Is(err, byterange.ErrMalformed):
		err = transport.Error(err, d.from())
	}
	return p, err
}

// until is the end of what is wanted of a stretch of the remote file, or of what is compared; its start if nothing is.
func (d *download) until(r bits.Range) int64 {
	end := max(r.Start, min(r.End, d.again.End))
	for _, s := range d.layout.Local(r) {
		for _, gap := range layout.Missing(&d.file, d.job.OnDemand, s.Here()) {
			end = max(end, s.There(gap).End)
		}
	}
	return end
}

// take is the only loop that moves bytes: what is wanted of a part goes where it belongs, the rest nowhere.
// It writes no more than the answer said it would send.
func (d *download) take(p byterange.Part, buf []byte, marks *checkpoints) error {
	end := d.until(p.Range)
	body := io.LimitReader(p.Body, end-p.Start)
	at, n := p.Start, 0
	for {
		m, err := body.Read(buf[n:])
		n += m
		d.report.Received(d.file.Number, d.file.Done.Len()+d.wants(at, n))
		var failure error
		if n == len(buf) || err != nil || n > 0 && marks.due() {
			if failure = d.put(buf[:n], at); failure == nil {
				failure = marks.offer()
			}
			at, n = at+int64(n), 0
		}
		if err == io.EOF && failure == nil {
			break
		} else if err != nil && err != io.EOF {
			failure = errors.Join(failure, transport.Error(err, d.from()))
		}
		if failure != nil {
			return failure
		}
	}
	switch {
	case at < end && p.End == endless && !content.Cut(&d.file, d.answer, at):
		return d.ended(at)
	case at < end:
		return transport.Error(io.ErrUnexpectedEOF, d.from())
	case end == p.End && d.answer.ContentLength < 0:
		if excess, _ := p.Body.Read(buf[:1]); excess > 0 {
			return byterange.ErrMalformed
		}
	}
	return nil
}

// wants counts what is wanted of n bytes of the remote file.
func (d *download) wants(at int64, n int) (count int64) {
	for _, s := range d.layout.Local(bits.Range{Start: at, End: at + int64(n)}) {
		for _, gap := range layout.Missing(&d.file, d.job.OnDemand, s.Here()) {
			count += gap.End - gap.Start
		}
	}
	return count
}

// put writes bytes of the remote file, if those among them that are there are the same.
func (d *download) put(b []byte, at int64) error {
	if err := d.compare(b, at); err != nil {
		return err
	}
	for _, s := range d.layout.Local(bits.Range{Start: at, End: at + int64(len(b))}) {
		for _, gap := range layout.Missing(&d.file, d.job.OnDemand, s.Here()) {
			if d.file.Done.Len()+gap.End-gap.Start > d.budget {
				return d.limit()
			}
			from := s.There(gap)
			if _, err := d.temp.WriteAt(b[from.Start-at:from.End-at], gap.Start); err != nil {
				return err
			}
			d.sum.Pass(b[from.Start-at:from.End-at], gap.Start)
			d.file.Done = d.file.Done.Add(gap)
			if err := d.checkPieces(gap); err != nil {
				return err
			}
		}
	}
	return nil
}

// ended learns the size of a file from its end.
func (d *download) ended(total int64) error {
	l, ok := layout.Of(d.file.Ranges, total)
	if !ok {
		return d.fault(hresult.BG_E_INVALID_RANGE, "a range lies outside of its %d bytes", total)
	}
	size := l.Size()
	d.layout, d.file.Size = l, &size
	return nil
}
