// Package judge lets a command judge the certificates of a job's servers.
package judge

import (
	"bytes"
	"context"
	"encoding/pem"
	"io"
	"os"
	"os/exec"
	"strconv"
	"strings"
	"sync"
	"time"

	"bits"
	"bits/hresult"
	"bits/internal/progress"
)

// Command is a command that judges certificates.
// It implements client.ServerCertificateValidationCallback.
type Command struct {
	Args []string                         // the program and its arguments
	Err  io.Writer                        // the standard error of the program
	Note func(format string, args ...any) // prints a line for people

	running sync.WaitGroup
}

// late is how long a verdict is held back that could only come too late.
const late = time.Second

// ValidateServerCertificate runs the command with the chain as PEM on its standard input and the facts in its environment.
// Exit code 0 accepts.
// Anything else declines, with the HRESULT that the command printed, or else E_FAIL.
// Neither the end of the context nor the deadline of the question is a verdict: the command is killed, and that end is the error.
func (c *Command) ValidateServerCertificate(ctx context.Context, q bits.Question) error {
	c.running.Add(1)
	defer c.running.Done()
	var chain, out bytes.Buffer
	for _, der := range q.Chain {
		pem.Encode(&chain, &pem.Block{Type: "CERTIFICATE", Bytes: der})
	}
	limited, cancel := context.WithDeadline(ctx, q.Deadline)
	defer cancel()
	cmd := exec.CommandContext(limited, c.Args[0], c.Args[1:]...)
	cmd.Stdin, cmd.Stdout, cmd.Stderr = &chain, &out, c.Err
	cmd.WaitDelay = time.Second
	separate(cmd)
	// A name in a certificate is what its maker wanted; no control character of it reaches a terminal or a script.
	cmd.Env = append(os.Environ(),
		"BITS_JOB="+q.Job, "BITS_FILE="+strconv.Itoa(q.File), "BITS_URL="+q.URL, "BITS_ENDPOINT="+q.Endpoint,
		"BITS_SUBJECT="+progress.Clean(q.Facts.Subject), "BITS_ISSUER="+progress.Clean(q.Facts.Issuer), "BITS_SERIAL="+q.Facts.Serial,
		"BITS_NOT_BEFORE="+q.Facts.NotBefore.UTC().Format(time.RFC3339), "BITS_NOT_AFTER="+q.Facts.NotAfter.UTC().Format(time.RFC3339),
		"BITS_SHA256="+q.Facts.SHA256, "BITS_PUBLIC_KEY_SHA256="+q.Facts.PublicKeySHA256,
	)
	err := cmd.Run()
	if end := limited.Err(); end != nil {
		// The service sees for itself that the time is over; an error that came a moment before that would be a decline.
		select {
		case <-ctx.Done():
		case <-time.After(late):
		}
		return end
	}
	if err == nil {
		c.Note("accepted the certificate of %s (%s)", progress.Clean(q.Endpoint), progress.Clean(q.Facts.Subject))
		return nil
	}
	code := hresult.E_FAIL
	for word := range strings.FieldsSeq(out.String()) {
		if c, err := hresult.Parse(word); err == nil && c.Failed() {
			code = c
		}
	}
	c.Note("declined the certificate of %s (%s): %v (%s)", progress.Clean(q.Endpoint), progress.Clean(q.Facts.Subject), err, code)
	return bits.Errorf(code, "cannot accept the certificate: %w", err)
}

// Wait returns when no command runs any more.
// Call it when no more questions can come.
func (c *Command) Wait() { c.running.Wait() }
