package tests

import (
	"bytes"
	"context"
	"crypto/sha256"
	"crypto/tls"
	"crypto/x509"
	"encoding/hex"
	"encoding/json"
	"errors"
	"fmt"
	"net/http"
	"strings"
	"sync/atomic"
	"testing"
	"time"

	"github.com/google/go-cmp/cmp"

	"bits"
	"bits/client"
	"bits/client/bitstest"
	"bits/hresult"
	"bits/internal/pki"
	"bits/internal/wire"
)

var ctx = context.Background()

const declined = hresult.Code(0x80041234)

func decline(context.Context, bits.Question) error { return bits.Errorf(declined, "no") }

// set sets a judge on a job and fails the test if that is refused.
func set(t *testing.T, s *bitstest.Service, job string, j any) *client.Validation {
	t.Helper()
	v, err := s.SetServerCertificateValidation(ctx, job, j)
	if err != nil {
		t.Fatal(err)
	}
	return v
}

func wantError(t *testing.T, job *bits.Job, state bits.State, c bits.ErrorContext, code hresult.Code) {
	t.Helper()
	if job.State != state || job.Error == nil || job.Error.Context != c || job.Error.Code != code {
		t.Fatalf("state %v, error %+v; want %v, context %d, %v", job.State, job.Error, state, c, code)
	}
}

// inState brings a job into a state, and keeps it there.
func inState(t *testing.T, s *bitstest.Service, o *bitstest.Origin, want bits.State) *bits.Job {
	data := bitstest.Content(1, 1<<20)
	o.File("/whole", data)
	o.Page("/broken", func(w http.ResponseWriter, _ *http.Request) { w.WriteHeader(500) })
	path, properties := "/whole", o.Trust()
	properties["backoff"] = bits.Backoff{First: 3600, Max: 3600}
	switch want {
	case bits.StateQueued:
		o.Gate("/ahead", data, -1)
		ahead := s.NewJob(map[string]any{"priority": "HIGH"}, o.Plain+"/ahead")
		bitstest.Must(t, s.Resume(ctx, ahead.ID))
		s.Await(ahead.ID, bits.StateConnecting)
	case bits.StateConnecting:
		o.Gate("/held", data, -1)
		path = "/held"
	case bits.StateTransferring:
		o.Gate("/half", data, 1000)
		path = "/half"
	case bits.StateTransientError:
		path = "/broken"
	case bits.StateError:
		path = "/missing"
	}
	job := s.NewJob(properties, o.URL+path)
	if want == bits.StateSuspended {
		return job
	}
	if want == bits.StateCancelled {
		_, err := s.Cancel(ctx, job.ID)
		bitstest.Must(t, err)
		return job
	}
	bitstest.Must(t, s.Resume(ctx, job.ID))
	if want == bits.StateAcknowledged {
		s.Await(job.ID, bits.StateTransferred)
		_, err := s.Complete(ctx, job.ID)
		bitstest.Must(t, err)
	}
	return s.Await(job.ID, want)
}

func TestSetByState(t *testing.T) {
	t.Parallel()
	for state, want := range map[bits.State]hresult.Code{
		bits.StateQueued:         hresult.BG_E_READ_ONLY_WHEN_JOB_ACTIVE,
		bits.StateConnecting:     hresult.BG_E_READ_ONLY_WHEN_JOB_ACTIVE,
		bits.StateTransferring:   hresult.BG_E_READ_ONLY_WHEN_JOB_ACTIVE,
		bits.StateTransientError: hresult.BG_E_READ_ONLY_WHEN_JOB_ACTIVE,
		bits.StateSuspended:      hresult.S_OK,
		bits.StateError:          hresult.S_OK,
		bits.StateTransferred:    hresult.S_OK,
		bits.StateAcknowledged:   hresult.BG_E_INVALID_STATE,
		bits.StateCancelled:      hresult.BG_E_INVALID_STATE,
	} {
		t.Run(state.String(), func(t *testing.T) {
			t.Parallel()
			s, o := bitstest.Start(t), bitstest.NewOrigin(t)
			job := inState(t, s, o, state)
			for _, callback := range []any{&bitstest.Judge{}, nil} {
				v, err := s.SetServerCertificateValidation(ctx, job.ID, callback)
				got := hresult.S_OK
				if err != nil {
					got = bits.AsError(err).Code
				}
				if got != want {
					t.Errorf("set %T: %v, want %v (%v)", callback, got, want, err)
				}
				if v != nil {
					v.Close()
				}
			}
			now, err := s.Job(ctx, job.ID)
			bitstest.Must(t, err)
			if now.ValidatorRequired {
				t.Error("the requirement is there, though null was set last")
			}
		})
	}
}

