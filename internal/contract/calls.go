package contract

import (
	"math"
	"slices"
	"strings"
	"time"
	"unicode/utf8"

	"bits"
	"bits/hresult"
	"bits/internal/limits"
	"bits/internal/remotename"
)

// Operation is one row of the table of calls that change a job and are not the setting of a property.
// The local API has a route for each: POST /v1/jobs/{job}/NAME, or POST /v1/jobs/{job}/files/{file}/NAME.
type Operation struct {
	Name string
	BITS string // the function of BITS that it is
	Doc  string
	File bool // it is of one file
	Body any  // the type of its parameters, nil: none
	read func(raw bits.RawMessage, file int) (Call, error)
}

// operation makes the row of an operation whose parameters are a T.
func operation[T any](name, is, doc string, file bool, apply func(j *bits.Job, f *bits.File, args T, by Caller) (Outcome, error)) Operation {
	var body T
	o := Operation{Name: name, BITS: is, Doc: doc, File: file, Body: body}
	if _, none := any(body).(nothing); none {
		o.Body = nil
	}
	o.read = func(raw bits.RawMessage, number int) (Call, error) {
		var args T
		if len(raw) > 0 {
			if err := decode(raw, &args); err != nil {
				if e := bits.AsError(err); e.Code != hresult.E_FAIL {
					return Call{}, e
				}
				return Call{}, bits.Errorf(hresult.E_INVALIDARG, "cannot read the parameters of %s: %w", name, err).WithHint("docs/api.md and GET /v1/openapi.json say what belongs there")
			}
		} else if o.Body != nil {
			return Call{}, bits.Errorf(hresult.E_INVALIDARG, "cannot read the parameters of %s: there are none", name)
		}
		return Call{Apply: func(j *bits.Job, by Caller) (Outcome, error) {
			if err := notFinal(name+" of", j); err != nil {
				return Outcome{}, err
			}
			var f *bits.File
			if file {
				var err error
				if f, err = at(j, number); err != nil {
					return Outcome{}, err
				}
			}
			return apply(j, f, args, by)
		}}, nil
	}
	return o
}

type nothing struct{}

// Parameters of the operations, as they stand in JSON.
type (
	// Prefixes are those of ReplaceRemotePrefix.
	Prefixes struct {
		Old string `json:"old"`
		New string `json:"new"`
	}
	// Pair names a credential, for RemoveCredentials.
	Pair struct {
		Target bits.AuthTarget `json:"target"`
		Scheme bits.AuthScheme `json:"scheme"`
	}
	// RemoteName is that of SetRemoteName.
	RemoteName struct {
		RemoteName string `json:"remote_name"`
	}
	// Validation is that of SetValidationState.
	Validation struct {
		Valid *bool `json:"valid"`
	}
	// Ranges are those of RequestFileRanges.
	Ranges struct {
		Ranges []bits.FileRange `json:"ranges"`
	}
	// Position is that of UpdateDownloadPosition.
	Position struct {
		Offset *int64 `json:"offset"`
	}
)

