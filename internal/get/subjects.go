package get

import (
	"context"
	"fmt"
	"strings"
	"time"

	"github.com/spf13/cobra"
	"github.com/spf13/pflag"

	"bits/internal/console"
)

// group is a set of flags of one subject, which become properties of the jobs.
type group interface {
	register(*pflag.FlagSet)
	properties(ctx context.Context, a *console.App, values map[string]any) error
}

// subject is what the help shows under one title.
type subject struct {
	title string
	flags *pflag.FlagSet
}

// subjects makes all flags.
func (o *options) subjects() (all []subject) {
	add := func(title string, own func(*pflag.FlagSet), groups ...group) {
		f := pflag.NewFlagSet(title, pflag.ContinueOnError)
		f.SortFlags = false
		if own != nil {
			own(f)
		}
		for _, g := range groups {
			g.register(f)
		}
		o.groups, all = append(o.groups, groups...), append(all, subject{title, f})
	}
	add("What, and where to", o.files)
	add("How", o.manner, &verbose{})
	add("What is known of the files", nil, o.known)
	add("Whom to trust", o.trust, &trust{}, &certificate{})
	add("Logins", nil, o.logins)
	add("Proxies; without a flag, the variables http_proxy, https_proxy, all_proxy and no_proxy", nil, &proxies{})
	return all
}

func (o *options) files(f *pflag.FlagSet) {
	f.StringVarP(&o.output, "output", "o", "", "name of the `FILE`; for one URL")
	f.StringVarP(&o.dir, "dir", "d", "", "`FOLDER` for the files")
	f.StringVarP(&o.list, "input", "i", "", "`FILE` with one URL [NAME] a line, or CSV with columns Source and Destination; -: standard input")
	f.BoolVar(&o.force, "force", false, "replace existing files")
	f.BoolVar(&o.dry, "dry-run", false, "print what would be fetched, and where to, and do nothing")
	f.BoolP("help", "h", false, "show this help")
}

func (o *options) manner(f *pflag.FlagSet) {
	f.BoolVar(&o.detach, "detach", false, "print the ids and do not wait")
	f.BoolVar(&o.keep, "keep", false, "keep a job that failed, with what it has fetched")
	f.DurationVar(&o.giveUp, "give-up-after", 5*time.Minute, "end after this `TIME` without progress; with --detach, and after Ctrl-C, the default is 14 days")
	f.StringVar(&o.priority, "priority", "", "`LEVEL`: foreground (default while waiting), high, normal (default with --detach) or low")
	f.StringVar(&o.name, "job-name", "", "`NAME` of the jobs; default: that of the file")
	f.StringVar(&o.then, "notify", "", "with --detach: `COMMAND` that is started, without a shell, when a job is done or has failed; BITS_JOB_STATE tells it which")
	f.StringArrayVarP(&o.headers, "header", "H", nil, "a `HEADER` \"Name: value\", or @FILE with one a line (so that secrets stay off the command line)")
	f.StringArrayVar(&o.set, "set", nil, "a property of the jobs, `NAME=JSON`, such as security_flags=1; docs/api.md lists them")
}

func (o *options) trust(f *pflag.FlagSet) {
	f.StringVar(&o.validator, "validator", "", "shell `COMMAND` that judges each new certificate: see bits validate")
}

// usage prints the flags by subject: one list of all would be a wall.
func usage(subjects []subject) func(*cobra.Command) error {
	return func(cmd *cobra.Command) error {
		var b strings.Builder
		fmt.Fprintf(&b, "Usage:\n  %s\n\nExamples:\n%s\n", cmd.UseLine(), cmd.Example)
		for _, s := range subjects {
			fmt.Fprintf(&b, "\n%s:\n%s", s.title, s.flags.FlagUsages())
		}
		fmt.Fprintf(&b, "\nOf every command:\n%s", cmd.InheritedFlags().FlagUsages())
		_, err := fmt.Fprint(cmd.OutOrStderr(), b.String())
		return err
	}
}