func TestWrongObjectIsNoInterface(t *testing.T) {
	t.Parallel()
	s := bitstest.Start(t)
	job := s.NewJob(nil, "http://127.0.0.1/x")
	if _, err := s.SetServerCertificateValidation(ctx, job.ID, "not a callback"); !errors.Is(err, bits.ErrNoInterface) {
		t.Errorf("in Go: %v", err)
	}
	err := s.Do(ctx, "POST", "/jobs/"+job.ID+"/certificate-validation", wire.SetValidation{Interface: "IUnknown"}, nil)
	if !errors.Is(err, bits.ErrNoInterface) {
		t.Errorf("on the wire: %v", err)
	}
	now, err := s.Job(ctx, job.ID)
	bitstest.Must(t, err)
	if now.ValidatorRequired {
		t.Error("a refused call changed the job")
	}
}

func TestPhaseOneFailureNeverCalls(t *testing.T) {
	t.Parallel()
	s, o, j := bitstest.Start(t), bitstest.NewOrigin(t), &bitstest.Judge{}
	o.File("/f", []byte("x"))
	job := s.NewJob(map[string]any{"roots": string(pki.Root("another").PEM())}, o.URL+"/f")
	set(t, s, job.ID, j)
	bitstest.Must(t, s.Resume(ctx, job.ID))
	wantError(t, s.Await(job.ID, bits.StateTransientError), bits.StateTransientError, bits.ContextRemoteFile, hresult.ERROR_WINHTTP_SECURE_INVALID_CA)
	if n := len(j.Asked()); n != 0 {
		t.Errorf("asked %d times", n)
	}
}

func TestFlagsRelaxPhaseOneThenCallbackRuns(t *testing.T) {
	t.Parallel()
	s, o, j := bitstest.Start(t), bitstest.NewOrigin(t), &bitstest.Judge{}
	o.File("/f", []byte("x"))
	job := s.NewJob(map[string]any{"roots": string(pki.Root("another").PEM()), "security_flags": bits.IgnoreUnknownCA}, o.URL+"/f")
	set(t, s, job.ID, j)
	bitstest.Must(t, s.Resume(ctx, job.ID))
	s.Await(job.ID, bits.StateTransferred)
	if n := len(j.Asked()); n != 1 {
		t.Errorf("asked %d times, want once", n)
	}
}

func TestAcceptSecondFileSameHostNoCall(t *testing.T) {
	t.Parallel()
	s, o, j := bitstest.Start(t), bitstest.NewOrigin(t), &bitstest.Judge{}
	o.Page("/a", func(w http.ResponseWriter, r *http.Request) {
		w.Header().Set("Connection", "close")
		w.Write([]byte("a"))
	})
	o.File("/b", []byte("b"))
	job := s.NewJob(o.Trust(), o.URL+"/a", o.URL+"/b")
	set(t, s, job.ID, j)
	bitstest.Must(t, s.Resume(ctx, job.ID))
	s.Await(job.ID, bits.StateTransferred)
	if n := len(j.Asked()); n != 1 {
		t.Errorf("asked %d times, want once", n)
	}
	if o.Handshakes() < 2 {
		t.Errorf("%d handshakes: the second file was to need its own", o.Handshakes())
	}
}

func TestDeclineIsTransientAndAskedAgain(t *testing.T) {
	t.Parallel()
	s, o, j := bitstest.Start(t), bitstest.NewOrigin(t), &bitstest.Judge{Verdict: decline}
	o.File("/f", []byte("x"))
	job := s.NewJob(o.Trust(), o.URL+"/f")
	set(t, s, job.ID, j)
	bitstest.Must(t, s.Resume(ctx, job.ID))
	first := s.Await(job.ID, bits.StateTransientError)
	wantError(t, first, bits.StateTransientError, bits.ContextCertificateCallback, declined)
	again := s.Until(job.ID, func(j *bits.Job) bool { return j.ErrorCount >= 2 && j.State == bits.StateTransientError })
	wantError(t, again, bits.StateTransientError, bits.ContextCertificateCallback, declined)
	if n := len(j.Asked()); n < 2 {
		t.Errorf("asked %d times; a decline is not to be remembered", n)
	}
	if o.Requests() != 0 {
		t.Errorf("%d requests reached the server", o.Requests())
	}
}

