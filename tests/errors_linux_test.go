package tests

import (
	"context"
	"errors"
	"fmt"
	"net"
	"net/http"
	"os"
	"os/exec"
	"path/filepath"
	"slices"
	"strings"
	"sync/atomic"
	"syscall"
	"testing"

	"github.com/hanwen/go-fuse/v2/fs"
	"github.com/hanwen/go-fuse/v2/fuse"

	"bits"
	"bits/client/bitstest"
	"bits/hresult"
	"bits/internal/program"
)

// elsewhere runs the test that calls it once more, in a process of its own under other circumstances, and says what became of it.
// In that process it returns true.
func elsewhere(t *testing.T, attr *syscall.SysProcAttr) bool {
	t.Helper()
	if os.Getenv("BITS_TEST_ELSEWHERE") == t.Name() {
		return true
	}
	cmd := exec.Command("/proc/self/exe", "-test.run=^"+t.Name()+"$", "-test.v", "-test.timeout=60s")
	cmd.Env = append(os.Environ(), "BITS_TEST_ELSEWHERE="+t.Name())
	attr.Pdeathsig = syscall.SIGKILL
	cmd.SysProcAttr = attr
	out, err := cmd.CombinedOutput()
	switch {
	case err != nil:
		t.Errorf("%v\n%s", err, out)
	case strings.Contains(string(out), "--- SKIP"):
		t.Skipf("%s", out)
	}
	return false
}

// run runs a command of the system.
func run(t *testing.T, name string, args ...string) {
	t.Helper()
	if out, err := exec.Command(program.Need(t, name), args...).CombinedOutput(); err != nil {
		t.Fatalf("%s %s: %v: %s", name, strings.Join(args, " "), err, out)
	}
}

// What goes wrong with the network itself, in one of the test's own.
func TestErrorsOfNetwork(t *testing.T) {
	t.Parallel()
	asRoot(t)
	program.Need(t, "ip")
	if !elsewhere(t, &syscall.SysProcAttr{Cloneflags: syscall.CLONE_NEWNET | syscall.CLONE_NEWNS}) {
		return
	}
	const remote = bits.ContextRemoteFile
	s := bitstest.Start(t)
	resolver := filepath.Join(s.Dir, "resolv.conf")
	bitstest.Must(t, os.WriteFile(resolver, []byte("nameserver 127.0.0.1\noptions timeout:1 attempts:1\n"), 0o644))
	run(t, "mount", "--make-rprivate", "/")
	run(t, "mount", "--bind", resolver, "/etc/resolv.conf")

	run(t, "ip", "link", "set", "lo", "up")
	provoke(t, s, []fault{
		{"no network", "http://192.0.2.9/f", nil, nil, again, bits.ContextQueueManager, hresult.BG_E_NETWORK_DISCONNECTED},
		{"no network for a name", "http://name.test/f", nil, nil, again, bits.ContextQueueManager, hresult.BG_E_NETWORK_DISCONNECTED},
	})

	// A cable from one end of which to the other: nobody is at 192.0.2.8 and 9, but the way to 8 is known.
	run(t, "ip", "link", "add", "v0", "type", "veth", "peer", "name", "v1")
	run(t, "ip", "address", "add", "192.0.2.1/24", "dev", "v0")
	run(t, "ip", "link", "set", "v0", "up")
	run(t, "ip", "link", "set", "v1", "up")
	run(t, "ip", "neighbour", "add", "192.0.2.8", "lladdr", "02:00:00:00:00:08", "dev", "v0")
	run(t, "ip", "route", "add", "unreachable", "198.51.100.0/25")
	run(t, "ip", "route", "add", "prohibit", "198.51.100.128/25")
	for path, value := range map[string]string{"tcp_syn_retries": "1", "neigh/v0/mcast_solicit": "1", "neigh/v0/retrans_time_ms": "100"} {
		bitstest.Must(t, os.WriteFile("/proc/sys/net/ipv4/"+path, []byte(value), 0))
	}
	names(t)
	provoke(t, s, []fault{
		{"network is unreachable", "http://203.0.113.1/f", nil, nil, again, remote, hresult.ERROR_WINHTTP_CANNOT_CONNECT},
		{"host is unreachable", "http://198.51.100.1/f", nil, nil, again, remote, hresult.ERROR_WINHTTP_CANNOT_CONNECT},
		{"host is forbidden", "http://198.51.100.200/f", nil, nil, again, remote, hresult.ERROR_WINHTTP_CANNOT_CONNECT},
		{"nobody is there", "http://192.0.2.9/f", nil, nil, again, remote, hresult.ERROR_WINHTTP_CANNOT_CONNECT},
		{"nobody answers", "http://192.0.2.8/f", nil, nil, again, remote, hresult.ERROR_WINHTTP_TIMEOUT},
		{"name does not exist", "http://nxdomain.test/f", nil, nil, again, remote, hresult.ERROR_WINHTTP_NAME_NOT_RESOLVED},
		{"name has no address", "http://empty.test/f", nil, nil, again, remote, hresult.ERROR_WINHTTP_NAME_NOT_RESOLVED},
		{"name server fails", "http://servfail.test/f", nil, nil, again, remote, hresult.ERROR_WINHTTP_NAME_NOT_RESOLVED},
		{"name server refuses", "http://refused.test/f", nil, nil, again, remote, hresult.ERROR_WINHTTP_NAME_NOT_RESOLVED},
		{"name server is silent", "http://silent.test/f", nil, nil, again, remote, hresult.ERROR_WINHTTP_NAME_NOT_RESOLVED},
		{"name server speaks nonsense", "http://nonsense.test/f", nil, nil, again, remote, hresult.ERROR_WINHTTP_NAME_NOT_RESOLVED},
	})

	// The cable is pulled out.
	run(t, "ip", "link", "set", "v1", "down")
	provoke(t, s, []fault{{"cable is out", "http://192.0.2.9/f", nil, nil, again, bits.ContextQueueManager, hresult.BG_E_NETWORK_DISCONNECTED}})
}

