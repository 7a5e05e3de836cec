package keyring

import (
	"cmp"
	"context"
	"errors"
	"fmt"
	"net"
	"net/url"
	"os"
	"path/filepath"
	"slices"
	"strings"

	"github.com/godbus/dbus/v5"
	ss "github.com/zalando/go-keyring/secret_service"
	"golang.org/x/sys/unix"
)

// Hint says what can be done where there is no keyring.
const Hint = "start a keyring in this session, as gnome-keyring-daemon, KWallet or KeePassXC, and unlock it; or do without: .netrc, or bits get --password-file FILE"

// Names of the Secret Service (specifications.freedesktop.org/secret-service).
const (
	name     = "org.freedesktop.secrets"
	object   = "/org/freedesktop/secrets"
	secrets  = "org.freedesktop.Secret.Service"
	prompter = "org.freedesktop.Secret.Prompt"
)

// variable names the bus of a session.
const variable = "DBUS_SESSION_BUS_ADDRESS"

// buses are the sockets where the bus of a session may be: what its environment says, what ours says, and the bus of the user.
func buses(environment map[string]string) (paths []string) {
	for _, addresses := range []string{environment[variable], os.Getenv(variable)} {
		for address := range strings.SplitSeq(addresses, ";") {
			fields, ok := strings.CutPrefix(address, "unix:")
			for field := range strings.SplitSeq(fields, ",") {
				key, value, _ := strings.Cut(field, "=")
				value, err := url.PathUnescape(value)
				switch {
				case !ok || err != nil || value == "":
				case key == "path":
					paths = append(paths, value)
				case key == "abstract":
					paths = append(paths, "@"+value)
				}
			}
		}
	}
	paths = append(paths, filepath.Join(cmp.Or(os.Getenv("XDG_RUNTIME_DIR"), fmt.Sprintf("/run/user/%d", os.Geteuid())), "bus"))
	return slices.Compact(paths)
}

// dial connects to a bus. It must be that of our own user: nobody gets us to speak to his, as root least of all.
func dial(ctx context.Context, path string) (*dbus.Conn, error) {
	raw, err := new(net.Dialer).DialContext(ctx, "unix", path)
	if err != nil {
		return nil, err
	}
	end := context.AfterFunc(ctx, func() { raw.Close() })
	defer end()
	err = own(raw.(*net.UnixConn), path)
	if err != nil {
		raw.Close()
		return nil, err
	}
	conn, err := dbus.NewConn(raw)
	if err != nil {
		raw.Close()
		return nil, err
	}
	if err = conn.Auth(nil); err == nil {
		err = conn.Hello()
	}
	if err != nil {
		conn.Close()
		return nil, err
	}
	return conn, nil
}

func own(c *net.UnixConn, path string) error {
	raw, err := c.SyscallConn()
	if err != nil {
		return err
	}
	var peer *unix.Ucred
	var perr error
	if err := raw.Control(func(fd uintptr) { peer, perr = unix.GetsockoptUcred(int(fd), unix.SOL_SOCKET, unix.SO_PEERCRED) }); err != nil {
		return err
	} else if perr != nil {
		return perr
	}
	if int(peer.Uid) != os.Geteuid() {
		return fmt.Errorf("the bus at %s is that of the user %d, and this is the user %d", path, peer.Uid, os.Geteuid())
	}
	return nil
}

// with does something with the first keyring that answers, unlocked, in a session of its own.
func with(ctx context.Context, environment map[string]string, do func(s *ss.SecretService, session dbus.ObjectPath, in dbus.BusObject) error) error {
	err := errors.New("this session has no bus")
	for _, path := range buses(environment) {
		conn, derr := dial(ctx, path)
		if derr != nil {
			if !errors.Is(derr, os.ErrNotExist) && ctx.Err() == nil {
				err = derr
			}
			continue
		}
		defer conn.Close()
		defer context.AfterFunc(ctx, func() { conn.Close() })()
		var nothing dbus.Variant
		var session dbus.ObjectPath
		if cerr := conn.Object(name, object).CallWithContext(ctx, secrets+".OpenSession", 0, "plain", dbus.MakeVariant("")).Store(&nothing, &session); cerr != nil {
			err = fmt.Errorf("there is none in this session: nothing answers as %s on its bus", name)
			continue
		}
		s := &ss.SecretService{Conn: conn}
		in := s.GetLoginCollection()
		if err := unlock(ctx, conn, in.Path()); err != nil {
			return err
		}
		return do(s, session, in)
	}
	return err
}

// unlock unlocks something, if its owner lets it.
func unlock(ctx context.Context, conn *dbus.Conn, path dbus.ObjectPath) error {
	var open []dbus.ObjectPath
	var prompt dbus.ObjectPath
	if err := conn.Object(name, object).CallWithContext(ctx, secrets+".Unlock", 0, []dbus.ObjectPath{path}).Store(&open, &prompt); err != nil {
		return err
	}
	if prompt == "/" {
		if len(open) == 0 {
			return errLocked
		}
		return nil
	}
	signals := make(chan *dbus.Signal, 8)
	conn.Signal(signals)
	if err := conn.AddMatchSignalContext(ctx, dbus.WithMatchObjectPath(prompt), dbus.WithMatchInterface(prompter)); err != nil {
		return err
	}
	if err := conn.Object(name, prompt).CallWithContext(ctx, prompter+".Prompt", 0, "").Err; err != nil {
		return err
	}
	for {
		select {
		case s, ok := <-signals:
			if !ok {
				return errLocked
			}
			if s.Path != prompt || s.Name != prompter+".Completed" || len(s.Body) == 0 {
				continue
			}
			if dismissed, _ := s.Body[0].(bool); dismissed {
				return errLocked
			}
			return nil
		case <-ctx.Done():
			return errLocked
		}
	}
}

func attributes(origin string) map[string]string {
	return map[string]string{"username": origin, "service": service}
}

// find finds the entry of an origin, and unlocks it.
func find(ctx context.Context, s *ss.SecretService, in dbus.BusObject, origin string) (dbus.ObjectPath, error) {
	found, err := s.SearchItems(in, attributes(origin))
	if err != nil {
		return "", err
	} else if len(found) == 0 {
		return "", errNone
	}
	return found[0], unlock(ctx, s.Conn, found[0])
}

func read(ctx context.Context, environment map[string]string, origin string) (text string, err error) {
	err = with(ctx, environment, func(s *ss.SecretService, session dbus.ObjectPath, in dbus.BusObject) error {
		item, err := find(ctx, s, in, origin)
		if err != nil {
			return err
		}
		secret, err := s.GetSecret(item, session)
		if err != nil {
			return err
		}
		text = string(secret.Value)
		return nil
	})
	return text, err
}

func write(ctx context.Context, environment map[string]string, origin, text string) error {
	return with(ctx, environment, func(s *ss.SecretService, session dbus.ObjectPath, in dbus.BusObject) error {
		return s.CreateItem(in, fmt.Sprintf("Password for '%s' on '%s'", origin, service), attributes(origin), ss.NewSecret(session, text))
	})
}

func remove(ctx context.Context, environment map[string]string, origin string) error {
	return with(ctx, environment, func(s *ss.SecretService, _ dbus.ObjectPath, in dbus.BusObject) error {
		item, err := find(ctx, s, in, origin)
		if err != nil {
			return err
		}
		return s.Delete(item)
	})
}
