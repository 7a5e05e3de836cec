package get

import (
	"bytes"
	"context"
	"errors"
	"io"
	"maps"
	"net/url"
	"os"
	"path"
	"path/filepath"
	"strings"

	"github.com/spf13/pflag"

	"bits"
	"bits/hresult"
	"bits/internal/console"
	"bits/internal/content"
	"bits/internal/metalink"
	"bits/internal/targets"
)

// known are the flags that say what is known of the content of the files beforehand, and where else it is.
type known struct {
	digests, mirrors         []string
	list, metalink, location string
	fromServer               bool

	specs map[string]bits.FileSpec // of the metalink, by remote name
	sums  *content.List
}

func (k *known) register(f *pflag.FlagSet) {
	f.StringArrayVar(&k.digests, "checksum", nil, "`ALGORITHM=HEX` that the file must have, for one URL: sha256, sha512, sha384, blake3, and the old sha224, sha1, md5; may be repeated")
	f.StringVar(&k.list, "checksum-file", "", "`FILE` or URL with the digests of the files by their names, as sha256sum and its kin write them")
	f.StringArrayVar(&k.mirrors, "mirror", nil, "another `URL` of the same file, for one URL; may be repeated, the best first")
	f.BoolVar(&k.fromServer, "mirrors-from-server", false, "use mirrors that the server names (Link: rel=duplicate), if a strong digest of the file is known")
	f.StringVar(&k.metalink, "metalink", "", "`FILE` or URL of a Metalink (.meta4): its files are fetched, from its mirrors, and must be as it says")
	f.StringVar(&k.location, "location", "", "`COUNTRY`, such as de, whose mirrors in a metalink go first among equals")
}

func (k *known) properties(context.Context, *console.App, map[string]any) error { return nil }

// read reads the metalink and the list of digests, and returns what the metalink adds to the targets.
func (k *known) read(ctx context.Context, f *fetch) (more []targets.Target, err error) {
	if k.metalink != "" {
		text, err := f.read(ctx, "--metalink", k.metalink, metalink.MaxSize)
		if err != nil {
			return nil, err
		}
		files, err := metalink.Read(bytes.NewReader(text), k.location)
		if err != nil {
			return nil, console.Usagef("cannot read the metalink %s: %w", k.metalink, err)
		}
		k.specs = map[string]bits.FileSpec{}
		for _, s := range files {
			k.specs[s.RemoteName] = s
			more = append(more, targets.Target{URL: s.RemoteName, Path: s.LocalName})
		}
	}
	if k.list != "" {
		text, err := f.read(ctx, "--checksum-file", k.list, content.MaxList)
		if err != nil {
			return nil, err
		}
		if k.sums, err = content.ReadList(bytes.NewReader(text), k.list); err != nil {
			return nil, console.Usagef("cannot read the digests in %s: %w", k.list, err)
		}
	}
	return more, nil
}

// find finds out what is to be fetched, and what is known of it.
func (f *fetch) find(ctx context.Context, c targets.Command) (wanted []targets.Target, err error) {
	k := f.known
	if k.metalink == "" { // what is wrong with the command line is said before anything is read
		wanted, err = c.Find()
	}
	if err == nil {
		f.properties, err = properties(ctx, f.App, f.options)
	}
	if err == nil {
		c.More, err = k.read(ctx, f)
	}
	if err == nil && k.metalink != "" {
		delete(f.properties, "custom_headers") // they are for servers that the owner has named
		wanted, err = c.Find()
	}
	if err == nil {
		err = k.check(wanted)
	}
	return wanted, err
}

// check refuses flags that are for one file where there are several, and finds the digests of all of them.
func (k *known) check(wanted []targets.Target) error {
	for name, given := range map[string][]string{"--checksum": k.digests, "--mirror": k.mirrors} {
		if len(given) > 0 && len(wanted) > 1 {
			return console.Usagef("%s is of one file, and there are %d; use --checksum-file or --metalink", name, len(wanted))
		}
	}
	for _, t := range wanted {
		spec, err := k.of(t)
		if err == nil {
			_, err = content.Of(bits.Download, spec)
		}
		if err != nil {
			return console.Usage{Err: err}
		}
	}
	return nil
}

// of is what a job is told of a target.
func (k *known) of(t targets.Target) (bits.FileSpec, error) {
	spec := k.specs[t.URL]
	spec.RemoteName, spec.LocalName, spec.Digests = t.URL, t.Path, maps.Clone(spec.Digests)
	spec.MirrorsFromServer = k.fromServer
	spec.Mirrors = append(spec.Mirrors[:len(spec.Mirrors):len(spec.Mirrors)], k.mirrors...)
	add := func(name, value string) error {
		if before := spec.Digests[name]; before != "" && before != value {
			return bits.Errorf(hresult.E_INVALIDARG, "cannot fetch %s: two of its %s that are given differ", t.URL, name)
		}
		if spec.Digests == nil {
			spec.Digests = map[string]string{}
		}
		spec.Digests[name] = value
		return nil
	}
	for _, d := range k.digests {
		name, value, err := content.Parse(d)
		if err == nil {
			err = add(name, value)
		}
		if err != nil {
			return spec, err
		}
	}
	if k.sums != nil {
		found, err := k.sums.Of(remoteBase(t.URL))
		if err != nil {
			if found, err = k.sums.Of(filepath.Base(t.Path)); err != nil {
				return spec, bits.Errorf(hresult.E_INVALIDARG, "cannot find the digest of %s in %s: %w", t.URL, k.list, err)
			}
		}
		for name, value := range found {
			if err := add(name, value); err != nil {
				return spec, err
			}
		}
	}
	return spec, nil
}

func remoteBase(remote string) string {
	u, err := url.Parse(remote)
	if err != nil {
		return remote
	}
	return path.Base(u.Path)
}

// read reads a small file, or fetches one: with a job of its own, that trusts whom the others trust.
func (f *fetch) read(ctx context.Context, flag, name string, limit int64) ([]byte, error) {
	if !strings.Contains(name, "://") {
		file, err := os.Open(name)
		if err != nil {
			return nil, console.Usagef("cannot read the %s: %w", flag, err)
		}
		defer file.Close()
		return io.ReadAll(io.LimitReader(file, limit+1))
	}
	dir, err := os.MkdirTemp("", "bits-")
	if err != nil {
		return nil, err
	}
	defer os.RemoveAll(dir)
	small := &fetch{App: f.App, options: f.options, properties: maps.Clone(f.properties), made: map[string]bool{}, judge: f.judge, silent: true, began: f.began}
	small.detach, small.keep, small.name, small.known = false, false, remoteBase(name), &known{}
	small.properties["max_download_size"] = jsonOf(limit)
	small.properties["priority"] = jsonOf(bits.Foreground)
	delete(small.properties, "notify_cmd_line")
	if err := f.Connect(ctx); err != nil {
		return nil, err
	}
	defer small.detachAll()
	t := targets.Target{URL: name, Path: filepath.Join(dir, "f")}
	job, err := small.begin(ctx, t, nil)
	if err != nil {
		return nil, err
	}
	small.jobs = []*bits.Job{job}
	failed := small.follow(ctx)
	if cause := context.Cause(ctx); cause != nil {
		f.Client.Cancel(context.WithoutCancel(ctx), job.ID)
		return nil, cause
	}
	if err := errors.Join(failed...); err != nil {
		return nil, failed[0]
	}
	return os.ReadFile(t.Path)
}