// names is a name server that does what the first part of a name says.
func names(t *testing.T) {
	l, err := net.ListenPacket("udp", "127.0.0.1:53")
	bitstest.Must(t, err)
	t.Cleanup(func() { l.Close() })
	codes := map[string]byte{"empty": 0, "servfail": 2, "nxdomain": 3, "refused": 5}
	go func() {
		for buf := make([]byte, 1500); ; {
			n, from, err := l.ReadFrom(buf)
			if err != nil {
				return
			}
			q := buf[:n]
			name := string(q[13 : 13+q[12]])
			if code, ok := codes[name]; ok {
				q[2], q[3] = q[2]|0x80, 0x80|code // the question is the answer
				l.WriteTo(q, from)
			} else if name == "nonsense" {
				l.WriteTo(q[:5], from)
			}
		}
	}()
}

// disk is a file system that hands everything to a folder, but answers one kind of call with an error of the system.
type disk struct {
	fs.LoopbackNode
	fault *atomic.Pointer[refusal]
}

type refusal struct {
	call  string
	err   syscall.Errno
	times atomic.Int64 // that are left
}

// WrapChild makes every file of the disk one of these.
func (d *disk) WrapChild(_ context.Context, n fs.InodeEmbedder) fs.InodeEmbedder {
	return &disk{fs.LoopbackNode{RootData: n.(*fs.LoopbackNode).RootData}, d.fault}
}

// refuse returns the error for a call, if it is the one that is refused.
func (d *disk) refuse(call string) syscall.Errno {
	if r := d.fault.Load(); r != nil && r.call == call && r.times.Add(-1) >= 0 {
		return r.err
	}
	return 0
}

func (d *disk) Create(ctx context.Context, name string, flags, mode uint32, out *fuse.EntryOut) (*fs.Inode, fs.FileHandle, uint32, syscall.Errno) {
	if e := d.refuse("create"); e != 0 {
		return nil, nil, 0, e
	}
	n, f, flags, e := d.LoopbackNode.Create(ctx, name, flags, mode, out)
	return n, watched(f), flags, e
}

