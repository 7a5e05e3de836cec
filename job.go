package bits

import (
	"crypto/rand"
	"encoding/json"
	"fmt"
	"strings"
	"time"

	"bits/hresult"
)

// JobType says which way the files go (BG_JOB_TYPE).
type JobType int

// The types of jobs.
const (
	Download JobType = iota
	Upload
	UploadReply
)

var typeNames = []string{"DOWNLOAD", "UPLOAD", "UPLOAD_REPLY"}

// String returns the name without its prefix BG_JOB_TYPE_.
func (t JobType) String() string { return name(typeNames, int(t)) }

// MarshalText makes types readable in JSON.
func (t JobType) MarshalText() ([]byte, error) { return []byte(t.String()), nil }

// UnmarshalText accepts what MarshalText writes.
func (t *JobType) UnmarshalText(text []byte) (err error) {
	*t, err = parse[JobType]("job type", typeNames, text)
	return err
}

// Priority says which job runs first (BG_JOB_PRIORITY).
type Priority int

// The priorities.
// All FOREGROUND jobs run side by side; of the others a lower one waits for every higher one.
const (
	Foreground Priority = iota
	High
	Normal
	Low
)

var priorityNames = []string{"FOREGROUND", "HIGH", "NORMAL", "LOW"}

// String returns the name without its prefix BG_JOB_PRIORITY_.
func (p Priority) String() string { return name(priorityNames, int(p)) }

// MarshalText makes priorities readable in JSON.
func (p Priority) MarshalText() ([]byte, error) { return []byte(p.String()), nil }

// UnmarshalText accepts what MarshalText writes, in any case.
func (p *Priority) UnmarshalText(text []byte) (err error) {
	*p, err = parse[Priority]("priority", priorityNames, text)
	return err
}

func equalFold(a, b string) bool { return strings.EqualFold(a, b) }

// Seconds is a length of time in whole seconds, as BITS counts them.
type Seconds uint32

// Duration converts to a time.Duration.
func (s Seconds) Duration() time.Duration { return time.Duration(s) * time.Second }

// Limits and defaults of BITS.
const (
	MaxDisplayName             = 256
	MaxDescription             = 1024
	MaxURL                     = 2200
	MaxPathSegment             = 260
	MaxProgram                 = 260
	MaxParameters              = 4000
	MaxProxyList               = 32000
	MaxUserName                = 300
	MaxPassword                = 65536
	MaxStoreName               = 255
	MaxHeaders                 = 16384 - 1
	DefaultInterval            = 500 // milliseconds
	MinRetryDelay      Seconds = 5
	DefaultRetryDelay  Seconds = 600
	DefaultNoProgress  Seconds = 1209600
	DefaultMaxDownload Seconds = 7776000
	InactivityTimeout          = 90 * 24 * time.Hour
)

// Backoff replaces the fixed retry delay: the n-th failure in a row waits First doubled n-1 times, at most Max,
// lengthened by a random part of up to Jitter (0 to 1) of itself.
// Progress starts the count again.
type Backoff struct {
	First  Seconds `json:"first"`
	Max    Seconds `json:"max"`
	Jitter float64 `json:"jitter"`
}

