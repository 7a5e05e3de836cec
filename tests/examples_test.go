package tests

import (
	"crypto/sha256"
	"encoding/hex"
	"os"
	"os/exec"
	"path/filepath"
	"regexp"
	"strconv"
	"strings"
	"testing"
	"time"

	"bits"
	"bits/client/bitstest"
	"bits/internal/program"
)

// example is a program of the folder examples as its user runs it.
func example(s *bitstest.Service, o *bitstest.Origin, program string, args ...string) *exec.Cmd {
	cmd := exec.Command(program, args...)
	cmd.Dir = s.Path("")
	cmd.Env = append(s.Env(), "SSL_CERT_FILE="+o.RootsFile(), "UPDATER_STATE="+s.Path("updater.json"))
	return cmd
}

// runExample runs one to its end, and returns what it prints.
func runExample(s *bitstest.Service, o *bitstest.Origin, program string, args ...string) (string, error) {
	out, err := example(s, o, program, args...).CombinedOutput()
	return string(out), err
}

func hexOf(der []byte) string {
	sum := sha256.Sum256(der)
	return hex.EncodeToString(sum[:])
}

// An application in a shell, with curl and openssl, over the local API alone.
func TestExampleShell(t *testing.T) {
	t.Parallel()
	program.Need(t, "curl")
	program.Need(t, "openssl")
	script, err := filepath.Abs("../examples/fetch.sh")
	bitstest.Must(t, err)
	s, o := bitstest.Start(t), bitstest.NewOrigin(t)
	data := bitstest.Content(12, 100_000)
	o.File("/f", data)
	if out, err := runExample(s, o, script, o.URL+"/f", "f", hexOf(o.Certificate().Raw)); err != nil {
		t.Fatalf("%v: %s", err, out)
	}
	same(t, s.Path("f"), data)
	before := o.Requests()
	out, err := runExample(s, o, script, o.URL+"/f", "g", strings.Repeat("0", 64))
	if err == nil || !strings.Contains(out, `"hresult":"0x80040001"`) || o.Requests() != before {
		t.Errorf("declined: %v, %d requests: %s", err, o.Requests()-before, out)
	}
	if out, err := runExample(s, o, script, o.URL+"/missing", "g", hexOf(o.Certificate().Raw)); err == nil || !strings.Contains(out, "404") {
		t.Errorf("missing: %v: %s", err, out)
	}
}

// An application in Go: it accepts, it declines, and when it starts again it takes up three jobs that wait for it: one SUSPENDED, one
// ERROR with 0x80200074, one QUEUED.
func TestExampleUpdater(t *testing.T) {
	t.Parallel()
	program := filepath.Join(program.Dir(t), "updater")
	if out, err := exec.Command("go", "build", "-o", program, "bits/examples/updater").CombinedOutput(); err != nil {
		t.Fatalf("%v: %s", err, out)
	}
	s, o := bitstest.Start(t), bitstest.NewOrigin(t)
	pin := hexOf(o.Certificate().RawSubjectPublicKeyInfo)
	o.File("/f", []byte("f"))
	if out, err := runExample(s, o, program, "-pin", pin, o.URL+"/f", "f"); err != nil || !strings.Contains(out, "f is there") {
		t.Fatalf("%v: %s", err, out)
	}
	if _, err := os.Stat(s.Path("f")); err != nil {
		t.Error(err)
	}

	takesUp(t, s, o, "updater: ", program, "-pin", strings.Repeat("0", 64)+","+pin)
}

// takesUp starts an application that must take up three jobs which wait for it: one SUSPENDED, one ERROR with 0x80200074, one QUEUED.
func takesUp(t *testing.T, s *bitstest.Service, o *bitstest.Origin, name, application string, args ...string) {
	t.Helper()
	jobs, ahead := threeWaiting(t, s, o, name)
	cancelled := make(chan error)
	go func() {
		for { // the job ahead goes when the application is there
			if job, err := s.Job(ctx, jobs[2].ID); err != nil || job.ValidatorAttached {
				_, err = s.Cancel(ctx, ahead.ID)
				cancelled <- err
				return
			}
			time.Sleep(2 * time.Millisecond)
		}
	}()
	out, err := runExample(s, o, application, args...)
	if err != nil || strings.Count(out, " is there\n") != 3 {
		t.Errorf("%v: %s", err, out)
	}
	for _, was := range []string{"SUSPENDED", "ERROR", "QUEUED"} {
		if !strings.Contains(out, "which was "+was+"\n") {
			t.Errorf("none was %s: %s", was, out)
		}
	}
	bitstest.Must(t, <-cancelled)
	for _, job := range jobs {
		wantState(t, s, job.ID, bits.StateAcknowledged)
	}
}

// python is the updater in Python.
func python(t *testing.T) string {
	t.Helper()
	program.Need(t, "python3")
	script, err := filepath.Abs("../examples/updater.py")
	bitstest.Must(t, err)
	return script
}

