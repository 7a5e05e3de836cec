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
	"unsafe"

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
	return Peer{Owner: user.User.Sid.String(), Admin: t.IsElevated(), Integrity: integrity(t)}, nil
}

// integrity is the integrity level of a token; medium if the system does not say.
func integrity(t windows.Token) uint32 {
	var buffer [8]uint64 // a label and its SID, which has one number after its head
	var n uint32
	if err := windows.GetTokenInformation(t, windows.TokenIntegrityLevel, (*byte)(unsafe.Pointer(&buffer)), uint32(unsafe.Sizeof(buffer)), &n); err != nil {
		return IntegrityMedium
	}
	sid := (*windows.Tokenmandatorylabel)(unsafe.Pointer(&buffer)).Label.Sid
	return sid.SubAuthority(uint32(sid.SubAuthorityCount() - 1))
}

const pipes = `\\.\pipe\`

// Listen listens on the named pipe at path, which only this user, administrators and the system can open.
func Listen(path string) (net.Listener, error) {
	return listen(path, "D:P(A;;GA;;;"+Self().Owner+")(A;;GA;;;BA)(A;;GA;;;SY)")
}

// callers is what users may do with the pipe of the system: read, write and wait, but not make another end of it to serve from
// (FILE_CREATE_PIPE_INSTANCE).
const callers = 0x12019b

// ListenSystem is Listen for all users who have logged in to this machine. The pipe belongs to the administrators.
func ListenSystem(path string) (net.Listener, error) {
	return listen(path, fmt.Sprintf("O:BAG:SYD:P(D;;GA;;;NU)(A;;GA;;;BA)(A;;GA;;;SY)(A;;0x%x;;;AU)", callers))
}

func listen(path, descriptor string) (net.Listener, error) {
	if err := checkPath(path); err != nil {
		return nil, err
	}
	l, err := winio.ListenPipe(path, &winio.PipeConfig{SecurityDescriptor: descriptor})
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

// DialSystem connects to the service of all users at path; without one, at [SystemPath].
// Only a pipe of the administrators or the system is spoken to: an ordinary user can make none that belongs to them.
func DialSystem(ctx context.Context, path string) (net.Conn, error) {
	if path == "" {
		var err error
		if path, err = SystemPath(); err != nil {
			return nil, err
		}
	}
	if err := checkPath(path); err != nil {
		return nil, err
	}
	conn, err := winio.DialPipeAccess(ctx, path, callers)
	if err != nil {
		return nil, err
	}
	var owner *windows.SID
	pipe, ok := conn.(interface{ Fd() uintptr })
	if !ok {
		err = ErrNotLocal
	} else if sd, e := windows.GetSecurityInfo(windows.Handle(pipe.Fd()), windows.SE_KERNEL_OBJECT, windows.OWNER_SECURITY_INFORMATION); e != nil {
		err = e
	} else if owner, _, err = sd.Owner(); err == nil && !owner.IsWellKnown(windows.WinBuiltinAdministratorsSid) && !owner.IsWellKnown(windows.WinLocalSystemSid) {
		err = fmt.Errorf("it belongs to %s, and the service of all users belongs to the administrators", owner)
	}
	if err != nil {
		conn.Close()
		return nil, fmt.Errorf("cannot trust the service at %s: %w", path, err)
	}
	return conn, nil
}

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
