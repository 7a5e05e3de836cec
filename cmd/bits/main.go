// Command bits moves files in the background: see README.md.
package main

import (
	"context"
	"os"

	"bits/internal/cli"
	"bits/internal/console"
)

func main() {
	os.Exit(cli.Main(context.Background(), os.Args[1:], console.Streams{In: os.Stdin, Out: os.Stdout, Err: os.Stderr}))
}