func (d *disk) Open(ctx context.Context, flags uint32) (fs.FileHandle, uint32, syscall.Errno) {
	if e := d.refuse("open"); e != 0 {
		return nil, 0, e
	}
	f, flags, e := d.LoopbackNode.Open(ctx, flags)
	return watched(f), flags, e
}

// file is an open file whose calls all come here: the kernel does not go past this process.
type file struct{ *fs.LoopbackFile }

func (file) PassthroughFd() (int, bool) { return 0, false }

func watched(f fs.FileHandle) fs.FileHandle {
	if l, ok := f.(*fs.LoopbackFile); ok {
		return file{l}
	}
	return f
}

func (d *disk) Write(ctx context.Context, f fs.FileHandle, data []byte, off int64) (uint32, syscall.Errno) {
	if e := d.refuse("write"); e != 0 {
		return 0, e
	}
	return f.(fs.FileWriter).Write(ctx, data, off)
}

func (d *disk) Read(ctx context.Context, f fs.FileHandle, dest []byte, off int64) (fuse.ReadResult, syscall.Errno) {
	if e := d.refuse("read"); e != 0 {
		return nil, e
	}
	return f.(fs.FileReader).Read(ctx, dest, off)
}

func (d *disk) Allocate(ctx context.Context, f fs.FileHandle, off, size uint64, mode uint32) syscall.Errno {
	if e := d.refuse("allocate"); e != 0 {
		return e
	}
	return f.(fs.FileAllocater).Allocate(ctx, off, size, mode)
}

func (d *disk) Fsync(ctx context.Context, f fs.FileHandle, flags uint32) syscall.Errno {
	if e := d.refuse("sync"); e != 0 {
		return e
	}
	if f == nil {
		return 0 // of a folder
	}
	return f.(fs.FileFsyncer).Fsync(ctx, flags)
}

func (d *disk) Rename(ctx context.Context, name string, to fs.InodeEmbedder, newName string, flags uint32) syscall.Errno {
	if e := d.refuse("rename"); e != 0 {
		return e
	}
	return d.LoopbackNode.Rename(ctx, name, to, newName, flags)
}

// mountDisk mounts a disk over a folder, and returns what makes it refuse.
func mountDisk(t *testing.T, folder string) (refuse func(call string, err syscall.Errno, times int64), server *fuse.Server) {
	t.Helper()
	behind := folder + ".behind"
	bitstest.Must(t, os.Mkdir(folder, 0o700), os.Mkdir(behind, 0o700))
	fault := &atomic.Pointer[refusal]{}
	root := &disk{fs.LoopbackNode{RootData: &fs.LoopbackRoot{Path: behind}}, fault}
	root.RootData.RootNode = root
	server, err := fs.Mount(folder, root, &fs.Options{MountOptions: fuse.MountOptions{DirectMountStrict: true, FsName: "bits-test", Name: "bits-test"}})
	if err != nil {
		unmountable(t, []byte(err.Error()))
	}
	t.Cleanup(func() { server.Unmount() })
	return func(call string, err syscall.Errno, times int64) {
		r := &refusal{call: call, err: err}
		r.times.Store(times)
		fault.Store(r)
	}, server
}