func TestSetAgainClearsTheMemory(t *testing.T) {
	t.Parallel()
	for _, how := range []string{"same object", "new object", "null and again"} {
		t.Run(how, func(t *testing.T) {
			t.Parallel()
			s, o, j := bitstest.Start(t), bitstest.NewOrigin(t), &bitstest.Judge{}
			o.File("/a", []byte("a"))
			o.File("/b", []byte("b"))
			job := s.NewJob(o.Trust(), o.URL+"/a")
			set(t, s, job.ID, j)
			bitstest.Must(t, s.Resume(ctx, job.ID))
			s.Await(job.ID, bits.StateTransferred)
			last := j
			switch how {
			case "new object":
				last = &bitstest.Judge{}
			case "null and again":
				_, err := s.SetServerCertificateValidation(ctx, job.ID, nil)
				bitstest.Must(t, err)
			}
			set(t, s, job.ID, last)
			before := len(last.Asked())
			bitstest.Must(t, s.Add(ctx, job.ID, bits.FileSpec{RemoteName: o.URL + "/b", LocalName: s.Path("b")}), s.Resume(ctx, job.ID))
			s.Until(job.ID, func(j *bits.Job) bool { return j.Progress.FilesTransferred == 2 })
			if n := len(last.Asked()) - before; n != 1 {
				t.Errorf("asked %d times after it was set again, want once", n)
			}
		})
	}
}

func TestTwoSettersLastWins(t *testing.T) {
	t.Parallel()
	s, o := bitstest.Start(t), bitstest.NewOrigin(t)
	one, two := &bitstest.Judge{Verdict: decline}, &bitstest.Judge{}
	o.File("/f", []byte("x"))
	job := s.NewJob(o.Trust(), o.URL+"/f")
	first := set(t, s, job.ID, one)
	set(t, s, job.ID, two)
	if err := first.Err(); !errors.Is(err, client.ErrReplaced) {
		t.Errorf("the first registration ended with %v", err)
	}
	bitstest.Must(t, s.Resume(ctx, job.ID))
	s.Await(job.ID, bits.StateTransferred)
	if len(one.Asked()) != 0 || len(two.Asked()) != 1 {
		t.Errorf("asked the first %d times, the second %d times", len(one.Asked()), len(two.Asked()))
	}
}

func TestApplicationGoneUncached(t *testing.T) {
	t.Parallel()
	s, o := bitstest.Start(t), bitstest.NewOrigin(t)
	o.File("/f", []byte("x"))
	job := s.NewJob(o.Trust(), o.URL+"/f")
	v := set(t, s, job.ID, &bitstest.Judge{})
	v.Close()
	s.Until(job.ID, func(j *bits.Job) bool { return !j.ValidatorAttached && j.ValidatorRequired })
	bitstest.Must(t, s.Resume(ctx, job.ID))
	wantError(t, s.Await(job.ID, bits.StateError), bits.StateError, bits.ContextCertificateCallback, hresult.BG_E_SERVER_CERT_VALIDATION_INTERFACE_REQUIRED)
	if o.Requests() != 0 {
		t.Errorf("%d requests reached the server", o.Requests())
	}
	// The documented cure: set again, then resume.
	set(t, s, job.ID, &bitstest.Judge{})
	bitstest.Must(t, s.Resume(ctx, job.ID))
	s.Await(job.ID, bits.StateTransferred)
}

func TestApplicationGoneCachedCompletes(t *testing.T) {
	t.Parallel()
	s, o := bitstest.Start(t), bitstest.NewOrigin(t)
	open := o.Gate("/f", bitstest.Content(2, 100_000), 1000)
	job := s.NewJob(o.Trust(), o.URL+"/f")
	v := set(t, s, job.ID, &bitstest.Judge{})
	bitstest.Must(t, s.Resume(ctx, job.ID))
	s.Await(job.ID, bits.StateTransferring)
	v.Close()
	o.Drop()
	open()
	s.Await(job.ID, bits.StateTransferred)
}

func TestNoProgressTimeoutZeroDeclineIsError(t *testing.T) {
	t.Parallel()
	s, o := bitstest.Start(t), bitstest.NewOrigin(t)
	o.File("/f", []byte("x"))
	properties := o.Trust()
	properties["no_progress_timeout"] = 0
	job := s.NewJob(properties, o.URL+"/f")
	set(t, s, job.ID, &bitstest.Judge{Verdict: decline})
	bitstest.Must(t, s.Resume(ctx, job.ID))
	wantError(t, s.Await(job.ID, bits.StateError), bits.StateError, bits.ContextCertificateCallback, declined)
}

