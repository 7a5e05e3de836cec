package login

import (
	"cmp"
	"context"
	"crypto/md5"
	"encoding/base64"
	"encoding/binary"
	"errors"
	"fmt"
	"os"
	"path/filepath"
	"strings"
	"time"

	"github.com/jcmturner/gofork/encoding/asn1"
	"github.com/jcmturner/gokrb5/v8/asn1tools"
	"github.com/jcmturner/gokrb5/v8/client"
	"github.com/jcmturner/gokrb5/v8/config"
	"github.com/jcmturner/gokrb5/v8/credentials"
	"github.com/jcmturner/gokrb5/v8/gssapi"
	"github.com/jcmturner/gokrb5/v8/iana/chksumtype"
	"github.com/jcmturner/gokrb5/v8/keytab"
	"github.com/jcmturner/gokrb5/v8/messages"
	"github.com/jcmturner/gokrb5/v8/spnego"
	"github.com/jcmturner/gokrb5/v8/types"
)

// kdcTime is how long tickets are waited for.
const kdcTime = 30 * time.Second

// negotiateLogin is Kerberos in SPNEGO (RFC 4559): one leg. That the server proves itself too is not asked for; TLS does that.
type negotiateLogin struct {
	l    *Login
	id   Identity
	done bool
}

func beginNegotiate(l *Login, _ Challenge, id Identity) (conversation, error) {
	return &negotiateLogin{l: l, id: id}, nil
}

func (n *negotiateLogin) next(ctx context.Context, _ Challenge, d demand) (string, error) {
	if n.done {
		return "", errors.New("it wants more than one leg of Negotiate")
	}
	n.done = true
	token, err := kerberos(ctx, func() ([]byte, error) { return n.token(d) })
	if err != nil {
		return "", err
	}
	return "Negotiate " + base64.StdEncoding.EncodeToString(token), nil
}

// kerberos asks for a ticket. The library knows no context, and it reads beyond the end of files that are cut off.
func kerberos[T any](ctx context.Context, ask func() (T, error)) (none T, err error) {
	type result struct {
		value T
		err   error
	}
	got := make(chan result, 1)
	go func() {
		var r result
		defer func() {
			if broken := recover(); broken != nil {
				r.err = fmt.Errorf("a file or an answer of Kerberos cannot be read: %v", broken)
			}
			got <- r
		}()
		r.value, r.err = ask()
	}()
	ctx, cancel := context.WithTimeout(ctx, kdcTime)
	defer cancel()
	select {
	case r := <-got:
		if r.err != nil {
			r.err = fmt.Errorf("no ticket of Kerberos: %s", tidy(r.err))
		}
		return r.value, r.err
	case <-ctx.Done():
		return none, fmt.Errorf("no ticket of Kerberos came for %s", kdcTime)
	}
}

// tidy takes the first cause out of the chains of the library.
func tidy(err error) string {
	text := err.Error()
	if _, cause, ok := strings.Cut(text, "Root cause: "); ok {
		text = cause
	}
	return strings.TrimPrefix(text, "[Root cause: ")
}

func (n *negotiateLogin) token(d demand) ([]byte, error) {
	c, err := n.l.kerberos(n.id)
	if err != nil {
		return nil, err
	}
	ticket, key, err := c.GetServiceTicket("HTTP/" + d.host)
	if err != nil {
		return nil, err
	}
	a, err := types.NewAuthenticator(c.Credentials.Domain(), c.Credentials.CName())
	if err != nil {
		return nil, err
	}
	// RFC 4121, section 4.1.1: the length of the binding, the binding, the flags.
	sum := binary.LittleEndian.AppendUint32(nil, 16)
	bound := [16]byte{}
	if b := endpointBinding(d.tls); b != nil {
		bound = md5.Sum(gssBinding(b))
	}
	sum = binary.LittleEndian.AppendUint32(append(sum, bound[:]...), gssapi.ContextFlagInteg)
	a.Cksum = types.Checksum{CksumType: chksumtype.GSSAPI, Checksum: sum}
	request, err := messages.NewAPReq(ticket, key, a)
	if err != nil {
		return nil, err
	}
	body, err := request.Marshal()
	if err != nil {
		return nil, err
	}
	mech, err := asn1.Marshal(gssapi.OIDKRB5.OID())
	if err != nil {
		return nil, err
	}
	mech = asn1tools.AddASNAppTag(append(append(mech, 1, 0), body...), 0) // 01 00: a request of an application
	token := spnego.SPNEGOToken{Init: true, NegTokenInit: spnego.NegTokenInit{MechTypes: []asn1.ObjectIdentifier{gssapi.OIDKRB5.OID()}, MechTokenBytes: mech}}
	return token.Marshal()
}

