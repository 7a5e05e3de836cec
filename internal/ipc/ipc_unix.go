//go:build unix

package ipc

import (
	"context"
	"errors"
	"fmt"
	"io/fs"
	"net"
	"os"
	"os/exec"
	"path/filepath"
	"strconv"
	"syscall"
	"time"

	"golang.org/x/sys/unix"
)

func peer(uid uint32, pid int) Peer {
	p := Peer{Owner: "uid:" + strconv.FormatUint(uint64(uid), 10), Admin: uid == 0, PID: pid, Integrity: IntegrityMedium}
	if p.Admin {
		p.Integrity = IntegritySystem
	}
	return p
}

// Self is this process.
func Self() Peer { return peer(uint32(os.Geteuid()), os.Getpid()) }

// Listen listens at path, on a socket of mode 0600.
// A folder that is missing is made with mode 0700; the folder must belong to this user and be closed to writers of other users.
// A socket that nobody serves any more is replaced; anything else at the path is left alone.
func Listen(path string) (net.Listener, error) { return listen(path, 0o700, 0o600) }

// ListenSystem is Listen for all users: the socket has mode 0666, and a folder that is missing is made with mode 0755.
func ListenSystem(path string) (net.Listener, error) { return listen(path, 0o755, 0o666) }

func listen(path string, folderMode, mode fs.FileMode) (net.Listener, error) {
	if err := checkPath(path); err != nil {
		return nil, err
	}
	if err := folder(filepath.Dir(path), folderMode); err != nil {
		return nil, fmt.Errorf("cannot listen at %s: %w", path, err)
	}
	// Two that start at once must not both find the socket dead and remove each other's.
	unlock, err := LockWait(context.Background(), path+".lock")
	if err != nil {
		return nil, fmt.Errorf("cannot listen at %s: %w", path, err)
	}
	defer unlock()
	if info, err := os.Lstat(path); err == nil {
		if info.Mode()&fs.ModeSocket == 0 {
			return nil, fmt.Errorf("cannot listen at %s: something that is no socket is there", path)
		}
		if conn, err := net.DialTimeout("unix", path, time.Second); err == nil {
			conn.Close()
			return nil, fmt.Errorf("cannot listen at %s: %w", path, ErrInUse)
		} else if !errors.Is(err, syscall.ECONNREFUSED) {
			return nil, fmt.Errorf("cannot listen at %s: %w", path, err)
		}
		if err := os.Remove(path); err != nil {
			return nil, fmt.Errorf("cannot listen at %s: %w", path, err)
		}
	}
	l, err := net.Listen("unix", path)
	if err != nil {
		return nil, fmt.Errorf("cannot listen at %s: %w", path, err)
	}
	l.(*net.UnixListener).SetUnlinkOnClose(false) // what is there then may be another's
	err = os.Chmod(path, mode)
	info, lerr := os.Lstat(path)
	if err = errors.Join(err, lerr); err != nil {
		l.Close()
		return nil, fmt.Errorf("cannot listen at %s: %w", path, err)
	}
	return &listener{l, path, info}, nil
}

// listener knows its own socket.
type listener struct {
	net.Listener
	path string
	own  fs.FileInfo
}

// Gone reports whether nobody can reach the listener any more: its socket was removed or replaced.
func Gone(l net.Listener) bool {
	own := l.(*listener)
	info, err := os.Lstat(own.path)
	return err != nil || !os.SameFile(info, own.own)
}

// Close closes the listener and removes its socket.
func (l *listener) Close() error {
	if !Gone(l) {
		os.Remove(l.path)
	}
	return l.Listener.Close()
}

// checkPath refuses what does not fit a socket address.
func checkPath(path string) error {
	if limit := len(unix.RawSockaddrUnix{}.Path) - 1; len(path) > limit {
		return fmt.Errorf("cannot use the socket %s: the path has %d bytes, and a socket address holds %d", path, len(path), limit)
	}
	return nil
}

// Folder makes a folder that only this user can open, or checks that no other user can change what is in it.
func Folder(dir string) error { return folder(dir, 0o700) }

func folder(dir string, mode fs.FileMode) error {
	if err := os.MkdirAll(filepath.Dir(dir), 0o755); err != nil {
		return err
	}
	if err := os.Mkdir(dir, mode); err == nil {
		return os.Chmod(dir, mode) // the umask decides nothing
	} else if !errors.Is(err, fs.ErrExist) {
		return err
	}
	return closed(dir, os.Geteuid())
}

// closed returns nil for a folder of the user that nobody else can change.
func closed(dir string, uid int) error {
	info, err := os.Lstat(dir)
	if err != nil {
		return err
	}
	if !info.IsDir() {
		return fmt.Errorf("%s is no folder", dir)
	}
	if owner := info.Sys().(*syscall.Stat_t).Uid; owner != uint32(uid) {
		return fmt.Errorf("the folder %s belongs to another user (uid %d)", dir, owner)
	}
	if info.Mode().Perm()&0o022 != 0 {
		return fmt.Errorf("other users can write to the folder %s (mode %04o)", dir, info.Mode().Perm())
	}
	return nil
}