// Every error that the system can give for a file has its code: a file system in this process gives each of them.
func TestErrorsOfDisks(t *testing.T) {
	t.Parallel()
	asRoot(t)
	s, o := bitstest.Start(t), bitstest.NewOrigin(t)
	refuse, _ := mountDisk(t, s.Path("disk"))
	data := bitstest.Content(6, 100_000)
	o.File("/f", data)
	const local, queue, always = bits.ContextLocalFile, bits.ContextQueueManager, 1 << 40
	for _, c := range []struct {
		err     syscall.Errno
		code    hresult.Code
		context bits.ErrorContext
		state   bits.State
	}{
		{syscall.ENOSPC, hresult.ERROR_DISK_FULL, local, fatal},
		{syscall.EDQUOT, hresult.ERROR_DISK_QUOTA_EXCEEDED, local, fatal},
		{syscall.EACCES, hresult.E_ACCESSDENIED, local, fatal},
		{syscall.EPERM, hresult.E_ACCESSDENIED, local, fatal},
		{syscall.EROFS, hresult.ERROR_WRITE_PROTECT, local, fatal},
		{syscall.ENOENT, hresult.ERROR_PATH_NOT_FOUND, local, fatal},
		{syscall.ENOTDIR, hresult.ERROR_PATH_NOT_FOUND, local, fatal},
		{syscall.EISDIR, hresult.E_ACCESSDENIED, local, fatal},
		{syscall.EEXIST, hresult.ERROR_FILE_EXISTS, local, fatal},
		{syscall.ENAMETOOLONG, hresult.ERROR_FILENAME_EXCED_RANGE, local, fatal},
		{syscall.EINVAL, hresult.ERROR_INVALID_NAME, local, fatal},
		{syscall.ELOOP, hresult.ERROR_INVALID_NAME, local, fatal},
		{syscall.EFBIG, hresult.ERROR_FILE_TOO_LARGE, local, fatal},
		{syscall.EBUSY, hresult.ERROR_SHARING_VIOLATION, local, fatal},
		{syscall.ETXTBSY, hresult.ERROR_SHARING_VIOLATION, local, fatal},
		{syscall.EIO, hresult.ERROR_IO_DEVICE, local, fatal},
		{syscall.ENODEV, hresult.ERROR_NOT_READY, local, fatal},
		{syscall.ENXIO, hresult.ERROR_NOT_READY, local, fatal},
		{syscall.ENOTCONN, hresult.ERROR_NOT_READY, local, fatal},
		{syscall.ESTALE, hresult.ERROR_FILE_INVALID, local, fatal},
		{syscall.ETIMEDOUT, hresult.ERROR_SEM_TIMEOUT, local, again},
		{syscall.EHOSTDOWN, hresult.ERROR_SEM_TIMEOUT, local, again},
		{syscall.EAGAIN, hresult.ERROR_SEM_TIMEOUT, local, again},
		{syscall.EMFILE, hresult.ERROR_NO_SYSTEM_RESOURCES, queue, again},
		{syscall.ENFILE, hresult.ERROR_NO_SYSTEM_RESOURCES, queue, again},
		{syscall.ENOMEM, hresult.E_OUTOFMEMORY, queue, again},
		{syscall.EPROTO, hresult.E_FAIL, local, fatal}, // one that stands in no table
	} {
		calls := []string{"create", "write", "sync", "rename"}
		if c.err == syscall.ENOSPC || c.err == syscall.EDQUOT || c.err == syscall.EFBIG {
			calls = append(calls, "allocate") // any other error of it means only that the file system cannot do that
		}
		for _, call := range calls {
			t.Run(fmt.Sprintf("%v/%s", c.err, call), func(t *testing.T) {
				name := filepath.Join(s.Path("disk"), "f")
				job, err := s.Create(ctx, bits.Spec{
					Files:      []bits.FileSpec{{RemoteName: o.Plain + "/f", LocalName: name}},
					Properties: map[string]bits.RawMessage{"priority": bitstest.JSON("FOREGROUND")},
				})
				bitstest.Must(t, err)
				refuse(call, c.err, always)
				now := ended(t, s, job)
				if call != "rename" {
					says(t, now, fault{state: c.state, context: c.context, code: c.code})
				} else if _, err := s.Complete(ctx, job.ID); bits.AsError(err).Code != c.code || bits.AsError(err).Context != c.context {
					t.Errorf("Complete: %v, %v", err, now.Error)
				}
				refuse("", 0, 0)
				if call == "rename" { // the cause is gone
					_, err = s.Complete(ctx, job.ID)
				} else {
					_, err = s.Cancel(ctx, job.ID)
				}
				bitstest.Must(t, err)
			})
		}
	}
}

