// Package transfer moves one file.
//
// It is a chain of small steps, each of which names its successor: request, check, open, copy, and again, until no byte is missing.
// Nothing is written before the answer is checked against what was recorded with the first byte; a remote file that has changed
// starts over.
package transfer

import (
	"cmp"
	"context"
	"errors"
	"fmt"
	"io"
	"io/fs"
	"net/http"
	"net/textproto"
	"net/url"
	"os"
	"strings"
	"time"

	"bits"
	"bits/hresult"
	"bits/internal/contract"
	"bits/internal/tempfile"
	"bits/internal/transport"
)

const (
	bufferSize      = 512 << 10
	checkpointEvery = time.Second
	// StallTime is how long a transfer waits for the next byte.
	StallTime    = 60 * time.Second
	maxRedirects = 10
	maxRestarts  = 10
	userAgent    = "bits/1 (Background Intelligent Transfer Service)"
)

// Reporter is told what a transfer has done.
// An error of it ends the transfer.
type Reporter interface {
	// Contact tells that the server answered, what it said of the file, and whether an interrupted transfer could go on where it was.
	Contact(f bits.File, resumable bool) error
	// Checkpoint tells which stretches are on stable storage, and whether they are all.
	Checkpoint(file int, done bits.Ranges, size int64, finished bool) error
	// Received tells how many bytes have arrived.
	Received(file int, n int64)
}

// step is one step of a transfer; it returns the next one, nil at the end.
type step func() (step, error)

type download struct {
	ctx    context.Context
	client *http.Client
	job    *bits.Job
	file   bits.File
	report Reporter

	want     bits.Range // what is asked for; End -1: to the end
	stream   bool       // ask without a range
	answer   *http.Response
	at       int64 // where the body of the answer begins in the file
	length   int64 // of that body, -1: unknown
	fresh    bool  // the answer is a new beginning
	temp     *tempfile.File
	restarts int
}

// Download fetches the missing bytes of one file of the job, until it is finished or something goes wrong.
// What has arrived is on stable storage and recorded when it returns, also with an error.
func Download(ctx context.Context, client *http.Client, job *bits.Job, file bits.File, report Reporter) (err error) {
	d := &download{ctx: ctx, client: client, job: job, file: file, report: report}
	defer func() {
		d.drop()
		if d.temp != nil {
			err = errors.Join(err, d.temp.Close())
		}
	}()
	next := d.plan
	for next != nil {
		if next, err = next(); err != nil {
			if cause := context.Cause(ctx); cause != nil {
				return cause
			}
			return err
		}
	}
	return nil
}

func (d *download) drop() {
	if d.answer != nil {
		d.answer.Body.Close()
		d.answer = nil
	}
}

// plan decides what to do: what is there may be whole, may be continued, or is of no use.
func (d *download) plan() (step, error) {
	if err := d.reopen(); err != nil {
		return nil, err
	}
	switch {
	case d.temp != nil && d.whole():
		return d.finish, nil // only the record was missing
	case d.temp == nil || !provable(d.file.Validator):
		d.file.Reset()
	}
	if d.job.Strict && len(d.file.Done) == 0 {
		return d.head, nil
	}
	return d.request, nil
}

// reopen opens the temporary file before anything is asked, so that what is recorded as done is there when the answer comes.
// One that somebody removed or cut is of no use; one that is on a disk which was taken away is waited for.
func (d *download) reopen() error {
	if len(d.file.Done) == 0 {
		return nil
	}
	temp, err := tempfile.Reopen(d.file.Temporary)
	if errors.Is(err, fs.ErrNotExist) {
		return tempfile.SameVolume(d.file.Temporary, d.file.Volume)
	} else if err != nil {
		return err
	}
	if !temp.Holds(d.file.Done[len(d.file.Done)-1].End) {
		return temp.Close()
	}
	d.temp = temp
	return nil
}

// whole reports whether no byte is missing.
func (d *download) whole() bool {
	if d.file.Size == nil {
		return false
	}
	_, missing := d.file.Done.Gap(*d.file.Size)
	return !missing
}

