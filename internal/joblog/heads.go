package joblog

import (
	"fmt"
	"net/http"
	"regexp"
	"slices"
	"strings"
)

// how is how the value of a header is shown.
type how int

const (
	hide      how = iota // not at all: what is not in the table
	show                 // as it is
	reference            // a URL, without what is secret in it
	links                // URLs in angle brackets, and parameters
	scheme               // the names of schemes of authentication alone
)

// headers are those of which more is shown than the name. What is not here may be a secret, and new ones are.
var headers = map[string]how{
	"Location": reference, "Content-Location": reference, "Referer": reference, "Link": links,
	"Authorization": scheme, "Proxy-Authorization": scheme, "Www-Authenticate": scheme, "Proxy-Authenticate": scheme,
}

func init() {
	for name := range strings.FieldsSeq(`
		Accept Accept-Charset Accept-Encoding Accept-Language Accept-Ranges Age Allow Alt-Svc Cache-Control Cache-Status Connection
		Content-Digest Content-Disposition Content-Encoding Content-Language Content-Length Content-Md5 Content-Range Content-Type
		Date Digest Etag Expect Expires From-Cache Host If-Match If-Modified-Since If-None-Match If-Range If-Unmodified-Since Keep-Alive
		Last-Modified Pragma Proxy-Connection Proxy-Status Range Repr-Digest Retry-After Server Strict-Transport-Security Te Trailer
		Transfer-Encoding Upgrade User-Agent Vary Via Want-Content-Digest Want-Digest Want-Repr-Digest Warning
		X-Cache X-Cache-Hits X-Cache-Lookup X-Content-Type-Options X-Served-By X-Squid-Error`) {
		headers[name] = show
	}
}

// login reports whether a header carries one, whatever is shown of it.
func login(name string) bool {
	name = http.CanonicalHeaderKey(name)
	return name == "Authorization" || name == "Proxy-Authorization"
}

// Header is one line of a head, without what is secret in it.
func Header(name, value string) string {
	switch headers[http.CanonicalHeaderKey(name)] {
	case show:
		value = Mask{}.Text(value)
	case links:
		value = angled.ReplaceAllStringFunc(Mask{}.Text(value), func(s string) string { return URL(s[:len(s)-1]) + ">" })
	case reference:
		value = URL(value)
	case scheme:
		value = schemes(value)
	default:
		value = Hidden
	}
	value = strings.Map(func(r rune) rune {
		if r == '\n' || r == '\r' {
			return ' '
		}
		return r
	}, value)
	return name + ": " + value
}

var angled = regexp.MustCompile(`[^<>]+>`)

var known = regexp.MustCompile(`(?i)(?:^|, *)(Basic|Digest|NTLM|Negotiate|Bearer|Kerberos|SCRAM-SHA-256)(?: |,|$)`)

// schemes are the names of the schemes in a login or a challenge, and a mark for all else.
func schemes(value string) string {
	var names []string
	for _, m := range known.FindAllStringSubmatch(value, -1) {
		names = append(names, m[1])
	}
	if text := strings.Join(names, ", "); text == value {
		return text
	} else if text != "" {
		return text + " " + Hidden
	}
	return Hidden
}

// Answer is the head of an answer: its status line, and its headers sorted by name.
func Answer(proto, status string, header http.Header) string {
	text := strings.Builder{}
	fmt.Fprintf(&text, "%s %s", proto, status)
	names := make([]string, 0, len(header))
	for name := range header {
		names = append(names, name)
	}
	slices.Sort(names)
	for _, name := range names {
		for _, value := range header[name] {
			text.WriteString("\n" + Header(name, value))
			if text.Len() > MaxText {
				return text.String()
			}
		}
	}
	return text.String()
}
