// Package joblog makes the lines of the log of a job: what they say, what they hide, and how many are kept.
//
// Every line goes through a [Mask] before it is kept anywhere. What is not known to be harmless is hidden: it errs on that side.
package joblog

import (
	"cmp"
	"crypto/sha256"
	"crypto/tls"
	"errors"
	"fmt"
	"slices"
	"strings"
	"time"

	"bits"
)

// Line is one line of the log of a job. Its text is several lines if it is the head of a request or an answer.
type Line struct {
	N    int64     `json:"n"` // grows; a line that comes later has a larger one
	At   time.Time `json:"at"`
	Job  string    `json:"job"`
	Kind string    `json:"kind"`
	File *int      `json:"file,omitempty"` // number of the file, from 0
	Text string    `json:"text"`

	Owner string `json:"-"` // of the job when it was written: nobody else reads it
}

// The kinds of lines.
const (
	State    = "state"    // the job entered a state
	Run      = "run"      // the job began to be carried out, or ended to be
	Proxy    = "proxy"    // by which proxy a server is reached
	Connect  = "connect"  // a name was resolved, a connection made
	TLS      = "tls"      // a certificate was judged
	Request  = "request"  // the head of a request
	Response = "response" // the head of an answer
	Redirect = "redirect" // an answer that points elsewhere is followed
	Resume   = "resume"   // what was decided about what is there already
	File     = "file"     // a file is whole
)

// What is kept of one job: the first lines, and of the others the newest.
const (
	First    = 50
	MaxLines = 1000
	MaxBytes = 256 << 10
	MaxText  = 4 << 10 // of one line
)

// What is kept of all: for Kept after it was written, and the newest MaxTotal lines.
const (
	Kept     = 7 * 24 * time.Hour
	MaxTotal = 100_000
)

// New makes a line about a job; file is -1 if it is about none. The text is cut if it is long; only heads have several lines.
func New(j *bits.Job, mask Mask, kind string, file int, text string) Line {
	text = mask.Text(text)
	if kind != Request && kind != Response {
		text = strings.Join(strings.FieldsFunc(text, func(r rune) bool { return r == '\n' || r == '\r' }), " ")
	}
	if len(text) > MaxText {
		text = strings.ToValidUTF8(text[:MaxText], "") + " ... (cut)"
	}
	l := Line{At: time.Now(), Job: j.ID, Owner: j.Owner, Kind: kind, Text: strings.ToValidUTF8(text, "?")}
	if file >= 0 {
		l.File = &file
	}
	return l
}

// StateText says which state a job has entered, and why.
func StateText(j *bits.Job) string {
	text := j.State.String()
	if e := j.Error; e != nil && (j.State == bits.StateError || j.State == bits.StateTransientError) {
		text += fmt.Sprintf(": %s (%s %s, %s)", e.Message, e.Code, cmp.Or(e.Name, "without a name"), e.Context)
	}
	if j.State == bits.StateTransientError && j.NextRetry != nil {
		text += fmt.Sprintf("; failure %d in a row; next try in %s, at %s", j.Failures, time.Until(*j.NextRetry).Round(time.Millisecond), j.NextRetry.UTC().Format(time.RFC3339))
	}
	return text
}

// BeginText says that a run begins.
func BeginText(j *bits.Job, p bits.JobProgress) string {
	text := "begins: " + reached(p)
	if j.Failures > 0 {
		text += fmt.Sprintf("; failures in a row before it: %d", j.Failures)
	}
	return text
}

// EndText says how a run ended. An error with a code is that of the state that follows, and said there.
func EndText(p bits.JobProgress, took time.Duration, err error) string {
	text := fmt.Sprintf("ends after %s: %s", took.Round(time.Millisecond), reached(p))
	if coded := new(bits.Error); err != nil && !errors.As(err, &coded) {
		text += "; " + err.Error()
	}
	return text
}

func reached(p bits.JobProgress) string {
	total := "unknown"
	if p.BytesTotal != nil {
		total = fmt.Sprint(*p.BytesTotal)
	}
	return fmt.Sprintf("%d of %s bytes, %d of %d files", p.BytesTransferred, total, p.FilesTransferred, p.FilesTotal)
}

// Certificate says which certificate a server has shown, by whom it was judged, and the judgement.
func Certificate(endpoint string, cs tls.ConnectionState, judge string, err error) string {
	text := fmt.Sprintf("%s with %s, %s", tls.VersionName(cs.Version), endpoint, cmp.Or(cs.NegotiatedProtocol, "http/1.1"))
	if len(cs.PeerCertificates) > 0 {
		leaf := cs.PeerCertificates[0]
		text += fmt.Sprintf("; certificate of %s, issued by %s, valid until %s, sha256 %x", brief(leaf.Subject.String()), brief(leaf.Issuer.String()), leaf.NotAfter.UTC().Format(time.RFC3339), sha256.Sum256(leaf.Raw))
	}
	if err != nil {
		return text + "; refused by " + judge + ": " + err.Error()
	}
	return text + "; accepted by " + judge
}

func brief(name string) string {
	if r := []rune(name); len(r) > 100 {
		return string(r[:97]) + "..."
	}
	return name
}

// Tail keeps the first lines that it is given, and of the others the newest, within [MaxLines] and [MaxBytes].
type Tail struct {
	first, last []Line
	size        int
}

// Add adds a line at the end, and drops what is too much.
func (t *Tail) Add(l Line) {
	if len(t.first) < First && len(t.last) == 0 {
		t.first = append(t.first, l)
		return
	}
	t.last = append(t.last, l)
	t.size += len(l.Text)
	for len(t.last) > MaxLines-First || t.size > MaxBytes && len(t.last) > 1 {
		t.size -= len(t.last[0].Text)
		t.last[0] = Line{} // its text is free
		t.last = t.last[1:]
	}
}

// Size is how many bytes the texts have that count.
func (t *Tail) Size() int { return t.size }

// Lines returns what is there, in order.
func (t *Tail) Lines() []Line { return slices.Concat(t.first, t.last) }
