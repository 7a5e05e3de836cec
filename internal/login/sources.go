package login

import (
	"context"
	"encoding/json"
	"errors"
	"fmt"
	"net"
	"net/url"
	"os"
	"strings"
	"time"

	"github.com/zalando/go-keyring"

	"bits"
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
	if path := l.Sources.Netrc; path != "" && target == bits.AuthServer {
		id, err := fromNetrc(path, at.Hostname())
		if err != nil && !errors.Is(err, os.ErrNotExist) {
			notes = append(notes, err.Error())
		} else if id != nil {
			found = append(found, *id)
		}
	}
	stored := target == bits.AuthProxy && l.Stored == bits.AuthProxy
	if l.Sources.Keyring || stored {
		id, err := fromKeyring(ctx, Origin(at))
		if err != nil && !stored {
			notes = append(notes, err.Error())
		} else if id != nil {
			found = append(found, *id)
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

// keyringTime is how long the keyring is waited for: it may ask its user something.
const keyringTime = 10 * time.Second

// service is the name under which the keyring holds our logins.
const service = "bits"

type entry struct {
	User     string `json:"user"`
	Password string `json:"password"`
}

var errLate = errors.New("no answer came in time")

// inTime asks what knows no context. The error is errLate if the answer does not come.
func inTime[T any](ctx context.Context, most time.Duration, ask func() (T, error)) (T, error) {
	type result struct {
		value T
		err   error
	}
	got := make(chan result, 1)
	go func() {
		value, err := ask()
		got <- result{value, err}
	}()
	ctx, cancel := context.WithTimeout(ctx, most)
	defer cancel()
	select {
	case r := <-got:
		return r.value, r.err
	case <-ctx.Done():
		var none T
		return none, errLate
	}
}

// ring asks the keyring.
func ring[T any](ctx context.Context, what string, ask func() (T, error)) (T, error) {
	value, err := inTime(ctx, keyringTime, ask)
	switch {
	case errors.Is(err, errLate):
		err = fmt.Errorf("cannot %s the keyring: it has not answered for %s", what, keyringTime)
	case err != nil:
		err = fmt.Errorf("cannot %s the keyring: %w", what, err)
	}
	return value, err
}

func fromKeyring(ctx context.Context, origin string) (*Identity, error) {
	text, err := ring(ctx, "read", func() (string, error) { return keyring.Get(service, origin) })
	if errors.Is(err, keyring.ErrNotFound) {
		return nil, nil
	} else if err != nil {
		return nil, err
	}
	var e entry
	if err := json.Unmarshal([]byte(text), &e); err != nil {
		return nil, errors.New("cannot read the keyring: its entry is not one of bits")
	}
	return &Identity{User: e.User, Password: e.Password, from: "the keyring"}, nil
}

// Store puts the login of a server or proxy into the keyring of the session.
func Store(ctx context.Context, at *url.URL, user, password string) error {
	text, err := json.Marshal(entry{user, password})
	if err != nil {
		return err
	}
	_, err = ring(ctx, "write to", func() (any, error) { return nil, keyring.Set(service, Origin(at), string(text)) })
	return err
}

// Forget removes the login of a server or proxy from the keyring of the session, and reports whether there was one.
func Forget(ctx context.Context, at *url.URL) (bool, error) {
	_, err := ring(ctx, "change", func() (any, error) { return nil, keyring.Delete(service, Origin(at)) })
	if errors.Is(err, keyring.ErrNotFound) {
		return false, nil
	}
	return err == nil, err
}
