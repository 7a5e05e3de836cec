package remotename

import (
	"net/url"
	"strconv"
	"strings"
	"unicode/utf8"

	"bits"
	"bits/hresult"
)

// CheckSource accepts what an owner may give as a remote name: what Check accepts, and files: \\server\share\path, smb://server/share/path,
// file://server/share/path, and file:///path of this machine.
// Redirects, mirrors and everything else that a server says never lead to a file: for those there is Check.
func CheckSource(remote string) error {
	if !IsFile(remote) {
		return Check(remote)
	}
	_, err := file(remote)
	return err
}

// IsFile reports whether a remote name is one of a file, not of the web: the protocol is "file" (IBackgroundCopyError::GetProtocol).
func IsFile(remote string) bool {
	scheme, _, ok := strings.Cut(remote, ":")
	return strings.HasPrefix(remote, `\\`) || ok && (strings.EqualFold(scheme, "file") || strings.EqualFold(scheme, "smb"))
}

// URL is where a remote name leads, as an http, https, smb or file URL.
func URL(remote string) (*url.URL, error) {
	if IsFile(remote) {
		return file(remote)
	}
	return url.Parse(remote)
}

// file reads the name of a file.
func file(remote string) (*url.URL, error) {
	bad := refused(remote)
	if n := utf8.RuneCountInString(remote); n > bits.MaxURL {
		return nil, bad("it has %d characters, and %d are allowed", n, bits.MaxURL)
	}
	var u *url.URL
	if unc, ok := strings.CutPrefix(remote, `\\`); ok {
		server, path, _ := strings.Cut(unc, `\`)
		u = &url.URL{Scheme: "smb", Host: server, Path: "/" + strings.ReplaceAll(path, `\`, "/")}
		if strings.ContainsAny(remote, `/"<>|?*:`) || !utf8.ValidString(remote) || strings.ContainsFunc(server, func(r rune) bool { return r <= ' ' || r >= 0x7f || r == '%' || r == '@' }) {
			return nil, bad("it is no network path")
		}
	} else {
		if i := strings.IndexFunc(remote, func(r rune) bool { return r <= ' ' || r >= 0x7f || strings.ContainsRune("\"<>\\^`{|}", r) }); i >= 0 {
			return nil, bad("the character %q at position %d is not legal in a URL; write it escaped", []rune(remote[i:])[0], i+1)
		}
		var err error
		if u, err = url.Parse(remote); err != nil {
			return nil, bad("%v", strings.TrimPrefix(err.Error(), "parse "))
		}
	}
	switch {
	case u.Opaque != "" || !strings.HasPrefix(u.Path, "/"):
		return nil, bad("it is no full path")
	case u.User != nil:
		return nil, bits.Errorf(hresult.E_INVALIDARG, "cannot use a name of a file on %s with a login in it", u.Host).WithHint("leave it out: shares are read as guest, and files of this machine with the rights of the service")
	case u.RawQuery != "" || u.ForceQuery || u.Fragment != "" || strings.ContainsRune(remote, '#'):
		return nil, bad("a file has no query and no fragment; write ? as %%3F and # as %%23")
	case strings.ContainsFunc(u.Path, func(r rune) bool { return r < ' ' }):
		return nil, bad("there is a control character in it")
	case strings.HasSuffix(u.Path, "/"):
		return nil, bad("it names a folder")
	}
	if u.Scheme == "file" && (u.Host == "" || strings.EqualFold(u.Host, "localhost")) {
		u.Host = ""
		return u, segments(u, bad)
	}
	u.Scheme = "smb"
	parts := strings.Split(u.Path, "/")[1:]
	for _, part := range parts {
		if part == "" || part == "." || part == ".." || strings.ContainsAny(part, `\:*?"<>|`) {
			return nil, bad("%q is no name on a share", part)
		}
	}
	port := u.Port()
	n, err := strconv.Atoi(port)
	switch {
	case u.Hostname() == "":
		return nil, bad("it names no server")
	case len(parts) < 2:
		return nil, bad("it names a server, and no file on a share of it")
	case port != "" && (err != nil || n < 1 || n > 65535):
		return nil, bad("the port %s is none: ports are 1 to 65535", port)
	}
	return u, segments(u, bad)
}