// head is the first request of a strict job: it must tell the size.
func (d *download) head() (step, error) {
	answer, err := d.do(http.MethodHead, nil)
	if err != nil {
		return nil, err
	}
	answer.Body.Close()
	switch {
	case answer.StatusCode != http.StatusOK:
		return nil, d.status(answer)
	case !answer.ProtoAtLeast(1, 1):
		return nil, d.fault(hresult.BG_E_INSUFFICIENT_HTTP_SUPPORT, "the server speaks %s only", answer.Proto)
	case answer.ContentLength < 0:
		return nil, d.fault(hresult.BG_E_MISSING_FILE_SIZE, "the server does not tell its size")
	}
	return d.request, nil
}

// request sends a GET for the first gap; its answer tells size and validators.
func (d *download) request() (step, error) {
	header := http.Header{}
	size := int64(-1)
	if d.file.Size != nil {
		size = *d.file.Size
	}
	d.want, _ = d.file.Done.Gap(size)
	if !d.stream {
		if d.want.End == size {
			d.want.End = -1 // to the end, wherever that is now
		}
		if d.want.End > 0 {
			header.Set("Range", fmt.Sprintf("bytes=%d-%d", d.want.Start, d.want.End-1))
		} else {
			header.Set("Range", fmt.Sprintf("bytes=%d-", d.want.Start))
		}
	}
	if v := d.file.Validator; v != nil && len(d.file.Done) > 0 {
		if v.ETag != "" {
			header.Set("If-Range", v.ETag)
		} else {
			header.Set("If-Range", v.LastModified)
		}
	}
	answer, err := d.do(http.MethodGet, header)
	if err != nil {
		return nil, err
	}
	d.answer = answer
	return d.check, nil
}

func (d *download) do(method string, header http.Header) (*http.Response, error) {
	r, err := http.NewRequestWithContext(d.ctx, method, d.file.RemoteName, nil)
	if err != nil {
		return nil, d.fault(hresult.E_INVALIDARG, "%v", err)
	}
	r.Header.Set("Accept", "*/*")
	r.Header.Set("Accept-Encoding", "identity")
	r.Header.Set("User-Agent", userAgent)
	// The logins are for the server that the owner named, not for one that a redirect has put in its place.
	given, err := url.Parse(cmp.Or(d.file.Original, d.file.RemoteName))
	if err != nil {
		return nil, d.fault(hresult.E_INVALIDARG, "%v", err)
	}
	first := map[string]bool{}
	for line := range strings.SplitSeq(d.job.Secrets.Headers, "\r\n") {
		name, value, ok := strings.Cut(line, ":")
		name, value = textproto.CanonicalMIMEHeaderKey(name), strings.TrimSpace(value)
		if !ok || (name == "Host" || isLogin(name)) && !sameOrigin(given, r.URL) {
			continue
		}
		if name == "Host" {
			r.Host = value
		} else if first[name] {
			r.Header.Add(name, value)
		} else {
			r.Header.Set(name, value)
		}
		first[name] = true
	}
	for name, values := range header {
		r.Header[name] = values
	}
	answer, err := d.client.Do(r)
	if err != nil {
		return nil, transport.Error(err, d.file.RemoteName)
	}
	if to := answer.Request.URL.String(); d.job.SecurityFlags&bits.RedirectMask == bits.RedirectReport && to != d.file.RemoteName {
		from := d.file.RemoteName
		d.file.RemoteName = to
		d.original(from)
	}
	return answer, nil
}

// original keeps the name that the owner gave, when another is reported in its place.
func (d *download) original(name string) {
	if d.file.Original == "" {
		d.file.Original = name
	}
}

// fault is an error of the remote file.
func (d *download) fault(code hresult.Code, format string, args ...any) *bits.Error {
	return bits.Errorf(code, "cannot fetch %s: %s", d.file.RemoteName, fmt.Sprintf(format, args...)).In(bits.ContextRemoteFile)
}

