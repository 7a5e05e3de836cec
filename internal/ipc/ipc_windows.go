package ipc

import (
	"context"
	"errors"
	"fmt"
	"net"
	"os"
	"os/exec"
	"path/filepath"
	"strings"
	"sync"
	"syscall"

	"github.com/Microsoft/go-winio"
	"golang.org/x/sys/windows"
)

// Self is this process.
var Self = sync.OnceValue(func() Peer {
	p, err := ofToken(windows.GetCurrentProcessToken())
	if err != nil {
		return Peer{Owner: "unknown"}
	}
	p.PID = os.Getpid()
	return p
})

func ofToken(t windows.Token) (Peer, error) {
	user, err := t.GetTokenUser()
	if err != nil {
		return Peer{}, err
	}
	return Peer{Owner: user.User.Sid.String(), Admin: t.IsElevated()}, nil
}

const pipes = `\\.\pipe\`

// Listen listens on the named pipe at path, which only this user, administrators and the system can open.
func Listen(path string) (net.Listener, error) {
	if err := checkPath(path); err != nil {
		return nil, err
	}
	l, err := winio.ListenPipe(path, &winio.PipeConfig{SecurityDescriptor: "D:P(A;;GA;;;" + Self().Owner + ")(A;;GA;;;BA)(A;;GA;;;SY)"})
	if errors.Is(err, windows.ERROR_ACCESS_DENIED) {
		err = ErrInUse
	}
	if err != nil {
		return nil, fmt.Errorf("cannot listen at %s: %w", path, err)
	}
	return l, nil
}

// checkPath refuses what is no pipe of this machine.
func checkPath(path string) error {
	if !strings.HasPrefix(path, pipes) {
		return fmt.Errorf(`cannot use the pipe %s: a pipe is named \\.\pipe\NAME`, path)
	}
	return nil
}

// Dial connects to the service at path.
// A pipe of another user is not spoken to, unless that is an administrator or the system: while the service is away, anybody can make
// a pipe of its name.
func Dial(ctx context.Context, path string) (net.Conn, error) {
	// The number of a process on another machine would be taken for one of ours.
	if err := checkPath(path); err != nil {
		return nil, err
	}
	conn, err := winio.DialPipeContext(ctx, path)
	if err != nil {
		return nil, err
	}
	p, err := peerOf(conn, windows.GetNamedPipeServerProcessId)
	if err == nil && p.Owner != Self().Owner && !p.Admin && p.Owner != localSystem {
		err = fmt.Errorf("cannot trust the service at %s: it belongs to %s", path, p.Owner)
	}
	if err != nil {
		conn.Close()
		return nil, err
	}
	return conn, nil
}

const localSystem = "S-1-5-18"

// PeerOf says who is at the other end, by the token of the process that opened the pipe.
func PeerOf(c net.Conn) (Peer, error) { return peerOf(c, windows.GetNamedPipeClientProcessId) }

// peerOf says who is at one end of a pipe; process finds the process there.
func peerOf(c net.Conn, process func(pipe windows.Handle, pid *uint32) error) (Peer, error) {
	pipe, ok := c.(interface{ Fd() uintptr })
	if !ok {
		return Peer{}, fmt.Errorf("cannot identify the peer: %w", ErrNotLocal)
	}
	var pid uint32
	if err := process(windows.Handle(pipe.Fd()), &pid); err != nil {
		return Peer{}, fmt.Errorf("cannot identify the peer: %w", err)
	}
	handle, err := windows.OpenProcess(windows.PROCESS_QUERY_LIMITED_INFORMATION, false, pid)
	if err != nil {
		return Peer{}, fmt.Errorf("cannot identify the peer: %w", err)
	}
	defer windows.CloseHandle(handle)
	var token windows.Token
	if err := windows.OpenProcessToken(handle, windows.TOKEN_QUERY, &token); err != nil {
		return Peer{}, fmt.Errorf("cannot identify the peer: %w", err)
	}
	defer token.Close()
	p, err := ofToken(token)
	p.PID = int(pid)
	return p, err
}

func defaultPath(name string) (string, error) { return pipes + name + "-" + Self().Owner, nil }

// Gone reports whether nobody can reach the listener any more, which does not happen to a pipe.
func Gone(net.Listener) bool { return false }

// Folder makes a folder; who may open it is decided by the access list that it inherits.
func Folder(dir string) error { return os.MkdirAll(dir, 0o700) }

// Lock takes the lock at path, or fails with ErrInUse.
// It ends with the process at the latest; the file stays.
// The lock of a pipe's path is a file in the user's temporary folder.
func Lock(path string) (unlock func(), err error) {
	if name, ok := strings.CutPrefix(path, pipes); ok {
		path = filepath.Join(os.TempDir(), name)
	}
	f, err := os.OpenFile(path, os.O_RDWR|os.O_CREATE, 0o600)
	if err != nil {
		return nil, err
	}
	err = windows.LockFileEx(windows.Handle(f.Fd()), windows.LOCKFILE_EXCLUSIVE_LOCK|windows.LOCKFILE_FAIL_IMMEDIATELY, 0, 1, 0, new(windows.Overlapped))
	if err != nil {
		f.Close()
		if errors.Is(err, windows.ERROR_LOCK_VIOLATION) {
			err = ErrInUse
		}
		return nil, err
	}
	return func() { f.Close() }, nil
}

// Detach makes the command outlive this process and its console.
func Detach(cmd *exec.Cmd) {
	cmd.SysProcAttr = &syscall.SysProcAttr{CreationFlags: windows.DETACHED_PROCESS | windows.CREATE_NEW_PROCESS_GROUP}
}