// kerberos logs in to the KDC with what there is: name and password; the owner's ticket cache; his keytab.
func (l *Login) kerberos(id Identity) (*client.Client, error) {
	conf, err := config.Load(cmp.Or(l.Environment["KRB5_CONFIG"], "/etc/krb5.conf"))
	var unsupported config.UnsupportedDirective
	if err != nil && !errors.As(err, &unsupported) {
		return nil, fmt.Errorf("cannot read krb5.conf: %w", err)
	}
	settings := client.DisablePAFXFAST(true) // Active Directory does not speak it
	if !id.Implicit {
		user, realm := id.User, conf.LibDefaults.DefaultRealm
		if domain, name, ok := strings.Cut(user, `\`); ok {
			user, realm = name, strings.ToUpper(domain)
		} else if i := strings.LastIndexByte(user, '@'); i >= 0 {
			user, realm = user[:i], user[i+1:]
		}
		return l.tickets(id.fingerprint(), func() *client.Client {
			return client.NewWithPassword(user, realm, id.Password, conf, settings)
		}), nil
	}
	c, fault := l.cached(conf, settings)
	if fault == nil {
		return c, nil
	}
	if name := l.Environment["KRB5_CLIENT_KTNAME"]; name != "" {
		path, err := file(name)
		if err != nil {
			return nil, err
		}
		kt, err := keytab.Load(path)
		if err != nil {
			return nil, fmt.Errorf("cannot read the keytab %s: %w", path, err)
		}
		if len(kt.Entries) == 0 {
			return nil, fmt.Errorf("the keytab %s is empty", path)
		}
		p := kt.Entries[0].Principal
		return l.tickets("keytab", func() *client.Client {
			return client.NewWithKeytab(strings.Join(p.Components, "/"), p.Realm, kt, conf, settings)
		}), nil
	}
	return nil, fault
}

// tickets keeps the tickets of an identity for the run.
func (l *Login) tickets(key string, log func() *client.Client) *client.Client {
	l.mu.Lock()
	defer l.mu.Unlock()
	c := l.clients[key]
	if c == nil {
		if l.clients == nil {
			l.clients = map[string]*client.Client{}
		}
		c = log()
		l.clients[key] = c
	}
	return c
}

// Close drops the tickets that were got with names, passwords and keytabs.
func (l *Login) Close() {
	l.mu.Lock()
	defer l.mu.Unlock()
	for _, c := range l.clients {
		c.Destroy()
	}
	l.clients = nil
}

// cached takes the tickets of the owner's cache.
func (l *Login) cached(conf *config.Config, settings func(*client.Settings)) (*client.Client, error) {
	path, data, err := l.cache()
	cache := new(credentials.CCache)
	if err == nil {
		err = cache.Unmarshal(data)
	}
	if err != nil {
		return nil, fmt.Errorf("there is no ticket: %w", err)
	}
	tgt, ok := cache.GetEntry(types.PrincipalName{NameType: 2, NameString: []string{"krbtgt", cache.DefaultPrincipal.Realm}})
	if !ok || time.Now().After(tgt.EndTime) {
		return nil, fmt.Errorf("there is no ticket that is still valid in %s", path)
	}
	return client.NewFromCCache(cache, conf, settings)
}

// cache reads the file that the owner has named, or the usual one.
func (l *Login) cache() (path string, data []byte, err error) {
	name := l.Environment["KRB5CCNAME"]
	if name == "" {
		return usualCache(l.Owner)
	}
	if path, err = file(name); err == nil {
		data, err = os.ReadFile(path)
	}
	return path, data, err
}

// file is the path of a cache or keytab; other types than files need the library of the system.
func file(name string) (string, error) {
	kind, path, ok := strings.Cut(name, ":")
	if !ok {
		return name, nil
	}
	if kind != "FILE" && kind != "WRFILE" && !filepath.IsAbs(name) {
		return "", fmt.Errorf("it is of the type %s, and only files can be read: use FILE:/path", kind)
	}
	if filepath.IsAbs(name) {
		return name, nil
	}
	return path, nil
}