// An application in Python, with its standard library alone: two files in a job; a key that it does not know; a file that is not there;
// jobs that wait for it.
func TestExamplePython(t *testing.T) {
	t.Parallel()
	script := python(t)
	s, o := bitstest.Start(t), bitstest.NewOrigin(t)
	pin := hexOf(o.Certificate().RawSubjectPublicKeyInfo)
	files := map[string][]byte{"f": bitstest.Content(1, 100_000), "g": bitstest.Content(2, 200_000)}
	for name, data := range files {
		o.File("/"+name, data)
	}
	out, err := runExample(s, o, script, strings.Repeat("0", 64)+","+strings.ToUpper(pin), o.URL+"/f", "f", o.URL+"/g", "g")
	if err != nil || strings.Count(out, " is there\n") != 2 {
		t.Fatalf("%v: %s", err, out)
	}
	for name, data := range files {
		same(t, s.Path(name), data)
	}
	before := o.Requests()
	o.Certify()
	out, err = runExample(s, o, script, pin, o.URL+"/f", "h")
	if err == nil || !strings.Contains(out, "cannot trust localhost:") || !strings.Contains(out, "0x80040001, context 8") || o.Requests() != before {
		t.Errorf("declined: %v, %d requests: %s", err, o.Requests()-before, out)
	}
	pin = hexOf(o.Certificate().RawSubjectPublicKeyInfo)
	if out, err := runExample(s, o, script, pin, o.URL+"/missing", "h"); err == nil || !strings.Contains(out, "404") || !strings.Contains(out, "file 0: "+o.URL) {
		t.Errorf("missing: %v: %s", err, out)
	}
	if jobs, err := s.Jobs(ctx, nil); err != nil || len(jobs) != 0 {
		t.Errorf("%d jobs are left, %v", len(jobs), err)
	}
	takesUp(t, s, o, "updater.py: ", script, pin)
	s.Stop()
	if out, err := runExample(s, o, script, pin); err == nil || !strings.Contains(out, "cannot reach the service") {
		t.Errorf("no service: %v: %s", err, out)
	}
}

// The service is killed under the application, which then takes its job up again; its place is taken, and left empty; it is killed
// itself. Of the events with numbers it misses none.
func TestExamplePythonSurvives(t *testing.T) {
	t.Parallel()
	script := python(t)
	s, o := bitstest.Start(t, bitstest.Process), bitstest.NewOrigin(t)
	data := bitstest.Content(3, 2_000_000)
	o.File("/f", data)
	o.Fault("/f", bitstest.Stall(50_000).Always())
	old := hexOf(o.Certificate().RawSubjectPublicKeyInfo)
	o.Certify()
	young := hexOf(o.Certificate().RawSubjectPublicKeyInfo)
	var said strings.Builder
	begin := func(args ...string) *exec.Cmd {
		t.Helper()
		cmd := example(s, o, script, append([]string{old + "," + young}, args...)...)
		cmd.Stdout, cmd.Stderr = &said, &said
		bitstest.Must(t, cmd.Start())
		return cmd
	}
	app := begin(o.URL+"/f", "f")
	id := s.Find("updater.py").ID
	stalled := func() {
		s.Until(id, func(j *bits.Job) bool { return j.State == bits.StateTransferring && j.ValidatorAttached })
	}
	bitstest.Must(t, s.Set(ctx, id, map[string]any{"backoff": bits.Backoff{First: 1, Max: 1}}))
	stalled()

	s.Kill()
	s.Restart()
	stalled()

	v, err := s.Attach(ctx, id, &bitstest.Judge{})
	bitstest.Must(t, err)
	stalled()
	v.Close()
	s.Until(id, func(j *bits.Job) bool { return !j.ValidatorAttached })
	o.Renew() // nobody has accepted this one
	o.Drop()  // nobody is there to judge: ERROR, 0x80200074; then the application is there again
	stalled()

	app.Process.Kill()
	app.Wait()
	o.Fault("/f")
	bitstest.Must(t, s.Suspend(ctx, id), s.Resume(ctx, id)) // while it is away
	app = begin()
	if err := app.Wait(); err != nil {
		t.Fatalf("%v: %s", err, said.String())
	}
	same(t, s.Path("f"), data)
	if !strings.Contains(said.String(), "0x80200074") {
		t.Errorf("it was never missed: %s", said.String())
	}
	told := map[string]bool{}
	var since int64 = -1
	for _, m := range regexp.MustCompile(`(?m)^event (\d+): job \S+ is (\w+)$`).FindAllStringSubmatch(said.String(), -1) {
		told[m[1]] = true
		if since < 0 {
			n, err := strconv.ParseInt(m[1], 10, 64)
			bitstest.Must(t, err)
			since = n - 1
		}
	}
	for e, err := range s.Events(ctx, since, id) {
		bitstest.Must(t, err)
		if strings.Contains(string(e.Body), "ACKNOWLEDGED") {
			break // its own doing
		}
		if e.Kind == "state" && !told[strconv.FormatInt(e.N, 10)] {
			t.Errorf("it missed event %d, %s: %s", e.N, e.Body, said.String())
		}
	}
	if len(told) < 10 {
		t.Errorf("only %d events: %s", len(told), said.String())
	}
}
