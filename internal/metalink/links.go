package metalink

import (
	"cmp"
	"encoding/base64"
	"encoding/hex"
	"math"
	"net/http"
	"net/url"
	"slices"
	"strconv"
	"strings"

	"bits"
	"bits/internal/content"
	"bits/internal/remotename"
)

// What the headers of an answer may name.
const (
	maxLinks     = 1000 // that are read
	maxNamed     = 32   // mirrors that are kept, the best of them
	maxPriority  = 999999
	notInTargets = "\"<>\\^`{|}"
)

// Note writes down what the server of a file says of it with the answer that a transfer begins with (RFC 6249): who else has the same, and
// the digest that shows it. Told are the digests of the whole that the answer tells otherwise. Only the source that the owner named is
// heard, and no mirror; what it said before is forgotten.
// Without a strong digest of the whole, told here or known to the owner, it names nobody. What an answer without TLS tells of an https name
// is none.
func Note(f *bits.File, a *http.Response, told map[string]string) {
	if f.Source != "" {
		return
	}
	f.Told = bits.Content{}
	if !f.MirrorsFromServer || a.StatusCode/100 != 2 || a.Request == nil {
		return
	}
	told = agreed(told, instance(a.Header.Values("Digest")))
	if content.HTTPS(content.Given(f)) && a.Request.URL.Scheme != "https" {
		told = nil
	}
	if len(content.Compare(f.Digests, told)) > 0 || !content.Strong(f.Digests) && !content.Strong(told) {
		return
	}
	seen := slices.Concat([]string{f.RemoteName, content.Given(f)}, f.Mirrors)
	var named []string
	for _, l := range duplicates(a.Header.Values("Link")) {
		if to := l.resolve(a.Request.URL); to != "" && len(named) < maxNamed && !slices.Contains(seen, to) {
			named, seen = append(named, to), append(seen, to)
		}
	}
	if named != nil {
		f.Told = bits.Content{Digests: told, Mirrors: named}
	}
}

// agreed are the digests of both; nil if they contradict each other.
func agreed(a, b map[string]string) map[string]string {
	if len(content.Compare(a, b)) > 0 {
		return nil
	}
	all := map[string]string{}
	for _, digests := range []map[string]string{a, b} {
		for name, value := range digests {
			all[name] = value
		}
	}
	return all
}

// instance reads the strong ones of the Digest header (RFC 3230), which Repr-Digest has replaced; nil if it contradicts itself.
func instance(lines []string) map[string]string {
	var all map[string]string
	for part := range strings.SplitSeq(strings.Join(lines, ","), ",") {
		name, value, _ := strings.Cut(strings.TrimSpace(part), "=")
		if name = strings.ToLower(name); name != "sha-256" && name != "sha-512" {
			continue
		}
		raw, err := base64.StdEncoding.DecodeString(value)
		if err != nil {
			continue
		}
		var one map[string]string
		if name, value, err = content.Check(name, hex.EncodeToString(raw)); err == nil {
			one = map[string]string{name: value}
		}
		if all = agreed(all, one); all == nil {
			return nil
		}
	}
	return all
}

// link is one of a Link header: where it leads to, and its parameters by their names in lower case, of each the first.
type link struct {
	target     string
	parameters map[string]string
}

// duplicates are the links to the same content, the best first. Lines that are no Link header are passed over, whole.
func duplicates(lines []string) (all []link) {
	read := 0
	for _, line := range lines {
		links, ok := parse(line)
		if read += len(links); read > maxLinks {
			break
		}
		for _, l := range links {
			_, foreign := l.parameters["anchor"] // it is said of something else
			if same := func(rel string) bool { return strings.EqualFold(rel, "duplicate") }; ok && !foreign && slices.ContainsFunc(strings.Fields(l.parameters["rel"]), same) {
				all = append(all, l)
			}
		}
	}
	slices.SortStableFunc(all, func(a, b link) int { return cmp.Compare(a.priority(), b.priority()) })
	return all
}

// priority is pri: the lower, the better; without one a link stands behind all that have one.
func (l link) priority() int {
	if n, err := strconv.ParseUint(l.parameters["pri"], 10, 32); err == nil && n >= 1 && n <= maxPriority {
		return int(n)
	}
	return math.MaxInt
}

// resolve is the URL that a link of an answer leads to; empty if it is none that could be fetched. One with a query is passed over: it may
// hold a signature, and mirrors stand in listings.
func (l link) resolve(from *url.URL) string {
	u, err := url.Parse(l.target)
	if err != nil || l.target == "" {
		return ""
	}
	u = from.ResolveReference(u)
	u.Fragment, u.RawFragment = "", ""
	if to := u.String(); u.RawQuery == "" && !u.ForceQuery && remotename.Check(to) == nil {
		return to
	}
	return ""
}

// parse reads one Link header (RFC 8288, section 3), and says whether it is one.
func parse(line string) (all []link, ok bool) {
	r := &reader{line}
	for {
		for r.blank(); r.take(','); r.blank() { // lists may have empty elements
		}
		if r.rest == "" {
			return all, true
		}
		target, after, closed := strings.Cut(r.rest, ">")
		if !closed || target[:min(1, len(target))] != "<" || strings.ContainsFunc(target[1:], illegal) {
			return nil, false
		}
		l := link{target[1:], map[string]string{}}
		r.rest = after
		for r.blank(); r.take(';'); r.blank() {
			r.blank()
			name, value := strings.ToLower(r.token()), ""
			r.blank()
			if valued := r.take('='); name == "" {
				return nil, false
			} else if valued {
				r.blank()
				if value, ok = r.value(); !ok {
					return nil, false
				}
			}
			if _, before := l.parameters[name]; !before {
				l.parameters[name] = value
			}
		}
		if all = append(all, l); r.rest != "" && r.rest[0] != ',' {
			return nil, false
		}
	}
}

func illegal(c rune) bool { return c <= ' ' || c >= 0x7f || strings.ContainsRune(notInTargets, c) }

// reader is what is left of a header.
type reader struct{ rest string }

func (r *reader) blank() { r.rest = strings.TrimLeft(r.rest, " \t") }

func (r *reader) take(c byte) bool {
	if r.rest == "" || r.rest[0] != c {
		return false
	}
	r.rest = r.rest[1:]
	return true
}

// token reads a token (RFC 9110, section 5.6.2); empty if there is none.
func (r *reader) token() string {
	n := 0
	for n < len(r.rest) && (r.rest[n] >= '0' && r.rest[n] <= '9' || r.rest[n]|0x20 >= 'a' && r.rest[n]|0x20 <= 'z' || strings.IndexByte("!#$%&'*+-.^_`|~", r.rest[n]) >= 0) {
		n++
	}
	token := r.rest[:n]
	r.rest = r.rest[n:]
	return token
}

// value reads a token or a quoted string.
func (r *reader) value() (string, bool) {
	if !r.take('"') {
		t := r.token()
		return t, t != ""
	}
	var text []byte
	for i := 0; i < len(r.rest); i++ {
		switch c := r.rest[i]; {
		case c == '"':
			r.rest = r.rest[i+1:]
			return string(text), true
		case c == '\\' && i+1 < len(r.rest):
			i++
			text = append(text, r.rest[i])
		case c < ' ' && c != '\t' || c == 0x7f:
			return "", false
		default:
			text = append(text, c)
		}
	}
	return "", false
}
