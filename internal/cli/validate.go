package cli

import (
	"context"
	"errors"
	"os/exec"

	"github.com/spf13/cobra"

	"bits"
	"bits/client"
	"bits/hresult"
	"bits/internal/console"
	"bits/internal/judge"
	"bits/internal/progress"
)

func (a app) validateCommand() *cobra.Command {
	return &cobra.Command{
		Use:   "validate JOB -- COMMAND [ARGUMENT...]",
		Short: "Judge the certificates of a job's servers with a command, until the job ends",
		Long: `Attach to a job and run COMMAND for each certificate that must be judged, in the middle of the TLS handshake, before a
byte of the request is sent.

COMMAND gets the chain that the server sent as PEM on its standard input, leaf first, and the facts in its environment:
BITS_JOB, BITS_FILE, BITS_URL, BITS_ENDPOINT, BITS_SUBJECT, BITS_ISSUER, BITS_SERIAL, BITS_NOT_BEFORE, BITS_NOT_AFTER,
BITS_SHA256 (of the certificate), BITS_PUBLIC_KEY_SHA256. It has 30 seconds. Exit code 0 accepts; anything else declines, with
the HRESULT that COMMAND printed, or else E_FAIL. It runs in the background of the terminal, so that Ctrl-C is no decline.

A transfer under way stops for a moment and goes on over new connections, and so does a job that waits after an error; one that is
SUSPENDED stays so. What was accepted before is forgotten.`,
		Example: `  bits validate 3f2a91c0 -- sh -c 'test "$BITS_SHA256" = "$(cat known.sha256)"'`,
		RunE: func(cmd *cobra.Command, args []string) error {
			if len(args) < 2 || cmd.ArgsLenAtDash() != 1 {
				return console.Usagef("give a job, two dashes and a command: %s", cmd.UseLine())
			}
			if _, err := exec.LookPath(args[1]); err != nil {
				return console.Usagef("cannot run the command: %w", err)
			}
			j := a.judge(args[1:])
			defer j.Wait()
			return a.validate(cmd.Context(), args[0], j)
		},
	}
}

func (a app) judge(args []string) *judge.Command {
	return &judge.Command{Args: args, Err: a.Err, Note: a.Note}
}

// validate stays attached to the job until it is final; through a restart of the service too.
func (a app) validate(ctx context.Context, word string, j *judge.Command) error {
	for first := true; ; first = false {
		if err := a.Connect(ctx); err != nil {
			return err
		}
		job, err := a.Resolve(ctx, word)
		if errors.Is(err, client.ErrUnreachable) {
			continue
		} else if err != nil {
			return err
		}
		word = job.ID
		if job.State.Final() && !first {
			return nil
		}
		v, err := a.Client.Attach(ctx, job.ID, j)
		if errors.Is(err, client.ErrUnreachable) {
			continue
		} else if err != nil {
			return err
		}
		a.Note("attached to job %s (%s); Ctrl-C leaves it, and it then stops at the next unknown certificate", job.ID[:8], progress.Clean(job.DisplayName))
		select {
		case <-v.Done():
		case <-ctx.Done():
			v.Close()
			return context.Cause(ctx)
		}
		if errors.Is(v.Err(), client.ErrReplaced) {
			if now, err := a.Client.Job(ctx, job.ID); err == nil && now.State.Final() {
				a.Note("job %s is %s", job.ID[:8], now.State)
				return nil
			}
			return bits.Errorf(hresult.BG_E_INVALID_STATE, "cannot go on judging the certificates of job %s: %w", job.ID, v.Err())
		}
		a.Note("bits: %v; coming back", v.Err())
	}
}
