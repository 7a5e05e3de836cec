// Package retry decides whether and when a job that failed is tried again.
package retry

import (
	"errors"
	"math"
	"math/rand/v2"
	"net/http"
	"slices"
	"strconv"
	"time"

	"bits"
	"bits/hresult"
)

// Deadline is when a job without progress gives up.
func Deadline(j *bits.Job) time.Time {
	if j.TransientSince == nil {
		return time.Now().Add(time.Hour)
	}
	limit := j.NoProgressTimeout
	if j.GiveUpAfter > 0 {
		limit = min(limit, j.GiveUpAfter)
	}
	return j.TransientSince.Add(limit.Duration())
}

// maxAfter is how long a server is left alone at the most because it asks for that.
const maxAfter = time.Hour

// After reads a Retry-After (RFC 9110, section 10.2.3): seconds, be they too many to count, or a date, which is of the server's clock, as
// date is. What cannot be read asks for nothing.
func After(value, date string, now time.Time) bits.Seconds {
	if n, err := strconv.ParseUint(value, 10, 64); err == nil || errors.Is(err, strconv.ErrRange) { // then n is the largest there is
		return bits.Seconds(min(n, math.MaxUint32))
	}
	at, err := http.ParseTime(value)
	if err != nil {
		return 0
	}
	if theirs, err := http.ParseTime(date); err == nil {
		now = theirs
	}
	return bits.Seconds(min(max(math.Ceil(at.Sub(now).Seconds()), 0), math.MaxUint32))
}

// Delay is the fixed delay of BITS lengthened by up to a tenth, so that many machines do not come back at once, or the job's
// own back-off. What the server asked for counts if it is longer, up to an hour.
func Delay(j *bits.Job) time.Duration {
	delay, jitter := j.MinimumRetryDelay.Duration(), 0.1
	if b := j.Backoff; b != nil {
		delay, jitter = b.Max.Duration(), b.Jitter
		if doubled := min(max(j.Failures-1, 0), 32); b.First <= b.Max>>doubled {
			delay = b.First.Duration() << doubled
		}
	}
	delay += time.Duration(rand.Float64() * jitter * float64(delay))
	if e := j.Error; e != nil {
		delay = max(delay, min(e.RetryAfter.Duration(), maxAfter))
	}
	return delay
}

// Asked reports whether a server has asked to be left alone for longer than until now.
func Asked(e *bits.JobError, now time.Time) bool {
	return e.At.Add(min(e.RetryAfter.Duration(), maxAfter)).After(now)
}

// Unanswered reports whether an error says that no server was heard: another network may change that.
func Unanswered(e *bits.JobError) bool { return slices.Contains(unanswered, e.Code) }

var unanswered = []hresult.Code{
	hresult.BG_E_NETWORK_DISCONNECTED, hresult.ERROR_WINHTTP_CANNOT_CONNECT, hresult.ERROR_WINHTTP_NAME_NOT_RESOLVED,
	hresult.ERROR_WINHTTP_TIMEOUT,
}

// offline is the first delay of a job that found no network. It is queued when one comes; so this is for a wrong guess only, and doubles
// until it is as long as every other delay.
const offline = 5 * time.Second

// ErrGaveUp is the cause in an error that ends the patience of a job.
var ErrGaveUp = errors.New("there was no progress for too long")

// Fault is what is known of an error beside its code.
type Fault struct {
	Err   error
	Code  hresult.Code
	Again bool // it is transient, whatever its code
	Final bool // it is fatal, whatever its code
}

// Next decides when a job whose run ended with a fault at a time is tried again; not again is its end.
// It records since when there is no progress.
func Next(j *bits.Job, f Fault, now time.Time) (at time.Time, again bool) {
	if f.Final || errors.Is(f.Err, ErrGaveUp) || !f.Again && !f.Code.Transient() || j.NoProgressTimeout == 0 || j.Backoff == nil && j.MinimumRetryDelay > j.NoProgressTimeout {
		return time.Time{}, false
	}
	if j.TransientSince == nil {
		j.TransientSince = &now
	}
	if !Deadline(j).After(now) {
		return time.Time{}, false
	}
	delay := Delay(j)
	if f.Code == hresult.BG_E_NETWORK_DISCONNECTED {
		delay = min(delay, offline<<min(max(j.Failures-1, 0), 16))
	}
	if at = now.Add(delay); at.After(Deadline(j)) {
		at = Deadline(j) // neither a server nor a delay holds a job beyond its patience, which ends then
	}
	return at, true
}
