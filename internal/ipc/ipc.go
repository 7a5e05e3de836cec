// Package ipc connects the programs of one machine: it listens, dials, and says who is at the other end.
//
// On Unix it is a socket, on Windows a named pipe: of one user, who alone can open it, or of the system, for all of them.
package ipc

import "errors"

// Peer is who is at the other end of a connection, as the operating system tells it.
type Peer struct {
	Owner string // "uid:1000" on Unix, the SID on Windows
	Admin bool   // root, or an elevated administrator
	PID   int    // 0 if the system does not say

	// Integrity is the last number of the SID of the integrity level: on Windows that of the token, elsewhere that of root
	// (IntegritySystem) or of a user (IntegrityMedium).
	Integrity uint32
}

// Levels of integrity.
const (
	IntegrityMedium uint32 = 0x2000
	IntegritySystem uint32 = 0x4000
)

var (
	// ErrInUse is returned by Listen and Lock when another process has the path.
	ErrInUse = errors.New("it is in use by another process")
	// ErrNotLocal is returned by PeerOf for a connection that did not come from Listen.
	ErrNotLocal = errors.New("the connection is not a local one")
)
