package tests

import (
	"bytes"
	"crypto/sha256"
	"fmt"
	"math/rand/v2"
	"os"
	"os/exec"
	"path/filepath"
	"strconv"
	"testing"
	"time"

	"bits"
	"bits/client/bitstest"
	"bits/internal/pki"
	"bits/internal/program"
)

// kills is how often the loops kill: few in a quick run, BITS_KILLS in the slow suite.
func kills() int {
	if n, err := strconv.Atoi(os.Getenv("BITS_KILLS")); err == nil {
		return n
	}
	return 10
}

// until waits for what f returns to be true.
func until(t *testing.T, what string, f func() bool) {
	t.Helper()
	if !program.Until(f) {
		t.Fatalf("waited in vain: %s", what)
	}
}

// victim is a process that is killed and started again.
type victim struct {
	t     *testing.T
	start func() *exec.Cmd
	cmd   *exec.Cmd
}

func (v *victim) begin() {
	v.t.Helper()
	v.cmd = v.start()
	bitstest.Must(v.t, v.cmd.Start())
}

func (v *victim) kill() {
	v.cmd.Process.Kill()
	v.cmd.Wait()
}

// rig is a service in a process of its own, an nginx, and files on it.
type rig struct {
	*bitstest.Service
	t     *testing.T
	nginx *program.Nginx
	root  *pki.Pair
	url   string
	files map[string][]byte
}

func newRig(t *testing.T, sizes ...int) *rig {
	t.Helper()
	r := &rig{Service: bitstest.Start(t, bitstest.Process), t: t, root: pki.Root("root"), files: map[string][]byte{}}
	port := program.Port(t)
	r.nginx = program.StartNginx(t, port, fmt.Sprintf("server { listen 127.0.0.1:%d; }", port))
	r.nginx.Kill()
	r.nginx.Configure(fmt.Sprintf("server { listen 127.0.0.1:%d ssl http2; limit_rate 8m; %s }", port, r.nginx.Pair("leaf", r.root.Server([]string{"localhost"}))))
	r.nginx.Start()
	r.url = fmt.Sprintf("https://localhost:%d/", port)
	for i, size := range sizes {
		name := fmt.Sprintf("f%d", i)
		r.files[name] = bitstest.Content(byte(i+10), size)
		r.nginx.File(name, r.files[name])
	}
	return r
}

// properties are those of its jobs.
func (r *rig) properties() map[string]bits.RawMessage {
	return map[string]bits.RawMessage{
		"roots": bitstest.JSON(string(r.root.PEM())), "priority": bits.RawMessage(`"FOREGROUND"`), "backoff": bits.RawMessage(`{"first":1,"max":1,"jitter":0}`),
	}
}

func (r *rig) create(i int) *bits.Job {
	r.t.Helper()
	spec := bits.Spec{Properties: r.properties()}
	for name := range r.files {
		spec.Files = append(spec.Files, bits.FileSpec{RemoteName: r.url + name, LocalName: filepath.Join(r.Dir, fmt.Sprintf("%s-%d", name, i))})
	}
	job, err := r.Create(ctx, spec)
	bitstest.Must(r.t, err)
	return job
}

// promises checks that every byte that is recorded as being on stable storage is there, and is the origin's.
func (r *rig) promises(job *bits.Job) {
	r.t.Helper()
	for _, f := range job.Files {
		if len(f.Done) == 0 || f.Completed {
			continue
		}
		there, err := os.ReadFile(f.Temporary)
		bitstest.Must(r.t, err)
		for _, s := range f.Done {
			if s.End > int64(len(there)) || !bytes.Equal(there[s.Start:s.End], r.files[filepath.Base(f.RemoteName)][s.Start:s.End]) {
				r.t.Fatalf("%s: what is recorded as done, %v, is not there", f.LocalName, s)
			}
		}
	}
}

// reach waits until a job is in a state, through errors that pass, and returns it.
func (r *rig) reach(id string, state bits.State) *bits.Job {
	r.t.Helper()
	return r.Until(id, func(now *bits.Job) bool {
		switch now.State {
		case bits.StateTransientError:
			r.Resume(ctx, id)
		case bits.StateError:
			r.t.Fatalf("the job is %v: %+v", now.State, now.Error)
		}
		return now.State == state
	})
}

// finish waits for the job, completes it, and compares its files.
func (r *rig) finish(job *bits.Job) {
	r.t.Helper()
	r.reach(job.ID, bits.StateTransferred)
	_, err := r.Complete(ctx, job.ID)
	bitstest.Must(r.t, err)
	for _, f := range job.Files {
		same(r.t, f.LocalName, r.files[filepath.Base(f.RemoteName)])
		if _, err := os.Lstat(f.Temporary); !os.IsNotExist(err) {
			r.t.Errorf("%s is still there", f.Temporary)
		}
	}
}

