package bits

import (
	"bytes"
	"crypto/x509"
	"encoding/json"
	"encoding/pem"
	"errors"
	"fmt"
	"maps"
	"net/url"
	"path/filepath"
	"slices"
	"strconv"
	"strings"
	"unicode/utf8"

	"bits/hresult"
)

// RawMessage is an undecoded JSON value.
type RawMessage = json.RawMessage

// Effect is what a change of a property does to a transfer under way.
type Effect int

// The effects.
const (
	EffectNone      Effect = iota
	EffectReconnect        // every connection of the job is closed; the transfer goes on over new ones, under the new rules
)

// Property is one row of the table of settable properties.
type Property struct {
	Name   string // in JSON
	Effect Effect
	Doc    string // one line for docs/api.md
	set    func(*Job, RawMessage) error
}

// properties is the table that PATCH and Create read.
// Adding a property is adding a field to Job and a row here.
var properties = []Property{
	field("display_name", EffectNone, "at most 256 characters", func(j *Job) *string { return &j.DisplayName }, atMost(MaxDisplayName, hresult.BG_E_STRING_TOO_LONG)),
	field("description", EffectNone, "at most 1,024 characters", func(j *Job) *string { return &j.Description }, atMost(MaxDescription, hresult.BG_E_STRING_TOO_LONG)),
	field("priority", EffectNone, "FOREGROUND, HIGH, NORMAL (default) or LOW", func(j *Job) *Priority { return &j.Priority }, nil),
	field("minimum_retry_delay", EffectNone, "seconds, default 600; less than 5 becomes 5", func(j *Job) *Seconds { return &j.MinimumRetryDelay }, func(_ *Job, s *Seconds) error {
		*s = max(*s, MinRetryDelay)
		return nil
	}),
	field("no_progress_timeout", EffectNone, "seconds, default 1209600; 0: every error is fatal", func(j *Job) *Seconds { return &j.NoProgressTimeout }, nil),
	field("maximum_download_time", EffectNone, "seconds, default 7776000; 0: no limit", func(j *Job) *Seconds { return &j.MaximumDownloadTime }, nil),
	field("security_flags", EffectReconnect, "the bits of SetSecurityFlags", func(j *Job) *SecurityFlags { return &j.SecurityFlags }, func(j *Job, f *SecurityFlags) error {
		if err := f.Check(); err != nil {
			return err
		}
		// Turning revocation on in the middle of a file starts that file over (SetSecurityFlags).
		if *f&CheckRevocation != 0 && j.SecurityFlags&CheckRevocation == 0 {
			for i := range j.Files {
				if !j.Files[i].Finished {
					j.Files[i].Reset()
				}
			}
		}
		return nil
	}),
	field("roots", EffectReconnect, "PEM: the only authorities trusted; empty: the system's", func(j *Job) *string { return &j.Roots }, func(_ *Job, s *string) error {
		if *s == "" {
			return nil
		}
		_, err := ParseRoots(*s)
		return err
	}),
	field("custom_headers", EffectReconnect, "one string, each line ended by CRLF; at most 16,383 characters; sealed on disk, never shown", func(j *Job) *string { return &j.Secrets.Headers }, checkHeaders),
	field("auto_complete", EffectNone, "Complete by itself when TRANSFERRED; default false", func(j *Job) *bool { return &j.AutoComplete }, nil),
	field("no_replace", EffectNone, "Complete never replaces an existing file; default false", func(j *Job) *bool { return &j.NoReplace }, nil),
	field("backoff", EffectNone, `{"first":1,"max":60,"jitter":0.2}: growing delays in the place of minimum_retry_delay; null: off`, func(j *Job) **Backoff { return &j.Backoff }, func(_ *Job, b **Backoff) error {
		if *b != nil && ((*b).First < 1 || (*b).Max < (*b).First || (*b).Jitter < 0 || (*b).Jitter > 1) {
			return Errorf(hresult.E_INVALIDARG, "first is at least 1, max at least first, jitter from 0 to 1")
		}
		return nil
	}),
	field("strict", EffectReconnect, "demand HEAD, a size and ranges, as BITS does; default false", func(j *Job) *bool { return &j.Strict }, nil),
	field("give_up_after", EffectNone, "seconds without progress after which the job is ERROR; 0 (default): no_progress_timeout alone decides", func(j *Job) *Seconds { return &j.GiveUpAfter }, nil),
}

func field[T any](name string, effect Effect, doc string, at func(*Job) *T, check func(*Job, *T) error) Property {
	return Property{Name: name, Effect: effect, Doc: doc, set: func(j *Job, raw RawMessage) error {
		var v T
		dec := json.NewDecoder(bytes.NewReader(raw))
		dec.DisallowUnknownFields()
		err := dec.Decode(&v)
		if err == nil && string(bytes.TrimSpace(raw)) == "null" && !nullable(&v) {
			err = errors.New("null is no value for it")
		}
		if err != nil {
			if e := AsError(err); e.Code != hresult.E_FAIL {
				return Errorf(e.Code, "cannot set %s: %w", name, err)
			}
			return Errorf(hresult.E_INVALIDARG, "cannot set %s: %w", name, err).WithHint("it is: %s", doc)
		}
		if check != nil {
			if err := check(j, &v); err != nil {
				return Errorf(AsError(err).Code, "cannot set %s: %w", name, err)
			}
		}
		*at(j) = v
		return nil
	}}
}

