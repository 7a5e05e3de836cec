package api

import (
	"strconv"
	"strings"

	"bits"
	"bits/hresult"
)

// kept finds the job of a call that has a log still, though the queue has forgotten it, by its id or the unique begin of one.
// Only who owned it finds it.
func (c *call) kept(id string, missing error) error {
	if len(id) < 4 || strings.Trim(id, "0123456789abcdef-") != "" {
		return missing
	}
	jobs, err := c.Store.LoggedJobs(c.r.Context(), c.peer.Owner, id)
	switch {
	case err != nil:
		return err
	case len(jobs) == 0:
		return missing
	case len(jobs) > 1:
		return bits.Errorf(hresult.BG_E_NOT_FOUND, "cannot tell which job %q means: it fits %s", id, strings.Join(jobs, " and ")).WithHint("give one of these ids")
	}
	c.job = jobs[0]
	return nil
}

// log streams the log of a job: the lines after the number from, and with follow what comes until the job is final.
// A follower reads when it is woken, so a slow one misses nothing that is kept.
func (c *call) log() (any, error) {
	q := c.r.URL.Query()
	from := int64(0)
	if s := q.Get("from"); s != "" {
		var err error
		if from, err = strconv.ParseInt(s, 10, 64); err != nil {
			return nil, bits.Errorf(hresult.E_INVALIDARG, "cannot read from=%s: it is the number of a line", s)
		}
	}
	follow := q.Get("follow") == "true"
	out := c.lines()
	if err := out.flush(); err != nil {
		return streamed{}, nil
	}
	for {
		more := c.Store.Logged()
		j, err := c.Queue.Get(c.job)
		over := err != nil || j.State.Final() || j.Owner != c.peer.Owner
		lines, err := c.Store.LogOf(c.r.Context(), c.peer.Owner, c.job, from)
		if err != nil {
			return streamed{}, nil
		}
		for _, l := range lines {
			from = l.N
			if out.enc.Encode(l) != nil {
				return streamed{}, nil
			}
		}
		if out.flush() != nil || !follow || over {
			return streamed{}, nil
		}
		select {
		case <-more:
		case <-c.r.Context().Done():
			return streamed{}, nil
		}
	}
}
