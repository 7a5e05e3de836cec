package contract

import (
	"maps"
	"path/filepath"
	"slices"
	"strings"

	"bits"
	"bits/hresult"
)

// Property is one row of the table of the properties of jobs.
type Property struct {
	Name   string // in JSON
	BITS   string // the functions or the property id of BITS that it is
	Effect Effect
	Doc    string // one line for docs/api.md

	rule
	private bool // of the owner alone
	read    func(*bits.Job) (any, hresult.Code, error)
	write   func(*bits.Job, bits.RawMessage) error // nil: a fact
}

// Settable reports whether the property can be set at all.
func (p Property) Settable() bool { return p.write != nil }

// field makes the row of a field of Job.
func field[T any](name, is, doc string, at func(*bits.Job) *T, check func(*bits.Job, *T) error) Property {
	return Property{Name: name, BITS: is, Doc: doc,
		read: func(j *bits.Job) (any, hresult.Code, error) { return *at(j), hresult.S_OK, nil },
		write: func(j *bits.Job, raw bits.RawMessage) error {
			var v T
			err := decode(raw, &v)
			if err == nil && check != nil {
				err = check(j, &v)
			}
			if err != nil {
				return refused(name, doc, err)
			}
			*at(j) = v
			return nil
		}}
}

// orNull makes the row of a text take null for an empty one, where BITS takes NULL.
func (p Property) orNull() Property {
	write := p.write
	p.write = func(j *bits.Job, raw bits.RawMessage) error {
		var s text
		if decode(raw, &s) == nil && s == "" {
			raw = bits.RawMessage(`""`)
		}
		return write(j, raw)
	}
	return p
}

// fact makes a row that can only be read.
func fact(name, is, doc string, read func(*bits.Job) (any, hresult.Code, error)) Property {
	return Property{Name: name, BITS: is, Doc: doc, read: read}
}

func plain[T any](at func(*bits.Job) T) func(*bits.Job) (any, hresult.Code, error) {
	return func(j *bits.Job) (any, hresult.Code, error) { return at(j), hresult.S_OK, nil }
}

// reconnects makes the change take hold of a transfer under way.
func (p Property) reconnects() Property {
	p.Effect = EffectReconnect
	return p
}

// until makes the property settable up to a moment.
func (p Property) before(moment limitOfTime, late hresult.Code) Property {
	p.until, p.late = moment, late
	return p
}

// of restricts the property to jobs of some types.
func (p Property) of(other hresult.Code, types ...bits.JobType) Property {
	p.types, p.other = types, other
	return p
}

// reads replaces how the property is read.
func (p Property) reads(read func(*bits.Job) (any, hresult.Code, error)) Property {
	p.read = read
	return p
}

// ofOwner hides the property from everybody else.
func (p Property) ofOwner() Property {
	p.private = true
	return p
}

const (
	downloadsOnly = hresult.BG_E_PROPERTY_SUPPORTED_FOR_DOWNLOAD_JOBS_ONLY
	afterResume   = hresult.BG_E_READ_ONLY_PROPERTY_AFTER_RESUME
)

