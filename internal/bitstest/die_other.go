//go:build !linux

package bitstest

import "syscall"

func dieWithParent() *syscall.SysProcAttr { return nil }
