package login

import (
	"context"
	"errors"
	"fmt"
	"net"
	"net/url"
	"os"
	"strings"

	"bits"
	"bits/internal/ipc"
	"bits/internal/keyring"
)

// find returns the logins that there are for a scheme at a server or proxy, and why there are not more.
// What was given with the job comes first, then the file .netrc, then the keyring. What was given for the target, in whatever scheme,
// leaves no room for the other two: the owner has said who he wants to be.
func (l *Login) find(ctx context.Context, target bits.AuthTarget, at *url.URL, s scheme) (found []Identity, notes []string) {
	if s.name == "bearer" {
		return l.bearer(target, at)
	}
	named := false
	for _, c := range l.Credentials {
		if c.Target != target {
			continue
		}
		switch {
		case c.User != nil && c.Password != nil:
			named = true
			if c.Scheme == s.as {
				found = append(found, Identity{User: *c.User, Password: *c.Password, from: "the job's credentials"})
			}
		case c.Scheme == s.as:
			found = append(found, Identity{Implicit: true, from: "the owner's tickets"})
		}
	}
	if user := at.User; target == bits.AuthProxy && user != nil && len(found) == 0 {
		named = true
		password, _ := user.Password()
		found = append(found, Identity{User: user.Username(), Password: password, from: "the proxy's URL"})
	}
	if named {
		return found, nil
	}
	if l.Sources.Netrc != "" && target == bits.AuthServer {
		id, err := l.netrc(at.Hostname())
		if err != nil && !errors.Is(err, os.ErrNotExist) {
			notes = append(notes, err.Error())
		} else if id != nil {
			found = append(found, *id)
		}
	}
	stored := target == bits.AuthProxy && l.Stored == bits.AuthProxy
	if l.Sources.Keyring || stored {
		kept, err := l.keyring(ctx, Origin(at))
		if err != nil && !stored {
			notes = append(notes, err.Error())
		} else if kept != nil {
			found = append(found, Identity{User: kept.User, Password: kept.Password, from: "the keyring"})
		}
	}
	if stored && s.as == bits.Negotiate {
		found = append(found, Identity{Implicit: true, from: "the owner's tickets"})
	}
	return found, notes
}

// bearer reads the token, anew for each challenge: files of tokens are replaced from time to time.
// It is shown over TLS and on this machine only (RFC 6750, section 5.3): whoever hears it has it.
func (l *Login) bearer(target bits.AuthTarget, at *url.URL) ([]Identity, []string) {
	path := l.Sources.BearerTokenFile
	if path == "" || target != bits.AuthServer {
		return nil, nil
	}
	if ip := net.ParseIP(at.Hostname()); at.Scheme != "https" && at.Hostname() != "localhost" && (ip == nil || !ip.IsLoopback()) {
		return nil, []string{"the bearer token is shown over https only"}
	}
	text, err := readSmall(path)
	if err != nil {
		return nil, []string{fmt.Sprintf("cannot read the bearer token: %v", err)}
	}
	token := strings.TrimSpace(text)
	if token == "" || strings.ContainsFunc(token, func(r rune) bool { return r <= ' ' || r >= 0x7f }) {
		return nil, []string{fmt.Sprintf("the file %s holds no bearer token", path)}
	}
	return []Identity{{Token: token, from: "the token file"}}, nil
}

// keyring asks that of the session which made the job. It must be the service's own user's: a service of all users has none of others.
func (l *Login) keyring(ctx context.Context, origin string) (*keyring.Login, error) {
	if l.Owner != ipc.Self().Owner {
		return nil, fmt.Errorf("cannot read the keyring of %s: this service is that of %s", l.Owner, ipc.Self().Owner)
	}
	return keyring.Get(ctx, l.Environment, origin)
}