// properties is the table that PATCH, Create and GET .../properties read.
// Adding a property is adding a field to Job and a row here.
var properties = []Property{
	field("display_name", "SetDisplayName GetDisplayName", "at most 256 characters", func(j *bits.Job) *string { return &j.DisplayName }, atMost(bits.MaxDisplayName, hresult.BG_E_STRING_TOO_LONG)),
	field("description", "SetDescription GetDescription", "at most 1,024 characters", func(j *bits.Job) *string { return &j.Description }, atMost(bits.MaxDescription, hresult.BG_E_STRING_TOO_LONG)),
	field("priority", "SetPriority GetPriority", "FOREGROUND, HIGH, NORMAL (default) or LOW; frozen at FOREGROUND with an http_method of your own", func(j *bits.Job) *bits.Priority { return &j.Priority }, func(j *bits.Job, p *bits.Priority) error {
		if ownMethod(j) && *p != bits.Foreground {
			return bits.Errorf(hresult.BG_E_NOT_SUPPORTED_WITH_CUSTOM_HTTP_METHOD, "a job with the method %s is FOREGROUND", j.HTTPMethod)
		}
		return nil
	}),
	field("minimum_retry_delay", "SetMinimumRetryDelay GetMinimumRetryDelay", "seconds, default 600; less than 5 becomes 5", func(j *bits.Job) *bits.Seconds { return &j.MinimumRetryDelay }, func(_ *bits.Job, s *bits.Seconds) error {
		*s = max(*s, bits.MinRetryDelay)
		return nil
	}),
	field("no_progress_timeout", "SetNoProgressTimeout GetNoProgressTimeout", "seconds, default 1209600; 0: every error is fatal", func(j *bits.Job) *bits.Seconds { return &j.NoProgressTimeout }, nil),
	field("maximum_download_time", "SetMaximumDownloadTime GetMaximumDownloadTime", "seconds, default 7776000; 0: no limit", func(j *bits.Job) *bits.Seconds { return &j.MaximumDownloadTime }, nil),
	field("notify_flags", "SetNotifyFlags GetNotifyFlags", "sum of 1 transferred, 2 error, 4 disable, 8 modification, 16 file transferred, 32 file ranges transferred; default 3", func(j *bits.Job) *bits.NotifyFlags { return &j.NotifyFlags }, word(bits.AllNotify, hresult.E_NOTIMPL)),
	field("notify_cmd_line", "SetNotifyCmdLine GetNotifyCmdLine", `{"program":"/full/path","parameters":"path words"}: started without a shell when the job is TRANSFERRED or ERROR; null: none`, func(j *bits.Job) **bits.Command { return &j.NotifyCommand }, checkCommand),
	field("notification_clsid", "BITS_JOB_PROPERTY_NOTIFICATION_CLSID", "GUID of the registered program that is started when nobody listens; empty or the null GUID: none", func(j *bits.Job) *string { return &j.NotificationCLSID }, checkCLSID).orNull(),
	field("minimum_notification_interval", "BITS_JOB_PROPERTY_MINIMUM_NOTIFICATION_INTERVAL_MS", "milliseconds between modification and ranges notifications, default 500", func(j *bits.Job) *uint32 { return &j.MinimumNotificationInterval }, nil),
	field("proxy_settings", "SetProxySettings GetProxySettings", `{"usage":"PRECONFIG", NO_PROXY, OVERRIDE or AUTODETECT,"list":"","bypass":"","script":""}; the lists only with OVERRIDE, divided by blanks, a login in one is not read back; the script, a URL or a full path, only with AUTODETECT`, func(j *bits.Job) *bits.ProxySettings { return &j.ProxySettings }, checkProxy).reconnects(),
	field("security_flags", "SetSecurityFlags GetSecurityFlags", "the bits of SetSecurityFlags", func(j *bits.Job) *bits.SecurityFlags { return &j.SecurityFlags }, func(j *bits.Job, f *bits.SecurityFlags) error {
		if err := f.Check(); err != nil {
			return err
		}
		// Turning revocation on in the middle of a file starts that file over (SetSecurityFlags).
		if *f&bits.CheckRevocation != 0 && j.SecurityFlags&bits.CheckRevocation == 0 {
			for i := range j.Files {
				if !j.Files[i].Finished {
					j.Files[i].Reset()
				}
			}
		}
		return nil
	}).reconnects(),
	field("roots", "", "PEM: the only authorities trusted; empty: the system's", func(j *bits.Job) *string { return &j.Roots }, func(_ *bits.Job, s *string) error {
		if *s == "" {
			return nil
		}
		_, err := ParseRoots(*s)
		return err
	}).reconnects(),
	field("custom_headers", "SetCustomHeaders GetCustomHeaders", "one string, each line ended by CRLF; at most 16,383 characters; empty or null: none; sealed on disk, read by the owner alone", func(j *bits.Job) *string { return &j.Secrets.Headers }, checkHeaders).orNull().reads(readHeaders).ofOwner().reconnects(),
	field("custom_headers_write_only", "MakeCustomHeadersWriteOnly", "true: nobody can read the custom headers any more; cannot be undone", func(j *bits.Job) *bool { return &j.HeadersWriteOnly }, func(j *bits.Job, on *bool) error {
		if !*on && j.HeadersWriteOnly {
			return bits.Errorf(hresult.E_INVALIDARG, "it cannot be undone").WithHint("make a new job")
		}
		return nil
	}),
	field("client_certificate", "SetClientCertificateByID SetClientCertificateByName GetClientCertificate", `{"location":"CURRENT_USER","store":"MY", and "hash":"40 hexadecimal digits" or "subject":"a part of the name"}, or {"file":"/full/path", "key" and "password_file" likewise}; it must be there, and is read anew for each connection; null: none`, func(j *bits.Job) **bits.ClientCertificate { return &j.Secrets.ClientCertificate }, checkClientCertificate).reads(readClientCertificate).ofOwner().reconnects(),
	field("http_method", "SetHttpMethod GetHttpMethod", "default GET, for uploads BITS_POST; another one makes the job FOREGROUND and every error fatal; until the first Resume", func(j *bits.Job) *string { return &j.HTTPMethod }, checkMethod).before(beforeResume, afterResume),
	field("file_acl_flags", "SetFileACLFlags GetFileACLFlags", "sum of 1 owner, 2 group, 4 DACL, 8 SACL; of files over SMB, kept and not applied; until TRANSFERRED", func(j *bits.Job) *bits.ACLFlags { return &j.FileACLFlags }, word(bits.AllACL, hresult.E_INVALIDARG)).before(beforeTransferred, hresult.BG_E_INVALID_STATE),
	field("peer_caching_flags", "SetPeerCachingFlags GetPeerCachingFlags", "sum of 1 fetch from peers, 2 serve to peers, 4 no branch cache; default 0", func(j *bits.Job) *bits.PeerCachingFlags { return &j.PeerCachingFlags }, word(bits.AllPeers, hresult.E_NOTIMPL)),
	field("cost_flags", "BITS_JOB_PROPERTY_ID_COST_FLAGS", "states of cost in which the job may run: a sum of BITS_COST_STATE, or ALWAYS, NOT_ROAMING, NO_SURCHARGE, STANDARD, UNRESTRICTED; 0 (default): the policy decides", func(j *bits.Job) *bits.CostFlags { return &j.CostFlags }, word(bits.AllCost, hresult.E_INVALIDARG)),
	field("dynamic_content", "BITS_JOB_PROPERTY_DYNAMIC_CONTENT", "servers without size and ranges are taken; an interruption starts the file over; default false; until the first Resume", func(j *bits.Job) *bool { return &j.DynamicContent }, nil).of(downloadsOnly, bits.Download).before(beforeResume, afterResume),
	field("high_performance", "BITS_JOB_PROPERTY_HIGH_PERFORMANCE", "written straight to the local name, and never recorded before the end; default false; until the first file", func(j *bits.Job) *bool { return &j.HighPerformance }, nil).of(downloadsOnly, bits.Download).before(beforeFiles, hresult.BG_E_READ_ONLY_PROPERTY_AFTER_ADDFILE),
	field("max_download_size", "BITS_JOB_PROPERTY_MAX_DOWNLOAD_SIZE", "bytes that the job may have in all, at least 1; null (default): no limit; until the first Resume", func(j *bits.Job) **int64 { return &j.MaxDownloadSize }, func(_ *bits.Job, n **int64) error {
		if *n != nil && **n < 1 {
			return bits.Errorf(hresult.BG_E_MAX_DOWNLOAD_SIZE_INVALID_VALUE, "%d bytes is no size", **n)
		}
		return nil
	}).of(downloadsOnly, bits.Download).before(beforeResume, afterResume),
	field("use_stored_credentials", "BITS_JOB_PROPERTY_USE_STORED_CREDENTIALS", "PROXY: the user's own credentials may be offered to proxies; NONE (default)", func(j *bits.Job) *bits.AuthTarget { return &j.StoredCredentials }, func(_ *bits.Job, t *bits.AuthTarget) error {
		if *t == bits.AuthServer {
			return bits.Errorf(hresult.BG_E_USE_STORED_CREDENTIALS_NOT_SUPPORTED, "stored credentials are for proxies only")
		}
		return nil
	}).reconnects(),
	field("login_sources", "", `{"netrc":"/path","bearer_token_file":"/path","keyring":true}: where logins are found that were not given with set-credentials; null (default): nowhere`, func(j *bits.Job) **bits.LoginSources { return &j.LoginSources }, func(_ *bits.Job, s **bits.LoginSources) error {
		if *s == nil {
			return nil
		}
		for _, path := range []string{(*s).Netrc, (*s).BearerTokenFile} {
			if path != "" && !filepath.IsAbs(path) {
				return bits.Errorf(hresult.E_INVALIDARG, "%s is not a full path", path)
			}
		}
		return nil
	}).reconnects(),
	field("on_demand_mode", "BITS_JOB_PROPERTY_ON_DEMAND_MODE", "only the ranges that were requested are fetched, then the job is SUSPENDED, or TRANSFERRED if its files are whole; default false", func(j *bits.Job) *bool { return &j.OnDemand }, nil).of(downloadsOnly, bits.Download).reconnects(),
	field("helper_token_flags", "SetHelperTokenFlags GetHelperTokenFlags", "where the helper token is used: sum of 1 local files, 2 network; default 0", func(j *bits.Job) *bits.HelperTokenFlags { return &j.HelperTokenFlags }, word(bits.AllTokenFlags, hresult.E_INVALIDARG)).reconnects(),
	field("reply_file_name", "SetReplyFileName GetReplyFileName", "full path of the reply; empty: beside the uploaded file; until the reply arrives", func(j *bits.Job) *string { return &j.ReplyFileName }, nil).orNull().of(hresult.E_NOTIMPL, bits.UploadReply).before(beforeReply, hresult.BG_E_INVALID_STATE),
	field("auto_complete", "", "Complete by itself when TRANSFERRED; default false", func(j *bits.Job) *bool { return &j.AutoComplete }, nil),
	field("no_replace", "", "Complete never replaces an existing file; default false", func(j *bits.Job) *bool { return &j.NoReplace }, nil),
	field("backoff", "", `{"first":1,"max":60,"jitter":0.2}: growing delays in the place of minimum_retry_delay; null: off`, func(j *bits.Job) **bits.Backoff { return &j.Backoff }, func(_ *bits.Job, b **bits.Backoff) error {
		if *b != nil && ((*b).First < 1 || (*b).Max < (*b).First || (*b).Jitter < 0 || (*b).Jitter > 1) {
			return bits.Errorf(hresult.E_INVALIDARG, "first is at least 1, max at least first, jitter from 0 to 1")
		}
		return nil
	}),
	field("strict", "", "demand HEAD, a size and ranges, as BITS does; default false", func(j *bits.Job) *bool { return &j.Strict }, nil).reconnects(),
	field("give_up_after", "", "seconds without progress after which the job is ERROR; 0 (default): no_progress_timeout alone decides", func(j *bits.Job) *bits.Seconds { return &j.GiveUpAfter }, nil),

	fact("id", "GetId", "the GUID of the job", plain(func(j *bits.Job) string { return j.ID })),
	fact("type", "GetType", "DOWNLOAD, UPLOAD or UPLOAD_REPLY", plain(func(j *bits.Job) bits.JobType { return j.Type })),
	fact("state", "GetState", "the state", plain(func(j *bits.Job) bits.State { return j.State })),
	fact("owner", "GetOwner", `the user's SID, or "uid:N"`, plain(func(j *bits.Job) string { return j.Owner })),
	fact("owner_integrity", "GetOwnerIntegrityLevel", "the owner's integrity level when he made or took the job: 8192 medium, 12288 high, 16384 system", plain(func(j *bits.Job) uint32 { return j.OwnerIntegrity })),
	fact("owner_elevated", "GetOwnerElevationState", "whether the owner was root, or an elevated administrator, when he made or took the job", plain(func(j *bits.Job) bool { return j.OwnerElevated })),
	fact("progress", "GetProgress", "BG_JOB_PROGRESS", plain(func(j *bits.Job) bits.JobProgress { return Progress(j) })),
	fact("times", "GetTimes", "BG_JOB_TIMES: created, modified, transfer_completed", plain(func(j *bits.Job) any { return times{j.Created, j.Modified, j.Transferred} })),
	fact("error", "GetError IBackgroundCopyError", "the error object; BG_E_ERROR_INFORMATION_UNAVAILABLE if there is none", readError),
	fact("error_count", "GetErrorCount", "failures so far; never reset", plain(func(j *bits.Job) uint32 { return j.ErrorCount })),
	fact("notify_interface", "GetNotifyInterface", "whether an application listens for the notifications of the job", plain(func(j *bits.Job) bool { return j.NotifyAttached })),
	fact("helper_token_sid", "GetHelperTokenSid", "whose helper token the job has; null: none", readToken),
	fact("reply_progress", "GetReplyProgress", "BG_JOB_REPLY_PROGRESS", plain(func(j *bits.Job) bits.ReplyProgress { return *orZero(j.ReplyProgress) })).of(hresult.E_NOTIMPL, bits.UploadReply),
	fact("reply_data", "GetReplyData", "the reply, at most 1 MB, in base64; null: the server gave none; TRANSFERRED and afterwards", readReply).of(hresult.E_NOTIMPL, bits.UploadReply),
	fact("validator_required", "", "certificates must be accepted by an application", plain(func(j *bits.Job) bool { return j.ValidatorRequired })),
}

