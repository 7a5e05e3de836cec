package cli

import (
	"encoding/json"
	"fmt"
	"net/url"
	"os"
	"strings"

	"github.com/spf13/cobra"

	"bits"
	"bits/internal/console"
	"bits/internal/progress"
	"bits/internal/wire"
)

func (a app) proxyCommand() *cobra.Command {
	cmd := &cobra.Command{
		Use: "proxy", Short: "See by which proxies URLs are reached", Args: console.Arguments(cobra.NoArgs),
		RunE: func(cmd *cobra.Command, _ []string) error { return cmd.Help() },
	}
	var job, set string
	explain := &cobra.Command{
		Use: "explain URL", Short: "Say by which proxies a URL is reached, and why", Args: console.Arguments(cobra.ExactArgs(1)),
		Long: `Say by which proxies a URL is reached, in the order in which they are tried, and why: which variable, which entry of a list, or
which script has decided it. The service answers, so it is what a job would do: one that is made here and now, or the one of --job.`,
		Example: `  bits proxy explain https://example.com/file.iso
  bits proxy explain https://example.com/file.iso --job 3f2a91c0
  bits proxy explain https://example.com/file.iso --set 'proxy_settings={"usage":"AUTODETECT"}'`,
		RunE: func(cmd *cobra.Command, args []string) error {
			ctx := cmd.Context()
			q := wire.Explain{URL: args[0], Environment: bits.Environment(os.LookupEnv)}
			if set != "" {
				if job != "" {
					return console.Usagef("--set and --job do not go together: a job has its own settings")
				}
				name, value, _ := strings.Cut(set, "=")
				if name != "proxy_settings" || json.Unmarshal([]byte(value), &q.ProxySettings) != nil {
					return console.Usagef("--set takes proxy_settings=JSON")
				}
			}
			if err := a.Connect(ctx); err != nil {
				return err
			}
			var answer wire.Route
			var err error
			if job == "" {
				err = a.Client.Do(ctx, "POST", "/proxy", q, &answer)
			} else {
				var j *bits.Job
				if j, err = a.Resolve(ctx, job); err == nil {
					err = a.Client.Do(ctx, "GET", "/jobs/"+j.ID+"/proxy?url="+url.QueryEscape(args[0]), nil, &answer)
				}
			}
			if err != nil {
				return err
			}
			if a.JSON {
				return a.Print(answer)
			}
			for _, via := range answer.Route {
				fmt.Fprintln(a.Out, progress.Clean(via))
			}
			for _, why := range answer.Why {
				a.Note("%s: %s", answer.Usage, progress.Clean(why))
			}
			return nil
		},
	}
	explain.Flags().StringVar(&job, "job", "", "as this `JOB` would do it")
	explain.Flags().StringVar(&set, "set", "", "as a job with these settings would do it, `proxy_settings=JSON`")
	cmd.AddCommand(explain)
	return cmd
}
