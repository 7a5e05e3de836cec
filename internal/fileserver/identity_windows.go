package fileserver

import (
	"fmt"
	"io/fs"
	"os"

	"golang.org/x/sys/windows"
)

func identityOf(f *os.File, info fs.FileInfo) (identity, error) {
	var i windows.ByHandleFileInformation
	if err := windows.GetFileInformationByHandle(windows.Handle(f.Fd()), &i); err != nil {
		return identity{}, err
	}
	return identity{
		size: info.Size(), modified: info.ModTime(),
		is: fmt.Sprint(i.VolumeSerialNumber, i.FileIndexHigh, i.FileIndexLow, info.Size(), info.ModTime().UnixNano()),
	}, nil
}