var operations = []Operation{
	operation("replace-remote-prefix", "IBackgroundCopyJob3::ReplaceRemotePrefix", "Replace the start of all remote names that begin with old; S_FALSE if none does.", false, replacePrefix),
	operation("set-credentials", "IBackgroundCopyJob2::SetCredentials", "Add or replace the credential of one target and scheme. Nobody can read it back.", false, setCredential),
	operation("remove-credentials", "IBackgroundCopyJob2::RemoveCredentials", "Remove the credential of one target and scheme; S_FALSE if there is none.", false, removeCredential),
	operation("remove-client-certificate", "IBackgroundCopyJobHttpOptions::RemoveClientCertificate", "Remove the client certificate; S_FALSE if there is none.", false, removeCertificate),
	operation("set-helper-token", "IBitsTokenOptions::SetHelperToken", "Lend the caller's identity to the job, until the service ends.", false, func(j *bits.Job, _ *bits.File, _ nothing, by Caller) (Outcome, error) {
		j.HelperTokenSID, j.TokenPresent = by.Owner, true
		return Outcome{Effect: EffectReconnect}, nil
	}),
	operation("clear-helper-token", "IBitsTokenOptions::ClearHelperToken", "Take the helper token back; its flags stay.", false, func(j *bits.Job, _ *bits.File, _ nothing, _ Caller) (Outcome, error) {
		j.HelperTokenSID, j.TokenPresent = "", false
		return Outcome{Effect: EffectReconnect}, nil
	}),
	operation("set-remote-name", "IBackgroundCopyFile2::SetRemoteName", "Fetch the file from elsewhere; progress is kept where it is certain that the content is the same.", true, func(j *bits.Job, f *bits.File, args RemoteName, _ Caller) (Outcome, error) {
		if err := downloads("set the remote name of a file of", j); err != nil {
			return Outcome{}, err
		}
		return Outcome{Effect: EffectReconnect}, rename(f, args.RemoteName)
	}),
	operation("set-validation-state", "IBackgroundCopyFile3::SetValidationState", "The owner's verdict on the content of a finished file: false makes the job ERROR, and Resume fetches the file again.", true, setValidation),
	operation("request-ranges", "IBackgroundCopyFile6::RequestFileRanges", "Fetch these ranges first, and in on-demand mode nothing else; a SUSPENDED job needs Resume besides.", true, requestRanges),
	operation("update-download-position", "IBackgroundCopyFile6::UpdateDownloadPosition", "Fetch from this offset on first, then what is before it.", true, updatePosition),
}

// Operations returns the table of operations.
func Operations() []Operation { return slices.Clone(operations) }

// Read reads the parameters of the operation; file is the number of the file of one that has one.
func (o Operation) Read(raw bits.RawMessage, file int) (Call, error) { return o.read(raw, file) }

// AddCall is AddFile, AddFileSet and AddFileWithRanges.
func AddCall(kind bits.JobType, files []bits.FileSpec) Call {
	c := Call{Apply: func(j *bits.Job, by Caller) (Outcome, error) { return Outcome{}, Add(j, files, by) }}
	locals := &c.Targets
	if kind != bits.Download {
		locals = &c.Sources
	}
	for _, f := range files {
		*locals = append(*locals, f.LocalName)
	}
	return c
}

// SetCall changes properties: all, or none.
func SetCall(values map[string]bits.RawMessage) Call {
	c := Call{Apply: func(j *bits.Job, by Caller) (Outcome, error) {
		effect, err := Set(j, values)
		done := Outcome{Effect: effect}
		if _, set := values["notify_cmd_line"]; set && j.NotifyCommand != nil && by.NoCommands {
			done.Code = hresult.BG_S_OVERRIDDEN_BY_POLICY
		}
		return done, err
	}}
	var reply string
	if raw, ok := values["reply_file_name"]; ok && decode(raw, &reply) == nil && reply != "" {
		c.Targets = []string{reply}
	}
	var cert *bits.ClientCertificate
	if raw, ok := values["client_certificate"]; ok && decode(raw, &cert) == nil && checkClientCertificate(nil, &cert) == nil {
		c.Certificate = cert
	}
	return c
}

func downloads(what string, j *bits.Job) error {
	if j.Type != bits.Download {
		return bits.Errorf(hresult.E_NOTIMPL, "cannot %s job %s: its type is %s", what, j.ID, j.Type)
	}
	return nil
}

// rename gives a file another remote name; whether its progress is worth anything there is seen when the server answers.
func rename(f *bits.File, to string) error {
	if err := remotename.CheckSource(to); err != nil {
		return err
	}
	if f.Ranges != nil && remotename.IsFile(to) {
		return bits.Errorf(hresult.E_INVALIDARG, "cannot give %s the name %s: it was added with ranges, which are for http and https", f.RemoteName, to)
	}
	if to != f.RemoteName {
		f.RemoteName, f.Original, f.NoRanges = to, "", false
		f.Told = bits.Content{}                                    // what another server has said
		f.Renamed = f.Renamed || !f.Finished && f.Validator != nil // also if the first bytes are only under way
	}
	return nil
}

