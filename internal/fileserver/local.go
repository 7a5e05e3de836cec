package fileserver

import (
	"errors"
	"io"
	"io/fs"
	"net/url"
	"os"
	"path/filepath"
	"strings"
	"syscall"

	"bits"
	"bits/hresult"
)

// local is a file of this machine.
type local struct {
	*os.File
	url *url.URL
}

func (l local) ReadAt(p []byte, at int64) (int, error) {
	n, err := l.File.ReadAt(p, at)
	return n, l.known(err)
}

// known explains an error in mid-file.
func (l local) known(err error) error {
	var cause syscall.Errno
	switch {
	case err == nil || errors.Is(err, io.EOF):
		return err
	case errors.Is(err, syscall.ETIMEDOUT):
		return bits.Errorf(hresult.ERROR_SEM_TIMEOUT, "cannot fetch %s: the disk does not answer", l.url).In(bits.ContextRemoteFile)
	case errors.As(err, &cause):
		err = cause // without the path
	}
	return bits.Errorf(hresult.ERROR_READ_FAULT, "cannot fetch %s: it cannot be read: %w", l.url, err).In(bits.ContextRemoteFile)
}

// openLocal opens a regular file; a pipe or a device does not keep us waiting, and is not touched.
func openLocal(u *url.URL) (file, error) {
	path := filepath.FromSlash(u.Path)
	if len(path) > 2 && path[2] == ':' && filepath.VolumeName(path[1:]) != "" {
		path = path[1:] // file:///C:/...
	}
	refuse := func(code hresult.Code, why string) error {
		return bits.Errorf(code, "cannot fetch %s: %s", u, why).In(bits.ContextRemoteFile)
	}
	info, err := os.Stat(path)
	if err == nil && !info.Mode().IsRegular() {
		why := "it is no regular file"
		if info.IsDir() {
			why = "it is a folder"
		}
		return nil, refuse(hresult.E_ACCESSDENIED, why).(*bits.Error).WithHint("files can be fetched, and nothing else")
	}
	var f *os.File
	if err == nil {
		f, err = os.OpenFile(path, os.O_RDONLY|syscall.O_NONBLOCK, 0)
	}
	if err == nil {
		if info, err = f.Stat(); err == nil && !info.Mode().IsRegular() {
			f.Close()
			return nil, refuse(hresult.E_ACCESSDENIED, "it is no regular file any more")
		}
	}
	switch {
	case err == nil:
		return local{f, u}, nil
	case errors.Is(err, fs.ErrNotExist):
		if _, err := os.Stat(filepath.Dir(path)); err != nil {
			return nil, refuse(hresult.ERROR_PATH_NOT_FOUND, "the folder is not there").(*bits.Error).WithHint("check the name")
		}
		return nil, refuse(hresult.ERROR_FILE_NOT_FOUND, "it is not there").(*bits.Error).WithHint("check the name")
	case errors.Is(err, fs.ErrPermission):
		return nil, refuse(hresult.E_ACCESSDENIED, "it may not be read")
	case errors.Is(err, syscall.ENOTDIR), errors.Is(err, syscall.ENAMETOOLONG), strings.ContainsRune(path, 0):
		return nil, refuse(hresult.ERROR_PATH_NOT_FOUND, "there can be no such file")
	}
	return nil, refuse(hresult.ERROR_READ_FAULT, err.Error())
}

func (l local) identify() (identity, error) {
	info, err := l.Stat()
	if err != nil {
		return identity{}, l.known(err)
	}
	return identityOf(l.File, info)
}
