package get

import (
	"context"
	"encoding/json"
	"os/exec"
	"path/filepath"
	"strings"
	"time"
	"unicode/utf8"

	"bits"
	"bits/internal/console"
	"bits/internal/contract"
	"bits/internal/progress"
	"bits/internal/start"
	"bits/internal/targets"
)

// properties makes the properties of the jobs from the flags.
func properties(ctx context.Context, a *console.App, o options) (map[string]bits.RawMessage, error) {
	values := map[string]any{
		"auto_complete": true,
		"no_replace":    !o.force,
		"backoff":       bits.Backoff{First: 1, Max: 60, Jitter: 0.5},
		"priority":      bits.Foreground,
	}
	if o.detach {
		values["priority"] = bits.Normal
	}
	if !utf8.ValidString(o.name) {
		return nil, console.Usagef("cannot use the name %q: it is not valid UTF-8", o.name)
	}
	if o.priority != "" {
		var p bits.Priority
		if err := p.UnmarshalText([]byte(o.priority)); err != nil {
			return nil, console.Usage{Err: err}
		}
		values["priority"] = p
	}
	if !o.detach || o.giveUpGiven {
		if o.giveUp < time.Second {
			return nil, console.Usagef("--give-up-after is at least 1s")
		}
		values["give_up_after"] = bits.Seconds(o.giveUp / time.Second)
	}
	for _, g := range o.groups {
		if err := g.properties(ctx, a, values); err != nil {
			return nil, err
		}
	}
	headers, err := targets.Headers(o.headers, func(name string) {
		a.Note("bits: the header %s looks like a secret, and other users can see command lines; put it into a file and use -H @FILE", progress.Clean(name))
	})
	if err != nil {
		return nil, err
	}
	if headers != "" {
		values["custom_headers"] = headers
	}
	if o.then != "" {
		words := start.Split(o.then)
		if len(words) == 0 {
			return nil, console.Usagef("--notify names a command")
		}
		program, err := exec.LookPath(words[0])
		if err == nil {
			program, err = filepath.Abs(program)
		}
		if err != nil {
			return nil, console.Usagef("cannot run the command of --notify: %w", err)
		}
		values["notify_cmd_line"] = bits.Command{Program: program, Parameters: o.then}
	}
	raw := map[string]bits.RawMessage{}
	for name, v := range values {
		if raw[name], err = json.Marshal(v); err != nil {
			return nil, err
		}
	}
	for _, s := range o.set {
		name, value, ok := strings.Cut(s, "=")
		if !ok || !json.Valid([]byte(value)) {
			return nil, console.Usagef("--set takes NAME=JSON, such as security_flags=1; %q is not", s)
		}
		raw[name] = bits.RawMessage(value)
	}
	if raw["http_method"] != nil && o.priority == "" {
		delete(raw, "priority") // it is FOREGROUND then, whatever else is said
	}
	if _, err := contract.NewJob(bits.Spec{DisplayName: o.name, Properties: raw}, contract.Caller{}); err != nil {
		return nil, console.Usage{Err: err}
	}
	return raw, nil
}

func jsonOf(v any) bits.RawMessage {
	raw, _ := json.Marshal(v) // of a number or a word of ours
	return raw
}