// nullable reports whether null has a meaning: no text, or no value.
func nullable(v any) bool {
	switch v.(type) {
	case *string, **Backoff:
		return true
	}
	return false
}

// Properties returns the table of settable properties.
func Properties() []Property { return slices.Clone(properties) }

// Set changes properties of a job: all of them, or, with an error, none.
// The job must not be final (BG_E_INVALID_STATE); an unknown name is BG_E_UNKNOWN_PROPERTY_ID.
func (j *Job) Set(values map[string]RawMessage) (Effect, error) {
	if j.State.Final() {
		return 0, Errorf(hresult.BG_E_INVALID_STATE, "cannot change job %s: it is %s", j.ID, j.State)
	}
	work := *j
	work.Files = slices.Clone(j.Files)
	effect := EffectNone
	for _, name := range slices.Sorted(maps.Keys(values)) {
		i := slices.IndexFunc(properties, func(p Property) bool { return p.Name == name })
		if i < 0 {
			var names []string
			for _, p := range properties {
				names = append(names, p.Name)
			}
			return 0, Errorf(hresult.BG_E_UNKNOWN_PROPERTY_ID, "cannot set %q: there is no such property", name).WithHint("the properties are %s", strings.Join(names, ", "))
		}
		if err := properties[i].set(&work, values[name]); err != nil {
			return 0, err
		}
		effect = max(effect, properties[i].Effect)
	}
	*j = work
	return effect, nil
}

func atMost(n int, code hresult.Code) func(*Job, *string) error {
	return func(_ *Job, s *string) error {
		if got := utf8.RuneCountInString(*s); got > n {
			return Errorf(code, "it has %d characters, and %d are allowed", got, n)
		}
		return nil
	}
}

// ParseRoots reads the authorities of a job: a text with PEM blocks of which at least one is a certificate, at most 1 MiB.
// Otherwise E_INVALIDARG.
func ParseRoots(text string) (certs []*x509.Certificate, err error) {
	rest := []byte(text)
	for err == nil && len(text) <= 1<<20 {
		var block *pem.Block
		if block, rest = pem.Decode(rest); block == nil {
			break
		}
		if block.Type == "CERTIFICATE" {
			var c *x509.Certificate
			c, err = x509.ParseCertificate(block.Bytes)
			certs = append(certs, c)
		}
	}
	if err == nil && len(certs) == 0 {
		err = errors.New("there is no PEM block of type CERTIFICATE in them, or they have more than 1 MiB")
	}
	if err != nil {
		return nil, Errorf(hresult.E_INVALIDARG, "cannot use the certificates of authorities: %w", err).WithHint("give a file of certificates in PEM form")
	}
	return certs, nil
}

// checkHeaders accepts lines "Name: value", each ended by CRLF, the last perhaps without.
func checkHeaders(_ *Job, s *string) error {
	if *s == "" {
		return nil
	}
	if !strings.HasSuffix(*s, "\r\n") {
		*s += "\r\n"
	}
	if err := atMost(MaxHeaders, hresult.BG_E_STRING_TOO_LONG)(nil, s); err != nil {
		return err
	}
	for i, line := range strings.Split(strings.TrimSuffix(*s, "\r\n"), "\r\n") {
		name, value, ok := strings.Cut(line, ":")
		switch {
		case !ok || name == "" || strings.ContainsFunc(name, notToken):
			return Errorf(hresult.E_INVALIDARG, "header %d is not of the form \"Name: value\"", i+1)
		case strings.ContainsFunc(value, func(r rune) bool { return r < ' ' && r != '\t' || r == 0x7f }):
			return Errorf(hresult.E_INVALIDARG, "the value of header %s has a line break or another control character in it", name)
		case slices.ContainsFunc(ownHeaders, func(h string) bool { return equalFold(h, name) }):
			return Errorf(hresult.E_INVALIDARG, "header %s is the service's own: it decides the ranges, the length and the framing", name)
		}
	}
	return nil
}

// ownHeaders are refused as custom headers: with them a transfer could splice or lie about its length.
var ownHeaders = []string{"Range", "If-Range", "Content-Length", "Transfer-Encoding", "Connection", "Accept-Encoding", "TE", "Trailer", "Upgrade", "Keep-Alive", "Proxy-Connection"}

// notToken reports whether the rune may not stand in a field name (RFC 9110, section 5.6.2).
func notToken(r rune) bool {
	return r > '~' || !(r >= 'a' && r <= 'z' || r >= 'A' && r <= 'Z' || r >= '0' && r <= '9' || strings.ContainsRune("!#$%&'*+-.^_`|~", r))
}

