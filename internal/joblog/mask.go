package joblog

import (
	"cmp"
	"encoding/base64"
	"net/textproto"
	"net/url"
	"regexp"
	"slices"
	"strings"
	"unicode/utf8"

	"bits"
)

// Hidden stands in the place of what is hidden.
const Hidden = "***"

// Mask hides the secrets of one job wherever they turn up, and in everything what looks like one. The zero Mask knows none of a job.
type Mask struct {
	secrets []string // in every form that is searched for
	known   *strings.Replacer
}

// least is how long a secret is that is searched for in every text: a shorter one would hide words.
const least = 6

// MaskOf is the Mask for a job: it knows the values of its headers, its passwords, and those of its proxies.
func MaskOf(j *bits.Job) Mask {
	var secrets []string
	add := func(s string) { secrets = append(secrets, s) }
	for line := range strings.SplitSeq(j.Secrets.Headers, "\r\n") {
		name, value, _ := strings.Cut(line, ":")
		if headers[textproto.CanonicalMIMEHeaderKey(name)] != hide && !login(name) {
			continue
		}
		add(value)
		for part := range strings.FieldsFuncSeq(value, func(r rune) bool { return strings.ContainsRune(" ;,\t", r) }) {
			if known.MatchString(part) {
				continue // the name of a scheme
			}
			add(strings.Trim(part[strings.IndexByte(part, '=')+1:], `"`)) // of a=b: b
			add(part)
			if _, password, ok := strings.Cut(decoded(part), ":"); ok { // of a login
				add(password)
			}
		}
	}
	for _, c := range j.Secrets.Credentials {
		if c.Password != nil {
			add(*c.Password)
			if c.User != nil {
				add(*c.User + ":" + *c.Password)
			}
		}
	}
	for name, value := range j.Secrets.Environment {
		if strings.HasPrefix(name, "SSL_") {
			continue
		}
		if userinfo, _, ok := cutLast(authority(value), "@"); ok {
			add(userinfo)
			_, password, _ := strings.Cut(userinfo, ":")
			add(password)
			if plain, err := url.PathUnescape(password); err == nil {
				add(plain)
			}
		}
	}
	for _, login := range j.Secrets.ProxyLogins { // user:password, as in a URL
		add(login)
		_, password, _ := strings.Cut(login, ":")
		add(password)
		if plain, err := url.PathUnescape(password); err == nil {
			add(plain)
		}
	}
	return Mask{}.With(secrets...)
}

// With is a Mask that hides more secrets. They are hidden as they are, percent-encoded, and in base64.
func (m Mask) With(secrets ...string) Mask {
	all := slices.Clone(m.secrets)
	for _, s := range secrets {
		if s = strings.TrimSpace(s); len(s) >= least {
			all = append(all, s, url.QueryEscape(s), url.PathEscape(s), base64.StdEncoding.EncodeToString([]byte(s)))
		}
	}
	if len(all) == 0 {
		return Mask{}
	}
	slices.SortFunc(all, func(a, b string) int { return cmp.Or(len(b)-len(a), strings.Compare(a, b)) }) // one may be within another
	all = slices.Compact(all)
	pairs := make([]string, 0, 2*len(all))
	for _, s := range all {
		pairs = append(pairs, s, Hidden)
	}
	return Mask{all, strings.NewReplacer(pairs...)}
}

func decoded(s string) string {
	b, _ := base64.StdEncoding.DecodeString(s)
	return string(b)
}

// authority is what stands between the scheme and the path.
func authority(s string) string {
	if _, rest, ok := strings.Cut(s, "://"); ok {
		s = rest
	}
	if end := strings.IndexAny(s, "/?#"); end >= 0 && !strings.Contains(s[end:], "@") {
		s = s[:end]
	}
	return s
}

func cutLast(s, sep string) (before, after string, found bool) {
	if i := strings.LastIndex(s, sep); i >= 0 {
		return s[:i], s[i+len(sep):], true
	}
	return "", s, false
}