func TestRequirementAndMemoryAcrossRestarts(t *testing.T) {
	t.Parallel()
	t.Run("service restarts, still required", func(t *testing.T) {
		t.Parallel()
		s, o := bitstest.Start(t), bitstest.NewOrigin(t)
		o.File("/f", []byte("x"))
		job := s.NewJob(o.Trust(), o.URL+"/f")
		v := set(t, s, job.ID, &bitstest.Judge{})
		s.Restart()
		if err := v.Err(); !errors.Is(err, client.ErrUnreachable) {
			t.Errorf("the registration ended with %v", err)
		}
		needing, err := s.NeedingValidation(ctx)
		bitstest.Must(t, err)
		if len(needing) != 1 || needing[0].ID != job.ID {
			t.Errorf("jobs that need a validator: %v", needing)
		}
		bitstest.Must(t, s.Resume(ctx, job.ID))
		wantError(t, s.Await(job.ID, bits.StateError), bits.StateError, bits.ContextCertificateCallback, hresult.BG_E_SERVER_CERT_VALIDATION_INTERFACE_REQUIRED)
	})
	t.Run("both restart, what was accepted is known", func(t *testing.T) {
		t.Parallel()
		s, o := bitstest.Start(t), bitstest.NewOrigin(t)
		open := o.Gate("/f", bitstest.Content(3, 100_000), 1000)
		job := s.NewJob(o.Trust(), o.URL+"/f")
		set(t, s, job.ID, &bitstest.Judge{})
		bitstest.Must(t, s.Resume(ctx, job.ID))
		s.Await(job.ID, bits.StateTransferring)
		s.Stop()
		open()
		s.Restart()
		s.Await(job.ID, bits.StateTransferred)
	})
}

func TestSameCertificateOtherPortIsAsked(t *testing.T) {
	t.Parallel()
	s, o, j := bitstest.Start(t), bitstest.NewOrigin(t), &bitstest.Judge{}
	other := o.Listen()
	o.File("/a", []byte("a"))
	o.File("/b", []byte("b"))
	job := s.NewJob(o.Trust(), o.URL+"/a", other+"/b")
	set(t, s, job.ID, j)
	bitstest.Must(t, s.Resume(ctx, job.ID))
	s.Await(job.ID, bits.StateTransferred)
	asked := j.Asked()
	if len(asked) != 2 || asked[0].Endpoint == asked[1].Endpoint || !bytes.Equal(asked[0].Certificate, asked[1].Certificate) {
		t.Errorf("asked %d times", len(asked))
	}
}

func TestRedirectToAnotherHostIsAsked(t *testing.T) {
	t.Parallel()
	s, o, j := bitstest.Start(t), bitstest.NewOrigin(t), &bitstest.Judge{}
	to := strings.Replace(o.URL, "localhost", "127.0.0.1", 1)
	o.Page("/a", func(w http.ResponseWriter, r *http.Request) { http.Redirect(w, r, to+"/b", http.StatusFound) })
	o.File("/b", []byte("b"))
	job := s.NewJob(o.Trust(), o.URL+"/a")
	set(t, s, job.ID, j)
	bitstest.Must(t, s.Resume(ctx, job.ID))
	s.Await(job.ID, bits.StateTransferred)
	if n := len(j.Asked()); n != 2 {
		t.Errorf("asked %d times, want twice", n)
	}
}

func TestCertificateRotatedMidJobIsAsked(t *testing.T) {
	t.Parallel()
	s, o, j := bitstest.Start(t), bitstest.NewOrigin(t), &bitstest.Judge{}
	open := o.Gate("/f", bitstest.Content(4, 100_000), 1000)
	job := s.NewJob(o.Trust(), o.URL+"/f")
	set(t, s, job.ID, j)
	bitstest.Must(t, s.Resume(ctx, job.ID))
	s.Await(job.ID, bits.StateTransferring)
	o.Certify()
	o.Drop()
	open()
	s.Await(job.ID, bits.StateTransferred)
	asked := j.Asked()
	if len(asked) != 2 || bytes.Equal(asked[0].Certificate, asked[1].Certificate) {
		t.Errorf("asked %d times, want twice, about two certificates", len(asked))
	}
}

