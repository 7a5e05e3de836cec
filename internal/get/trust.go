package get

import (
	"context"
	"os"

	"github.com/spf13/pflag"

	"bits/internal/console"
	"bits/internal/contract"
)

// trust are the flags that say whom to trust.
type trust struct{ cacert string }

func (t *trust) register(f *pflag.FlagSet) {
	f.StringVar(&t.cacert, "cacert", "", "PEM `FILE` of the only authorities to trust")
}

func (t *trust) properties(_ context.Context, _ *console.App, values map[string]any) error {
	if t.cacert == "" {
		return nil
	}
	pem, err := os.ReadFile(t.cacert)
	if err != nil {
		return console.Usagef("cannot read the authorities: %w", err)
	}
	// An empty value would mean the authorities of the system.
	if _, err := contract.ParseRoots(string(pem)); err != nil {
		return console.Usagef("cannot use --cacert %s: %w", t.cacert, err)
	}
	values["roots"] = string(pem)
	return nil
}
