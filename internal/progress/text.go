package progress

import (
	"cmp"
	"fmt"
	"io"
	"maps"
	"slices"
	"strings"
	"text/tabwriter"
	"time"

	"bits"
	"bits/internal/retry"
	"bits/internal/wire"
)

// Description is what a code means, in lines.
func Description(d wire.Description) string {
	text := fmt.Sprintf("%s %s (%d)\n%s\n", d.Code, cmp.Or(d.Name, "without a name"), d.Decimal, d.Message)
	if d.Context != bits.ContextNone {
		again := map[bool]string{true: "it is tried again by itself", false: "it waits for its owner"}[d.Transient]
		text += "  a job that fails with it: " + d.Where + "; " + again + "\n"
	}
	if d.Hint != "" {
		text += "  try: " + d.Hint + "\n"
	}
	return text
}

// Waiting says why a job does not move and when it will next try.
func Waiting(j *bits.Job) string {
	if j.Waiting == nil {
		return ""
	}
	if j.State == bits.StateTransientError && j.Error != nil {
		return Retry(j.Error, j.Failures, j.NextRetry)
	}
	text := j.Waiting.Reason
	if j.Waiting.Code != 0 {
		text += " (" + j.Waiting.Code.String() + ")"
	}
	if j.Waiting.Until != nil {
		text += "; next try " + until(*j.Waiting.Until)
	}
	return text
}

// Retry says of a job that failed when it is tried again, for which time, and why it failed.
func Retry(e *bits.JobError, failures int, next *time.Time) string {
	text := fmt.Sprintf("retry %d", failures)
	if next != nil {
		text += " " + until(*next)
	}
	return fmt.Sprintf("%s: %s (%s)", text, strings.TrimPrefix(e.Message, "cannot fetch "+e.URL+": "), e.Code)
}

func until(t time.Time) string {
	if d := time.Until(t).Round(time.Second); d > 0 {
		return "in " + d.String()
	}
	return "now"
}

// Percent is the part that is on stable storage, or how much that is if the size is unknown; a dash of a job without files.
func Percent(p bits.JobProgress) string {
	if p.BytesTotal == nil {
		return Size(p.BytesTransferred)
	}
	if p.FilesTotal == 0 {
		return "-"
	}
	if *p.BytesTotal == 0 {
		if p.FilesTransferred == p.FilesTotal {
			return "100%"
		}
		return "0%"
	}
	return fmt.Sprintf("%d%%", p.BytesTransferred*100 / *p.BytesTotal)
}

// Total is the size, if it is known.
func Total(p bits.JobProgress) string {
	if p.BytesTotal == nil {
		return "?"
	}
	return Size(*p.BytesTotal)
}

// List prints a table of jobs, with users that of several of them: their owners, and the whole ids, as commands need them.
func List(w io.Writer, jobs []bits.Job, users bool) error {
	table := tabwriter.NewWriter(w, 0, 8, 2, ' ', 0)
	owner := ""
	if users {
		owner = "OWNER\t"
	}
	if len(jobs) > 0 {
		fmt.Fprintf(table, "ID\t%sSTATE\tDONE\tSIZE\tPRIORITY\tNAME\tWHY IT WAITS\n", owner)
	}
	for i := range jobs {
		j := &jobs[i]
		id := j.ID[:8]
		if users {
			id, owner = j.ID, j.Owner+"\t"
		}
		fmt.Fprintf(table, "%s\t%s%s\t%s\t%s\t%s\t%s\t%s\n", id, owner, j.State, Percent(j.Progress), Total(j.Progress), j.Priority,
			Clean(Brief(j.DisplayName, 40)), Clean(Waiting(j)))
	}
	return table.Flush()
}

// times says how often a job failed in a row.
func times(n int) string {
	if n == 1 {
		return "once"
	}
	return fmt.Sprintf("%d times in a row", n)
}

// Show prints all about a job.
func Show(w io.Writer, j *bits.Job) {
	line := func(name, format string, args ...any) {
		fmt.Fprintf(w, "%-12s %s\n", name+":", Clean(fmt.Sprintf(format, args...)))
	}
	line("job", "%s", j.ID)
	line("name", "%s", j.DisplayName)
	if j.Description != "" {
		line("description", "%s", j.Description)
	}
	line("state", "%s", j.State)
	if why := Waiting(j); why != "" {
		line("waiting", "%s", why)
	}
	if e := j.Error; e != nil {
		line("error", "%s", e.Message)
		line("code", "%s %s (%s)", e.Code, e.Name, e.Context)
		if e.Hint != "" {
			line("try", "%s", e.Hint)
		}
		line("failed", "%s, %s", e.At.Format(time.RFC3339), times(j.Failures))
	}
	if j.State == bits.StateTransientError {
		if j.NextRetry != nil {
			line("next try", "%s, %s", j.NextRetry.Format(time.RFC3339), until(*j.NextRetry))
		}
		line("gives up", "%s, %s, without progress", retry.Deadline(j).Format(time.RFC3339), until(retry.Deadline(j)))
	}
	line("priority", "%s", j.Priority)
	owner := j.Owner
	if j.OwnerElevated {
		owner += " (administrator)"
	}
	if j.TakenFrom != "" {
		owner += ", taken over from " + j.TakenFrom
	}
	line("owner", "%s", owner)
	line("created", "%s", j.Created.Format(time.RFC3339))
	line("progress", "%s of %s (%s), %d of %d files", Size(j.Progress.BytesTransferred), Total(j.Progress), Percent(j.Progress), j.Progress.FilesTransferred, j.Progress.FilesTotal)
	line("errors", "%d", j.ErrorCount)
	if j.ValidatorRequired {
		attached := "no application is attached"
		if j.ValidatorAttached {
			attached = "an application is attached"
		}
		line("validator", "required; %s", attached)
	}
	if len(j.HeaderNames) > 0 {
		line("headers", "%s (values hidden)", strings.Join(j.HeaderNames, ", "))
	}
	if p := j.ProxySettings; p.Usage != bits.ProxyPreconfig {
		line("proxies", "%s", strings.Join(strings.Fields(fmt.Sprint(p.Usage, " ", p.List, " ", p.Script)), " "))
	}
	for _, f := range j.Files {
		state := Size(f.TransferredBytes())
		switch {
		case f.Completed:
			state = "completed"
		case f.Finished:
			state = "finished"
		}
		line(fmt.Sprintf("file %d", f.Number), "%s -> %s (%s)", f.RemoteName, f.LocalName, state)
		for _, name := range slices.Sorted(maps.Keys(f.Digests)) {
			line("  "+name, "%s", f.Digests[name])
		}
		for _, m := range f.Mirrors {
			line("  mirror", "%s", m)
		}
		for _, m := range f.Told.Mirrors {
			line("  mirror", "%s (its server names it)", m)
		}
		for _, d := range f.Dropped {
			line("  dropped", "%s (its content was bad)", d)
		}
		if given, _, _ := strings.Cut(f.RemoteName, "?"); f.Validator != nil && f.Validator.URL != "" && f.Validator.URL != given {
			line("  from", "%s", f.Validator.URL)
		}
	}
}