func TestExpiredCertificateInMemoryIsRejectedByPhaseOne(t *testing.T) {
	t.Parallel()
	s, o, j := bitstest.Start(t), bitstest.NewOrigin(t), &bitstest.Judge{}
	end := time.Now().Add(3 * time.Second).Truncate(time.Second)
	o.Certify(func(c *x509.Certificate) { c.NotAfter = end })
	o.Gate("/f", bitstest.Content(5, 100_000), 1000)
	job := s.NewJob(o.Trust(), o.URL+"/f")
	set(t, s, job.ID, j)
	bitstest.Must(t, s.Resume(ctx, job.ID))
	s.Await(job.ID, bits.StateTransferring)
	time.Sleep(time.Until(end.Add(1100 * time.Millisecond)))
	o.Drop()
	now := s.Until(job.ID, func(j *bits.Job) bool {
		return j.Error != nil && j.Error.Code == hresult.ERROR_WINHTTP_SECURE_CERT_DATE_INVALID
	})
	wantError(t, now, bits.StateTransientError, bits.ContextRemoteFile, hresult.ERROR_WINHTTP_SECURE_CERT_DATE_INVALID)
	if n := len(j.Asked()); n != 1 {
		t.Errorf("asked %d times, want once", n)
	}
}

// While the application thinks, the handshake is not over and no byte of a request has been sent.
func TestNoByteOfARequestBeforeAccept(t *testing.T) {
	t.Parallel()
	for name, version := range map[string]uint16{"TLS 1.2": tls.VersionTLS12, "TLS 1.3": tls.VersionTLS13} {
		t.Run(name, func(t *testing.T) {
			t.Parallel()
			s := bitstest.Start(t)
			o := bitstest.NewOrigin(t, func(c *tls.Config) { c.MinVersion, c.MaxVersion = version, version })
			o.File("/f", []byte("x"))
			asked, answer := make(chan bool), make(chan bool)
			j := &bitstest.Judge{Verdict: func(context.Context, bits.Question) error {
				asked <- true
				<-answer
				return nil
			}}
			job := s.NewJob(o.Trust(), o.URL+"/f")
			set(t, s, job.ID, j)
			bitstest.Must(t, s.Resume(ctx, job.ID))
			<-asked
			time.Sleep(100 * time.Millisecond)
			if o.Handshakes() != 0 || o.Requests() != 0 {
				t.Errorf("before the verdict: %d handshakes are over, %d requests have come", o.Handshakes(), o.Requests())
			}
			if now, err := s.Job(ctx, job.ID); err != nil || now.State != bits.StateConnecting {
				t.Errorf("the job is %v, %v", now.State, err)
			}
			close(answer)
			s.Await(job.ID, bits.StateTransferred)
		})
	}
}

func TestQuestionHoldsTheParametersOfTheCallback(t *testing.T) {
	t.Parallel()
	s, o, j := bitstest.Start(t), bitstest.NewOrigin(t), &bitstest.Judge{}
	middle := pki.Of(o.Authority()).Intermediate("middle")
	o.Show(middle.Server([]string{"localhost"}).TLS())
	o.File("/a", []byte("a"))
	job := s.NewJob(o.Trust(), o.URL+"/a")
	set(t, s, job.ID, j)
	bitstest.Must(t, s.Resume(ctx, job.ID))
	s.Await(job.ID, bits.StateTransferred)
	q := j.Asked()[0]
	leaf := o.Certificate()
	sum, key := sha256.Sum256(leaf.Raw), sha256.Sum256(leaf.RawSubjectPublicKeyInfo)
	want := bits.Question{
		ID: q.ID, Job: job.ID, File: 0, URL: o.URL + "/a", Endpoint: strings.TrimPrefix(o.URL, "https://"),
		Certificate: leaf.Raw, EncodingType: 1,
		Chain: [][]byte{leaf.Raw, middle.Cert.Raw}, Verified: [][]byte{leaf.Raw, middle.Cert.Raw, o.Authority().Leaf.Raw},
		Store: q.Store, Deadline: q.Deadline,
		Facts: bits.Certificate{
			Subject: "CN=localhost", Issuer: "CN=middle", Serial: leaf.SerialNumber.Text(16), NotBefore: leaf.NotBefore, NotAfter: leaf.NotAfter,
			SHA256: hex.EncodeToString(sum[:]), PublicKeySHA256: hex.EncodeToString(key[:]),
		},
	}
	if d := cmp.Diff(want, q); d != "" {
		t.Error(d)
	}
	if d := time.Until(q.Deadline); d < 15*time.Second || d > 31*time.Second {
		t.Errorf("the deadline is in %v", d)
	}
	if !bytes.HasPrefix(q.Store, []byte{0, 0, 0, 0, 'C', 'E', 'R', 'T'}) || !bytes.HasSuffix(q.Store, make([]byte, 12)) || !bytes.Contains(q.Store, middle.Cert.Raw) {
		t.Error("the serialized store is not one")
	}
}

