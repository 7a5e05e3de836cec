package tests

import (
	"context"
	"os"
	"sync"
	"syscall"
	"testing"
	"time"

	"github.com/hanwen/go-fuse/v2/fs"
	"github.com/hanwen/go-fuse/v2/fuse"

	"bits"
	"bits/client/bitstest"
	"bits/hresult"
)

// stuck is the root of a disk that does not answer.
type stuck struct {
	fs.Inode
	asked, free chan struct{}
}

func (s *stuck) Lookup(context.Context, string, *fuse.EntryOut) (*fs.Inode, syscall.Errno) {
	select {
	case s.asked <- struct{}{}:
	default:
	}
	<-s.free
	return nil, syscall.ENOENT
}

// A file on a disk that does not answer, as of a server that is gone: the job can still be suspended, and waits for nothing.
func TestFileOnStuckDisk(t *testing.T) {
	t.Parallel()
	asRoot(t)
	s := bitstest.Start(t)
	folder, root := s.Path("stuck"), &stuck{asked: make(chan struct{}, 1), free: make(chan struct{})}
	bitstest.Must(t, os.Mkdir(folder, 0o700))
	server, err := fs.Mount(folder, root, &fs.Options{MountOptions: fuse.MountOptions{DirectMountStrict: true, FsName: "bits-test", Name: "bits-test"}})
	if err != nil {
		unmountable(t, []byte(err.Error()))
	}
	t.Cleanup(func() { server.Unmount() })
	free := sync.OnceFunc(func() { close(root.free) })
	t.Cleanup(free)
	job := s.NewJob(nil, "file://"+folder+"/f")
	bitstest.Must(t, s.Resume(ctx, job.ID))
	<-root.asked
	at := time.Now()
	bitstest.Must(t, s.Suspend(ctx, job.ID))
	if now := s.Await(job.ID, bits.StateSuspended); time.Since(at) > 10*time.Second {
		t.Errorf("%v after %v", now.State, time.Since(at))
	}
	free()
	if now := ended(t, s, job); now.State != bits.StateError || now.Error.Code != hresult.ERROR_FILE_NOT_FOUND {
		t.Errorf("%v, %+v", now.State, now.Error)
	}
}

// A disk that reports an error in the middle of a file.
func TestFileOnBadDisk(t *testing.T) {
	t.Parallel()
	asRoot(t)
	s := bitstest.Start(t)
	folder := s.Path("disk")
	refuse, _ := mountDisk(t, folder)
	bitstest.Must(t, os.WriteFile(folder+".behind/f", bitstest.Content(9, 100_000), 0o600))
	for _, c := range []struct {
		err   syscall.Errno
		state bits.State
		code  hresult.Code
	}{
		{syscall.EIO, bits.StateError, hresult.ERROR_READ_FAULT},
		{syscall.ETIMEDOUT, bits.StateTransientError, hresult.ERROR_SEM_TIMEOUT},
	} {
		refuse("read", c.err, 1<<40)
		now := ended(t, s, s.NewJob(nil, "file://"+folder+"/f"))
		if now.State != c.state || now.Error.Code != c.code || now.Error.Context != bits.ContextRemoteFile || now.Error.Protocol != "file" {
			t.Errorf("%v: %v, %+v", c.err, now.State, now.Error)
		}
		s.Cancel(ctx, now.ID)
	}
}
