package ipc

import (
	"context"
	"crypto/sha256"
	"encoding/hex"
	"net"
	"os"
	"os/user"
	"path/filepath"
)

// StateDir is where the service of this user keeps its state: BITS_STATE_DIR, or the folder "bits" in the state folder of the user
// (XDG_STATE_HOME).
func StateDir() (string, error) {
	if dir := os.Getenv("BITS_STATE_DIR"); dir != "" {
		return filepath.Abs(dir)
	}
	if dir := os.Getenv("XDG_STATE_HOME"); filepath.IsAbs(dir) {
		return filepath.Join(dir, "bits"), nil
	}
	home, err := os.UserHomeDir()
	if err != nil { // a job of cron, or a container: the system knows it all the same
		u, uerr := user.Current()
		if uerr != nil || u.HomeDir == "" {
			return "", err
		}
		home = u.HomeDir
	}
	return filepath.Join(home, stateInHome, "bits"), nil
}

// DefaultPath is where the service of this user listens: at BITS_SOCKET, else in the runtime folder of the user.
// A state folder of one's own has a service of its own.
func DefaultPath() (string, error) {
	if path := os.Getenv("BITS_SOCKET"); path != "" {
		return absolute(path)
	}
	name := "bits"
	if os.Getenv("BITS_STATE_DIR") != "" {
		state, err := StateDir()
		if err != nil {
			return "", err
		}
		sum := sha256.Sum256([]byte(state))
		name += "-" + hex.EncodeToString(sum[:4])
	}
	return defaultPath(name)
}

// SystemStateDir is where the service of all users keeps its state: BITS_STATE_DIR, or /var/lib/bits
// (macOS: /Library/Application Support/bits, Windows: %ProgramData%\bits).
func SystemStateDir() (string, error) {
	if dir := os.Getenv("BITS_STATE_DIR"); dir != "" {
		return filepath.Abs(dir)
	}
	return systemState(), nil
}

// SystemPath is where the service of all users listens: BITS_SOCKET, or /run/bits/bits.sock (macOS: /var/run/bits/bits.sock, Windows: a
// pipe of which only administrators can make one).
func SystemPath() (string, error) {
	if path := os.Getenv("BITS_SOCKET"); path != "" {
		return absolute(path)
	}
	return systemSocket, nil
}

// addressFile is the file in the state folder that says where the service listens.
const addressFile = "socket"

// Publish says in the state folder where the service listens: another session of the same user may have another runtime folder.
func Publish(state, path string) error {
	return os.WriteFile(filepath.Join(state, addressFile), []byte(path), 0o600)
}

// DialService connects to the service of all users, or to that of this user; at the path of its socket, if one is given.
func DialService(ctx context.Context, allUsers bool, path string) (net.Conn, error) {
	switch {
	case allUsers:
		return DialSystem(ctx, path)
	case path != "":
		return Dial(ctx, path)
	}
	return DialUser(ctx)
}

// DialUser connects to the service of this user, wherever it listens.
func DialUser(ctx context.Context) (net.Conn, error) {
	path, err := DefaultPath()
	if err != nil {
		return nil, err
	}
	conn, err := Dial(ctx, path)
	if err == nil || os.Getenv("BITS_SOCKET") != "" {
		return conn, err
	}
	if state, serr := StateDir(); serr == nil {
		if there, rerr := os.ReadFile(filepath.Join(state, addressFile)); rerr == nil && string(there) != path {
			if conn, derr := Dial(ctx, string(there)); derr == nil {
				return conn, nil
			}
		}
	}
	return nil, err
}