func TestPlainHTTPIsNeverAsked(t *testing.T) {
	t.Parallel()
	s, o, j := bitstest.Start(t), bitstest.NewOrigin(t), &bitstest.Judge{}
	o.File("/f", []byte("x"))
	job := s.NewJob(nil, o.Plain+"/f")
	set(t, s, job.ID, j)
	bitstest.Must(t, s.Resume(ctx, job.ID))
	s.Await(job.ID, bits.StateTransferred)
	if len(j.Asked()) != 0 {
		t.Error("asked about a connection without TLS")
	}
}

func TestNullRemovesTheRequirement(t *testing.T) {
	t.Parallel()
	s, o, j := bitstest.Start(t), bitstest.NewOrigin(t), &bitstest.Judge{Verdict: decline}
	o.File("/f", []byte("x"))
	job := s.NewJob(o.Trust(), o.URL+"/f")
	v := set(t, s, job.ID, j)
	if v, err := s.SetServerCertificateValidation(ctx, job.ID, nil); v != nil || err != nil {
		t.Fatal(v, err)
	}
	if err := v.Err(); !errors.Is(err, client.ErrReplaced) {
		t.Errorf("the registration ended with %v", err)
	}
	bitstest.Must(t, s.Resume(ctx, job.ID))
	s.Await(job.ID, bits.StateTransferred)
	if len(j.Asked()) != 0 {
		t.Error("asked, though null was set")
	}
}

// A stuck application blocks neither other jobs nor the calls of its owner.
func TestStuckApplicationBlocksNothingElse(t *testing.T) {
	t.Parallel()
	s, o := bitstest.Start(t), bitstest.NewOrigin(t)
	o.File("/a", []byte("a"))
	o.File("/b", []byte("b"))
	asked := make(chan bool, 1)
	j := &bitstest.Judge{Verdict: func(ctx context.Context, _ bits.Question) error {
		asked <- true
		<-ctx.Done()
		return ctx.Err()
	}}
	properties := o.Trust()
	properties["priority"] = "FOREGROUND"
	stuck := s.NewJob(properties, o.URL+"/a")
	set(t, s, stuck.ID, j)
	bitstest.Must(t, s.Resume(ctx, stuck.ID))
	<-asked
	other := s.NewJob(o.Trust(), o.URL+"/b")
	bitstest.Must(t, s.Resume(ctx, other.ID))
	s.Await(other.ID, bits.StateTransferred)
	began := time.Now()
	bitstest.Must(t, s.Suspend(ctx, stuck.ID))
	if d := time.Since(began); d > 5*time.Second {
		t.Errorf("Suspend took %v", d)
	}
	wantState(t, s, stuck.ID, bits.StateSuspended)
}

func wantState(t *testing.T, s *bitstest.Service, id string, want bits.State) {
	t.Helper()
	job, err := s.Job(ctx, id)
	bitstest.Must(t, err)
	if job.State != want {
		t.Errorf("the job is %v, want %v", job.State, want)
	}
}

// Death in mid-question, and a panic, are "cannot be called", not a decline.
func TestDeathInMidQuestion(t *testing.T) {
	t.Parallel()
	for name, die := range map[string]func(*client.Validation){
		"closed":   func(v *client.Validation) { go v.Close() },
		"panicked": func(*client.Validation) { panic("a fault of the application") },
	} {
		t.Run(name, func(t *testing.T) {
			t.Parallel()
			s, o := bitstest.Start(t), bitstest.NewOrigin(t)
			o.File("/f", []byte("x"))
			job := s.NewJob(o.Trust(), o.URL+"/f")
			var v atomic.Pointer[client.Validation]
			v.Store(set(t, s, job.ID, &bitstest.Judge{Verdict: func(ctx context.Context, _ bits.Question) error {
				die(v.Load())
				<-ctx.Done()
				return nil
			}}))
			bitstest.Must(t, s.Resume(ctx, job.ID))
			wantError(t, s.Await(job.ID, bits.StateError), bits.StateError, bits.ContextCertificateCallback, hresult.BG_E_SERVER_CERT_VALIDATION_INTERFACE_REQUIRED)
		})
	}
}

