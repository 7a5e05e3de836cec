package login

import (
	"cmp"
	"context"
	"crypto/md5"
	"crypto/rand"
	"crypto/sha256"
	"crypto/sha512"
	"encoding/hex"
	"fmt"
	"hash"
	"io"
	"net/url"
	"strings"
	"sync"

	"github.com/icholy/digest"
)

// algorithms of Digest, the strongest first (RFC 7616, section 6.1); each also as session variant.
var algorithms = []struct {
	name string
	hash func() hash.Hash
}{
	{"SHA-512-256", sha512.New512_256}, {"SHA-256", sha256.New}, {"MD5", md5.New},
}

// algorithm finds that of a challenge; rank is its place in the table, -1 for one that we do not speak.
func algorithm(c Challenge) (rank int, session bool) {
	name, session := strings.CutSuffix(strings.ToUpper(cmp.Or(c.Params["algorithm"], "MD5")), "-SESS")
	for i, a := range algorithms {
		if a.name == name {
			return i, session
		}
	}
	return -1, false
}

// digestLogin answers with hashes of name and password (RFC 7616).
type digestLogin struct {
	id    Identity
	mu    sync.Mutex
	nonce string
	count int
}

func beginDigest(_ *Login, _ Challenge, id Identity) (conversation, error) {
	return &digestLogin{id: id}, nil
}

// qops returns auth alone where it is offered; with nothing offered, nothing.
func qops(c Challenge) (all []string) {
	for q := range strings.SplitSeq(c.Params["qop"], ",") {
		if q = strings.ToLower(strings.TrimSpace(q)); q == "auth" {
			return []string{q}
		} else if q != "" {
			all = append(all, q)
		}
	}
	return all
}

func (l *digestLogin) next(_ context.Context, c Challenge, d demand) (string, error) {
	rank, session := algorithm(c)
	if rank < 0 {
		return "", fmt.Errorf("the algorithm %q of Digest is unknown", c.Params["algorithm"])
	}
	if qop := qops(c); len(qop) > 0 && qop[0] != "auth" {
		return "", fmt.Errorf("the quality of protection %q of Digest is unknown", c.Params["qop"])
	}
	nonce, count := l.use(c.Params["nonce"])
	a := algorithms[rank]
	challenge := &digest.Challenge{
		Realm: c.Params["realm"], Nonce: nonce, Opaque: c.Params["opaque"], Algorithm: a.name, QOP: qops(c),
		Userhash: strings.EqualFold(c.Params["userhash"], "true"),
	}
	o := digest.Options{Method: d.method, URI: d.uri, Count: count, Username: l.id.User, Password: l.id.Password, Cnonce: rand.Text()}
	if session {
		sum := func(text string) string {
			h := a.hash()
			io.WriteString(h, text)
			return hex.EncodeToString(h.Sum(nil))
		}
		o.A1 = sum(sum(l.id.User+":"+challenge.Realm+":"+l.id.Password) + ":" + nonce + ":" + o.Cnonce)
	}
	made, err := digest.Digest(challenge, o)
	if err != nil {
		return "", err
	}
	text := strings.Builder{}
	text.WriteString("Digest ")
	user := `username=` + quoted(made.Username)
	if !challenge.Userhash && strings.EqualFold(c.Params["charset"], "UTF-8") && strings.ContainsFunc(l.id.User, func(r rune) bool { return r >= 0x80 || r == '"' || r == '\\' }) {
		user = `username*=UTF-8''` + strings.ReplaceAll(url.QueryEscape(l.id.User), "+", "%20")
	}
	fmt.Fprintf(&text, `%s, realm=%s, nonce=%s, uri=%s, response="%s"`, user, quoted(made.Realm), quoted(made.Nonce), quoted(made.URI), made.Response)
	if given := c.Params["algorithm"]; given != "" {
		fmt.Fprintf(&text, `, algorithm=%s`, given)
	}
	if made.Opaque != "" {
		fmt.Fprintf(&text, `, opaque=%s`, quoted(made.Opaque))
	}
	if made.QOP != "" {
		fmt.Fprintf(&text, `, qop=%s, nc=%08x`, made.QOP, made.Nc)
	}
	if made.QOP != "" || session {
		fmt.Fprintf(&text, `, cnonce="%s"`, made.Cnonce)
	}
	if challenge.Userhash {
		text.WriteString(`, userhash=true`)
	}
	return text.String(), nil
}

// use counts the uses of a nonce.
func (l *digestLogin) use(nonce string) (string, int) {
	l.mu.Lock()
	defer l.mu.Unlock()
	if nonce != l.nonce {
		l.nonce, l.count = nonce, 0
	}
	l.count++
	return nonce, l.count
}

func quoted(s string) string {
	return `"` + strings.NewReplacer(`\`, `\\`, `"`, `\"`).Replace(s) + `"`
}
