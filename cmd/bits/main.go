// Command bits moves files in the background: see README.md.
package main

import (
	"context"
	"os"
	"path/filepath"
	"strings"

	"bits/internal/cli"
)

func main() {
	args := os.Args[1:]
	if name := strings.ToLower(filepath.Base(os.Args[0])); strings.TrimSuffix(name, ".exe") == "bitsadmin" {
		args = append([]string{"admin"}, args...)
	}
	os.Exit(cli.Main(context.Background(), args, cli.Streams{In: os.Stdin, Out: os.Stdout, Err: os.Stderr}))
}