// Text hides in a text what is known of the job, and of every URL and reference in it what [URL] hides.
func (m Mask) Text(s string) string {
	if m.known != nil {
		s = m.known.Replace(s)
	}
	if !refers(s) {
		return s
	}
	var out strings.Builder
	for len(s) > 0 {
		n := strings.IndexFunc(s, delimits)
		if n < 0 {
			n = len(s)
		}
		if word := s[:n]; refers(word) {
			bare := strings.TrimRight(word, ".,:;)") // of a sentence
			out.WriteString(URL(bare) + word[len(bare):])
		} else {
			out.WriteString(word)
		}
		s = s[n:]
		end := strings.IndexFunc(s, func(r rune) bool { return !delimits(r) })
		if end < 0 {
			end = len(s)
		}
		out.WriteString(s[:end])
		s = s[end:]
	}
	return out.String()
}

// refers reports whether there may be a URL or a reference with more than a path in a text.
func refers(s string) bool { return strings.Contains(s, "://") || strings.ContainsAny(s, "?#") }

func delimits(r rune) bool { return r <= ' ' || strings.ContainsRune(`"'<>`, r) }

var (
	portOrNone = regexp.MustCompile(`:[0-9]*$`)
	plainName  = regexp.MustCompile(`^[A-Za-z][A-Za-z0-9_.-]{0,39}$`)
)

// URL hides of a URL or a reference the login, the parameters of the path, the values of the query, and the fragment. The names in the
// query stay if they look like names.
func URL(s string) string {
	s, fragment, found := strings.Cut(s, "#")
	if found && fragment != "" {
		fragment = "#" + Hidden
	} else if found {
		fragment = "#"
	}
	path, query, asked := strings.Cut(s, "?")
	scheme, rest, ok := strings.Cut(path, "://")
	switch {
	case ok:
		scheme += "://"
	case strings.HasPrefix(path, "//"):
		scheme, rest = "//", path[2:]
	default:
		scheme, rest = "", path
	}
	if i := strings.Index(rest, "://"); strings.Count(rest, "://") > 3 {
		rest = Hidden // nobody means it
	} else if i >= 0 { // another within it
		start := strings.LastIndexFunc(rest[:i], func(r rune) bool { return r >= utf8.RuneSelf || !inScheme(byte(r)) }) + 1
		rest = server(rest[:start]) + URL(rest[start:])
	} else if scheme != "" {
		rest = server(rest)
	}
	if first, parameters, ok := strings.Cut(rest, ";"); ok && parameters != "" && parameters != Hidden {
		rest = first + ";" + Hidden
	}
	if !asked {
		return scheme + rest + fragment
	}
	var parts []string
	for part := range strings.FieldsFuncSeq(query, func(r rune) bool { return r == '&' || r == ';' }) {
		name, value, ok := strings.Cut(part, "=")
		switch {
		case ok && value != "" && plainName.MatchString(name):
			parts = append(parts, name+"="+Hidden)
		default:
			parts = append(parts, Hidden)
		}
	}
	return scheme + rest + "?" + strings.Join(parts, "&") + fragment
}

func inScheme(b byte) bool {
	return b >= 'a' && b <= 'z' || b >= 'A' && b <= 'Z' || b >= '0' && b <= '9' || strings.IndexByte("+-.", b) >= 0
}

// server hides the login before the name of a server. What may be a login that is cut by a slash is hidden with all that follows.
func server(rest string) string {
	end := strings.IndexAny(rest, `/\`)
	if end < 0 {
		end = len(rest)
	}
	host, path := rest[:end], rest[end:]
	if _, after, ok := cutLast(host, "@"); ok {
		return Hidden + "@" + after + path
	}
	if strings.Contains(host, "%") || strings.Contains(host, ":") && !strings.HasPrefix(host, "[") && !portOrNone.MatchString(host) {
		return Hidden
	}
	return rest
}
