package get

import (
	"context"
	"path/filepath"
	"strings"

	"github.com/spf13/pflag"

	"bits"
	"bits/internal/console"
)

// certificate are the flags of the certificate that the jobs show to their servers.
type certificate struct{ file, key, password string }

func (c *certificate) register(f *pflag.FlagSet) {
	f.StringVar(&c.file, "cert", "", "`FILE` with the client certificate, and its key: PEM or PKCS#12")
	f.StringVar(&c.key, "key", "", "`FILE` with the key of --cert, if it is not in there")
	f.StringVar(&c.password, "cert-password-file", "", "`FILE` whose first line is the password of the key")
}

func (c *certificate) properties(_ context.Context, _ *console.App, values map[string]any) error {
	if c.file == "" {
		if c.key != "" || c.password != "" {
			return console.Usagef("--key and --cert-password-file go with --cert")
		}
		return nil
	}
	named := bits.ClientCertificate{File: c.file, Key: c.key, PasswordFile: c.password}
	for _, path := range []*string{&named.File, &named.Key, &named.PasswordFile} {
		if *path == "" || strings.HasPrefix(*path, "pkcs11:") {
			continue
		}
		var err error
		if *path, err = filepath.Abs(*path); err != nil {
			return console.Usagef("cannot use the file %s: %w", *path, err)
		}
	}
	values["client_certificate"] = named
	return nil
}