// status is the error for an answer that is no content. An error page is never content.
func (d *download) status(answer *http.Response) error {
	disallowed := d.job.SecurityFlags&bits.RedirectMask == bits.RedirectDisallow
	if to, err := answer.Location(); disallowed && err == nil && answer.StatusCode/100 == 3 && contract.CheckRemoteName(to.String()) == nil {
		from := d.file.RemoteName
		d.file.RemoteName = to.String()
		d.original(from)
		d.report.Contact(d.file, true) // a refused redirect is reported in the remote name (SetSecurityFlags)
		return bits.Errorf(hresult.FromHTTPStatus(answer.StatusCode), "cannot fetch %s: it is redirected to %s, and the job follows no redirects", from, to).In(bits.ContextRemoteFile)
	}
	return d.fault(hresult.FromHTTPStatus(answer.StatusCode), "the server answered %s", answer.Status)
}

// check holds the answer against what was asked and what was recorded, before a byte is written.
func (d *download) check() (step, error) {
	a := d.answer
	d.fresh = false
	switch a.StatusCode {
	case http.StatusPartialContent:
		return d.checkPart()
	case http.StatusOK:
		switch {
		case !d.job.Strict || a.ContentLength == 0:
		case len(d.file.Done) > 0:
			return d.changed, nil // that is how If-Range says that the file has changed
		case a.Request.Header.Get("Range") != "":
			return nil, d.fault(hresult.BG_E_INSUFFICIENT_RANGE_SUPPORT, "the server or a proxy ignores ranges")
		}
		// The server has no ranges, or the file has changed: a new beginning either way.
		d.begin(0, a.ContentLength, a.ContentLength)
		return d.open, nil
	case http.StatusRequestedRangeNotSatisfiable:
		_, _, total, ok := contentRange(a.Header.Get("Content-Range"))
		switch {
		case ok && total == 0:
			d.begin(0, 0, 0) // an empty file has no range to give; the body is an error page
			return d.open, nil
		case len(d.file.Done) > 0:
			return d.changed, nil
		case !d.stream:
			return d.distrust, nil
		}
		return nil, d.status(a)
	case http.StatusPreconditionFailed:
		if len(d.file.Done) > 0 {
			return d.changed, nil
		}
	}
	return nil, d.status(a)
}

func (d *download) checkPart() (step, error) {
	a := d.answer
	start, end, total, ok := contentRange(a.Header.Get("Content-Range"))
	switch {
	case d.stream:
		return nil, d.fault(hresult.BG_E_INVALID_SERVER_RESPONSE, "the server sent a part of the file, though the whole was asked for")
	case !ok || start != d.want.Start || d.want.End > 0 && end > d.want.End || total < 0 || a.ContentLength >= 0 && a.ContentLength != end-start:
		return d.distrust, nil
	case len(d.file.Done) == 0:
		d.begin(start, end-start, total)
		return d.open, nil
	case !same(d.file.Validator, a, total):
		return d.changed, nil
	}
	d.at, d.length = start, end-start
	return d.open, nil
}

// begin takes the answer as a new beginning, and writes down what proves the version.
func (d *download) begin(at, length, total int64) {
	d.file.Reset()
	d.at, d.length, d.fresh = at, length, true
	if total >= 0 {
		d.file.Size = &total
	}
	d.file.Validator = validatorOf(d.answer, total)
}

// distrust reads a file in one stream: the server's ranges are not what they say.
func (d *download) distrust() (step, error) {
	if d.job.Strict {
		return nil, d.fault(hresult.BG_E_INVALID_SERVER_RESPONSE, "asked for the bytes from %d, it sent %q", d.want.Start, d.answer.Header.Get("Content-Range"))
	}
	d.stream = true
	return d.restart(nil)
}

// changed begins anew: the remote file is not the one that was begun.
func (d *download) changed() (step, error) {
	return d.restart(d.fault(hresult.BG_E_REMOTE_FILE_CHANGED, "it changed %d times during the transfer", d.restarts+1))
}

// restart drops what is there; too many times in one run are an error.
func (d *download) restart(often error) (step, error) {
	d.drop()
	d.file.Reset()
	if d.restarts++; d.restarts > maxRestarts && often != nil {
		return nil, often
	}
	return d.request, nil
}