// Dial connects to the service at path.
// A socket of another user is not spoken to, unless that is root.
func Dial(ctx context.Context, path string) (net.Conn, error) {
	return dial(ctx, path, func(p Peer) error {
		if p.Owner != Self().Owner && !p.Admin {
			return fmt.Errorf("it belongs to %s", p.Owner)
		}
		return nil
	})
}

// DialSystem connects to the service of all users at path; without one, at [SystemPath].
// Only a service of root is spoken to, and only if nobody else can put another in the place of its socket.
func DialSystem(ctx context.Context, path string) (net.Conn, error) {
	if path == "" {
		var err error
		if path, err = SystemPath(); err != nil {
			return nil, err
		}
	}
	return dial(ctx, path, func(p Peer) error {
		info, err := os.Lstat(path)
		switch {
		case !p.Admin:
			return fmt.Errorf("it belongs to %s, and the service of all users belongs to root", p.Owner)
		case err != nil:
			return err
		case info.Sys().(*syscall.Stat_t).Uid != 0:
			return errors.New("the socket does not belong to root")
		}
		return closed(filepath.Dir(path), 0)
	})
}

// dial connects to a service that trusted accepts.
func dial(ctx context.Context, path string, trusted func(Peer) error) (net.Conn, error) {
	if err := checkPath(path); err != nil {
		return nil, err
	}
	conn, err := new(net.Dialer).DialContext(ctx, "unix", path)
	if err != nil {
		return nil, err
	}
	p, err := PeerOf(conn)
	if err == nil {
		if err = trusted(p); err != nil {
			err = fmt.Errorf("cannot trust the service at %s: %w", path, err)
		}
	}
	if err != nil {
		conn.Close()
		return nil, err
	}
	return conn, nil
}

// PeerOf says who is at the other end.
func PeerOf(c net.Conn) (Peer, error) {
	u, ok := c.(*net.UnixConn)
	if !ok {
		return Peer{}, fmt.Errorf("cannot identify the peer: %w", ErrNotLocal)
	}
	raw, err := u.SyscallConn()
	if err != nil {
		return Peer{}, err
	}
	var p Peer
	var failed error
	if err := raw.Control(func(fd uintptr) { p, failed = credentials(int(fd)) }); err != nil {
		return Peer{}, err
	}
	return p, failed
}

// defaultPath is in XDG_RUNTIME_DIR, if that is this user's and can be written, else in a folder of the user's own in /tmp.
func defaultPath(name string) (string, error) {
	name += ".sock"
	if dir := os.Getenv("XDG_RUNTIME_DIR"); filepath.IsAbs(dir) {
		path := filepath.Join(dir, "bits", name)
		info, err := os.Stat(dir)
		if err == nil && info.IsDir() && info.Sys().(*syscall.Stat_t).Uid == uint32(os.Geteuid()) && unix.Access(dir, unix.W_OK|unix.X_OK) == nil && checkPath(path) == nil {
			return path, nil
		}
	}
	return fmt.Sprintf("/tmp/bits-%d/%s", os.Geteuid(), name), nil
}

func absolute(path string) (string, error) { return filepath.Abs(path) }

// Lock takes the lock at path, or fails with ErrInUse.
// It ends with the process at the latest; the file stays.
func Lock(path string) (unlock func(), err error) {
	f, err := os.OpenFile(path, os.O_RDWR|os.O_CREATE|unix.O_CLOEXEC, 0o600)
	if err != nil {
		return nil, err
	}
	if err := unix.Flock(int(f.Fd()), unix.LOCK_EX|unix.LOCK_NB); err != nil {
		f.Close()
		if errors.Is(err, unix.EWOULDBLOCK) {
			err = ErrInUse
		}
		return nil, err
	}
	return func() {
		unix.Flock(int(f.Fd()), unix.LOCK_UN) // a program that starts at this moment has the file too, until it is the program
		f.Close()
	}, nil
}

// Detach makes the command outlive this process and its terminal, and inherit none of its files: a lock of the caller's would be held by
// the service.
func Detach(cmd *exec.Cmd) {
	cmd.SysProcAttr = &syscall.SysProcAttr{Setsid: true}
	cmd.Dir = "/"
	keepNothing()
}

// keepNothing makes that no file beyond the standard streams is inherited by programs that this process starts.
func keepNothing() {
	open, err := os.ReadDir("/dev/fd")
	if err != nil {
		return
	}
	for _, e := range open {
		if fd, err := strconv.Atoi(e.Name()); err == nil && fd > 2 {
			unix.CloseOnExec(fd)
		}
	}
}