// A call that a signal interrupts is made again, and the job does not see it.
func TestInterruptedCalls(t *testing.T) {
	t.Parallel()
	asRoot(t)
	s, o := bitstest.Start(t), bitstest.NewOrigin(t)
	refuse, _ := mountDisk(t, s.Path("disk"))
	o.File("/f", bitstest.Content(6, 1000))
	for _, call := range []string{"create", "allocate", "write", "sync", "rename"} {
		for _, noReplace := range []bool{false, true} {
			job, err := s.Create(ctx, bits.Spec{
				Files:      []bits.FileSpec{{RemoteName: o.Plain + "/f", LocalName: filepath.Join(s.Path("disk"), fmt.Sprint(call, noReplace))}},
				Properties: map[string]bits.RawMessage{"no_replace": bitstest.JSON(noReplace), "priority": bitstest.JSON("FOREGROUND")},
			})
			bitstest.Must(t, err)
			refuse(call, syscall.EINTR, 3)
			if now := ended(t, s, job); now.State != bits.StateTransferred {
				t.Errorf("%s: %v, %+v", call, now.State, now.Error)
			} else if _, err := s.Complete(ctx, job.ID); err != nil {
				t.Errorf("%s: Complete: %v", call, err)
			}
		}
	}
}

// The disk is gone in mid-job: its server has died.
func TestErrorsOfDiskThatDies(t *testing.T) {
	t.Parallel()
	asRoot(t)
	s, o := bitstest.Start(t), bitstest.NewOrigin(t)
	_, server := mountDisk(t, s.Path("disk"))
	o.File("/f", bitstest.Content(6, 1000))
	job, err := s.Create(ctx, bits.Spec{Files: []bits.FileSpec{{RemoteName: o.Plain + "/f", LocalName: filepath.Join(s.Path("disk"), "f")}}})
	bitstest.Must(t, err)
	var there syscall.Stat_t
	bitstest.Must(t, syscall.Stat(s.Path("disk"), &there))
	mounted(t, s.Path("control"), "-t", "fusectl", "none")
	bitstest.Must(t, os.WriteFile(s.Path(fmt.Sprintf("control/%d/abort", there.Dev&0xff|there.Dev>>12&^0xff)), []byte("1"), 0))
	says(t, ended(t, s, job), fault{state: fatal, context: bits.ContextLocalFile, code: hresult.ERROR_NOT_READY})
	server.Unmount()
}

// mounted mounts a file system of the kernel for the time of a test.
func mounted(t *testing.T, dir string, args ...string) {
	t.Helper()
	if err := os.Mkdir(dir, 0o700); err != nil && !errors.Is(err, os.ErrExist) {
		t.Fatal(err)
	}
	if out, err := exec.Command("mount", append(args, dir)...).CombinedOutput(); err != nil {
		unmountable(t, out)
	}
	t.Cleanup(func() { exec.Command("umount", "-l", dir).Run() })
}