// The service is killed at random moments; every job that was acknowledged is there, every promise holds, and at the end every byte
// is the origin's.
func TestKillService(t *testing.T) {
	t.Parallel()
	r := newRig(t, 3<<20, 1, 700_001, 0, 2<<20)
	var jobs []*bits.Job
	for i := range kills() {
		if len(jobs) < 4 {
			job := r.create(i)
			bitstest.Must(t, r.Resume(ctx, job.ID))
			jobs = append(jobs, job)
		}
		time.Sleep(rand.N(400 * time.Millisecond))
		r.Kill()
		r.Restart()
		for j := 0; j < len(jobs); j++ {
			now, err := r.Job(ctx, jobs[j].ID)
			bitstest.Must(t, err)
			r.promises(now)
			if now.State == bits.StateTransferred {
				r.finish(now)
				jobs = append(jobs[:j], jobs[j+1:]...)
				j--
			}
		}
	}
	for _, job := range jobs {
		r.finish(job)
	}
}

// The service is killed while it completes jobs: each file appears once, whole, and the job ends ACKNOWLEDGED.
func TestKillServiceInComplete(t *testing.T) {
	t.Parallel()
	r := newRig(t, 1000, 2000, 3000, 4000)
	for i := range max(kills()/2, 3) {
		job := r.create(i)
		bitstest.Must(t, r.Resume(ctx, job.ID))
		_, err := r.Wait(ctx, job.ID)
		bitstest.Must(t, err)
		go r.Complete(ctx, job.ID)
		time.Sleep(rand.N(4 * time.Millisecond))
		r.Kill()
		r.Restart()
		now, err := r.Job(ctx, job.ID)
		bitstest.Must(t, err)
		if now.State == bits.StateTransferred && !now.Completing {
			_, err = r.Complete(ctx, job.ID)
			bitstest.Must(t, err)
		}
		r.Await(job.ID, bits.StateAcknowledged)
		for _, f := range job.Files {
			same(t, f.LocalName, r.files[filepath.Base(f.RemoteName)])
		}
	}
}

// The application is killed at random moments, and sometimes the service with it. The job never goes on with a certificate that
// nobody accepted, and ends well.
func TestKillApplication(t *testing.T) {
	t.Parallel()
	r := newRig(t, 2<<20, 1<<20)
	judged := filepath.Join(r.Dir, "judged")
	for i := range max((kills()+2)/3, 3) { // three kills each
		job := r.create(i)
		app := &victim{t: t, start: func() *exec.Cmd {
			return r.Command("validate", job.ID, "--", "sh", "-c", "echo $BITS_SHA256 >> "+judged)
		}}
		app.begin()
		r.Until(job.ID, func(now *bits.Job) bool { return now.ValidatorAttached })
		bitstest.Must(t, r.Resume(ctx, job.ID))
		for range 3 {
			time.Sleep(rand.N(100 * time.Millisecond))
			app.kill()
			if rand.N(3) == 0 {
				r.Kill()
				r.Restart()
			}
			app.begin()
		}
		r.Await(job.ID, bits.StateTransferred)
		app.kill()
		r.finish(job)
	}
	if lines, err := os.ReadFile(judged); err != nil || len(lines) == 0 {
		t.Errorf("nothing was judged: %v", err)
	}
}

// nginx is killed at random moments, and the file is replaced under its URL: what arrives is one version, never a splice.
func TestKillServerAndReplace(t *testing.T) {
	t.Parallel()
	r := newRig(t)
	versions := map[[32]byte]bool{}
	size := 2 << 20
	replace := func(seed int, age time.Duration) {
		data := bitstest.Content(byte(seed), size) // the size is always the same: only validators can tell
		versions[sha256.Sum256(data)] = true
		r.nginx.File("f", data)
		at := time.Now().Add(-age)
		bitstest.Must(t, os.Chtimes(filepath.Join(r.nginx.Dir, "www", "f"), at, at))
	}
	replace(0, time.Hour)
	for i := range kills() {
		local := filepath.Join(r.Dir, fmt.Sprint("out", i))
		job, err := r.Create(ctx, bits.Spec{
			Files: []bits.FileSpec{{RemoteName: r.url + "f", LocalName: local}}, Resume: true, Properties: r.properties(),
		})
		bitstest.Must(t, err)
		time.Sleep(rand.N(200 * time.Millisecond))
		switch rand.N(4) {
		case 0: // replaced under the same second as the last one, and rotten dates: nothing must be trusted that proves nothing
			replace(i+1, 0)
			replace(i+2, 0)
			r.nginx.Kill()
			r.nginx.Start()
		case 1:
			r.nginx.Kill()
			replace(i+1, time.Duration(rand.N(1000))*time.Minute)
			r.nginx.Start()
		case 2:
			replace(i+1, time.Duration(rand.N(1000))*time.Minute)
		case 3:
			r.nginx.Kill()
			r.nginx.Start()
		}
		r.reach(job.ID, bits.StateTransferred)
		_, err = r.Complete(ctx, job.ID)
		bitstest.Must(t, err)
		there, err := os.ReadFile(local)
		bitstest.Must(t, err)
		if !versions[sha256.Sum256(there)] {
			t.Fatalf("%s is none of the %d versions: a splice", local, len(versions))
		}
	}
}