// open records the beginning, then makes the temporary file, or empties the one that is open.
func (d *download) open() (step, error) {
	if d.fresh {
		d.file.Volume = tempfile.Volume(d.file.Temporary)
	}
	if err := d.report.Contact(d.file, d.answer.StatusCode == http.StatusPartialContent && provable(d.file.Validator)); err != nil {
		return nil, err
	}
	d.report.Received(d.file.Number, d.at)
	if !d.fresh {
		return d.copy, nil
	}
	var err error
	if d.temp != nil {
		err = d.temp.Truncate(0)
	} else {
		d.temp, err = tempfile.Create(d.file.Temporary)
	}
	if err == nil && d.file.Size != nil {
		err = d.temp.Preallocate(*d.file.Size)
	}
	if err != nil {
		return nil, err
	}
	if d.length == 0 {
		d.drop()
		return d.finish, nil
	}
	return d.copy, nil
}

// copy is the only loop that moves bytes.
// It writes no more than the answer said it would send.
func (d *download) copy() (step, error) {
	ctx, stall := context.WithCancelCause(d.ctx)
	defer stall(nil)
	answer := d.answer.Body
	watch := time.AfterFunc(StallTime, func() {
		stall(transport.ErrStalled(StallTime))
		answer.Close()
	})
	defer watch.Stop()
	body := io.Reader(answer)
	if d.length >= 0 {
		body = io.LimitReader(answer, d.length)
	}
	marks := checkpoints{d: d, last: time.Now()}
	buf := make([]byte, bufferSize)
	at, n := d.at, 0
	flush := func() error {
		if n == 0 {
			return nil
		}
		watch.Stop() // a slow disk is no silence of the server
		defer watch.Reset(StallTime)
		if _, err := d.temp.WriteAt(buf[:n], at); err != nil {
			return err
		}
		d.file.Done = d.file.Done.Add(bits.Range{Start: at, End: at + int64(n)})
		at, n = at+int64(n), 0
		return marks.offer()
	}
	var failure error
	for failure == nil {
		m, err := body.Read(buf[n:])
		n += m
		watch.Reset(StallTime)
		d.report.Received(d.file.Number, at+int64(n))
		if n == len(buf) || err != nil || n > 0 && marks.due() {
			failure = flush()
		}
		if err == io.EOF {
			break
		} else if err != nil {
			if cause := context.Cause(ctx); cause != nil {
				err = cause
			}
			failure = errors.Join(failure, transport.Error(err, d.file.RemoteName))
		}
	}
	if d.length < 0 && failure == nil {
		d.file.Size = &at // it ended where it ended
	}
	if failure == nil && d.length >= 0 && at != d.at+d.length {
		failure = transport.Error(io.ErrUnexpectedEOF, d.file.RemoteName)
	}
	excess := 0
	if failure == nil && d.length >= 0 && d.answer.ContentLength < 0 {
		excess, _ = answer.Read(buf[:1])
	}
	if err := marks.wait(); failure == nil {
		failure = err
	}
	switch {
	case failure != nil:
		marks.record(false) // what has arrived stays
		return nil, failure
	case excess > 0, !d.whole() && !provable(d.file.Validator): // the next piece may be of another version
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

// finish makes the file whole: its length, its mode, its time, stable storage, the record.
func (d *download) finish() (step, error) {
	if !d.temp.Holds(*d.file.Size) {
		// Somebody removed or cut it in mid-transfer, and what was recorded is not there.
		err := d.temp.Close()
		d.temp = nil
		if err != nil {
			return nil, err
		}
		return d.restart(bits.Errorf(hresult.ERROR_FILE_INVALID, "cannot finish %s: somebody removes or cuts its temporary file", d.file.LocalName).In(bits.ContextLocalFile))
	}
	at := time.Time{}
	if v := d.file.Validator; v != nil {
		at, _ = http.ParseTime(v.Modified)
	}
	if err := d.temp.Finish(*d.file.Size, os.FileMode(0o666&^d.job.Umask), at); err != nil {
		return nil, err
	}
	marks := checkpoints{d: d}
	return nil, marks.record(true)
}
