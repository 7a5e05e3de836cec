package cli

import (
	"bytes"
	"context"
	"encoding/pem"
	"errors"
	"fmt"
	"os"
	"os/exec"
	"runtime"
	"strconv"
	"strings"
	"time"

	"github.com/spf13/cobra"

	"bits"
	"bits/client"
	"bits/hresult"
	"bits/internal/progress"
)

// judge is a command that judges certificates.
type judge struct {
	a    *app
	argv []string
}

func (a *app) shellJudge(command string) judge {
	if runtime.GOOS == "windows" {
		return judge{a, []string{"cmd", "/c", command}}
	}
	return judge{a, []string{"/bin/sh", "-c", command}}
}

// ValidateServerCertificate runs the command with the chain as PEM on its standard input and the facts in its environment.
// Exit code 0 accepts. Anything else declines, with the HRESULT that the command printed, or else E_FAIL.
func (j judge) ValidateServerCertificate(ctx context.Context, q bits.Question) error {
	var chain, out bytes.Buffer
	for _, der := range q.Chain {
		pem.Encode(&chain, &pem.Block{Type: "CERTIFICATE", Bytes: der})
	}
	ctx, cancel := context.WithDeadline(ctx, q.Deadline)
	defer cancel()
	cmd := exec.CommandContext(ctx, j.argv[0], j.argv[1:]...)
	cmd.Stdin, cmd.Stdout, cmd.Stderr = &chain, &out, j.a.Err
	cmd.WaitDelay = time.Second
	cmd.Env = append(os.Environ(),
		"BITS_JOB="+q.Job, "BITS_FILE="+strconv.Itoa(q.File), "BITS_URL="+q.URL, "BITS_ENDPOINT="+q.Endpoint,
		"BITS_SUBJECT="+q.Facts.Subject, "BITS_ISSUER="+q.Facts.Issuer, "BITS_SERIAL="+q.Facts.Serial,
		"BITS_NOT_BEFORE="+q.Facts.NotBefore.UTC().Format(time.RFC3339), "BITS_NOT_AFTER="+q.Facts.NotAfter.UTC().Format(time.RFC3339),
		"BITS_SHA256="+q.Facts.SHA256, "BITS_PUBLIC_KEY_SHA256="+q.Facts.PublicKeySHA256,
	)
	err := cmd.Run()
	if ctx.Err() != nil {
		return ctx.Err() // too late in any case
	}
	if err == nil {
		j.a.note("%s: accepted the certificate of %s", strings.Join(j.argv, " "), progress.Clean(q.Endpoint))
		return nil
	}
	code := hresult.E_FAIL
	for word := range strings.FieldsSeq(out.String()) {
		if c, err := hresult.Parse(word); err == nil && c.Failed() {
			code = c
		}
	}
	j.a.note("%s: declined the certificate of %s: %v (%s)", strings.Join(j.argv, " "), progress.Clean(q.Endpoint), err, code)
	return bits.Errorf(code, "cannot accept the certificate: %w", err)
}

func (a *app) validateCommand() *cobra.Command {
	return &cobra.Command{
		Use:   "validate JOB -- COMMAND [ARGUMENT...]",
		Short: "Judge the certificates of a job's servers with a command, until the job ends",
		Long: `Attach to a job and run COMMAND for each certificate that must be judged, in the middle of the TLS handshake, before a
byte of the request is sent.

COMMAND gets the chain that the server sent as PEM on its standard input, leaf first, and the facts in its environment:
BITS_JOB, BITS_FILE, BITS_URL, BITS_ENDPOINT, BITS_SUBJECT, BITS_ISSUER, BITS_SERIAL, BITS_NOT_BEFORE, BITS_NOT_AFTER,
BITS_SHA256 (of the certificate), BITS_PUBLIC_KEY_SHA256. It has 30 seconds. Exit code 0 accepts; anything else declines, with
the HRESULT that COMMAND printed, or else E_FAIL.

A job that is active is suspended, attached and resumed. What was accepted before is forgotten.`,
		Example: `  bits validate 3f2a91c0 -- sh -c 'test "$BITS_SHA256" = 5d1c...'`,
		RunE: func(cmd *cobra.Command, args []string) error {
			if len(args) < 2 || cmd.ArgsLenAtDash() != 1 {
				return usagef("give a job, two dashes and a command: %s", cmd.UseLine())
			}
			if _, err := exec.LookPath(args[1]); err != nil {
				return usagef("cannot run the command: %w", err)
			}
			return a.validate(cmd.Context(), args[0], judge{a, args[1:]})
		},
	}
}

// validate stays attached to the job until it is final; through a restart of the service too.
func (a *app) validate(ctx context.Context, word string, j judge) error {
	for first := true; ; first = false {
		if err := a.connect(ctx); err != nil {
			return err
		}
		job, err := a.resolve(ctx, word)
		if err != nil {
			return err
		}
		word = job.ID
		if job.State.Final() && !first {
			return nil
		}
		v, err := a.client.Attach(ctx, job.ID, j)
		if errors.Is(err, client.ErrUnreachable) {
			continue
		} else if err != nil {
			return err
		}
		a.note("attached to job %s (%s); Ctrl-C leaves it, and it then stops at the next unknown certificate", job.ID[:8], progress.Clean(job.DisplayName))
		select {
		case <-v.Done():
		case <-ctx.Done():
			v.Close()
			return context.Cause(ctx)
		}
		if errors.Is(v.Err(), client.ErrReplaced) {
			if now, err := a.client.Job(ctx, job.ID); err == nil && now.State.Final() {
				fmt.Fprintf(a.Err, "job %s is %s\n", job.ID[:8], now.State)
				return nil
			}
			return bits.Errorf(hresult.BG_E_INVALID_STATE, "cannot go on judging the certificates of job %s: %w", job.ID, v.Err())
		}
		a.note("bits: %v; coming back", v.Err())
	}
}
