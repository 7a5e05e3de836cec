package contract

import (
	"math/rand/v2"
	"time"

	"bits"
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

// RetryDelay is the fixed delay of BITS lengthened by up to a tenth, so that many machines do not come back at once, or the job's
// own back-off.
func RetryDelay(j *bits.Job) time.Duration {
	delay, jitter := j.MinimumRetryDelay.Duration(), 0.1
	if b := j.Backoff; b != nil {
		delay, jitter = b.Max.Duration(), b.Jitter
		if doubled := min(max(j.Failures-1, 0), 32); b.First <= b.Max>>doubled {
			delay = b.First.Duration() << doubled
		}
	}
	return delay + time.Duration(rand.Float64()*jitter*float64(delay))
}