func replacePrefix(j *bits.Job, _ *bits.File, args Prefixes, _ Caller) (Outcome, error) {
	if err := downloads("replace the remote prefix of", j); err != nil {
		return Outcome{}, err
	}
	if args.Old == "" || args.New == "" {
		return Outcome{}, bits.Errorf(hresult.E_INVALIDARG, "cannot replace the remote prefix of job %s: both prefixes are needed", j.ID)
	}
	files, found := slices.Clone(j.Files), false
	for i := range files {
		if rest, ok := strings.CutPrefix(files[i].RemoteName, args.Old); ok {
			found = true
			if err := rename(&files[i], args.New+rest); err != nil {
				return Outcome{}, err
			}
		}
	}
	if !found {
		return Outcome{Code: hresult.S_FALSE}, nil
	}
	j.Files = files
	return Outcome{Effect: EffectReconnect}, nil
}

func setCredential(j *bits.Job, _ *bits.File, c bits.Credential, by Caller) (Outcome, error) {
	bad := func(code hresult.Code, why string) (Outcome, error) {
		return Outcome{}, bits.Errorf(code, "cannot set the credential of job %s: %s", j.ID, why)
	}
	implicit := c.User == nil && c.Password == nil
	switch {
	case by.Owner != j.Owner:
		return Outcome{}, bits.Errorf(hresult.E_ACCESSDENIED, "cannot set the credential of job %s: only its owner may", j.ID).WithHint("let the owner do it, or take ownership first")
	case c.Target != bits.AuthServer && c.Target != bits.AuthProxy:
		return bad(hresult.BG_E_INVALID_AUTH_TARGET, "its target is SERVER or PROXY")
	case c.Scheme < bits.Basic || c.Scheme > bits.Passport:
		return bad(hresult.BG_E_INVALID_AUTH_SCHEME, "its scheme is BASIC, DIGEST, NTLM, NEGOTIATE or PASSPORT")
	case implicit && c.Scheme != bits.NTLM && c.Scheme != bits.Negotiate, !implicit && (c.User == nil || c.Password == nil):
		return bad(hresult.E_INVALIDARG, "a name and a password are needed; only NTLM and NEGOTIATE can go without both")
	case !implicit && utf8.RuneCountInString(*c.User) > bits.MaxUserName:
		return bad(hresult.BG_E_USERNAME_TOO_LARGE, "the name is too long: 300 characters are allowed")
	case !implicit && utf8.RuneCountInString(*c.Password) > bits.MaxPassword:
		return bad(hresult.BG_E_PASSWORD_TOO_LARGE, "the password is too long: 65,536 characters are allowed")
	}
	j.Secrets.Credentials = append(without(j, Pair{c.Target, c.Scheme}), c)
	return Outcome{Effect: EffectReconnect}, nil
}

func without(j *bits.Job, p Pair) []bits.Credential {
	return slices.DeleteFunc(slices.Clone(j.Secrets.Credentials), func(o bits.Credential) bool { return o.Target == p.Target && o.Scheme == p.Scheme })
}

func removeCredential(j *bits.Job, _ *bits.File, p Pair, by Caller) (Outcome, error) {
	switch rest := without(j, p); {
	case by.Owner != j.Owner:
		return Outcome{}, bits.Errorf(hresult.E_ACCESSDENIED, "cannot remove the credential of job %s: only its owner may", j.ID).WithHint("let the owner do it, or take ownership first")
	case p.Target == bits.AuthNone:
		return Outcome{}, bits.Errorf(hresult.BG_E_INVALID_AUTH_TARGET, "cannot remove the credential of job %s: its target is SERVER or PROXY", j.ID)
	case p.Scheme == 0:
		return Outcome{}, bits.Errorf(hresult.BG_E_INVALID_AUTH_SCHEME, "cannot remove the credential of job %s: its scheme is missing", j.ID)
	case len(rest) == len(j.Secrets.Credentials):
		return Outcome{Code: hresult.S_FALSE}, nil
	default:
		j.Secrets.Credentials = rest
		return Outcome{Effect: EffectReconnect}, nil
	}
}

