package bits

import (
	"bytes"
	"encoding/json"
	"maps"
	"slices"
	"strings"

	"bits/hresult"
)

// NotifyFlags say which events an application is told of (SetNotifyFlags).
type NotifyFlags uint32

// The notify flags of BITS.
const (
	NotifyTransferred  NotifyFlags = 0x01 // BG_NOTIFY_JOB_TRANSFERRED
	NotifyError        NotifyFlags = 0x02 // BG_NOTIFY_JOB_ERROR
	NotifyDisable      NotifyFlags = 0x04 // BG_NOTIFY_DISABLE: beats all others
	NotifyModification NotifyFlags = 0x08 // BG_NOTIFY_JOB_MODIFICATION
	NotifyFile         NotifyFlags = 0x10 // BG_NOTIFY_FILE_TRANSFERRED
	NotifyRanges       NotifyFlags = 0x20 // BG_NOTIFY_FILE_RANGES_TRANSFERRED
)

// CostFlags are the states of cost in which a job may run (BITS_COST_STATE); 0: the policy of the machine decides.
type CostFlags uint32

// policies are the ready-made sums of BITS_JOB_TRANSFER_POLICY.
var policies = map[string]CostFlags{
	"ALWAYS": 0x800000FF, "NOT_ROAMING": 0x8000007F, "NO_SURCHARGE": 0x8000006F, "STANDARD": 0x80000067, "UNRESTRICTED": 0x80000021,
}

// UnmarshalJSON accepts a number, and the names of BITS_JOB_TRANSFER_POLICY: ALWAYS, NOT_ROAMING, NO_SURCHARGE, STANDARD, UNRESTRICTED.
func (f *CostFlags) UnmarshalJSON(text []byte) error {
	if sum, ok := policies[strings.ToUpper(strings.Trim(string(text), `"`))]; ok {
		*f = sum
		return nil
	}
	if bytes.HasPrefix(text, []byte(`"`)) {
		return Errorf(hresult.E_INVALIDARG, "cannot take %s as states of cost: it is a sum, or one of %s", text, strings.Join(slices.Sorted(maps.Keys(policies)), ", "))
	}
	return json.Unmarshal(text, (*uint32)(f))
}

// PeerCachingFlags say what of a job goes to and comes from peers (SetPeerCachingFlags).
type PeerCachingFlags uint32

// ACLFlags say which parts of owner and access list are kept with files over SMB (SetFileACLFlags).
type ACLFlags uint32

// HelperTokenFlags say where the helper token of a job is used (IBitsTokenOptions::SetHelperTokenFlags).
type HelperTokenFlags uint32

// Flag words of which a property accepts every combination.
const (
	AllNotify                      = NotifyTransferred | NotifyError | NotifyDisable | NotifyModification | NotifyFile | NotifyRanges
	AllCost       CostFlags        = 0xC00000FF
	AllPeers      PeerCachingFlags = 0x7
	AllACL        ACLFlags         = 0xF
	AllTokenFlags HelperTokenFlags = 0x3
)

// Command is the program that is started when a job is TRANSFERRED or ERROR (SetNotifyCmdLine).
// It is started without a shell. The first word of the parameters repeats the program, as in BITS; blanks divide words, double quotes
// hold them together, and a backslash before a quote keeps it.
type Command struct {
	Program    string `json:"program"`
	Parameters string `json:"parameters,omitempty"`
}

// ProxyUsage says where a job takes its proxy from (BG_JOB_PROXY_USAGE).
type ProxyUsage int

// The usages of proxies.
const (
	ProxyPreconfig  ProxyUsage = iota // the variables of the job's creator
	ProxyNone                         // none
	ProxyOverride                     // the job's own lists
	ProxyAutodetect                   // found for each file
)

var proxyNames = []string{"PRECONFIG", "NO_PROXY", "OVERRIDE", "AUTODETECT"}

// String returns the name without its prefix BG_JOB_PROXY_USAGE_.
func (u ProxyUsage) String() string { return name(proxyNames, int(u)) }

// MarshalText makes usages readable in JSON.
func (u ProxyUsage) MarshalText() ([]byte, error) { return []byte(u.String()), nil }

// UnmarshalText accepts what MarshalText writes; another name is E_NOTIMPL.
func (u *ProxyUsage) UnmarshalText(text []byte) (err error) {
	*u, err = parse[ProxyUsage]("proxy usage", proxyNames, text)
	return err
}

// ProxySettings are the parameters of SetProxySettings: entries of both lists are divided by blanks.
type ProxySettings struct {
	Usage  ProxyUsage `json:"usage"`
	List   string     `json:"list,omitempty"`   // [scheme=][kind://]host[:port]; only with OVERRIDE. A login in it is kept, and not read back
	Bypass string     `json:"bypass,omitempty"` // hosts, networks, *.suffix, <local>, <-loopback>; only with OVERRIDE
	Script string     `json:"script,omitempty"` // URL or full path of a PAC script; only with AUTODETECT. Empty: it is searched for (WPAD)
}

