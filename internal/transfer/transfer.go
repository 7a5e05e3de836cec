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
	"io/fs"
	"net/http"
	"net/textproto"
	"os"
	"strings"
	"time"

	"bits"
	"bits/hresult"
	"bits/internal/byterange"
	"bits/internal/content"
	"bits/internal/contract"
	"bits/internal/digest"
	"bits/internal/joblog"
	"bits/internal/layout"
	"bits/internal/login"
	"bits/internal/remotename"
	"bits/internal/retry"
	"bits/internal/tempfile"
	"bits/internal/transport"
)

const (
	bufferSize      = 512 << 10
	checkpointEvery = time.Second
	// StallTime is how long a transfer waits for the next byte.
	StallTime    = 60 * time.Second
	maxRedirects = 10
	endless      = byterange.Endless // the end of what has no known end
	maxRestarts  = 10
	userAgent    = "bits/1 (Background Intelligent Transfer Service)"
)

// Reporter is told what a transfer has done.
// An error of it ends the transfer.
type Reporter interface {
	// Contact tells that the server answered, what it said of the file, and whether an interrupted transfer could go on where it was.
	Contact(f bits.File, resumable bool) error
	// Checkpoint tells which stretches are on stable storage, the state of the digests of the first of them, and whether they are all.
	Checkpoint(file int, done bits.Ranges, hashing []byte, size int64, finished bool) error
	// Answered tells the headers of an answer that is no content; an error follows.
	Answered(headers string)
	// Received tells how many bytes have arrived.
	Received(file int, n int64)
	// Log adds a line to the log of the job, without what is secret in it.
	Log(kind string, file int, format string, args ...any)
}

// step is one step of a transfer; it returns the next one, nil at the end.
type step func() (step, error)

type download struct {
	ctx    context.Context
	client *http.Client
	job    *bits.Job
	file   bits.File
	report Reporter
	shared *Service
	strict bool  // the server must meet what BITS demands
	own    bool  // the job has a method of its own: nothing but the whole is asked for
	budget int64 // bytes that the file may have

	layout layout.Layout
	ask    bits.Ranges    // of the remote file; none: the whole
	stream bool           // ask for no range
	single bool           // ask for one range at a time
	seam   int64          // how much of what is there is asked for again
	again  bits.Range     // what was, of the remote file
	bound  bool           // the request was bound to the version, by If-Range
	plain  bool           // that must not be: the server does not know it
	login  *login.Request // of the answer
	answer *http.Response
	first  byterange.Part                 // of the answer
	next   func() (byterange.Part, error) // the parts after it
	before bits.Ranges                    // what was there before the answer
	fresh  bool                           // the answer is a new beginning
	opened bool                           // it was recorded
	temp   *tempfile.File
	sum    *digest.Running // the digests of the file

	restarts int

	sources  content.Sources
	home     string     // the source that what is recorded came from
	renamed  bool       // the owner has given that another name since
	rejected bool       // the error is final, whatever other source there is
	guest    bool       // the source in use may go on with what is there, and not begin anew
	hosted   *bits.File // the file as it was before the guest came
}

