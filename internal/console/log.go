package console

import (
	"context"
	"encoding/json"
	"errors"
	"fmt"
	"strings"
	"sync"
	"time"

	"bits"
	"bits/client"
	"bits/internal/progress"
)

// Lines hears the log of a job after the number from, which it moves on; with follow until the job is final.
// A service that goes away is started again with connect, and nothing is heard twice.
func (a *App) Lines(ctx context.Context, id string, from *int64, follow bool, connect func(context.Context) error, hear func(client.LogLine) error) error {
	for {
		var broken error
		for l, err := range a.Client.Log(ctx, id, *from, follow) {
			if err != nil {
				broken = err
				break
			}
			*from = l.N
			if err := hear(l); err != nil {
				return err
			}
		}
		switch {
		case ctx.Err() != nil:
			return context.Cause(ctx)
		case broken != nil && !errors.Is(broken, client.ErrUnreachable):
			return broken
		case broken == nil && !follow:
			return nil
		case broken == nil: // that the job is final, or that the service has ended
			if j, err := a.Client.Job(ctx, id); errors.Is(err, bits.ErrNotFound) || err == nil && j.State.Final() {
				follow = false // for what has come meanwhile
				continue
			}
		}
		time.Sleep(50 * time.Millisecond)
		if err := connect(ctx); err != nil {
			return err
		}
	}
}

// Trace prints what happens to the jobs to stderr as curl -v does, from a time on, if that was asked for.
// The function that it returns prints what is left, and ends it.
func (a *App) Trace(ctx context.Context, since time.Time, ids ...string) (end func()) {
	if !a.Verbose {
		return func() {}
	}
	var lock sync.Mutex
	hear := func(l client.LogLine) error {
		lock.Lock()
		defer lock.Unlock()
		switch {
		case l.At.Before(since):
		case a.JSON:
			json.NewEncoder(a.Err).Encode(l)
		default:
			name := ""
			if len(ids) > 1 {
				name = progress.Cut(l.Job, 8) + " "
			}
			a.above("%s", name+strings.Join(progress.Trace(l), "\n"+name))
		}
		return nil
	}
	wait := func(context.Context) error { return nil } // who waits for the jobs starts the service
	live, cancel := context.WithCancel(ctx)
	from := make([]int64, len(ids))
	var heard sync.WaitGroup
	for i, id := range ids {
		heard.Go(func() { a.Lines(live, id, &from[i], true, wait, hear) })
	}
	return sync.OnceFunc(func() {
		cancel()
		heard.Wait()
		rest, done := context.WithTimeout(context.WithoutCancel(ctx), lastWords)
		defer done()
		for i, id := range ids {
			a.Lines(rest, id, &from[i], false, wait, hear)
		}
	})
}

// lastWords is how long a command that ends waits for the rest of the logs.
const lastWords = 2 * time.Second

// above prints a line above the bars, if there are any.
func (a *App) above(format string, args ...any) {
	if b := a.Bars.Load(); b != nil {
		b.Note(format, args...)
		return
	}
	fmt.Fprintf(a.Err, format+"\n", args...)
}
