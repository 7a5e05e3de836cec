package main

import (
	"context"
	"os"
	"os/exec"
	"path/filepath"
	"regexp"
	"slices"
	"strings"
	"testing"
	"time"

	"bits/client"
	"bits/client/bitstest"
	"bits/internal/program"
)

const root = "../.."

// elsewhere are the commands of the documents that .ci/run runs itself, as they would run everything.
var elsewhere = []string{
	"go run ./cmd/bits demo", ".ci/test", ".ci/run",
	"go test -race -parallel 4 ./... -skip 'TestScripts/admin|TestDocuments|TestHunt'",
	"go test ./bench -run '^$' -bench . -benchtime 3x",
}

var block = regexp.MustCompile("(?ms)^```sh\n(.*?)^```$")

// TestDocuments runs the commands of every document as one script, in a folder of its own, as its reader would; bits is the one of TestMain.
// https://example.com is an origin with the files that the documents speak of, and a certificate that the environment trusts.
func TestDocuments(t *testing.T) {
	for _, name := range []string{"curl", "openssl", "sqlite3", "python3"} {
		program.Need(t, name)
	}
	ci, err := os.ReadFile(filepath.Join(root, ".ci", "run"))
	bitstest.Must(t, err)
	for _, name := range documents(t) {
		text, err := os.ReadFile(name)
		bitstest.Must(t, err)
		var script strings.Builder
		for _, b := range block.FindAllStringSubmatch(string(text), -1) {
			for line := range strings.Lines(b[1]) {
				command, _, _ := strings.Cut(line, " #")
				if command = strings.TrimSpace(command); !slices.Contains(elsewhere, command) {
					script.WriteString(line)
				} else if command != ".ci/run" && !strings.Contains(string(ci), command) {
					t.Errorf("%s: .ci/run does not run %q", name, command)
				}
			}
		}
		if script.Len() > 0 {
			t.Run(filepath.Base(name), func(t *testing.T) {
				t.Parallel()
				if filepath.Base(name) == "system.md" && os.Geteuid() != 0 {
					t.Skipf("it needs root, and this is user %d", os.Geteuid())
				}
				follow(t, script.String())
			})
		}
	}
}

func documents(t *testing.T) []string {
	t.Helper()
	var names []string
	for _, pattern := range []string{"*.md", "docs/*.md", "docs/decisions/*.md"} {
		found, err := filepath.Glob(filepath.Join(root, pattern))
		bitstest.Must(t, err)
		names = append(names, found...)
	}
	if len(names) < 10 {
		t.Fatalf("only %v", names)
	}
	return names
}

// follow runs the script of a document.
func follow(t *testing.T, script string) {
	o, dir := bitstest.NewOrigin(t), program.Dir(t)
	for _, path := range []string{"/a.iso", "/b.iso", "/update.img", "/data/"} {
		o.File(path, bitstest.Content(1, 200_000))
	}
	ca, socket := filepath.Join(dir, "ca.pem"), filepath.Join(dir, "run", "s")
	repository, err := filepath.Abs(root)
	bitstest.Must(t, err, os.WriteFile(ca, o.Roots(), 0o600), os.Mkdir(filepath.Join(dir, "home"), 0o700))
	service := &client.Client{Socket: socket}
	t.Cleanup(func() { service.Do(context.Background(), "POST", "/system/stop", nil, nil) })
	ctx, cancel := context.WithTimeout(context.Background(), 2*time.Minute)
	defer cancel()
	cmd := exec.CommandContext(ctx, "bash", "-euo", "pipefail", "-c", strings.ReplaceAll(script, "https://example.com", o.URL))
	cmd.Dir = filepath.Join(dir, "home")
	cmd.Env = append(os.Environ(),
		"PATH="+filepath.Join(repository, "examples")+":"+os.Getenv("PATH"), "HOME="+cmd.Dir, "REPOSITORY="+repository,
		"BITS_STATE_DIR="+filepath.Join(dir, "state"), "BITS_SOCKET="+socket, "SSL_CERT_FILE="+ca,
		"GOCACHE="+goEnv(t, "GOCACHE"), "GOMODCACHE="+goEnv(t, "GOMODCACHE"))
	cmd.WaitDelay = 5 * time.Second // the service that it starts holds none of its streams, but a background command may
	if out, err := cmd.CombinedOutput(); err != nil {
		t.Errorf("%v\n%s\n%s", err, script, out)
	}
}

func goEnv(t *testing.T, name string) string {
	out, err := exec.Command("go", "env", name).Output()
	bitstest.Must(t, err)
	return strings.TrimSpace(string(out))
}

var link = regexp.MustCompile(`\]\(([^)#:]+)(#[^)]*)?\)`)

// Every link between the documents leads to a file.
func TestLinks(t *testing.T) {
	for _, name := range documents(t) {
		text, err := os.ReadFile(name)
		bitstest.Must(t, err)
		for _, m := range link.FindAllStringSubmatch(string(text), -1) {
			if _, err := os.Stat(filepath.Join(filepath.Dir(name), m[1])); err != nil {
				t.Errorf("%s: %v", name, err)
			}
		}
	}
}
