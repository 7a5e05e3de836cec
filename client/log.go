package client

import (
	"context"
	"encoding/json"
	"fmt"
	"io"
	"iter"
	"net/url"
	"strconv"

	"bits/internal/joblog"
)

// LogLine is one line of the log of a job. Secrets are hidden in it.
type LogLine = joblog.Line

// Log yields the lines of the log of a job after the number from, oldest first; with follow also what comes, until the job is final, the
// context ends or the service does.
// Of each job the first 50 lines are kept and the newest, at most 1,000 and about 256 KiB; for seven days, also when the job is forgotten:
// then the id may be the unique begin of one. A crash of the service may lose the lines of the last second.
// Only the owner reads it, and only what was written while he was it: BG_E_NOT_FOUND for other users, E_ACCESSDENIED for administrators.
// The last value has an error if the stream broke.
func (c *Client) Log(ctx context.Context, id string, from int64, follow bool) iter.Seq2[LogLine, error] {
	return func(yield func(LogLine, error) bool) {
		query := url.Values{"from": {strconv.FormatInt(from, 10)}, "follow": {strconv.FormatBool(follow)}}
		resp, err := c.open(ctx, "GET", "/jobs/"+url.PathEscape(id)+"/log?"+query.Encode(), nil)
		if err != nil {
			yield(LogLine{}, err)
			return
		}
		defer resp.Body.Close()
		dec := json.NewDecoder(resp.Body)
		for {
			var l LogLine
			if err := dec.Decode(&l); err == io.EOF {
				return
			} else if err != nil {
				if ctx.Err() == nil {
					yield(LogLine{}, c.unreachable(fmt.Errorf("the stream of lines ended: %w", err)))
				}
				return
			}
			if !yield(l, nil) {
				return
			}
		}
	}
}