// Job is one job of the queue.
// The fields that carry "set" in the table of properties can be changed by PATCH; the others are facts.
// All of them survive a restart of the service, except what is marked live.
type Job struct {
	ID    string `json:"id"`    // a GUID
	Owner string `json:"owner"` // the user's SID or "uid:N"

	OwnerElevated  bool   `json:"owner_elevated"`       // the owner was root or an elevated administrator when he created or took the job
	OwnerIntegrity uint32 `json:"owner_integrity"`      // his integrity level then: 0x2000 medium, 0x3000 high, 0x4000 system
	TakenFrom      string `json:"taken_from,omitempty"` // the first owner of a job that was taken over: he has named its files

	Type        JobType  `json:"type"`
	State       State    `json:"state"`
	DisplayName string   `json:"display_name"`
	Description string   `json:"description"`
	Priority    Priority `json:"priority"`

	Created     time.Time  `json:"created"`
	Modified    time.Time  `json:"modified"`
	Transferred *time.Time `json:"transfer_completed,omitempty"` // when it became TRANSFERRED

	MinimumRetryDelay   Seconds       `json:"minimum_retry_delay"`
	NoProgressTimeout   Seconds       `json:"no_progress_timeout"`
	MaximumDownloadTime Seconds       `json:"maximum_download_time"`
	SecurityFlags       SecurityFlags `json:"security_flags"`
	ValidatorRequired   bool          `json:"validator_required"` // certificates must be accepted by an application

	AutoComplete bool     `json:"auto_complete"`     // Complete by itself when TRANSFERRED
	NoReplace    bool     `json:"no_replace"`        // Complete never replaces a file
	Backoff      *Backoff `json:"backoff,omitempty"` // replaces MinimumRetryDelay
	Strict       bool     `json:"strict"`            // HEAD first; size and ranges demanded, as BITS does
	GiveUpAfter  Seconds  `json:"give_up_after"`     // a shorter NoProgressTimeout; 0 is none
	Roots        string   `json:"roots,omitempty"`   // PEM: the only authorities trusted; empty: the system's
	Umask        uint32   `json:"umask"`             // of the creator

	NotifyFlags                 NotifyFlags      `json:"notify_flags"`
	NotifyCommand               *Command         `json:"notify_cmd_line,omitempty"`
	NotifyUser                  string           `json:"notify_user,omitempty"` // who set the command: it runs as this user
	NotificationCLSID           string           `json:"notification_clsid,omitempty"`
	MinimumNotificationInterval uint32           `json:"minimum_notification_interval"` // milliseconds
	Notice                      *Notice          `json:"notice,omitempty"`              // that it is TRANSFERRED or ERROR
	Notices                     int64            `json:"notices,omitempty"`             // numbered so far
	ProxySettings               ProxySettings    `json:"proxy_settings"`
	FileACLFlags                ACLFlags         `json:"file_acl_flags"`
	PeerCachingFlags            PeerCachingFlags `json:"peer_caching_flags"`
	CostFlags                   CostFlags        `json:"cost_flags"`
	DynamicContent              bool             `json:"dynamic_content"`
	HighPerformance             bool             `json:"high_performance"`
	OnDemand                    bool             `json:"on_demand_mode"`
	MaxDownloadSize             *int64           `json:"max_download_size,omitempty"`
	StoredCredentials           AuthTarget       `json:"use_stored_credentials"`
	LoginSources                *LoginSources    `json:"login_sources,omitempty"`
	HTTPMethod                  string           `json:"http_method"`
	HeadersWriteOnly            bool             `json:"custom_headers_write_only"`
	HelperTokenFlags            HelperTokenFlags `json:"helper_token_flags"`
	HelperTokenSID              string           `json:"helper_token_sid,omitempty"` // whose identity was lent to the job
	ReplyFileName               string           `json:"reply_file_name,omitempty"`
	ReplyProgress               *ReplyProgress   `json:"reply_progress,omitempty"` // of an UPLOAD_REPLY

	ErrorCount     uint32     `json:"error_count"`
	Error          *JobError  `json:"error,omitempty"`
	Failures       int        `json:"failures"`                  // in a row, without progress
	TransientSince *time.Time `json:"transient_since,omitempty"` // first transient error without progress since
	NextRetry      *time.Time `json:"next_retry,omitempty"`
	Active         Seconds    `json:"active_seconds"`     // time in CONNECTING and TRANSFERRING since Resume
	Expiring       *time.Time `json:"expiring,omitempty"` // when it was first seen to be without activity for 90 days
	Resumed        bool       `json:"resumed"`            // Resume was called at least once
	Completing     bool       `json:"completing,omitempty"`

	Files []File `json:"files,omitempty"`

	Secrets Secrets `json:"-"`

	Progress          JobProgress `json:"progress"`                     // live
	ValidatorAttached bool        `json:"validator_attached,omitempty"` // live
	NotifyAttached    bool        `json:"notify_attached,omitempty"`    // live: an application listens for notifications
	TokenPresent      bool        `json:"-"`                            // live: the helper token is there; it never survives a restart
	Waiting           *Waiting    `json:"waiting,omitempty"`            // live
	HeaderNames       []string    `json:"custom_headers,omitempty"`     // live: names of the custom headers, values hidden
}

// ReplyProgress is BG_JOB_REPLY_PROGRESS.
type ReplyProgress struct {
	BytesTotal       *int64 `json:"bytes_total"` // null until the reply arrives
	BytesTransferred int64  `json:"bytes_transferred"`
}

// Secrets are the parts of a job that are sealed before they reach the disk and never shown.
type Secrets struct {
	Headers     string            `json:"headers,omitempty"` // each line ends with CRLF
	Environment map[string]string `json:"environment,omitempty"`
	ProxyLogins map[string]string `json:"proxy_logins,omitempty"` // user:password of the entries of the job's own list of proxies

	Credentials       []Credential       `json:"credentials,omitempty"`
	ClientCertificate *ClientCertificate `json:"client_certificate,omitempty"`
}

