package netmon

import (
	"os"
	"unsafe"

	"golang.org/x/sys/windows"
)

// listen has the system tell of changes, until stop is called (NotifyIpInterfaceChange and its like, IP Helper).
func listen(tell func(event)) (stop func(), err error) {
	var handles []windows.Handle
	end := tick(tell)
	stop = func() {
		for _, h := range handles {
			windows.CancelMibChangeNotify2(h) // it waits for callbacks under way
		}
		end()
	}
	for _, source := range []struct {
		name   string
		notify func(uint16, uintptr, unsafe.Pointer, bool, *windows.Handle) error
		event  event
	}{
		{"NotifyIpInterfaceChange", windows.NotifyIpInterfaceChange, moved},
		{"NotifyUnicastIpAddressChange", windows.NotifyUnicastIpAddressChange, moved},
		{"NotifyRouteChange2", windows.NotifyRouteChange2, routed},
	} {
		var h windows.Handle
		heard := windows.NewCallback(func(context, row unsafe.Pointer, kind uint32) uintptr {
			tell(source.event)
			return 0
		})
		if err := source.notify(windows.AF_UNSPEC, heard, nil, false, &h); err != nil {
			stop()
			return nil, os.NewSyscallError(source.name, err)
		}
		handles = append(handles, h)
	}
	return stop, nil
}
