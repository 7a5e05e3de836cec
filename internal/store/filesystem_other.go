//go:build !linux

package store

// networkFileSystem is not known on this system.
func networkFileSystem(string) string { return "" }
