package get

import (
	"context"

	"github.com/spf13/pflag"

	"bits/internal/console"
)

// verbose is the flag that shows what is said to servers and by them.
type verbose struct{ on bool }

func (v *verbose) register(f *pflag.FlagSet) {
	f.BoolVarP(&v.on, "verbose", "v", false, "print connections and the heads of requests and answers to standard error, as curl does; secrets are hidden")
}

func (v *verbose) properties(_ context.Context, a *console.App, _ map[string]any) error {
	a.Verbose = v.on
	return nil
}