// CheckRemoteName accepts what AddFile accepts as a remote name: a legal http or https URL of at most 2,200 characters, each path
// segment at most 260; nothing is escaped for the caller (BG_FILE_INFO).
// Otherwise E_INVALIDARG.
func CheckRemoteName(remote string) error {
	bad := func(format string, args ...any) error {
		shown := remote
		if len(shown) > 80 {
			shown = shown[:77] + "..."
		}
		return Errorf(hresult.E_INVALIDARG, "cannot use the URL %q: %s", shown, fmt.Sprintf(format, args...)).WithHint("give a complete http:// or https:// URL")
	}
	if n := utf8.RuneCountInString(remote); n > MaxURL {
		return bad("it has %d characters, and %d are allowed", n, MaxURL)
	}
	if i := strings.IndexFunc(remote, func(r rune) bool { return r <= ' ' || r >= 0x7f || strings.ContainsRune("\"<>\\^`{|}", r) }); i >= 0 {
		return bad("the character %q at position %d is not legal in a URL; write it escaped", []rune(remote[i:])[0], i+1)
	}
	u, err := url.Parse(remote)
	switch {
	case err != nil:
		return bad("%v", strings.TrimPrefix(err.Error(), "parse "))
	case u.Scheme == "":
		return bad("it has no scheme")
	case u.Scheme != "http" && u.Scheme != "https":
		return bad("the scheme %s is not supported", u.Scheme)
	case u.Hostname() == "" || u.Opaque != "":
		return bad("it names no server")
	case u.User != nil:
		u.User = nil
		return Errorf(hresult.E_INVALIDARG, "cannot use a URL of %s with a name or a password in it: everybody who may list the job would read it", u.Host).WithHint("give the login as a header, from a file: -H @FILE with Authorization: Basic ...")
	}
	if port := u.Port(); port != "" {
		if n, err := strconv.Atoi(port); err != nil || n < 1 || n > 65535 {
			return bad("the port %s is none: ports are 1 to 65535", port)
		}
	}
	for segment := range strings.SplitSeq(u.EscapedPath(), "/") {
		if len(segment) > MaxPathSegment {
			return bad("a part of its path has %d characters, and %d are allowed", len(segment), MaxPathSegment)
		}
	}
	return nil
}

// NewJob makes the job that a Spec describes, SUSPENDED and with the defaults of BITS.
// Local names are checked by the service besides, as only it sees the disk.
func NewJob(spec Spec) (*Job, error) {
	if err := atMost(MaxDisplayName, hresult.E_INVALIDARG)(nil, &spec.DisplayName); err != nil {
		return nil, Errorf(hresult.E_INVALIDARG, "cannot create a job with that display name: %w", err)
	}
	j := &Job{
		ID: spec.ID, Type: spec.Type, DisplayName: spec.DisplayName,
		State: StateSuspended, Priority: Normal, Umask: 0o077,
		MinimumRetryDelay: DefaultRetryDelay, NoProgressTimeout: DefaultNoProgress, MaximumDownloadTime: DefaultMaxDownload,
	}
	if spec.Type != Download {
		return nil, Errorf(hresult.E_NOTIMPL, "cannot create a job of type %s: this version downloads only", spec.Type)
	}
	if spec.Umask != nil {
		j.Umask = *spec.Umask & 0o777
	}
	j.Secrets.Environment = Environment(func(name string) (string, bool) { v, ok := spec.Environment[name]; return v, ok })
	if _, err := j.Set(spec.Properties); err != nil {
		return nil, err
	}
	return j, j.Add(spec.Files)
}

// Add appends files: all of them, or, with an error, none.
// Allowed until the job is final; BG_E_TOO_MANY_FILES_IN_JOB beyond 200.
func (j *Job) Add(files []FileSpec) error {
	if j.State.Final() || j.Completing {
		return Errorf(hresult.BG_E_INVALID_STATE, "cannot add files to job %s: it is %s, or being completed", j.ID, j.State)
	}
	if len(j.Files)+len(files) > MaxFilesInJob {
		return Errorf(hresult.BG_E_TOO_MANY_FILES_IN_JOB, "cannot add %d files to a job that has %d: %d are allowed", len(files), len(j.Files), MaxFilesInJob)
	}
	all := slices.Clone(j.Files)
	for _, f := range files {
		if err := CheckRemoteName(f.RemoteName); err != nil {
			return err
		}
		if slices.ContainsFunc(all, func(o File) bool { return filepath.Clean(o.LocalName) == filepath.Clean(f.LocalName) }) {
			return Errorf(hresult.E_INVALIDARG, "cannot add %s twice to one job: the second would replace the first", f.LocalName)
		}
		all = append(all, File{Number: len(all), RemoteName: f.RemoteName, LocalName: f.LocalName})
	}
	j.Files = all
	return nil
}

// HeaderList returns the names of the custom headers.
func (j *Job) HeaderList() (names []string) {
	for line := range strings.SplitSeq(strings.TrimSuffix(j.Secrets.Headers, "\r\n"), "\r\n") {
		if name, _, ok := strings.Cut(line, ":"); ok {
			names = append(names, name)
		}
	}
	return names
}

// Clone returns a copy that shares nothing that changes.
func (j *Job) Clone() *Job {
	c := *j
	c.Files = slices.Clone(j.Files)
	return &c
}
