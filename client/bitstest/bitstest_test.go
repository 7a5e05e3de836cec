package bitstest_test

import (
	"bytes"
	"context"
	"errors"
	"os"
	"slices"
	"strings"
	"testing"
	"time"

	"bits"
	"bits/client"
	"bits/client/bitstest"
	"bits/hresult"
)

var ctx = context.Background()

// complete waits for a job and gives its only file its name; the file must have this content.
func complete(t *testing.T, s *bitstest.Service, id string, want []byte) {
	t.Helper()
	job := s.Await(id, bits.StateTransferred)
	_, err := s.Complete(ctx, id)
	bitstest.Must(t, err)
	if got, err := os.ReadFile(job.Files[0].LocalName); err != nil || !bytes.Equal(got, want) {
		t.Errorf("the file differs: %d bytes, %v", len(got), err)
	}
}

// Each fault is met once, by the request whose turn it is, and the service does with it what it does with real servers.
func TestFaults(t *testing.T) {
	t.Parallel()
	data := bitstest.Content(1, 300_000)
	for name, c := range map[string]struct {
		fault bitstest.Fault
		then  func(s *bitstest.Service, o *bitstest.Origin, id string) // until it is sound
		code  hresult.Code                                             // of the job's error at that time
		seen  []string
	}{
		"cut":           {fault: bitstest.Cut(100_000), code: hresult.ERROR_WINHTTP_CONNECTION_ERROR, seen: []string{"GET /f ", "GET /f bytes=34464-"}},
		"hangs up":      {fault: bitstest.Cut(-1), code: hresult.ERROR_WINHTTP_CONNECTION_ERROR, seen: []string{"GET /f ", "GET /f "}},
		"status":        {fault: bitstest.Status(503), code: hresult.FromHTTPStatus(503), seen: []string{"GET /f ", "GET /f "}},
		"no ranges":     {fault: bitstest.NoRanges(), seen: []string{"GET /f "}},
		"slow":          {fault: bitstest.Slow(1 << 20), seen: []string{"GET /f "}},
		"no validator":  {fault: bitstest.NoValidator(), seen: []string{"GET /f "}},
		"silent":        {fault: bitstest.Stall(100_000), then: dropped, code: hresult.ERROR_WINHTTP_CONNECTION_ERROR, seen: []string{"GET /f ", "GET /f bytes=34464-"}},
		"always silent": {fault: bitstest.Stall(-1).Always(), then: mended, code: hresult.ERROR_WINHTTP_CONNECTION_ERROR},
	} {
		t.Run(name, func(t *testing.T) {
			t.Parallel()
			s, o := bitstest.Start(t), bitstest.NewOrigin(t)
			o.File("/f", data)
			o.Fault("/f", c.fault)
			properties := o.Trust()
			delete(properties, "backoff") // so it waits 600 seconds, or until somebody resumes it
			job := s.NewJob(properties, o.Plain+"/f")
			began := time.Now()
			bitstest.Must(t, s.Resume(ctx, job.ID))
			if c.then != nil {
				c.then(s, o, job.ID)
			}
			if c.code != 0 {
				if was := s.Retry(job.ID); was.Error.Code != c.code {
					t.Errorf("%+v", was.Error)
				}
			}
			complete(t, s, job.ID, data)
			if seen := o.Seen(); c.seen != nil && !slices.Equal(trimmed(seen), trimmed(c.seen)) {
				t.Errorf("%q, want %q", seen, c.seen)
			}
			if took := time.Since(began); name == "slow" && took < 200*time.Millisecond {
				t.Errorf("300,000 bytes at 1 MiB a second took %v", took)
			}
		})
	}
}

func trimmed(all []string) (short []string) {
	for _, s := range all {
		s, _, _ = strings.Cut(s, "-")
		short = append(short, strings.TrimSpace(strings.TrimSuffix(s, "bytes=0")))
	}
	return short
}

func dropped(s *bitstest.Service, o *bitstest.Origin, id string) {
	s.Until(id, func(j *bits.Job) bool { return j.Progress.BytesReceived == 100_000 })
	o.Drop()
}

func mended(s *bitstest.Service, o *bitstest.Origin, id string) {
	s.Await(id, bits.StateConnecting)
	for o.Requests() == 0 {
		time.Sleep(time.Millisecond)
	}
	o.Fault("/f")
	o.Drop()
}

// A file that changes while it is fetched is fetched anew: nothing of the old one is in it.
func TestFileChanges(t *testing.T) {
	t.Parallel()
	s, o := bitstest.Start(t), bitstest.NewOrigin(t)
	old, young := bitstest.Content(1, 100_000), bitstest.Content(2, 120_000)
	o.File("/f", old)
	o.Fault("/f", bitstest.Cut(50_000))
	job := s.NewJob(nil, o.Plain+"/f")
	bitstest.Must(t, s.Resume(ctx, job.ID))
	s.Await(job.ID, bits.StateTransientError)
	o.File("/f", young)
	s.Retry(job.ID)
	complete(t, s, job.ID, young)
}