// environment lists the variables that a job takes from its creator: trust, certificates of his, proxies, tickets and keyring.
// The environment of the service itself decides nothing.
var environment = []string{
	"SSL_CERT_FILE", "SSL_CERT_DIR", "XDG_CONFIG_HOME",
	"http_proxy", "HTTP_PROXY", "https_proxy", "HTTPS_PROXY", "all_proxy", "ALL_PROXY", "no_proxy", "NO_PROXY",
	"KRB5CCNAME", "KRB5_CONFIG", "KRB5_CLIENT_KTNAME", "DBUS_SESSION_BUS_ADDRESS",
}

// Environment returns the variables that a job takes from its creator, with the values that lookup finds.
// In a CGI program HTTP_PROXY is a header of whoever calls it, and does not count.
func Environment(lookup func(string) (string, bool)) map[string]string {
	env := map[string]string{}
	_, cgi := lookup("REQUEST_METHOD")
	for _, name := range environment {
		if cgi && name == "HTTP_PROXY" {
			continue
		}
		if v, ok := lookup(name); ok {
			env[name] = v
		}
	}
	return env
}

// File is one file of a job.
type File struct {
	Number     int        `json:"number"` // from 0, in the order added
	RemoteName string     `json:"remote_name"`
	Original   string     `json:"original_name,omitempty"` // the remote name before a redirect was reported in it
	LocalName  string     `json:"local_name"`
	Temporary  string     `json:"temporary_name,omitempty"`
	Size       *int64     `json:"size"`                // null: unknown (BG_SIZE_UNKNOWN)
	Validator  *Validator `json:"validator,omitempty"` // of the version that is being fetched
	Done       Ranges     `json:"done"`                // on stable storage
	Finished   bool       `json:"finished"`            // all bytes are on stable storage
	Completed  bool       `json:"completed"`           // it has its final name

	FileDetails

	Pieces          *Pieces `json:"-"` // what its pieces must be; read as a property of the file: there may be thousands
	Hashing         []byte  `json:"-"` // the digests of its first bytes, under way: see internal/digest
	ResponseHeaders string  `json:"-"` // of the last answer: its status line and its headers, lines that end with CRLF; the owner reads them as a property of the file: they may hold cookies

	Received int64 `json:"received"` // live: arrived, but promised to nobody
	Best     int64 `json:"-"`        // live: the most that was ever on stable storage; only what goes beyond it is progress
}

// TransferredBytes is BytesTransferred of BG_FILE_PROGRESS: only bytes on stable storage.
func (f *File) TransferredBytes() int64 { return f.Done.Len() }

// Reset forgets all progress of an unfinished file: it starts over.
func (f *File) Reset() {
	f.Size, f.Validator, f.Done, f.Finished, f.Received = nil, nil, nil, false, 0
	f.Hashing, f.Source, f.Blended = nil, "", false
}

// FileDetails is what few files have.
type FileDetails struct {
	Ranges    []FileRange `json:"ranges,omitempty"`    // only these are fetched, and put one after another
	Requested Ranges      `json:"requested,omitempty"` // of RequestFileRanges: fetched first, and in on-demand mode alone
	Position  int64       `json:"position,omitempty"`  // of UpdateDownloadPosition: where fetching begins
	Volume    string      `json:"volume,omitempty"`    // where its temporary file was made
	Renamed   bool        `json:"renamed,omitempty"`   // the owner changed the remote name since the first byte
	NoRanges  bool        `json:"no_ranges,omitempty"` // its server has shown that it has none
	Valid     bool        `json:"validation_state"`    // the owner's verdict on the content
	Notice    *Notice     `json:"notice,omitempty"`    // that it has arrived
	Made      bool        `json:"made,omitempty"`      // in high-performance mode: what is under the local name is the job's own

	Content
	Source  string   `json:"source,omitempty"`  // the mirror that it comes from; empty: the remote name
	Told    Content  `json:"told,omitzero"`     // with MirrorsFromServer: mirrors that its server has named, and digests that it has told with them
	Dropped []string `json:"dropped,omitempty"` // sources that gave bad content: they are not asked again
	Blended bool     `json:"blended,omitempty"` // it comes from several answers, of one source or more
	Afresh  []string `json:"afresh,omitempty"`  // sources that were asked once more from the first byte, after several answers together were wrong
}

// Content is what is known beforehand of the content of a file, and where else the same content is.
type Content struct {
	Digests  map[string]string `json:"checksums,omitempty"`     // of the whole file, in hexadecimal, by algorithm: sha256, sha512, blake3 and others
	Expected *int64            `json:"expected_size,omitempty"` // bytes
	Mirrors  []string          `json:"mirrors,omitempty"`       // in the order to try, after the remote name

	MirrorsFromServer bool `json:"mirrors_from_server,omitempty"` // those that the server of the remote name names (RFC 6249) come after them
}

