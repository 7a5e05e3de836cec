// Package bitstest is for the tests of applications that use the service: a real service in a temporary folder, an origin whose faults
// the test chooses, and a judge of certificates that remembers what it was asked.
//
//	func TestUpdate(t *testing.T) {
//		s, o := bitstest.Start(t), bitstest.NewOrigin(t)
//		o.File("/update.img", bitstest.Content(1, 1<<20))
//		o.Fault("/update.img", bitstest.Cut(1000), bitstest.Status(503))
//		job := s.NewJob(o.Trust(), o.URL+"/update.img")
//		err := s.Resume(t.Context(), job.ID)
//		...
//		s.Retry(job.ID) // the body broke off; no need to wait for the next try
//		s.Retry(job.ID) // status 503
//		s.Await(job.ID, bits.StateTransferred)
//	}
//
// Nothing of it touches the service of the user who runs the test, and nothing is left when the test has ended.
// Services and origins are independent of each other, so tests may run in parallel.
//
// An executable that imports this package becomes the program bits when the environment variable BITS_TEST_PROGRAM is set: that is how
// [Process] and [Service.Command] work, and why it is for tests only.
//
// docs/testing.md is the guide.
package bitstest

import (
	"encoding/json"
	"errors"
	"math/rand/v2"
	"testing"

	"bits"
)

// Must fails the test on an error.
func Must(t testing.TB, errs ...error) {
	t.Helper()
	if err := errors.Join(errs...); err != nil {
		t.Fatal(err)
	}
}

// JSON is a value as JSON, for the properties of a [bits.Spec].
// It panics on what JSON cannot hold.
func JSON(v any) bits.RawMessage {
	text, err := json.Marshal(v)
	if err != nil {
		panic(err)
	}
	return text
}

// Content is n bytes that look random, and are the same for the same seed.
func Content(seed byte, n int) []byte {
	b := make([]byte, n)
	rand.NewChaCha8([32]byte{seed}).Read(b)
	return b
}
