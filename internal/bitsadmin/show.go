package bitsadmin

import (
	"cmp"
	"context"
	"encoding/hex"
	"errors"
	"fmt"
	"os/user"
	"slices"
	"strings"
	"text/template"
	"time"

	"bits"
	"bits/internal/progress"
)

// answer is what a getter says: the bare value, and the lines for people.
type answer struct {
	raw   string
	lines []string
}

func one(s string) answer { return answer{s, []string{s}} }

// labelled is an answer of several values: label, value, label, value.
func labelled(pairs ...string) answer {
	var values, lines []string
	for pair := range slices.Chunk(pairs, 2) {
		values, lines = append(values, pair[1]), append(lines, pair[0]+": "+pair[1])
	}
	return answer{strings.Join(values, "\n"), lines}
}

const unknown = "UNKNOWN"

func guid(id string) string { return "{" + strings.ToUpper(id) + "}" }

func size(n *int64) string {
	if n == nil {
		return unknown
	}
	return fmt.Sprint(*n)
}

func showNullable(s string) answer { return one(cmp.Or(s, "NULL")) }

// moment writes a time in the zone of the caller, in a form that every machine can read.
func moment(t *time.Time) string {
	if t == nil {
		return unknown
	}
	return t.Local().Format(time.RFC3339)
}

// getTime prints one of the times of a job.
func getTime(which string) action {
	return get("times", func(t map[string]*time.Time) answer { return one(moment(t[which])) })
}

func typeName(t bits.JobType) string { return strings.ReplaceAll(t.String(), "_", "-") }

// owner is the name of a user, or his SID or number if he has none.
func owner(id string) string {
	if u, err := user.LookupId(strings.TrimPrefix(id, "uid:")); err == nil {
		return u.Username
	}
	return id
}

func registered(yes bool) string {
	return map[bool]string{true: "REGISTERED", false: "UNREGISTERED"}[yes]
}

// summary is the line of a job in /LIST, /MONITOR and /INFO.
func summary(j *bits.Job) string {
	p := j.Progress
	return progress.Clean(fmt.Sprintf("%s '%s' %s %d / %d %d / %s", guid(j.ID), j.DisplayName, j.State, p.FilesTransferred, p.FilesTotal, p.BytesTransferred, size(p.BytesTotal)))
}

func fileLine(f *bits.File) string {
	state := map[bool]string{true: "COMPLETED", false: "WORKING"}[f.Completed]
	return progress.Clean(fmt.Sprintf("%d / %s %s %s -> %s", f.TransferredBytes(), size(f.Size), state, f.RemoteName, f.LocalName))
}

// errorLines are those of the error of a job.
func errorLines(j *bits.Job) (lines []string) {
	e := j.Error
	if e == nil {
		return nil
	}
	if e.File != nil && *e.File < len(j.Files) {
		lines = append(lines, fmt.Sprintf("ERROR FILE: %s -> %s", j.Files[*e.File].RemoteName, j.Files[*e.File].LocalName))
	}
	where := strings.ReplaceAll(strings.ToLower(strings.TrimPrefix(e.Context.String(), "BG_ERROR_CONTEXT_")), "_", " ")
	lines = append(lines,
		fmt.Sprintf("ERROR CODE: %s - %s", e.Code, cmp.Or(e.Message, e.Code.Message())),
		fmt.Sprintf("ERROR CONTEXT: 0x%08X - %s", int(e.Context), where))
	for i := range lines {
		lines[i] = progress.Clean(lines[i])
	}
	return lines
}

func showCommand(c *bits.Command) answer {
	if c == nil {
		return one("none")
	}
	return labelled("PROGRAM", c.Program, "PARAMETERS", cmp.Or(c.Parameters, "NULL"))
}

// commas divides what BITS divides by blanks in its interface, and bitsadmin by commas.
func commas(list string) string { return strings.Join(strings.Fields(list), ",") }

func showHeaders(h string) answer {
	lines := strings.Split(strings.TrimSuffix(h, "\r\n"), "\r\n")
	if h == "" {
		lines[0] = "NULL"
	}
	return answer{strings.Join(lines, "\n"), lines}
}

func showCertificate(c bits.ClientCertificate) answer {
	return labelled("STORE LOCATION", c.Location.String(), "STORE NAME", cmp.Or(c.Store, c.File), "HASH", cmp.Or(c.Hash, "NULL"), "SUBJECT", cmp.Or(c.Subject, "NULL"))
}

func peerAnswer(f bits.PeerCachingFlags) answer {
	return labelled("Enable download from peers", fmt.Sprint(f&1 != 0), "Enable serving to peers", fmt.Sprint(f&2 != 0))
}