// The same, from the file systems of the kernel.
func TestErrorsOfKernelsDisks(t *testing.T) {
	t.Parallel()
	asRoot(t)
	s, o := bitstest.Start(t), bitstest.NewOrigin(t)
	data := bitstest.Content(7, 300_000)
	o.File("/f", data)
	o.Page("/huge", func(w http.ResponseWriter, _ *http.Request) { w.Header().Set("Content-Length", "70000000000000") })
	const local = bits.ContextLocalFile
	make := func(url, name string) *bits.Job {
		job, err := s.Create(ctx, bits.Spec{Files: []bits.FileSpec{{RemoteName: url, LocalName: name}}})
		bitstest.Must(t, err)
		return job
	}
	t.Run("disk becomes read-only", func(t *testing.T) {
		dir := s.Path("ro")
		mounted(t, dir, "-t", "tmpfs", "none")
		job := make(o.Plain+"/f", filepath.Join(dir, "f"))
		run(t, "mount", "-o", "remount,ro", dir)
		says(t, ended(t, s, job), fault{state: fatal, context: local, code: hresult.ERROR_WRITE_PROTECT})
		run(t, "mount", "-o", "remount,rw", dir)
		bitstest.Must(t, s.Resume(ctx, job.ID))
		s.Await(job.ID, bits.StateTransferred)
	})
	t.Run("file larger than the file system can have", func(t *testing.T) {
		image, dir := s.Path("image"), s.Path("ext4")
		bitstest.Must(t, os.WriteFile(image, nil, 0o600), os.Truncate(image, 8<<20))
		run(t, "mkfs.ext4", "-q", "-F", "-b", "1024", "-O", "^has_journal", image)
		mounted(t, dir, "-o", "loop", image)
		says(t, ended(t, s, make(o.Plain+"/huge", filepath.Join(dir, "f"))), fault{state: fatal, context: local, code: hresult.ERROR_FILE_TOO_LARGE})
	})
	t.Run("another disk is in the place of the first", func(t *testing.T) {
		dir := s.Path("stick")
		mounted(t, dir, "-t", "tmpfs", "none")
		open := o.Gate("/gate", data, len(data)/2)
		job := make(o.Plain+"/gate", filepath.Join(dir, "f"))
		bitstest.Must(t, s.Resume(ctx, job.ID))
		s.Until(job.ID, func(j *bits.Job) bool { return j.Progress.BytesReceived == int64(len(data)/2) })
		bitstest.Must(t, s.Suspend(ctx, job.ID))
		run(t, "mount", "-t", "tmpfs", "none", dir)
		want := fault{state: fatal, context: local, code: hresult.BG_E_VOLUME_CHANGED}
		says(t, ended(t, s, job), want)
		run(t, "umount", dir)
		open()
		bitstest.Must(t, s.Resume(ctx, job.ID))
		s.Await(job.ID, bits.StateTransferred)
		if seen := o.Seen(); !slices.Contains(seen, fmt.Sprintf("GET /gate bytes=%d-", max(len(data)/2-64<<10, 0))) {
			t.Errorf("what was there is not used: %q", seen)
		}
		run(t, "mount", "-t", "tmpfs", "none", dir)
		if _, err := s.Complete(ctx, job.ID); bits.AsError(err).Code != want.code || bits.AsError(err).Context != local {
			t.Errorf("Complete: %v", err)
		}
		run(t, "umount", dir)
		s.Await(job.ID, bits.StateTransferred)
		finish(t, s, job, data)
	})
	t.Run("destination is a mount point", func(t *testing.T) {
		job := make(o.Plain+"/f", s.Path("f"))
		ended(t, s, job)
		bitstest.Must(t, os.WriteFile(s.Path("f"), nil, 0o600))
		run(t, "mount", "--bind", s.Path("f"), s.Path("f"))
		_, err := s.Complete(ctx, job.ID)
		run(t, "umount", s.Path("f"))
		if e := bits.AsError(err); e.Code != hresult.ERROR_SHARING_VIOLATION || e.Context != local {
			t.Errorf("%v", err)
		}
		_, err = s.Complete(ctx, job.ID)
		bitstest.Must(t, err)
	})
	t.Run("temporary file is being run", func(t *testing.T) {
		program, err := os.ReadFile(program.Need(t, "sleep"))
		bitstest.Must(t, err)
		open := o.Gate("/program", program, len(program)/2)
		job := make(o.Plain+"/program", s.Path("program"))
		bitstest.Must(t, s.Resume(ctx, job.ID))
		s.Until(job.ID, func(j *bits.Job) bool { return j.Progress.BytesReceived == int64(len(program)/2) })
		bitstest.Must(t, s.Suspend(ctx, job.ID))
		temp := job.Files[0].Temporary
		syscall.ForkLock.RLock() // a process that a test beside starts now would have it open to write, and then it cannot run
		err = os.WriteFile(temp, program, 0o700)
		syscall.ForkLock.RUnlock()
		bitstest.Must(t, err, os.Chmod(temp, 0o700))
		cmd := exec.Command(temp, "60")
		bitstest.Must(t, cmd.Start())
		says(t, ended(t, s, job), fault{state: fatal, context: local, code: hresult.ERROR_SHARING_VIOLATION})
		cmd.Process.Kill()
		cmd.Wait()
		open()
		bitstest.Must(t, s.Resume(ctx, job.ID))
		s.Await(job.ID, bits.StateTransferred)
	})
	t.Run("folder is a link to itself", func(t *testing.T) {
		bitstest.Must(t, os.Symlink("loop", s.Path("loop")))
		_, err := s.Create(ctx, bits.Spec{Files: []bits.FileSpec{{RemoteName: o.Plain + "/f", LocalName: filepath.Join(s.Path("loop"), "f")}}})
		if e := bits.AsError(err); e.Code != hresult.ERROR_INVALID_NAME || e.Context != local {
			t.Errorf("%v", err)
		}
	})
}

