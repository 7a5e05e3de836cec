//go:build unix

package login

import (
	"errors"
	"fmt"
	"io"
	"os"
	"strings"
	"syscall"
)

// usualCache reads the cache of tickets where everybody has his: in a folder where everybody may write. Another's file, a link, or one that
// others can read is not that of the owner.
func usualCache(owner string) (string, []byte, error) {
	_, uid, _ := strings.Cut(owner, ":")
	path := "/tmp/krb5cc_" + uid
	data, err := ownCache(path, uid)
	return path, data, err
}

func ownCache(path, uid string) ([]byte, error) {
	f, err := os.OpenFile(path, os.O_RDONLY|syscall.O_NOFOLLOW|syscall.O_NONBLOCK, 0)
	if errors.Is(err, syscall.ELOOP) {
		return nil, fmt.Errorf("%s is a link: it is not used", path)
	} else if err != nil {
		return nil, err
	}
	defer f.Close()
	info, err := f.Stat()
	if err != nil {
		return nil, err
	}
	stat, ok := info.Sys().(*syscall.Stat_t)
	switch {
	case !info.Mode().IsRegular():
		return nil, fmt.Errorf("%s is not a regular file", path)
	case !ok || fmt.Sprint(stat.Uid) != uid:
		return nil, fmt.Errorf("%s belongs to another user: it is not used", path)
	case info.Mode()&0o077 != 0:
		return nil, fmt.Errorf("other users can read or change %s: it is not used", path)
	}
	return io.ReadAll(io.LimitReader(f, maxFile))
}