// AuthTarget says who asks for a credential (BG_AUTH_TARGET).
type AuthTarget int

// The targets.
const (
	AuthNone AuthTarget = iota // no target: nothing
	AuthServer
	AuthProxy
)

var targetNames = []string{"NONE", "SERVER", "PROXY"}

// String returns the name without its prefix BG_AUTH_TARGET_.
func (t AuthTarget) String() string { return name(targetNames, int(t)) }

// MarshalText makes targets readable in JSON.
func (t AuthTarget) MarshalText() ([]byte, error) { return []byte(t.String()), nil }

// UnmarshalText accepts what MarshalText writes; another name is BG_E_INVALID_AUTH_TARGET.
func (t *AuthTarget) UnmarshalText(text []byte) (err error) {
	if *t, err = parse[AuthTarget]("target of a credential", targetNames, text); err != nil {
		err = Errorf(hresult.BG_E_INVALID_AUTH_TARGET, "%w", err)
	}
	return err
}

// AuthScheme is how a credential is offered (BG_AUTH_SCHEME).
type AuthScheme int

// The schemes.
const (
	Basic AuthScheme = iota + 1
	Digest
	NTLM
	Negotiate
	Passport // stored, and never offered
)

var schemeNames = []string{"NONE", "BASIC", "DIGEST", "NTLM", "NEGOTIATE", "PASSPORT"}

// String returns the name without its prefix BG_AUTH_SCHEME_.
func (s AuthScheme) String() string { return name(schemeNames, int(s)) }

// MarshalText makes schemes readable in JSON.
func (s AuthScheme) MarshalText() ([]byte, error) { return []byte(s.String()), nil }

// UnmarshalText accepts what MarshalText writes; another name is BG_E_INVALID_AUTH_SCHEME.
func (s *AuthScheme) UnmarshalText(text []byte) (err error) {
	if *s, err = parse[AuthScheme]("scheme of a credential", schemeNames, text); err != nil || *s == 0 {
		err = Errorf(hresult.BG_E_INVALID_AUTH_SCHEME, "cannot take %q as a scheme of a credential: it is one of %s", text, strings.Join(schemeNames[1:], ", "))
	}
	return err
}

// Credential is BG_AUTH_CREDENTIALS: one for each target and scheme.
// Null for both name and password means the identity of the job's owner, and needs NTLM or NEGOTIATE.
type Credential struct {
	Target   AuthTarget `json:"target"`
	Scheme   AuthScheme `json:"scheme"`
	User     *string    `json:"user"`
	Password *string    `json:"password"`
}

// LoginSources say where logins are found that were not given with the job; they are read when a server or proxy asks.
type LoginSources struct {
	Netrc           string `json:"netrc,omitempty"`             // full path of a file .netrc
	BearerTokenFile string `json:"bearer_token_file,omitempty"` // full path of a file with one token
	Keyring         bool   `json:"keyring,omitempty"`           // of the session in which the service runs
}

// StoreLocation is where the store of a client certificate lies (BG_CERT_STORE_LOCATION).
type StoreLocation int

var locationNames = []string{"CURRENT_USER", "LOCAL_MACHINE", "CURRENT_SERVICE", "SERVICES", "USERS", "CURRENT_USER_GROUP_POLICY", "LOCAL_MACHINE_GROUP_POLICY", "LOCAL_MACHINE_ENTERPRISE"}

// String returns the name without its prefix BG_CERT_STORE_LOCATION_.
func (l StoreLocation) String() string { return name(locationNames, int(l)) }

// MarshalText makes locations readable in JSON.
func (l StoreLocation) MarshalText() ([]byte, error) { return []byte(l.String()), nil }

// UnmarshalText accepts what MarshalText writes; another name is E_NOTIMPL.
func (l *StoreLocation) UnmarshalText(text []byte) (err error) {
	*l, err = parse[StoreLocation]("location of a certificate store", locationNames, text)
	return err
}

// ClientCertificate names the certificate that a job shows to its servers: in a store by the SHA-1 hash, or by a part of its subject; or
// by files, which BITS does not have.
type ClientCertificate struct {
	Location StoreLocation `json:"location"`
	Store    string        `json:"store"`             // MY, CA, ROOT, SPC or another
	Hash     string        `json:"hash,omitempty"`    // SHA-1, 40 hexadecimal digits (SetClientCertificateByID)
	Subject  string        `json:"subject,omitempty"` // SetClientCertificateByName

	File         string `json:"file,omitempty"`          // full path: PEM or PKCS#12
	Key          string `json:"key,omitempty"`           // full path of its key, if that lies elsewhere
	PasswordFile string `json:"password_file,omitempty"` // full path of a file whose first line is the password of the key
}
