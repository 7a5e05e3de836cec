package netmon

import (
	"encoding/binary"
	"errors"
	"os"

	"golang.org/x/sys/unix"
)

// listen has the kernel tell of changes, until stop is called (route(4)).
func listen(tell func(event)) (stop func(), err error) {
	fd, err := unix.Socket(unix.AF_ROUTE, unix.SOCK_RAW, unix.AF_UNSPEC)
	if err != nil {
		return nil, os.NewSyscallError("socket", err)
	}
	unix.CloseOnExec(fd)
	if err := unix.SetNonblock(fd, true); err != nil {
		unix.Close(fd)
		return nil, os.NewSyscallError("fcntl", err)
	}
	f := os.NewFile(uintptr(fd), "route")
	go func() {
		for buf := make([]byte, 16<<10); ; {
			n, err := f.Read(buf)
			if errors.Is(err, unix.ENOBUFS) {
				tell(moved)
			} else if err != nil {
				return
			} else if n >= 12 {
				hear(buf[:n], tell)
			}
		}
	}()
	end := tick(tell)
	return func() {
		f.Close()
		end()
	}, nil
}

// hear understands one message: byte 3 is its kind, and 8 to 11 are the flags of a route.
func hear(b []byte, tell func(event)) {
	switch b[3] {
	case unix.RTM_IFINFO, unix.RTM_NEWADDR, unix.RTM_DELADDR:
		tell(moved)
	case unix.RTM_ADD, unix.RTM_DELETE, unix.RTM_CHANGE:
		if binary.NativeEndian.Uint32(b[8:])&unix.RTF_HOST == 0 { // those of single hosts come and go with every neighbour
			tell(routed)
		}
	}
}
