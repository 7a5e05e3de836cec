package get

import (
	"context"
	"os"
	"path/filepath"
	"strings"

	"github.com/spf13/pflag"

	"bits"
	"bits/hresult"
	"bits/internal/console"
	"bits/internal/login"
	"bits/internal/progress"
)

// logins are the flags that say who the user is, to servers and proxies that ask.
type logins struct {
	user, passwordFile, proxyUser, proxyPasswordFile string
	bearer, netrc                                    string
	noNetrc, negotiate, keyring                      bool

	credentials []bits.Credential
}

func (l *logins) register(f *pflag.FlagSet) {
	f.StringVarP(&l.user, "user", "u", "", "`NAME` for a server that asks for a login; the password is asked for, or --password-file has it")
	f.StringVar(&l.passwordFile, "password-file", "", "`FILE` with the password; -: standard input")
	f.StringVarP(&l.proxyUser, "proxy-user", "U", "", "`NAME` for a proxy that asks for a login")
	f.StringVar(&l.proxyPasswordFile, "proxy-password-file", "", "`FILE` with the password for the proxy; -: standard input")
	f.StringVar(&l.bearer, "bearer-file", "", "`FILE` with a bearer token, read anew whenever a server asks; over https only")
	f.StringVar(&l.netrc, "netrc-file", "", "`FILE` with logins; default: $NETRC, or .netrc in the home folder")
	f.BoolVar(&l.noNetrc, "no-netrc", false, "use no file .netrc")
	f.BoolVar(&l.negotiate, "negotiate", false, "log in with the Kerberos tickets of this session")
	f.BoolVar(&l.keyring, "keyring", false, "use the logins in the keyring: see bits login")
}

func (l *logins) properties(ctx context.Context, a *console.App, values map[string]any) error {
	for _, who := range []struct {
		target                 bits.AuthTarget
		what, user, flag, file string
	}{{bits.AuthServer, "--user", l.user, "--password-file", l.passwordFile}, {bits.AuthProxy, "--proxy-user", l.proxyUser, "--proxy-password-file", l.proxyPasswordFile}} {
		if who.user == "" {
			if who.file != "" {
				return console.Usagef("a password needs a name: %s", who.what)
			}
			continue
		}
		name, password, ok := strings.Cut(who.user, ":")
		var err error
		switch {
		case ok && who.file != "":
			return console.Usagef("%s has a password, and so has the file", who.what)
		case ok:
			a.Note("bits: other users can see command lines, and %s has a password; leave it out, and it is asked for", who.what)
		default:
			if who.file == "" && !a.Terminal() {
				return console.Usage{Err: bits.Errorf(hresult.E_INVALIDARG, "cannot ask for the password of %s: standard input is no terminal", progress.Clean(name)).
					WithHint("%s FILE has it, or %[1]s - for standard input; or docs/logins.md: .netrc, or the keyring of bits login", who.flag)}
			}
			if password, err = a.Password(ctx, "Password of "+progress.Clean(name)+": ", who.file); err != nil {
				return err
			}
		}
		for _, s := range []bits.AuthScheme{bits.Basic, bits.Digest, bits.NTLM, bits.Negotiate} {
			l.credentials = append(l.credentials, bits.Credential{Target: who.target, Scheme: s, User: &name, Password: &password})
		}
	}
	if l.negotiate {
		if l.user != "" {
			return console.Usagef("--negotiate uses the tickets of this session: it cannot go with --user")
		}
		l.credentials = append(l.credentials, bits.Credential{Target: bits.AuthServer, Scheme: bits.Negotiate})
	}
	sources := bits.LoginSources{Keyring: l.keyring}
	for _, f := range []struct {
		given string
		at    *string
		what  string
	}{{l.bearer, &sources.BearerTokenFile, "bearer token"}, {l.netrc, &sources.Netrc, "logins"}} {
		if f.given == "" {
			continue
		}
		path, err := filepath.Abs(f.given)
		if err == nil {
			_, err = os.Stat(path)
		}
		if err != nil {
			return console.Usagef("cannot read the %s: %w", f.what, err)
		}
		*f.at = path
	}
	if l.netrc == "" && !l.noNetrc {
		sources.Netrc = netrc()
	}
	if info, err := os.Stat(sources.Netrc); err == nil && open(info) {
		a.Note("bits: other users can read %s: chmod 600", sources.Netrc)
	}
	if sources.Netrc != "" {
		if err := login.CheckNetrc(sources.Netrc); err != nil {
			a.Note("bits: %v", err)
		}
	}
	if sources != (bits.LoginSources{}) {
		values["login_sources"] = sources
	}
	return nil
}

// netrc is the file of logins that the user has; empty: none.
func netrc() string {
	path := os.Getenv("NETRC")
	if home, err := os.UserHomeDir(); path == "" && err == nil {
		path = filepath.Join(home, ".netrc")
	}
	if info, err := os.Stat(path); err != nil || !info.Mode().IsRegular() || !filepath.IsAbs(path) {
		return ""
	}
	return path
}

// open reports whether others can read a file; modes say so on Unix alone.
func open(info os.FileInfo) bool { return os.PathSeparator == '/' && info.Mode()&0o077 != 0 }
