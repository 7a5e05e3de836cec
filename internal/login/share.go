package login

import (
	"context"
	"errors"
	"net/url"
	"slices"
	"strings"

	"github.com/cloudsoda/go-smb2"

	"bits"
	"bits/hresult"
	"bits/internal/fileserver"
)

// Share is what a server of shares is shown: the first login that can begin, Kerberos before NTLM; the first only where the server offers
// it. With no login given it is that of a guest. An error is ERROR_LOGON_FAILURE: what was given cannot be shown.
func (l *Login) Share(ctx context.Context, server *url.URL, kerberos bool) (*fileserver.Login, error) {
	given, notes := false, []string(nil)
	note := func(texts ...string) {
		for _, text := range texts {
			if !slices.Contains(notes, text) {
				notes = append(notes, text)
			}
		}
	}
	for _, s := range schemes {
		if s.share == nil {
			continue
		}
		found, why := l.find(ctx, bits.AuthServer, server, s)
		note(why...)
		for _, id := range found {
			given = true
			if s.as == bits.Negotiate && !kerberos {
				note("the server does not offer Kerberos")
				continue
			}
			l.found(id)
			by, err := s.share(ctx, l, server, id)
			if err != nil {
				note(err.Error())
				continue
			}
			return &fileserver.Login{Initiator: by, As: strings.Join(append([]string{s.title + " (" + id.from + ")"}, notes...), "; ")}, nil
		}
	}
	if given {
		return nil, bits.Errorf(hresult.ERROR_LOGON_FAILURE, "cannot log in to the share at %s: %s", server.Host, strings.Join(notes, "; ")).In(bits.ContextRemoteFile).
			WithHint("docs/sources.md says which logins there are for shares")
	}
	return &fileserver.Login{Initiator: &smb2.NTLMInitiator{User: "guest"}, As: strings.Join(append([]string{"guest"}, notes...), "; ")}, nil
}

// shareNegotiate gets the ticket of a server. The server must prove itself too, with the key that is in the ticket.
func shareNegotiate(ctx context.Context, l *Login, server *url.URL, id Identity) (smb2.Initiator, error) {
	name := "cifs/" + strings.ToLower(server.Hostname())
	return kerberos(ctx, func() (smb2.Initiator, error) {
		c, err := l.kerberos(id)
		if err != nil {
			return nil, err
		}
		if _, _, err := c.GetServiceTicket(name); err != nil { // kept there for the initiator
			return nil, err
		}
		return &smb2.Krb5Initiator{Client: c, TargetSPN: name}, nil
	})
}

func shareNTLM(_ context.Context, _ *Login, _ *url.URL, id Identity) (smb2.Initiator, error) {
	if id.Implicit {
		return nil, errImplicit
	}
	domain, name, ok := strings.Cut(id.User, `\`)
	if !ok {
		domain, name = "", id.User
	}
	return &smb2.NTLMInitiator{User: name, Password: id.Password, Domain: domain}, nil
}

var errImplicit = errors.New("NTLM needs a name and a password: this system keeps none of the session")