// Another user than root may not write where he may not.
func TestErrorsOfPermissions(t *testing.T) {
	t.Parallel()
	if os.Geteuid() == 0 && !elsewhere(t, &syscall.SysProcAttr{Credential: &syscall.Credential{Uid: 65534, Gid: 65534}}) {
		return
	}
	s, o := bitstest.Start(t), bitstest.NewOrigin(t)
	o.File("/f", []byte("x"))
	folder := s.Path("folder")
	bitstest.Must(t, os.Mkdir(folder, 0o700))
	job, err := s.Create(ctx, bits.Spec{Files: []bits.FileSpec{{RemoteName: o.Plain + "/f", LocalName: filepath.Join(folder, "f")}}})
	bitstest.Must(t, err, os.Chmod(folder, 0o500))
	defer os.Chmod(folder, 0o700)
	says(t, ended(t, s, job), fault{state: fatal, context: bits.ContextLocalFile, code: hresult.E_ACCESSDENIED})
	bitstest.Must(t, os.Chmod(folder, 0o700))
	ended(t, s, job)
	bitstest.Must(t, os.Chmod(folder, 0o500))
	if _, err := s.Complete(ctx, job.ID); bits.AsError(err).Code != hresult.E_ACCESSDENIED || bits.AsError(err).Context != bits.ContextLocalFile {
		t.Errorf("Complete: %v", err)
	}
}

// The service has used up its files: for a connection, and for the temporary file.
func TestErrorsOfLimits(t *testing.T) {
	t.Parallel()
	if !elsewhere(t, &syscall.SysProcAttr{}) {
		return
	}
	s, o := bitstest.Start(t), bitstest.NewOrigin(t)
	o.File("/f", []byte("x"))
	data := bitstest.Content(8, 3<<20)
	open := o.Gate("/gate", []byte("x"), -1)
	o.Page("/long", func(w http.ResponseWriter, _ *http.Request) {
		w.(http.Flusher).Flush() // no length, so no room is made for it beforehand
		w.Write(data)
	})
	// exhaust opens files until there are no more.
	exhaust := func() (release func()) {
		var all []*os.File
		for {
			f, err := os.Open(os.DevNull)
			if errors.Is(err, syscall.EMFILE) {
				break
			}
			bitstest.Must(t, err)
			all = append(all, f)
		}
		return func() {
			for _, f := range all {
				f.Close()
			}
		}
	}
	var before syscall.Rlimit
	bitstest.Must(t, syscall.Getrlimit(syscall.RLIMIT_NOFILE, &before), syscall.Setrlimit(syscall.RLIMIT_NOFILE, &syscall.Rlimit{Cur: 200, Max: before.Max}))
	want := fault{state: again, context: bits.ContextQueueManager, code: hresult.ERROR_NO_SYSTEM_RESOURCES}
	for _, c := range []struct {
		path string
		at   bits.State // when the files run out
	}{{"/f", bits.StateSuspended}, {"/gate", bits.StateConnecting}} {
		job := s.NewJob(o.Trust(), o.Plain+c.path)
		if c.at != bits.StateSuspended {
			before := o.Requests()
			bitstest.Must(t, s.Resume(ctx, job.ID))
			until(t, "the request", func() bool { return o.Requests() > before })
			s.Await(job.ID, c.at)
		}
		release := exhaust()
		if c.at == bits.StateSuspended {
			bitstest.Must(t, s.Resume(ctx, job.ID))
		} else {
			open()
		}
		says(t, s.Await(job.ID, again), want)
		release()
		s.Await(job.ID, bits.StateTransferred)
	}
	// And it may write no more than so much into one file.
	bitstest.Must(t, syscall.Setrlimit(syscall.RLIMIT_FSIZE, &syscall.Rlimit{Cur: 2 << 20, Max: 1 << 40}))
	says(t, ended(t, s, s.NewJob(nil, o.Plain+"/long")), fault{state: fatal, context: bits.ContextLocalFile, code: hresult.ERROR_FILE_TOO_LARGE})
}