// Pieces are the digests of a file's pieces, in order; each is Length bytes long but the last.
type Pieces struct {
	Algorithm string   `json:"algorithm"`
	Length    int64    `json:"length"`
	Hashes    []string `json:"hashes"` // hexadecimal
}

// FileRange is BG_FILE_RANGE: Length bytes from Offset on.
type FileRange struct {
	Offset int64 `json:"offset"`
	Length int64 `json:"length"` // ToEOF: to the end of the file
}

// ToEOF is BG_LENGTH_TO_EOF.
const ToEOF = -1

// Validator is what proves that the remote file is the one a transfer began with (RFC 9110, section 8.8).
type Validator struct {
	ETag         string `json:"etag,omitempty"`          // only one that is proof
	LastModified string `json:"last_modified,omitempty"` // only one that is proof together with the size
	Modified     string `json:"modified,omitempty"`      // as the server wrote it: the time of the file
	Size         int64  `json:"size"`                    // -1: unknown

	URL      string            `json:"url,omitempty"`              // where the redirects led to, without its query, which may hold a signature
	Encoding string            `json:"content_encoding,omitempty"` // of the bytes, which are kept as they were sent
	Digests  map[string]string `json:"digests,omitempty"`          // of the whole as the server tells them (RFC 9530): sha256, sha512, in hexadecimal
}

// JobProgress is BG_JOB_PROGRESS, and what has merely arrived.
type JobProgress struct {
	BytesTotal       *int64 `json:"bytes_total"` // null while the size of any file is unknown
	BytesTransferred int64  `json:"bytes_transferred"`
	BytesReceived    int64  `json:"bytes_received"`
	FilesTotal       int    `json:"files_total"`
	FilesTransferred int    `json:"files_transferred"`
}

// JobError is the error object of a job (IBackgroundCopyError).
// It exists from the entry into ERROR or TRANSIENT_ERROR until the job is TRANSFERRING again, also across a restart.
type JobError struct {
	Code     hresult.Code `json:"hresult"`
	Name     string       `json:"name,omitempty"`
	Context  ErrorContext `json:"context"`
	Message  string       `json:"message"`
	Hint     string       `json:"hint,omitempty"`
	File     *int         `json:"file,omitempty"` // number of the file concerned
	URL      string       `json:"url,omitempty"`
	Protocol string       `json:"protocol,omitempty"` // "http" for http and https
	At       time.Time    `json:"at"`

	RetryAfter Seconds `json:"retry_after,omitempty"` // how long the server asked to be left alone
}

// Waiting says why a job is not moving, and when it will next try.
type Waiting struct {
	Code   hresult.Code `json:"hresult"`
	Reason string       `json:"reason"`
	Until  *time.Time   `json:"until,omitempty"`
}

// Spec is what makes a job: IBackgroundCopyManager::CreateJob, AddFileSet and the setters in one call.
type Spec struct {
	ID          string                `json:"id,omitempty"` // chosen by the client; empty: by the service. Repeating a call with the same id returns the same job
	Type        JobType               `json:"type"`
	DisplayName string                `json:"display_name"`
	Files       []FileSpec            `json:"files,omitempty"`
	Properties  map[string]RawMessage `json:"properties,omitempty"`
	Umask       *uint32               `json:"umask,omitempty"` // absent: 077
	Environment map[string]string     `json:"environment,omitempty"`
	Credentials []Credential          `json:"credentials,omitempty"` // as SetCredentials takes them
	Resume      bool                  `json:"resume,omitempty"`
}

// NewID returns a GUID that nobody has had before: an id for a Spec, so that its call can be repeated.
func NewID() string {
	var b [16]byte
	rand.Read(b[:])
	b[6], b[8] = b[6]&0x0f|0x40, b[8]&0x3f|0x80
	return fmt.Sprintf("%x-%x-%x-%x-%x", b[:4], b[4:6], b[6:8], b[8:10], b[10:])
}

// FileSpec is BG_FILE_INFO: what to fetch, and where to put it.
type FileSpec struct {
	RemoteName string `json:"remote_name"`
	LocalName  string `json:"local_name"`

	Ranges []FileRange `json:"ranges,omitzero"` // AddFileWithRanges; absent: the whole file

	Content
	Pieces *Pieces `json:"pieces,omitempty"`
}

// RawMessage is an undecoded JSON value.
type RawMessage = json.RawMessage