// Properties returns the table of the properties of jobs.
func Properties() []Property { return slices.Clone(properties) }

// find finds the row of a name; who wants to set it is not told of facts.
func find(name string, toSet bool) (Property, error) {
	i := slices.IndexFunc(properties, func(p Property) bool { return p.Name == name })
	if i < 0 {
		var names []string
		for _, p := range properties {
			if p.Settable() || !toSet {
				names = append(names, p.Name)
			}
		}
		return Property{}, bits.Errorf(hresult.BG_E_UNKNOWN_PROPERTY_ID, "cannot use the property %q: there is no such property", name).WithHint("the properties are %s", strings.Join(names, ", "))
	}
	return properties[i], nil
}

// Get reads one property; the code is S_FALSE where BITS says so.
func Get(j *bits.Job, name string, by Caller) (any, hresult.Code, error) {
	p, err := find(name, false)
	if err != nil {
		return nil, 0, err
	}
	if p.private && by.Owner != j.Owner {
		return nil, 0, notHis(name, j)
	}
	if err := p.allows(name, j); err != nil {
		return nil, 0, err
	}
	return p.read(j)
}

// notHis is the error of what only the owner may read.
func notHis(name string, j *bits.Job) error {
	return bits.Errorf(hresult.E_ACCESSDENIED, "cannot read %s of job %s: only its owner may", name, j.ID)
}

