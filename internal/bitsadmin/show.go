package bitsadmin

import (
	"context"
	"encoding/hex"
	"errors"
	"fmt"
	"os/user"
	"strconv"
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
	var a answer
	var values []string
	for i := 0; i < len(pairs); i += 2 {
		values = append(values, pairs[i+1])
		a.lines = append(a.lines, pairs[i]+": "+pairs[i+1])
	}
	a.raw = strings.Join(values, "\n")
	return a
}

const unknown = "UNKNOWN"

func guid(id string) string { return "{" + strings.ToUpper(id) + "}" }

func size(n *int64) string {
	if n == nil {
		return unknown
	}
	return strconv.FormatInt(*n, 10)
}

// orWord is the text, or a word for one that is empty.
func orWord(s, word string) string {
	if s == "" {
		return word
	}
	return s
}

func showNullable(s string) answer { return one(orWord(s, "NULL")) }

// moment writes a time in the zone of the caller, in a form that every machine can read.
func moment(t time.Time) string { return t.Local().Format(time.RFC3339) }

func orUnknown(t *time.Time) string {
	if t == nil {
		return unknown
	}
	return moment(*t)
}

// times is the property of that name.
type times struct {
	Created     time.Time  `json:"created"`
	Modified    time.Time  `json:"modified"`
	Transferred *time.Time `json:"transfer_completed"`
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
	if yes {
		return "REGISTERED"
	}
	return "UNREGISTERED"
}

// summary is the line of a job in /LIST, /MONITOR and /INFO.
func summary(j *bits.Job) string {
	p := j.Progress
	return progress.Clean(fmt.Sprintf("%s '%s' %s %d / %d %d / %s", guid(j.ID), j.DisplayName, j.State, p.FilesTransferred, p.FilesTotal, p.BytesTransferred, size(p.BytesTotal)))
}

func fileLine(f *bits.File) string {
	state := "WORKING"
	if f.Completed {
		state = "COMPLETED"
	}
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
	lines = append(lines,
		fmt.Sprintf("ERROR CODE: %s - %s", e.Code, orWord(e.Message, e.Code.Message())),
		fmt.Sprintf("ERROR CONTEXT: 0x%08X - %s", int(e.Context), contexts[e.Context]))
	for i := range lines {
		lines[i] = progress.Clean(lines[i])
	}
	return lines
}

var contexts = map[bits.ErrorContext]string{
	bits.ContextNone:                "no error",
	bits.ContextUnknown:             "it is not known where it happened",
	bits.ContextQueueManager:        "in the queue manager",
	bits.ContextNotification:        "while the application was notified",
	bits.ContextLocalFile:           "at the local file",
	bits.ContextRemoteFile:          "at the remote file",
	bits.ContextGeneralTransport:    "in the transport",
	bits.ContextRemoteApplication:   "in the application of the server",
	bits.ContextCertificateCallback: "when the application judged the certificate of the server",
}

func showCommand(c *bits.Command) answer {
	if c == nil {
		return one("none")
	}
	return labelled("PROGRAM", c.Program, "PARAMETERS", orWord(c.Parameters, "NULL"))
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
	return labelled("STORE LOCATION", c.Location.String(), "STORE NAME", c.Store, "HASH", orWord(c.Hash, "NULL"), "SUBJECT", orWord(c.Subject, "NULL"))
}

func peerAnswer(f bits.PeerCachingFlags) answer {
	return labelled("Enable download from peers", strconv.FormatBool(f&1 != 0), "Enable serving to peers", strconv.FormatBool(f&2 != 0))
}

// peerStats is the property of a file of that name.
type peerStats struct {
	FromOrigin int64 `json:"from_origin"`
	FromPeers  int64 `json:"from_peers"`
}

func showStats(s peerStats) answer {
	return labelled("BYTES FROM ORIGIN", strconv.FormatInt(s.FromOrigin, 10), "BYTES FROM PEERS", strconv.FormatInt(s.FromPeers, 10))
}

func replyProgress(p bits.ReplyProgress) string {
	return fmt.Sprintf("%d / %s", p.BytesTransferred, size(p.BytesTotal))
}

func showReply(data []byte) answer {
	return answer{string(data), strings.Split(strings.TrimSuffix(hex.Dump(data), "\n"), "\n")}
}

// block is all about a job, line by line as bitsadmin has it.
var block = template.Must(template.New("block").Funcs(template.FuncMap{
	"clean": progress.Clean, "guid": guid, "size": size, "time": moment, "when": orUnknown, "owner": owner, "type": typeName,
	"acl": showACL, "registered": registered, "errors": errorLines, "file": fileLine,
	"null": func(s string) string { return progress.Clean(orWord(s, "NULL")) },
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

// show prints a job: in one line, or all about it.
func (r *run) show(ctx context.Context, j *bits.Job, verbose bool) error {
	if !verbose {
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
		facts.Integrity = orWord(levels[level], unknown)
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
