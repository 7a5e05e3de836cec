// Package remotename knows which names of remote files are legal.
package remotename

import (
	"fmt"
	"net/url"
	"strconv"
	"strings"
	"unicode/utf8"

	"bits"
	"bits/hresult"
)

// Check accepts a remote name on the web: a legal http or https URL of at most 2,200 characters, each path segment at most 260; nothing
// is escaped for the caller (BG_FILE_INFO).
// Otherwise E_INVALIDARG.
func Check(remote string) error {
	bad := refused(remote)
	if n := utf8.RuneCountInString(remote); n > bits.MaxURL {
		return bad("it has %d characters, and %d are allowed", n, bits.MaxURL)
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
		return bits.Errorf(hresult.E_INVALIDARG, "cannot use a URL of %s with a name or a password in it: everybody who may list the job would read it", u.Host).WithHint("leave it out: bits get --user NAME asks for the password; docs/logins.md names other ways")
	}
	if port := u.Port(); port != "" {
		if n, err := strconv.Atoi(port); err != nil || n < 1 || n > 65535 {
			return bad("the port %s is none: ports are 1 to 65535", port)
		}
	}
	return segments(u, bad)
}

func segments(u *url.URL, bad func(string, ...any) error) error {
	for segment := range strings.SplitSeq(u.EscapedPath(), "/") {
		if len(segment) > bits.MaxPathSegment {
			return bad("a part of its path has %d characters, and %d are allowed", len(segment), bits.MaxPathSegment)
		}
	}
	return nil
}

// refused makes the errors of a name.
func refused(remote string) func(format string, args ...any) error {
	return func(format string, args ...any) error {
		shown := remote
		if len(shown) > 80 {
			shown = shown[:77] + "..."
		}
		return bits.Errorf(hresult.E_INVALIDARG, "cannot use the URL %q: %s", shown, fmt.Sprintf(format, args...)).WithHint("a URL begins with http:// or https://; a file of this machine is file:///FOLDER/FILE, of a share \\\\SERVER\\SHARE\\FILE or smb://SERVER/SHARE/FILE")
	}
}