// Set changes properties of a job: all of them, or, with an error, none.
// The job must not be final (BG_E_INVALID_STATE); an unknown name is BG_E_UNKNOWN_PROPERTY_ID, a fact BG_E_READ_ONLY_PROPERTY.
func Set(j *bits.Job, values map[string]bits.RawMessage) (Effect, error) {
	if err := notFinal("change", j); err != nil {
		return 0, err
	}
	work := *j
	work.Files = slices.Clone(j.Files)
	effect := EffectNone
	for _, name := range slices.Sorted(maps.Keys(values)) {
		p, err := find(name, true)
		if err != nil {
			return 0, err
		}
		if p.write == nil {
			return 0, bits.Errorf(hresult.BG_E_READ_ONLY_PROPERTY, "cannot set %s: it can only be read", name)
		}
		if err := p.settable(name, &work); err != nil {
			return 0, err
		}
		if err := p.write(&work, values[name]); err != nil {
			return 0, err
		}
		effect = max(effect, p.Effect)
	}
	if err := fits(&work); err != nil {
		return 0, err
	}
	*j = work
	return effect, nil
}

// exclusions are the pairs that BITS does not do together.
var exclusions = []struct {
	code hresult.Code
	what string
	a, b func(*bits.Job) bool
}{
	{hresult.BG_E_NOT_SUPPORTED_WITH_CUSTOM_HTTP_METHOD, "dynamic_content and an http_method of your own", dynamic, ownMethod},
	{hresult.BG_E_NOT_SUPPORTED_WITH_CUSTOM_HTTP_METHOD, "on_demand_mode and an http_method of your own", onDemand, ownMethod},
	{hresult.BG_E_NOT_SUPPORTED_WITH_CUSTOM_HTTP_METHOD, "ranges of a file and an http_method of your own", ranged, ownMethod},
	{hresult.BG_E_UNSUPPORTED_JOB_CONFIGURATION, "on_demand_mode and dynamic_content", onDemand, dynamic},
	{hresult.BG_E_UNSUPPORTED_JOB_CONFIGURATION, "ranges of a file and dynamic_content", ranged, dynamic},
	{hresult.BG_E_UNSUPPORTED_JOB_CONFIGURATION, "on_demand_mode and high_performance", onDemand, func(j *bits.Job) bool { return j.HighPerformance }},
	{hresult.BG_E_UNSUPPORTED_JOB_CONFIGURATION, "on_demand_mode, whose files are used before they are whole, and checksums, pieces or mirrors of a file", onDemand, vouched},
	{hresult.BG_E_UNSUPPORTED_JOB_CONFIGURATION, "dynamic_content and mirrors of a file", dynamic, mirrored},
	{hresult.BG_E_NOT_SUPPORTED_WITH_CUSTOM_HTTP_METHOD, "mirrors of a file and an http_method of your own", mirrored, ownMethod},
}

func vouched(j *bits.Job) bool {
	return mirrored(j) || slices.ContainsFunc(j.Files, func(f bits.File) bool { return f.Digests != nil || f.Pieces != nil })
}

func mirrored(j *bits.Job) bool {
	return slices.ContainsFunc(j.Files, func(f bits.File) bool { return f.Mirrors != nil || f.MirrorsFromServer })
}

func dynamic(j *bits.Job) bool  { return j.DynamicContent }
func onDemand(j *bits.Job) bool { return j.OnDemand }
func ranged(j *bits.Job) bool {
	return slices.ContainsFunc(j.Files, func(f bits.File) bool { return f.Ranges != nil })
}

func fits(j *bits.Job) error {
	for _, x := range exclusions {
		if x.a(j) && x.b(j) {
			return bits.Errorf(x.code, "cannot have %s in one job", x.what)
		}
	}
	return nil
}