// The certificates of an origin are what their names say to the service, and to those who pin.
func TestCertificates(t *testing.T) {
	t.Parallel()
	for name, c := range map[string]struct {
		show func(*bitstest.Origin)
		code hresult.Code
	}{
		"sound":       {func(*bitstest.Origin) {}, 0},
		"expired":     {func(o *bitstest.Origin) { o.Certify(bitstest.Expired) }, hresult.ERROR_WINHTTP_SECURE_CERT_DATE_INVALID},
		"wrong name":  {func(o *bitstest.Origin) { o.Certify(bitstest.WrongName) }, hresult.ERROR_WINHTTP_SECURE_CERT_CN_INVALID},
		"wrong usage": {func(o *bitstest.Origin) { o.Certify(bitstest.WrongUsage) }, hresult.ERROR_WINHTTP_SECURE_CERT_WRONG_USAGE},
		"self-signed": {func(o *bitstest.Origin) { o.SelfSign() }, hresult.ERROR_WINHTTP_SECURE_INVALID_CA},
		"renewed":     {func(o *bitstest.Origin) { o.Renew() }, 0},
	} {
		t.Run(name, func(t *testing.T) {
			t.Parallel()
			s, o := bitstest.Start(t), bitstest.NewOrigin(t)
			o.File("/f", []byte("x"))
			c.show(o)
			job := s.NewJob(o.Trust(), o.URL+"/f")
			bitstest.Must(t, s.Resume(ctx, job.ID))
			if c.code == 0 {
				complete(t, s, job.ID, []byte("x"))
				if o.Handshakes() == 0 {
					t.Error("no handshake was counted")
				}
			} else if now := s.Until(job.ID, func(j *bits.Job) bool { return client.Settled(j) || j.State == bits.StateTransientError }); now.Error == nil || now.Error.Code != c.code {
				t.Errorf("%v, %+v", now.State, now.Error)
			}
		})
	}
	o := bitstest.NewOrigin(t)
	first := o.Certificate()
	o.Renew()
	if second := o.Certificate(); second.Equal(first) || !bytes.Equal(second.RawSubjectPublicKeyInfo, first.RawSubjectPublicKeyInfo) {
		t.Error("a renewed certificate is a new one for the same key")
	}
	o.Certify()
	if bytes.Equal(o.Certificate().RawSubjectPublicKeyInfo, first.RawSubjectPublicKeyInfo) {
		t.Error("a rotated key is a new one")
	}
	if text, err := os.ReadFile(o.RootsFile()); err != nil || !bytes.Equal(text, o.Roots()) || o.Authority().Leaf == nil {
		t.Errorf("the file of the authority: %v", err)
	}
}

// A service is killed in the middle of a transfer, and goes on where it was; the judge has gone with it, the demand has not.
func TestKillAndRestart(t *testing.T) {
	t.Parallel()
	s, o, j := bitstest.Start(t, bitstest.Process), bitstest.NewOrigin(t), &bitstest.Judge{}
	data := bitstest.Content(3, 400_000)
	o.File("/f", data)
	o.Fault("/f", bitstest.Cut(200_000), bitstest.Stall(100_000))
	properties := o.Trust()
	delete(properties, "backoff")
	job := s.NewJob(properties, o.URL+"/f")
	v, err := s.SetServerCertificateValidation(ctx, job.ID, j)
	bitstest.Must(t, err, s.Resume(ctx, job.ID))
	s.Retry(job.ID)
	s.Until(job.ID, func(j *bits.Job) bool { return j.Progress.BytesReceived > 200_000 })
	s.Kill()
	s.Kill() // nothing more
	if <-v.Done(); !errors.Is(v.Err(), client.ErrUnreachable) {
		t.Errorf("the registration ended with %v", v.Err())
	}
	if _, err := s.System(ctx); !errors.Is(err, client.ErrUnreachable) {
		t.Errorf("a killed service says %v", err)
	}
	o.Certify()
	s.Restart()
	if now := s.Await(job.ID, bits.StateError); now.Error.Code != hresult.BG_E_SERVER_CERT_VALIDATION_INTERFACE_REQUIRED {
		t.Errorf("%+v", now.Error)
	}
	_, err = s.Attach(ctx, job.ID, j)
	bitstest.Must(t, err)
	complete(t, s, job.ID, data)
	if asked, seen := j.Asked(), o.Seen(); len(asked) != 2 || !strings.HasPrefix(seen[len(seen)-1], "GET /f bytes=1") {
		t.Errorf("%d questions, %q", len(asked), seen)
	}
	s.Restart()
	if out, err := s.Command("--json", "show", job.ID).Output(); err != nil || !strings.Contains(string(out), `"ACKNOWLEDGED"`) {
		t.Errorf("%v: %s", err, out)
	}
	if env := s.Env(); !slices.Contains(env, "BITS_SOCKET="+s.Socket) {
		t.Errorf("%q", env)
	}
}
