package login

import (
	"context"
	"crypto/tls"
	"encoding/base64"
	"errors"
	"net/url"
	"strings"

	"github.com/cloudsoda/go-smb2"

	"bits"
)

// Identity is what a login is made of.
type Identity struct {
	User, Password string
	Implicit       bool // the identity of the job's owner, without a name
	Token          string
	from           string // for messages: where it was found
}

// demand is what a challenge asks an authorization for.
type demand struct {
	method, uri string
	host        string // whose name the ticket is for
	tls         *tls.ConnectionState
}

// conversation makes the authorizations of one login.
// A scheme of one leg answers every request anew; one of several is continued with the tokens of the other side.
type conversation interface {
	next(ctx context.Context, c Challenge, d demand) (string, error)
}

// scheme is one way to log in.
type scheme struct {
	name   string // as in challenges, in lower case
	title  string
	as     bits.AuthScheme // of credentials; 0: none
	bound  bool            // to the connection, which must be of HTTP/1.1
	repeat bool            // later requests may have an authorization without a new challenge
	begin  func(l *Login, c Challenge, id Identity) (conversation, error)
	share  func(ctx context.Context, l *Login, server *url.URL, id Identity) (smb2.Initiator, error) // for servers of shares; nil: not there
}

// schemes are those that we speak, the strongest first. Passport is none of them: it is stored, and never offered.
var schemes = []scheme{
	{name: "negotiate", title: "Negotiate", as: bits.Negotiate, begin: beginNegotiate, share: shareNegotiate},
	{name: "ntlm", title: "NTLM", as: bits.NTLM, bound: true, begin: beginNTLM, share: shareNTLM},
	{name: "digest", title: "Digest", as: bits.Digest, repeat: true, begin: beginDigest},
	{name: "bearer", title: "Bearer", repeat: true, begin: beginBearer},
	{name: "basic", title: "Basic", as: bits.Basic, repeat: true, begin: beginBasic},
}

// fixed is an authorization that is always the same.
type fixed string

func (f fixed) next(context.Context, Challenge, demand) (string, error) { return string(f), nil }

func beginBasic(_ *Login, _ Challenge, id Identity) (conversation, error) {
	if strings.Contains(id.User, ":") {
		return nil, errors.New("a name with a colon cannot be used with Basic")
	}
	return fixed("Basic " + base64.StdEncoding.EncodeToString([]byte(id.User+":"+id.Password))), nil
}

func beginBearer(_ *Login, _ Challenge, id Identity) (conversation, error) {
	return fixed("Bearer " + id.Token), nil
}
