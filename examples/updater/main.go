// Command updater is a whole application: it fetches files over HTTPS in the background, and trusts only servers whose public key it
// knows.
//
//	updater -pin HEX URL FILE    fetches a file, and goes on with what earlier runs have left
//	updater -pin HEX             goes on with what earlier runs have left
//
// HEX is the SHA-256 of the server's SubjectPublicKeyInfo; several are separated by commas.
// Kill it at any time: the jobs stay, and stop at the first certificate that they have not seen, until it runs again.
package main

import (
	"context"
	"flag"
	"fmt"
	"log"
	"os"
	"os/signal"
	"path/filepath"
	"slices"
	"strings"

	"bits"
	"bits/client"
	"bits/hresult"
)

const (
	mine       = "updater: "              // how the application knows its jobs
	unknownKey = hresult.Code(0x80040001) // its own code for a key that it does not know
)

// pins are the public keys that are trusted.
type pins []string

// ValidateServerCertificate is called in mid-handshake, before a byte of the request is sent.
func (p pins) ValidateServerCertificate(_ context.Context, q bits.Question) error {
	if slices.Contains(p, q.Facts.PublicKeySHA256) {
		return nil
	}
	return bits.Errorf(unknownKey, "cannot trust %s: its public key is %s", q.Endpoint, q.Facts.PublicKeySHA256)
}

func main() {
	log.SetFlags(0)
	pin := flag.String("pin", "", "SHA-256 of the public keys to trust, in hex, separated by commas")
	flag.Parse()
	ctx, stop := signal.NotifyContext(context.Background(), os.Interrupt)
	defer stop()
	if err := run(ctx, strings.Split(*pin, ","), flag.Args()); err != nil {
		log.Fatal(err)
	}
}

func run(ctx context.Context, trusted pins, args []string) error {
	c := &client.Client{}
	jobs, err := takeUp(ctx, c, trusted)
	if err != nil {
		return err
	}
	if len(args) == 2 {
		job, err := begin(ctx, c, trusted, args[0], args[1])
		if err != nil {
			return err
		}
		jobs = append(jobs, job)
	}
	for _, id := range jobs {
		if err := finish(ctx, c, id); err != nil {
			return err
		}
	}
	return nil
}

// takeUp is what BITS demands of an application when it starts: set yourself again on each of your jobs that needs a validator.
// Attach is the legal route in one step, whatever the state of the job: Suspend, SetServerCertificateValidation, Resume.
func takeUp(ctx context.Context, c *client.Client, trusted pins) (ids []string, err error) {
	jobs, err := c.NeedingValidation(ctx)
	if err != nil {
		return nil, err
	}
	for _, job := range jobs {
		if !strings.HasPrefix(job.DisplayName, mine) {
			continue
		}
		if _, err := c.Attach(ctx, job.ID, trusted); err != nil {
			return nil, err
		}
		// Attach leaves a job SUSPENDED that was so: whether it goes on is for the application to decide.
		if job.State == bits.StateSuspended {
			if err := c.Resume(ctx, job.ID); err != nil {
				return nil, err
			}
		}
		fmt.Printf("going on with %s, which was %s\n", job.DisplayName, job.State)
		ids = append(ids, job.ID)
	}
	return ids, nil
}

// begin makes a job. It is resumed only when the validator is set, so that no request can leave before.
func begin(ctx context.Context, c *client.Client, trusted pins, url, file string) (string, error) {
	local, err := filepath.Abs(file)
	if err != nil {
		return "", err
	}
	job, err := c.Create(ctx, bits.Spec{
		DisplayName: mine + filepath.Base(local),
		Files:       []bits.FileSpec{{RemoteName: url, LocalName: local}},
	})
	if err != nil {
		return "", err
	}
	if _, err := c.SetServerCertificateValidation(ctx, job.ID, trusted); err != nil {
		return "", err
	}
	return job.ID, c.Resume(ctx, job.ID)
}

// finish waits for a job and completes it.
func finish(ctx context.Context, c *client.Client, id string) error {
	job, err := c.Wait(ctx, id)
	if err != nil {
		return err
	}
	if job.State != bits.StateTransferred {
		return fmt.Errorf("%s is %s: %+v", job.DisplayName, job.State, job.Error)
	}
	if _, err := c.Complete(ctx, id); err != nil {
		return err
	}
	fmt.Printf("%s is there\n", job.Files[0].LocalName)
	return nil
}
