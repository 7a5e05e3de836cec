package cli

import (
	"encoding/json"
	"fmt"
	"strings"

	"github.com/spf13/cobra"

	"bits"
	"bits/hresult"
	"bits/internal/console"
	"bits/internal/contract"
	"bits/internal/progress"
)

func (a app) createCommand() *cobra.Command {
	var kind string
	var set []string
	cmd := &cobra.Command{
		Use: "create [NAME]", Short: "Make a job without files, SUSPENDED, and print its id", Args: console.Arguments(cobra.MaximumNArgs(1)),
		Long: `Make a job and print its id: then bits add, bits set, bits resume, bits complete. Nothing happens by itself, as in BITS.
bits get does all of it at once.`,
		RunE: func(cmd *cobra.Command, args []string) error {
			spec := bits.Spec{DisplayName: strings.Join(args, "")}
			if err := spec.Type.UnmarshalText([]byte(strings.ReplaceAll(kind, "-", "_"))); err != nil {
				return console.Usage{Err: err}
			}
			values, err := assignments(set)
			if err != nil {
				return err
			}
			spec.Properties = values
			if _, err := contract.NewJob(spec, contract.Caller{}); err != nil {
				return console.Usage{Err: err}
			}
			if err := a.Connect(cmd.Context()); err != nil {
				return err
			}
			job, err := a.Client.Create(cmd.Context(), spec)
			if err != nil {
				return err
			}
			if a.JSON {
				return a.Print(job)
			}
			fmt.Fprintln(a.Out, job.ID)
			return nil
		},
	}
	cmd.Flags().StringVar(&kind, "type", "download", "download, upload or upload-reply")
	cmd.Flags().StringArrayVar(&set, "set", nil, "a property, `NAME=VALUE`: see bits set")
	return cmd
}

func (a app) setCommand() *cobra.Command {
	return &cobra.Command{
		Use: "set JOB NAME=VALUE...", Short: "Change properties of a job: all, or none", Args: console.Arguments(cobra.MinimumNArgs(2)),
		Long:    `Change properties of a job: all that are named, or none. VALUE is JSON, or else a text. docs/api.md lists the properties.`,
		Example: "  bits set 3f2a91c0 priority=LOW description='for the weekend'\n  bits set 3f2a91c0 'proxy_settings={\"usage\":\"NO_PROXY\"}'",
		RunE: func(cmd *cobra.Command, args []string) error {
			values, err := assignments(args[1:])
			if err != nil {
				return err
			}
			all := map[string]any{}
			for name, v := range values {
				all[name] = v
			}
			return a.Each(cmd.Context(), args[:1], func(j *bits.Job) error { return a.Client.Set(cmd.Context(), j.ID, all) })
		},
	}
}

// assignments reads NAME=VALUE, where VALUE is JSON or else a text.
func assignments(words []string) (map[string]bits.RawMessage, error) {
	values := map[string]bits.RawMessage{}
	for _, word := range words {
		name, value, ok := strings.Cut(word, "=")
		if !ok || name == "" {
			return nil, misused("set", "give properties as NAME=VALUE; %q is not", word)
		}
		raw := bits.RawMessage(value)
		if !json.Valid(raw) {
			raw, _ = json.Marshal(value) // a string is never refused
		}
		values[name] = raw
	}
	return values, nil
}

func (a app) callCommand() *cobra.Command {
	file := -1
	cmd := &cobra.Command{
		Use: "call JOB CALL [PARAMETERS]", Short: "Make a call of BITS on a job, or on a file of it", Args: console.Arguments(cobra.RangeArgs(2, 3)),
		Long:    `Make one of the calls of docs/api.md that change a job: CALL is the last element of its path, PARAMETERS its body in JSON.`,
		Example: "  bits call 3f2a91c0 replace-remote-prefix '{\"old\":\"http://a/\",\"new\":\"https://b/\"}'\n  bits call 3f2a91c0 --file 0 set-validation-state '{\"valid\":false}'",
		RunE: func(cmd *cobra.Command, args []string) error {
			var body any
			if len(args) == 3 {
				if !json.Valid([]byte(args[2])) {
					return misused("call", "the parameters are no JSON")
				}
				body = json.RawMessage(args[2])
			}
			if err := callable(args[1], file >= 0, body != nil); err != nil {
				return err
			}
			return a.Each(cmd.Context(), args[:1], func(j *bits.Job) (err error) {
				var code hresult.Code
				if file >= 0 {
					code, err = a.Client.FileCall(cmd.Context(), j.ID, file, args[1], body)
				} else {
					code, err = a.Client.Call(cmd.Context(), j.ID, args[1], body)
				}
				if err != nil {
					return err
				}
				if a.JSON {
					return a.Print(map[string]any{"id": j.ID, "hresult": code, "name": code.Name()})
				}
				if code != hresult.S_OK {
					a.Note("%s %s: %s", code, code.Name(), code.Message())
				}
				return nil
			})
		},
	}
	cmd.Flags().IntVar(&file, "file", -1, "number of a file, from 0")
	return cmd
}

// misused is a wrong command line of one of the commands.
func misused(command, format string, args ...any) error {
	return console.Usage{Err: bits.Errorf(hresult.E_INVALIDARG, format, args...).WithHint("bits %s --help", command)}
}

// callable returns what is wrong with a call before it is made.
func callable(name string, file, parameters bool) error {
	var names []string
	for _, o := range contract.Operations() {
		switch {
		case o.Name != name:
			names = append(names, o.Name)
		case o.File && !file:
			return misused("call", "cannot call %s of a job: it is a call of one file; say which with --file", name)
		case !o.File && file:
			return misused("call", "cannot call %s of a file: it is a call of the job; leave out --file", name)
		case o.Body != nil && !parameters:
			return misused("call", "cannot call %s without parameters: docs/api.md has them", name)
		default:
			return nil
		}
	}
	return console.Usage{Err: bits.Errorf(hresult.BG_E_NOT_FOUND, "cannot call %s: there is no such call", name).WithHint("the calls are %s", strings.Join(names, ", "))}
}

// property prints one property, of a job or of a file: a text as it is, everything else as JSON.
func (a app) property(cmd *cobra.Command, j *bits.Job, name string, file int) (err error) {
	var value json.RawMessage
	var code hresult.Code
	if file >= 0 {
		code, err = a.Client.FileProperty(cmd.Context(), j.ID, file, name, &value)
	} else {
		code, err = a.Client.Property(cmd.Context(), j.ID, name, &value)
	}
	if err != nil {
		return err
	}
	if value == nil {
		value = json.RawMessage("null")
	}
	if a.JSON {
		return a.Print(map[string]any{"id": j.ID, "hresult": code, "name": code.Name(), "value": value})
	}
	var text string
	if json.Unmarshal(value, &text) != nil || string(value) == "null" {
		text = string(value)
	}
	if progress.Terminal(a.Out.Writer) {
		text = progress.Clean(text)
	}
	_, err = fmt.Fprintln(a.Out, text)
	return err
}
