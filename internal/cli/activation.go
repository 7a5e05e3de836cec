package cli

import (
	"fmt"
	"os"
	"os/exec"
	"path/filepath"
	"strings"

	"github.com/spf13/cobra"

	"bits"
	"bits/hresult"
	"bits/internal/console"
	"bits/internal/contract"
	"bits/internal/launch"
	"bits/internal/progress"
	"bits/internal/start"
)

func (a app) activationCommand() *cobra.Command {
	cmd := &cobra.Command{
		Use: "activation", Short: "Register programs that are started when a job has something to tell and nobody listens", Args: console.Arguments(cobra.NoArgs),
		Long: `Register programs that the service starts when a job has something to tell and nobody listens (the notification CLSID of BITS).
A job names one by its GUID, in the property notification_clsid. With --system the registrations are those of all users.`,
		RunE: func(cmd *cobra.Command, _ []string) error { return cmd.Help() },
	}
	var unit string
	add := &cobra.Command{
		Use: "add GUID|new [-- COMMAND [ARGUMENT...]]", Short: "Register a program, or with --unit a service of the user's systemd, and print its GUID",
		Example: "  bits activation add new -- /opt/updater/updated --told",
		RunE: func(cmd *cobra.Command, args []string) error {
			if len(args) == 0 || (len(args) == 1) == (unit == "") || len(args) > 1 && cmd.ArgsLenAtDash() != 1 {
				return console.Usagef("give a GUID, or new, and either two dashes and a command or --unit: %s", cmd.UseLine())
			}
			id, ok := bits.NewID(), true
			if args[0] != "new" {
				id, ok = contract.ParseGUID(args[0])
			}
			if !ok {
				return console.Usagef("%q is no GUID", args[0])
			}
			r := start.Registration{Unit: unit}
			if len(args) > 1 {
				path, err := exec.LookPath(args[1])
				if err == nil {
					path, err = filepath.Abs(path)
				}
				if err != nil {
					return console.Usagef("cannot run the command: %w", err)
				}
				r.Command = append([]string{path}, args[2:]...)
			}
			if err := a.registrations().Register(id, r); err != nil {
				return bits.Errorf(hresult.E_ACCESSDENIED, "%w", err)
			}
			if a.JSON {
				return a.Print(map[string]any{"clsid": id})
			}
			_, err := fmt.Fprintln(a.Out, id)
			return err
		},
	}
	add.Flags().StringVar(&unit, "unit", "", "a `NAME.service` of the user's systemd")
	list := &cobra.Command{
		Use: "list", Short: "List what is registered", Args: console.Arguments(cobra.NoArgs),
		RunE: func(*cobra.Command, []string) error {
			p := a.registrations()
			files, err := filepath.Glob(filepath.Join(p.Folder, "*.json"))
			if err != nil {
				return err
			}
			for _, name := range files {
				id := strings.TrimSuffix(filepath.Base(name), ".json")
				r, err := p.Registered(id)
				what := r.Unit + strings.Join(r.Command, " ")
				if err != nil {
					what = "refused: " + err.Error()
				}
				if a.JSON {
					err = a.Print(map[string]any{"clsid": id, "command": r.Command, "unit": r.Unit, "refused": err != nil})
				} else {
					_, err = fmt.Fprintf(a.Out, "%s  %s\n", id, progress.Clean(what))
				}
				if err != nil {
					return err
				}
			}
			return nil
		},
	}
	remove := &cobra.Command{
		Use: "remove GUID", Short: "Remove a registration", Args: console.Arguments(cobra.ExactArgs(1)),
		RunE: func(_ *cobra.Command, args []string) error {
			id, ok := contract.ParseGUID(args[0])
			if !ok {
				return console.Usagef("%q is no GUID", args[0])
			}
			if err := os.Remove(filepath.Join(a.registrations().Folder, id+".json")); err != nil {
				return bits.Errorf(hresult.BG_E_NOT_FOUND, "cannot remove the registration %s: %w", id, err).WithHint("bits activation list")
			}
			return nil
		},
	}
	cmd.AddCommand(add, list, remove)
	return cmd
}

// registrations are those of the user, or of the machine.
func (a app) registrations() start.Programs {
	return start.Programs{Folder: launch.Activation(a.Client.SystemWide)}
}