func showStats(s map[string]int64) answer {
	return labelled("BYTES FROM ORIGIN", fmt.Sprint(s["from_origin"]), "BYTES FROM PEERS", fmt.Sprint(s["from_peers"]))
}

func replyProgress(p bits.ReplyProgress) string {
	return fmt.Sprintf("%d / %s", p.BytesTransferred, size(p.BytesTotal))
}

func showReply(data []byte) answer {
	return answer{string(data), strings.Split(strings.TrimSuffix(hex.Dump(data), "\n"), "\n")}
}

// block is all about a job, line by line as bitsadmin has it.
var block = template.Must(template.New("block").Funcs(template.FuncMap{
	"clean": progress.Clean, "guid": guid, "size": size, "time": func(t time.Time) string { return moment(&t) }, "when": moment, "owner": owner, "type": typeName,
	"acl": showACL, "registered": registered, "errors": errorLines, "file": fileLine,
	"null": func(s string) string { return progress.Clean(cmp.Or(s, "NULL")) },
	"bit":  func(f bits.PeerCachingFlags, bit bits.PeerCachingFlags) bool { return f&bit != 0 },
}).Parse(`GUID: {{guid .ID}} DISPLAY: '{{clean .DisplayName}}'
TYPE: {{type .Type}} STATE: {{.State}} OWNER: {{clean (owner .Owner)}}
PRIORITY: {{.Priority}} FILES: {{.Progress.FilesTransferred}} / {{.Progress.FilesTotal}} BYTES: {{.Progress.BytesTransferred}} / {{size .Progress.BytesTotal}}
CREATION TIME: {{time .Created}} MODIFICATION TIME: {{time .Modified}}
COMPLETION TIME: {{when .Transferred}} ACL FLAGS: {{acl .FileACLFlags}}
NOTIFY INTERFACE: {{registered .NotifyAttached}} NOTIFICATION FLAGS: {{.NotifyFlags}}
RETRY DELAY: {{.MinimumRetryDelay}} NO PROGRESS TIMEOUT: {{.NoProgressTimeout}} ERROR COUNT: {{.ErrorCount}}
PROXY USAGE: {{.ProxySettings.Usage}} PROXY LIST: {{null .ProxySettings.List}} PROXY BYPASS LIST: {{null .ProxySettings.Bypass}}
{{range errors .Job}}{{.}}
{{end}}DESCRIPTION: {{clean .Description}}
JOB FILES:
{{range .Files}}{{"\t"}}{{file .}}
{{end}}NOTIFICATION COMMAND LINE: {{with .NotifyCommand}}'{{clean .Program}}' '{{clean .Parameters}}'{{else}}none{{end}}
owner MIC integrity level: {{.Integrity}}
owner elevated ? {{.Elevated}}
Peercaching flags
{{"\t"}}Enable download from peers: {{bit .PeerCachingFlags 1}}
{{"\t"}}Enable serving to peers: {{bit .PeerCachingFlags 2}}
CUSTOM HEADERS: {{.Headers}}
`))

// info prints a job: in one line, or all about it.
func info(ctx context.Context, r *run, j *bits.Job, _ any) error {
	if !r.has("VERBOSE") {
		r.line("%s", summary(j))
		return nil
	}
	// fact reads what is no part of the job; not everybody may, and not every service knows it.
	fact := func(name string) any {
		var v any
		if _, err := r.Client.Property(ctx, j.ID, name, &v); errors.Is(err, bits.ErrAccessDenied) {
			return "(cannot be read)"
		} else if err != nil {
			return unknown
		}
		return v
	}
	facts := struct {
		*bits.Job
		Headers, Integrity, Elevated any
	}{j, fact("custom_headers"), fact("owner_integrity"), fact("owner_elevated")}
	if level, ok := facts.Integrity.(float64); ok {
		facts.Integrity = cmp.Or(levels[level], unknown)
	}
	if h, ok := facts.Headers.(string); ok || facts.Headers == nil {
		facts.Headers = progress.Clean(strings.Join(showHeaders(h).lines, "; "))
	}
	var text strings.Builder
	if err := block.Execute(&text, facts); err != nil {
		return err
	}
	for line := range strings.Lines(text.String()) {
		r.line("%s", strings.TrimSuffix(line, "\n"))
	}
	r.say("")
	return nil
}

// levels are the integrity levels of Windows; root has that of the system.
var levels = map[float64]string{0x1000: "LOW", 0x2000: "MEDIUM", 0x3000: "HIGH", 0x4000: "SYSTEM"}