// A verdict of another registration, of no question, or the second one, has no effect.
func TestForeignAndLateVerdictsAreVoid(t *testing.T) {
	t.Parallel()
	s, o := bitstest.Start(t), bitstest.NewOrigin(t)
	o.File("/f", []byte("x"))
	job := s.NewJob(o.Trust(), o.URL+"/f")
	questions, answer := make(chan bits.Question, 1), make(chan bool)
	v := set(t, s, job.ID, &bitstest.Judge{Verdict: func(_ context.Context, q bits.Question) error {
		questions <- q
		<-answer
		return bits.Errorf(declined, "no")
	}})
	bitstest.Must(t, s.Resume(ctx, job.ID))
	q := <-questions
	say := func(question, registration string) error {
		return s.Do(ctx, "POST", "/jobs/"+job.ID+"/certificate-validation/"+question, wire.Verdict{Registration: registration, Code: new(hresult.Code)}, nil)
	}
	for name, err := range map[string]error{"foreign registration": say(q.ID, "FOREIGN"), "no such question": say("NONE", v.Registration)} {
		if !errors.Is(err, bits.ErrInvalidState) {
			t.Errorf("%s: %v", name, err)
		}
	}
	close(answer)
	wantError(t, s.Await(job.ID, bits.StateTransientError), bits.StateTransientError, bits.ContextCertificateCallback, declined)
	if err := say(q.ID, v.Registration); !errors.Is(err, bits.ErrInvalidState) {
		t.Errorf("late: %v", err)
	}
	if o.Requests() != 0 {
		t.Error("a void verdict let the request through")
	}
}

// A success code that is not S_OK declines, as E_FAIL.
func TestOtherSuccessCodeDeclines(t *testing.T) {
	t.Parallel()
	s, o := bitstest.Start(t), bitstest.NewOrigin(t)
	o.File("/f", []byte("x"))
	job := s.NewJob(o.Trust(), o.URL+"/f")
	set(t, s, job.ID, &bitstest.Judge{Verdict: func(context.Context, bits.Question) error { return &bits.Error{Code: 1, Message: "S_FALSE"} }})
	bitstest.Must(t, s.Resume(ctx, job.ID))
	wantError(t, s.Await(job.ID, bits.StateTransientError), bits.StateTransientError, bits.ContextCertificateCallback, hresult.E_FAIL)
}

// The callback may call methods of the service on its own job.
func TestCallbackMayCallTheService(t *testing.T) {
	t.Parallel()
	s, o := bitstest.Start(t), bitstest.NewOrigin(t)
	o.File("/f", []byte("x"))
	job := s.NewJob(o.Trust(), o.URL+"/f")
	set(t, s, job.ID, &bitstest.Judge{Verdict: func(ctx context.Context, q bits.Question) error {
		_, err := s.Job(ctx, q.Job)
		return errors.Join(err, s.Set(ctx, q.Job, map[string]any{"description": "seen"}))
	}})
	bitstest.Must(t, s.Resume(ctx, job.ID))
	if now := s.Await(job.ID, bits.StateTransferred); now.Description != "seen" {
		t.Errorf("description %q", now.Description)
	}
}

// A change of the rules in mid-question ends the connection: the old answer opens nothing.
func TestRulesChangedInMidQuestion(t *testing.T) {
	t.Parallel()
	s, o := bitstest.Start(t), bitstest.NewOrigin(t)
	o.File("/f", []byte("x"))
	job := s.NewJob(o.Trust(), o.URL+"/f")
	asked, answer := make(chan bool, 8), make(chan bool)
	set(t, s, job.ID, &bitstest.Judge{Verdict: func(ctx context.Context, _ bits.Question) error {
		asked <- true
		<-answer
		return nil
	}})
	bitstest.Must(t, s.Resume(ctx, job.ID))
	<-asked
	bitstest.Must(t, s.Set(ctx, job.ID, map[string]any{"roots": string(pki.Root("another").PEM())}))
	close(answer)
	s.Until(job.ID, func(j *bits.Job) bool {
		return j.Error != nil && j.Error.Code == hresult.ERROR_WINHTTP_SECURE_INVALID_CA
	})
	if o.Requests() != 0 {
		t.Errorf("%d requests were sent under rules that had been changed", o.Requests())
	}
}

// Two jobs never share what was accepted.
func TestMemoryIsOfOneJob(t *testing.T) {
	t.Parallel()
	s, o := bitstest.Start(t), bitstest.NewOrigin(t)
	o.File("/a", []byte("a"))
	for i := range 2 {
		j := &bitstest.Judge{}
		job := s.NewJob(o.Trust(), o.URL+"/a")
		set(t, s, job.ID, j)
		bitstest.Must(t, s.Resume(ctx, job.ID))
		s.Await(job.ID, bits.StateTransferred)
		if len(j.Asked()) != 1 {
			t.Errorf("job %d was asked %d times", i, len(j.Asked()))
		}
		_, err := s.Cancel(ctx, job.ID)
		bitstest.Must(t, err)
	}
}

// The application starts again and finds three of its jobs: SUSPENDED, ERROR and QUEUED. It sets itself on each by the legal route,
// and all three finish (User Account Control and BITS; Life Cycle of a BITS Job).
func TestInitialization(t *testing.T) {
	t.Parallel()
	t.Run("Suspend, Set, Resume", func(t *testing.T) { t.Parallel(); initialization(t, false) })
	t.Run("Attach", func(t *testing.T) { t.Parallel(); initialization(t, true) })
}

