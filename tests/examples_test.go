package tests

import (
	"bytes"
	"crypto/sha256"
	"encoding/hex"
	"os"
	"os/exec"
	"path/filepath"
	"strings"
	"testing"
	"time"

	"bits"
	"bits/client/bitstest"
	"bits/internal/program"
)

// example runs a program of the folder examples as its user would, and returns what it prints.
func example(t *testing.T, s *bitstest.Service, o *bitstest.Origin, program string, args ...string) (string, error) {
	t.Helper()
	ca := s.Path("ca.pem")
	bitstest.Must(t, os.WriteFile(ca, o.Roots(), 0o600))
	cmd := exec.Command(program, args...)
	cmd.Dir = s.Path("")
	cmd.Env = append(os.Environ(), "BITS_SOCKET="+s.Socket, "SSL_CERT_FILE="+ca)
	out, err := cmd.CombinedOutput()
	return string(out), err
}

func hexOf(der []byte) string {
	sum := sha256.Sum256(der)
	return hex.EncodeToString(sum[:])
}

// An application in a shell, with curl and openssl, over the local API alone.
func TestExampleShell(t *testing.T) {
	program.Need(t, "curl")
	program.Need(t, "openssl")
	script, err := filepath.Abs("../examples/fetch.sh")
	bitstest.Must(t, err)
	s, o := bitstest.Start(t), bitstest.NewOrigin(t)
	data := bitstest.Content(12, 100_000)
	o.File("/f", data)
	if out, err := example(t, s, o, script, o.URL+"/f", "f", hexOf(o.Certificate().Raw)); err != nil {
		t.Fatalf("%v: %s", err, out)
	}
	if there, err := os.ReadFile(s.Path("f")); err != nil || !bytes.Equal(there, data) {
		t.Errorf("the file differs: %v", err)
	}
	before := o.Requests()
	out, err := example(t, s, o, script, o.URL+"/f", "g", strings.Repeat("0", 64))
	if err == nil || !strings.Contains(out, `"hresult":"0x80040001"`) || o.Requests() != before {
		t.Errorf("declined: %v, %d requests: %s", err, o.Requests()-before, out)
	}
	if out, err := example(t, s, o, script, o.URL+"/missing", "g", hexOf(o.Certificate().Raw)); err == nil || !strings.Contains(out, "404") {
		t.Errorf("missing: %v: %s", err, out)
	}
}

// An application in Go: it accepts, it declines, and when it starts again it takes up three jobs that wait for it: one SUSPENDED, one
// ERROR with 0x80200074, one QUEUED.
func TestExampleUpdater(t *testing.T) {
	program := filepath.Join(program.Dir(t), "updater")
	if out, err := exec.Command("go", "build", "-o", program, "bits/examples/updater").CombinedOutput(); err != nil {
		t.Fatalf("%v: %s", err, out)
	}
	s, o := bitstest.Start(t), bitstest.NewOrigin(t)
	pin := hexOf(o.Certificate().RawSubjectPublicKeyInfo)
	o.File("/f", []byte("f"))
	if out, err := example(t, s, o, program, "-pin", pin, o.URL+"/f", "f"); err != nil || !strings.Contains(out, "f is there") {
		t.Fatalf("%v: %s", err, out)
	}
	if _, err := os.Stat(s.Path("f")); err != nil {
		t.Error(err)
	}

	jobs, ahead := threeWaiting(t, s, o, "updater: ")
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
	out, err := example(t, s, o, program, "-pin", strings.Repeat("0", 64)+","+pin)
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