// Download fetches the missing bytes of one file of the job, until it is finished or something goes wrong; in on-demand mode until what
// was requested is there.
// What has arrived is on stable storage and recorded when it returns, also with an error.
func (s *Service) Download(ctx context.Context, client *http.Client, job *bits.Job, file bits.File, report Reporter) (err error) {
	d := &download{ctx: ctx, client: client, job: job, file: file, report: report, budget: layout.Budget(job, file.Number), shared: s, seam: s.seam}
	d.own = job.HTTPMethod != contract.DefaultMethod(bits.Download)
	d.strict = job.Strict && !job.DynamicContent && !d.own
	defer func() {
		d.drop()
		if d.temp != nil {
			err = errors.Join(err, d.temp.Close())
		}
	}()
	next := d.plan
	for next != nil {
		if next, err = next(); err == nil {
			continue
		}
		if cause := context.Cause(ctx); cause != nil {
			return cause
		}
		if next, err = d.elsewhere(err); err != nil {
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
	content.Start(&d.file)
	if d.temp == nil || !d.whole() && (d.own || !d.resumable()) {
		d.log(len(d.file.Done) > 0, "starts over: the temporary file is gone, or nothing proves the version that was begun")
		d.file.Reset()
		content.Start(&d.file)
	}
	d.home, d.renamed = d.file.Source, d.file.Renamed
	if err := d.digests(); err != nil {
		return nil, err
	}
	if d.temp != nil && d.whole() {
		return d.finish, nil // only the record was missing
	}
	return d.start, nil
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
	if !temp.Holds(d.file.Done[len(d.file.Done)-1].End) || d.job.HighPerformance && !temp.Marked(d.mark()) {
		return temp.Close()
	}
	d.temp = temp
	return nil
}

// mark is that of a file which is not hidden: anybody may have written to it while the job was stopped.
func (d *download) mark() string { return fmt.Sprintf("%s-%d", d.job.ID, d.file.Number) }

// whole reports whether no byte is missing.
func (d *download) whole() bool {
	if d.file.Size == nil {
		return false
	}
	return len(d.file.Done.Gaps(bits.Range{End: *d.file.Size})) == 0
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

// total is the size of the remote file, as far as it is known.
func (d *download) total() int64 {
	if v := d.file.Validator; v != nil && v.Size >= 0 {
		return v.Size
	}
	return endless
}

// request asks for what is to come next; the answer tells size and validators.
func (d *download) request() (step, error) {
	d.opened = false
	var ok bool
	if d.layout, ok = layout.Of(d.file.Ranges, d.total()); !ok {
		return nil, d.outside(d.total())
	}
	next := d.wanted()
	if len(next) == 0 {
		return nil, nil
	}
	header := http.Header{}
	d.ask, d.again = nil, bits.Range{}
	if !d.stream && !d.own {
		most := layout.MaxRanges
		if d.single {
			most = 1
		}
		d.ask = d.layout.Remote(next, most)
		d.overlap()
		if last := &d.ask[len(d.ask)-1]; last.End == d.total() {
			last.End = endless // to the end, wherever that is now
		}
		header.Set("Range", byterange.Header(d.ask))
	}
	condition := d.condition()
	if d.bound = condition != ""; d.bound {
		header.Set("If-Range", condition)
	}
	d.log(len(d.file.Done) > 0, "goes on with %d bytes that are there, if it is the same version still (If-Range %q)", d.file.Done.Len(), condition)
	answer, err := d.do(cmp.Or(d.job.HTTPMethod, http.MethodGet), header)
	if err != nil {
		return nil, err
	}
	d.answer = answer
	d.file.ResponseHeaders = headersOf(answer)
	return d.check, nil
}

// wanted is what is to come next, in the local file; none: all is there that is to be there.
func (d *download) wanted() []bits.Range {
	size := d.layout.Size()
	if d.file.Size != nil {
		size = *d.file.Size
	}
	if size < 0 {
		size = endless
	}
	return layout.Wanted(&d.file, d.job.OnDemand, size)
}

func (d *download) do(method string, header http.Header) (*http.Response, error) {
	d.login = &login.Request{}
	target, err := remotename.URL(d.target())
	var r *http.Request
	if err == nil {
		r, err = http.NewRequestWithContext(login.With(d.ctx, d.login), method, target.String(), nil)
	}
	if err != nil {
		return nil, d.fault(hresult.E_INVALIDARG, "%v", err)
	}
	r.Header.Set("Accept", "*/*")
	r.Header.Set("Accept-Encoding", "identity")
	r.Header.Set("User-Agent", userAgent)
	// The logins are for the server that the owner named, not for one that a redirect has put in its place.
	given, err := remotename.URL(content.Given(&d.file))
	if err != nil {
		return nil, d.fault(hresult.E_INVALIDARG, "%v", err)
	}
	d.login.Named = given
	first := map[string]bool{}
	for line := range strings.SplitSeq(d.job.Secrets.Headers, "\r\n") {
		name, value, ok := strings.Cut(line, ":")
		name, value = textproto.CanonicalMIMEHeaderKey(name), strings.TrimSpace(value)
		// A mirror that is another server gets none of them: who named it may be somebody else.
		if !ok || (name == "Host" || isLogin(name) || d.file.Source != "") && !sameOrigin(given, r.URL) {
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
		return nil, transport.Error(err, d.from())
	}
	if to := answer.Request.URL.String(); d.job.SecurityFlags&bits.RedirectMask == bits.RedirectReport && to != d.file.RemoteName && d.file.Source == "" && !remotename.IsFile(d.file.RemoteName) {
		from := d.file.RemoteName
		d.file.RemoteName = to
		d.original(from)
	}
	return answer, nil
}

// target is what is asked for: each request begins at the name that the owner gave, and follows redirects anew, as they may lead to
// addresses that expire. Only a redirect that was refused has put its target in the place of that name.
func (d *download) target() string {
	if d.file.Source != "" {
		return d.file.Source
	}
	if d.job.SecurityFlags&bits.RedirectMask == bits.RedirectReport {
		return cmp.Or(d.file.Original, d.file.RemoteName)
	}
	return d.file.RemoteName
}

// original keeps the name that the owner gave, when another is reported in its place.
func (d *download) original(name string) {
	if d.file.Original == "" {
		d.file.Original = name
	}
}

// log tells the owner what was decided about what is there already.
func (d *download) log(when bool, format string, args ...any) {
	if when {
		d.report.Log(joblog.Resume, d.file.Number, format, args...)
	}
}

// fault is an error of the remote file.
func (d *download) fault(code hresult.Code, format string, args ...any) *bits.Error {
	return bits.Errorf(code, "cannot fetch %s: %s", d.from(), fmt.Sprintf(format, args...)).In(bits.ContextRemoteFile)
}

// status is the error for an answer that is no content. An error page is never content.
func (d *download) status(answer *http.Response) error {
	disallowed := d.job.SecurityFlags&bits.RedirectMask == bits.RedirectDisallow && d.file.Source == ""
	if to, err := answer.Location(); disallowed && err == nil && answer.StatusCode/100 == 3 && remotename.Check(to.String()) == nil {
		from := d.file.RemoteName
		d.file.RemoteName = to.String()
		d.original(from)
		d.report.Contact(d.file, true) // a refused redirect is reported in the remote name (SetSecurityFlags)
		return bits.Errorf(hresult.FromHTTPStatus(answer.StatusCode), "cannot fetch %s: it is redirected to %s, and the job follows no redirects", from, to).In(bits.ContextRemoteFile)
	}
	d.report.Answered(headersOf(answer))
	if d.login != nil && d.login.Refused != nil {
		return d.login.Refused
	}
	e := d.fault(hresult.FromHTTPStatus(answer.StatusCode), "the server answered %s", answer.Status)
	if s := answer.StatusCode; s == http.StatusServiceUnavailable || s == http.StatusTooManyRequests {
		e.After = retry.After(answer.Header.Get("Retry-After"), answer.Header.Get("Date"), time.Now())
	}
	return e
}

// open records the beginning, then makes the temporary file, or empties the one that is open.
func (d *download) open() (step, error) {
	if d.fresh {
		d.file.Volume = tempfile.Volume(d.file.Temporary)
	}
	if d.file.Size != nil && *d.file.Size > d.budget && !d.job.OnDemand {
		return nil, d.limit()
	}
	first := d.fresh && d.job.HighPerformance && !d.file.Made
	if first { // it is the job's own from the record on, so it is made before
		var err error
		if d.temp, err = tempfile.CreateAt(d.file.Temporary, !d.job.NoReplace); err != nil {
			return nil, err
		}
		d.file.Made = true
	}
	if err := d.report.Contact(d.file, d.answer.StatusCode == http.StatusPartialContent && d.resumable()); err != nil {
		if first {
			tempfile.Remove(d.file.Temporary)
		}
		return nil, err
	}
	d.opened, d.guest, d.home, d.renamed = true, false, d.file.Source, false
	d.report.Received(d.file.Number, d.file.Done.Len())
	if !d.fresh {
		return d.copy, nil
	}
	var err error
	switch {
	case d.temp != nil:
		err = d.temp.Truncate(0)
	case d.job.HighPerformance:
		d.temp, err = tempfile.CreateAt(d.file.Temporary, true)
	default:
		d.temp, err = tempfile.Create(d.file.Temporary)
	}
	if err == nil && d.file.Size != nil && !d.job.OnDemand {
		err = d.temp.Preallocate(*d.file.Size)
	}
	if err != nil {
		return nil, err
	}
	return d.copy, nil
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
	if next, err := d.verify(); next != nil || err != nil {
		return next, err
	}
	at := time.Time{}
	if v := d.file.Validator; v != nil {
		at, _ = http.ParseTime(v.Modified)
	}
	if err := d.temp.Finish(*d.file.Size, os.FileMode(0o666&^d.job.Umask), at); err != nil {
		return nil, err
	}
	marks := checkpoints{d: d}
	d.report.Log(joblog.File, d.file.Number, "is whole: %d bytes", *d.file.Size)
	return nil, marks.record(true)
}