// threeWaiting makes three jobs whose application is gone: one SUSPENDED, one ERROR, one QUEUED behind a job that is ahead of it.
func threeWaiting(t *testing.T, s *bitstest.Service, o *bitstest.Origin, name string) (jobs []*bits.Job, ahead *bits.Job) {
	t.Helper()
	for i := range 3 {
		path := fmt.Sprintf("/%d", i)
		o.File(path, []byte(path))
		jobs = append(jobs, s.NewJob(o.Trust(), o.URL+path))
		bitstest.Must(t, s.Set(ctx, jobs[i].ID, map[string]any{"display_name": name + path}))
		set(t, s, jobs[i].ID, &bitstest.Judge{}).Close()
	}
	o.Gate("/ahead", []byte("x"), -1)
	s.Until(jobs[2].ID, func(j *bits.Job) bool { return !j.ValidatorAttached })
	bitstest.Must(t, s.Resume(ctx, jobs[1].ID))
	wantError(t, s.Await(jobs[1].ID, bits.StateError), bits.StateError, bits.ContextCertificateCallback, hresult.BG_E_SERVER_CERT_VALIDATION_INTERFACE_REQUIRED)
	ahead = s.NewJob(map[string]any{"priority": "HIGH"}, o.Plain+"/ahead")
	bitstest.Must(t, s.Resume(ctx, ahead.ID))
	s.Await(ahead.ID, bits.StateConnecting)
	bitstest.Must(t, s.Resume(ctx, jobs[2].ID))
	wantState(t, s, jobs[2].ID, bits.StateQueued)
	return jobs, ahead
}

func initialization(t *testing.T, attach bool) {
	s, o := bitstest.Start(t), bitstest.NewOrigin(t)
	jobs, ahead := threeWaiting(t, s, o, "")
	needing, err := s.NeedingValidation(ctx)
	bitstest.Must(t, err)
	if len(needing) != 3 {
		t.Fatalf("%d jobs need a validator, want 3", len(needing))
	}
	for _, job := range needing {
		switch attach {
		case true:
			_, err := s.Attach(ctx, job.ID, &bitstest.Judge{})
			bitstest.Must(t, err)
		default: // Suspend, Set, Resume
			if !job.State.Paused() {
				bitstest.Must(t, s.Suspend(ctx, job.ID))
			}
			set(t, s, job.ID, &bitstest.Judge{})
			if job.State != bits.StateSuspended {
				bitstest.Must(t, s.Resume(ctx, job.ID))
			}
		}
	}
	wantState(t, s, jobs[0].ID, bits.StateSuspended)
	bitstest.Must(t, s.Resume(ctx, jobs[0].ID)) // it was SUSPENDED, and stays so
	_, err = s.Cancel(ctx, ahead.ID)
	bitstest.Must(t, err)
	for _, job := range jobs {
		s.Await(job.ID, bits.StateTransferred)
	}
}

// TLS sessions are never resumed, though the server offers it: both phases run on every connection.
func TestEveryConnectionIsChecked(t *testing.T) {
	t.Parallel()
	s, o, j := bitstest.Start(t), bitstest.NewOrigin(t), &bitstest.Judge{}
	open := o.Gate("/f", bitstest.Content(6, 100_000), 1000)
	job := s.NewJob(o.Trust(), o.URL+"/f")
	set(t, s, job.ID, j)
	bitstest.Must(t, s.Resume(ctx, job.ID))
	s.Await(job.ID, bits.StateTransferring)
	// Between the two connections of the job the memory is emptied.
	bitstest.Must(t, s.Suspend(ctx, job.ID))
	set(t, s, job.ID, j)
	open()
	bitstest.Must(t, s.Resume(ctx, job.ID))
	s.Await(job.ID, bits.StateTransferred)
	if n := len(j.Asked()); n != 2 {
		t.Errorf("asked %d times, want twice", n)
	}
}

// The questions and verdicts survive JSON in any language: the stream is what docs/certificates.md says.
func TestStreamOfQuestions(t *testing.T) {
	t.Parallel()
	item := wire.Item{Question: &bits.Question{ID: "1", Certificate: []byte{1, 2}}}
	text, err := json.Marshal(item)
	bitstest.Must(t, err)
	if !strings.HasPrefix(string(text), `{"ask":{"question":"1"`) || !strings.Contains(string(text), `"certificate":"AQI="`) {
		t.Error(string(text))
	}
}