func removeCertificate(j *bits.Job, _ *bits.File, _ nothing, _ Caller) (Outcome, error) {
	if j.Secrets.ClientCertificate == nil {
		return Outcome{Code: hresult.S_FALSE}, nil
	}
	j.Secrets.ClientCertificate = nil
	return Outcome{Effect: EffectReconnect}, nil
}

func setValidation(j *bits.Job, f *bits.File, args Validation, _ Caller) (Outcome, error) {
	switch {
	case args.Valid == nil:
		return Outcome{}, bits.Errorf(hresult.E_INVALIDARG, "cannot set the validation state of %s: valid is true or false", f.LocalName)
	case j.Type == bits.Upload:
		return Outcome{}, bits.Errorf(hresult.E_NOTIMPL, "cannot set the validation state of an upload")
	case !f.Finished:
		return Outcome{}, bits.Errorf(hresult.E_PENDING, "cannot set the validation state of %s: it is not fully transferred", f.LocalName)
	case f.Completed:
		return Outcome{}, bits.Errorf(hresult.BG_E_INVALID_STATE, "cannot set the validation state of %s: it has its final name already", f.LocalName)
	}
	f.Valid = *args.Valid
	if f.Valid {
		return Outcome{}, nil
	}
	next, err := j.After(bits.Invalidate)
	if err != nil {
		return Outcome{}, err
	}
	f.Reset()
	number := f.Number
	j.State, j.NextRetry = next, nil
	j.ErrorCount++
	j.Error = &bits.JobError{
		Code: hresult.BG_E_VALIDATION_FAILED, Name: hresult.BG_E_VALIDATION_FAILED.Name(), Context: bits.ContextLocalFile,
		Message: "cannot use " + f.LocalName + ": its content was declared invalid", Hint: hresult.BG_E_VALIDATION_FAILED.Hint(),
		File: &number, URL: f.RemoteName, At: time.Now(),
	}
	return Outcome{Effect: EffectReconnect}, nil
}

func requestRanges(j *bits.Job, f *bits.File, args Ranges, by Caller) (Outcome, error) {
	if err := randomAccess(j, f); err != nil {
		return Outcome{}, err
	}
	if len(args.Ranges) == 0 {
		return Outcome{}, bits.Errorf(hresult.E_INVALIDARG, "cannot request ranges of %s: there are none", f.RemoteName)
	}
	if err := by.within(limits.MaxRangesPerFile, len(args.Ranges), "ranges in one request"); err != nil {
		return Outcome{}, err
	}
	requested := f.Requested
	for _, r := range args.Ranges {
		end := r.Offset + r.Length
		if r.Length == bits.ToEOF {
			if end = math.MaxInt64; f.Size != nil {
				end = *f.Size
			}
		}
		if r.Offset < 0 || end <= r.Offset || f.Size != nil && end > *f.Size {
			return Outcome{}, bits.Errorf(hresult.BG_E_INVALID_RANGE, "cannot request %d bytes from %d of %s: they are not in the file", r.Length, r.Offset, f.RemoteName)
		}
		requested = requested.Add(bits.Range{Start: r.Offset, End: end})
	}
	f.Requested = requested
	return Outcome{Effect: EffectReconnect}, nil
}

func updatePosition(j *bits.Job, f *bits.File, args Position, _ Caller) (Outcome, error) {
	if err := randomAccess(j, f); err != nil {
		return Outcome{}, err
	}
	if args.Offset == nil || *args.Offset < 0 || f.Size != nil && *args.Offset > *f.Size {
		return Outcome{}, bits.Errorf(hresult.BG_E_INVALID_RANGE, "cannot fetch %s from there: it is not in the file", f.RemoteName)
	}
	f.Position = *args.Offset
	return Outcome{Effect: EffectReconnect}, nil
}
