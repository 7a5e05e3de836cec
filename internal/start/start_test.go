//go:build unix

package start_test

import (
	"bytes"
	"log/slog"
	"os"
	"path/filepath"
	"slices"
	"strings"
	"testing"

	"bits"
	"bits/internal/ipc"
	"bits/internal/start"
)

var splits = []struct {
	parameters string
	want       []string
}{
	{``, nil},
	{`  `, nil},
	{`p`, []string{"p"}},
	{`p a  b`, []string{"p", "a", "b"}},
	{"p\ta", []string{"p", "a"}},
	{`"my program" "a b" c`, []string{"my program", "a b", "c"}},
	{`p ""`, []string{"p", ""}},
	{`p a"b c"d`, []string{"p", "ab cd"}},
	{`p \"a\" b`, []string{"p", `"a"`, "b"}},
	{`p "say \"hi\" now"`, []string{"p", `say "hi" now`}},
	{`p C:\dir\file \`, []string{"p", `C:\dir\file`, `\`}},
	{`p "never ends`, []string{"p", "never ends"}},
	{`p $HOME; rm -rf * | x > y 'a b'`, []string{"p", "$HOME;", "rm", "-rf", "*", "|", "x", ">", "y", "'a", "b'"}},
}

func TestSplit(t *testing.T) {
	for _, c := range splits {
		if got := start.Split(c.parameters); !slices.Equal(got, c.want) {
			t.Errorf("%s: %q, want %q", c.parameters, got, c.want)
		}
	}
}

// What Split returns, quoted, is split the same again; nothing is lost but quotes, their backslashes and blanks.
func FuzzSplit(f *testing.F) {
	for _, c := range splits {
		f.Add(c.parameters)
	}
	f.Fuzz(func(t *testing.T, s string) {
		words := start.Split(s)
		if want, got := len(strings.NewReplacer(" ", "", "\t", "", `"`, "", `\`, "").Replace(s)), len(strings.NewReplacer(" ", "", "\t", "", `"`, "", `\`, "").Replace(strings.Join(words, ""))); got != want {
			t.Fatalf("%q: %d bytes of %d", s, got, want)
		}
		var quoted []string
		for _, w := range words {
			if strings.HasSuffix(w, `\`) || strings.Contains(w, `\"`) {
				return // cannot be written in quotes: a backslash before a quote keeps that
			}
			quoted = append(quoted, `"`+strings.ReplaceAll(w, `"`, `\"`)+`"`)
		}
		if again := start.Split(strings.Join(quoted, " ")); !slices.Equal(again, words) {
			t.Fatalf("%q: %q, and quoted %q", s, words, again)
		}
	})
}

// job is a job whose command is the shell with a script, which it gets as one word.
func job(script string) *bits.Job {
	return &bits.Job{
		ID: "the-job", Owner: ipc.Self().Owner, NotifyUser: ipc.Self().Owner, State: bits.StateTransferred, DisplayName: "a name",
		NotifyCommand: &bits.Command{Program: "/bin/sh", Parameters: `name -c "` + strings.ReplaceAll(script, `"`, `\"`) + `" zero one`},
	}
}

func TestCommand(t *testing.T) {
	home := t.TempDir()
	t.Setenv("HOME", home)
	t.Setenv("SECRET_OF_THE_SERVICE", "x")
	out := filepath.Join(t.TempDir(), "out")
	stranger, missing := job("true"), job("true")
	stranger.NotifyUser = "uid:4294967294"
	missing.NotifyCommand.Program = "/no/such/program"
	for name, c := range map[string]struct {
		job  *bits.Job
		ok   bool
		want string // in the file
		log  []string
	}{
		"what it gets":         {job(`echo "$BITS_JOB_ID $BITS_JOB_STATE $BITS_JOB_NAME $BITS_SOCKET $HOME $PWD $0 $1 $SECRET_OF_THE_SERVICE" > ` + out), true, "the-job TRANSFERRED a name /s " + home + " " + home + " zero one \n", []string{"program=/bin/sh", "words=5", "exit=0"}},
		"no input":             {job(`cat > ` + out), true, "", nil},
		"a failure":            {job(`exit 3`), false, "", []string{"exit=3"}},
		"death":                {job(`kill -9 $$`), false, "", []string{"exit=-1"}},
		"what it says":         {job(`echo said; echo more >&2`), true, "", []string{`said\nmore`}},
		"it says much":         {job(`yes | head -c 1000000`), true, "", nil},
		"another user":         {stranger, false, "", []string{"could not be started"}},
		"no program":           {missing, false, "", []string{"could not be started"}},
		"a session of its own": {job(`test "$(ps -o sid= -p $$ | tr -d ' ')" = $$`), true, "", nil},
	} {
		os.Remove(out)
		var log bytes.Buffer
		p := start.Programs{Env: []string{"BITS_SOCKET=/s"}, Log: slog.New(slog.NewTextHandler(&log, nil))}
		err := p.Command(t.Context(), c.job)
		if (err == nil) != c.ok {
			t.Errorf("%s: %v\n%s", name, err, &log)
		}
		if got, _ := os.ReadFile(out); c.want != "" && string(got) != c.want {
			t.Errorf("%s: %q, want %q", name, got, c.want)
		}
		for _, want := range append(c.log, "job=the-job", "owner="+ipc.Self().Owner) {
			if !strings.Contains(log.String(), want) {
				t.Errorf("%s: the log has no %q:\n%s", name, want, &log)
			}
		}
		if strings.Contains(log.String(), "-c ") || log.Len() > 10_000 {
			t.Errorf("%s: the log has the parameters, or %d bytes", name, log.Len())
		}
	}
}

// Root runs the command of another user as that user, with all of his groups and none of its own.
func TestCommandAsAnotherUser(t *testing.T) {
	if os.Geteuid() != 0 {
		t.Skipf("only root can become another user; this is user %d", os.Geteuid())
	}
	dir, err := os.MkdirTemp("/tmp", "bt")
	if err != nil {
		t.Fatal(err)
	}
	defer os.RemoveAll(dir)
	if err := os.Chmod(dir, 0o777); err != nil {
		t.Fatal(err)
	}
	j := job(`echo "$(id -u) $(id -G)" > ` + filepath.Join(dir, "out"))
	j.NotifyUser = "uid:1" // daemon, on every Unix
	if err := (start.Programs{Log: slog.New(slog.DiscardHandler)}).Command(t.Context(), j); err != nil {
		t.Fatal(err)
	}
	got, err := os.ReadFile(filepath.Join(dir, "out"))
	if fields := strings.Fields(string(got)); err != nil || len(fields) < 2 || fields[0] != "1" || slices.Contains(fields[1:], "0") {
		t.Errorf("it ran as %q, %v", got, err)
	}
}

func TestRegistered(t *testing.T) {
	const id = "0e3e1a52-6a0c-4c7e-9d0b-3a3a3a3a3a3a"
	for name, c := range map[string]struct {
		text         string
		file, folder os.FileMode
		ok           bool
	}{
		"a command":                {`{"command":["/bin/true","a b"]}`, 0o600, 0o700, true},
		"a unit":                   {`{"unit":"app@1.service"}`, 0o644, 0o755, true},
		"both":                     {`{"command":["/bin/true"],"unit":"a.service"}`, 0o600, 0o700, false},
		"neither":                  {`{}`, 0o600, 0o700, false},
		"not a full path":          {`{"command":["true"]}`, 0o600, 0o700, false},
		"a switch as a unit":       {`{"unit":"--version.service"}`, 0o600, 0o700, false},
		"something else":           {`{"unit":"a.socket"}`, 0o600, 0o700, false},
		"unknown fields":           {`{"command":["/bin/true"],"shell":true}`, 0o600, 0o700, false},
		"no JSON":                  {`/bin/true`, 0o600, 0o700, false},
		"others can write it":      {`{"command":["/bin/true"]}`, 0o620, 0o700, false},
		"others can write beside":  {`{"command":["/bin/true"]}`, 0o600, 0o770, false},
		"others can write, beside": {`{"command":["/bin/true"]}`, 0o602, 0o707, false},
	} {
		dir := filepath.Join(t.TempDir(), "activation")
		file := filepath.Join(dir, id+".json")
		for _, err := range []error{os.Mkdir(dir, 0o700), os.WriteFile(file, []byte(c.text), 0o600), os.Chmod(file, c.file), os.Chmod(dir, c.folder)} {
			if err != nil {
				t.Fatal(err)
			}
		}
		if r, err := (start.Programs{Folder: dir}).Registered(id); (err == nil) != c.ok {
			t.Errorf("%s: %+v, %v", name, r, err)
		}
	}
	if _, err := (start.Programs{}).Registered(id); err == nil {
		t.Error("an application that nobody registered")
	}
}

func TestActivate(t *testing.T) {
	dir := t.TempDir()
	out := filepath.Join(dir, "out")
	j := job("")
	j.NotificationCLSID = "0e3e1a52-6a0c-4c7e-9d0b-3a3a3a3a3a3a"
	for text, ok := range map[string]bool{
		`{"command":["/bin/sh","-c","echo $BITS_ACTIVATION $1 > ` + out + `","sh","a b"]}`: true,
		`{"command":["/bin/false"]}`:       false,
		`{"unit":"no-such-thing.service"}`: false, // or systemd does not run this machine
	} {
		if err := os.WriteFile(filepath.Join(dir, j.NotificationCLSID+".json"), []byte(text), 0o600); err != nil {
			t.Fatal(err)
		}
		if err := (start.Programs{Folder: dir, Log: slog.New(slog.DiscardHandler)}).Activate(t.Context(), j); (err == nil) != ok {
			t.Errorf("%s: %v", text, err)
		}
	}
	if got, err := os.ReadFile(out); string(got) != j.NotificationCLSID+" a b\n" {
		t.Errorf("it got %q, %v", got, err)
	}
}
