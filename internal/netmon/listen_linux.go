package netmon

import (
	"bytes"
	"encoding/binary"
	"errors"
	"os"
	"path/filepath"
	"slices"
	"time"

	"golang.org/x/sys/unix"
)

// listen has the kernel tell of changes, until stop is called. Nothing runs between them.
func listen(tell func(event)) (stop func(), err error) {
	var open []*os.File
	stop = func() {
		for _, f := range open {
			f.Close()
		}
	}
	for _, source := range []func(func(event)) (*os.File, func([]byte), error){links, clock, resolver("/etc/resolv.conf")} {
		f, heard, err := source(tell)
		if err != nil {
			stop()
			return nil, err
		}
		open = append(open, f)
		go follow(f, heard)
	}
	return stop, nil
}

// follow reads until the file is closed. An error, as of a queue that has overflowed, is an event that says nothing.
func follow(f *os.File, heard func([]byte)) {
	for buf := make([]byte, 16<<10); ; {
		n, err := f.Read(buf)
		switch {
		case errors.Is(err, os.ErrClosed):
			return
		case err == nil, errors.Is(err, unix.ENOBUFS), errors.Is(err, unix.ECANCELED):
			heard(buf[:max(n, 0)])
		case errors.Is(err, unix.EINTR):
		default:
			return
		}
	}
}

// setters are who sets a route of the machine, and not one of thousands that a router learns.
var setters = []uint8{unix.RTPROT_BOOT, unix.RTPROT_STATIC, unix.RTPROT_RA, unix.RTPROT_DHCP}

// links is the socket on which the kernel tells of links, addresses and routes (rtnetlink(7)).
func links(tell func(event)) (*os.File, func([]byte), error) {
	fd, err := unix.Socket(unix.AF_NETLINK, unix.SOCK_RAW|unix.SOCK_CLOEXEC|unix.SOCK_NONBLOCK, unix.NETLINK_ROUTE)
	if err != nil {
		return nil, nil, os.NewSyscallError("socket", err)
	}
	const groups = unix.RTMGRP_LINK | unix.RTMGRP_IPV4_IFADDR | unix.RTMGRP_IPV6_IFADDR | unix.RTMGRP_IPV4_ROUTE | unix.RTMGRP_IPV6_ROUTE
	if err := unix.Bind(fd, &unix.SockaddrNetlink{Family: unix.AF_NETLINK, Groups: groups}); err != nil {
		unix.Close(fd)
		return nil, nil, os.NewSyscallError("bind", err)
	}
	return os.NewFile(uintptr(fd), "netlink"), func(b []byte) {
		if len(b) == 0 { // some were lost
			tell(moved)
		}
		for len(b) >= unix.SizeofNlMsghdr {
			size, kind := int(binary.NativeEndian.Uint32(b)), binary.NativeEndian.Uint16(b[4:])
			if size < unix.SizeofNlMsghdr || size > len(b) {
				return
			}
			body := b[unix.SizeofNlMsghdr:size]
			switch kind {
			case unix.RTM_NEWLINK, unix.RTM_DELLINK, unix.RTM_NEWADDR, unix.RTM_DELADDR:
				tell(moved)
			case unix.RTM_NEWROUTE, unix.RTM_DELROUTE: // struct rtmsg: bytes 5 and 7 are who set it and what it is
				if len(body) >= unix.SizeofRtMsg && slices.Contains(setters, body[5]) && body[7] == unix.RTN_UNICAST {
					tell(routed)
				}
			}
			b = b[min((size+3)&^3, len(b)):]
		}
	}, nil
}

// clock is a timer far ahead that the kernel cancels when the clock is set, which it also does after sleep (timerfd_create(2)).
func clock(tell func(event)) (*os.File, func([]byte), error) {
	fd, err := unix.TimerfdCreate(unix.CLOCK_REALTIME, unix.TFD_CLOEXEC|unix.TFD_NONBLOCK)
	if err != nil {
		return nil, nil, os.NewSyscallError("timerfd_create", err)
	}
	arm := func() error {
		far := unix.ItimerSpec{Value: unix.NsecToTimespec(time.Now().AddDate(10, 0, 0).UnixNano())}
		return os.NewSyscallError("timerfd_settime", unix.TimerfdSettime(fd, unix.TFD_TIMER_ABSTIME|unix.TFD_TIMER_CANCEL_ON_SET, &far, nil))
	}
	f := os.NewFile(uintptr(fd), "timerfd")
	if err := arm(); err != nil {
		f.Close()
		return nil, nil, err
	}
	before := asleep()
	return f, func([]byte) {
		arm()
		if now := asleep(); now-before > time.Second { // else the clock was set
			before = now
			tell(woke)
		}
	}, nil
}

// asleep is how long the machine has slept since it was started.
func asleep() time.Duration {
	var awake, all unix.Timespec
	unix.ClockGettime(unix.CLOCK_MONOTONIC, &awake)
	unix.ClockGettime(unix.CLOCK_BOOTTIME, &all)
	return time.Duration(all.Nano() - awake.Nano())
}

// resolver tells when the list of name servers changes: the file, what a link of that name leads to, and what replaces either.
func resolver(path string) func(func(event)) (*os.File, func([]byte), error) {
	return func(tell func(event)) (*os.File, func([]byte), error) {
		fd, err := unix.InotifyInit1(unix.IN_CLOEXEC | unix.IN_NONBLOCK)
		if err != nil {
			return nil, nil, os.NewSyscallError("inotify_init", err)
		}
		var names []string // that count in the folders
		watch := func() {
			names = []string{filepath.Base(path)}
			to, _ := filepath.EvalSymlinks(path)
			for _, p := range []string{path, to} {
				if p == "" {
					continue // what is not there is waited for in its folder
				}
				names = append(names, filepath.Base(p))
				unix.InotifyAddWatch(fd, p, unix.IN_CLOSE_WRITE) // beside the folder: it may be mounted from elsewhere
				unix.InotifyAddWatch(fd, filepath.Dir(p), unix.IN_CREATE|unix.IN_MOVED_TO)
			}
		}
		watch()
		return os.NewFile(uintptr(fd), "inotify"), func(b []byte) {
			changed := false
			for len(b) >= unix.SizeofInotifyEvent {
				mask, size := binary.NativeEndian.Uint32(b[4:]), int(binary.NativeEndian.Uint32(b[12:]))
				b = b[unix.SizeofInotifyEvent:]
				name := string(bytes.TrimRight(b[:min(size, len(b))], "\x00"))
				b = b[min(size, len(b)):]
				changed = changed || mask&unix.IN_CLOSE_WRITE != 0 || slices.Contains(names, name)
			}
			if changed {
				watch()
				tell(routed)
			}
		}, nil
	}
}
