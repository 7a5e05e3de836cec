// Package pac runs proxy auto-configuration scripts: JavaScript of somebody else, whose function FindProxyForURL says by which proxy a URL
// is reached.
//
// A script runs in an engine of its own for each URL, so that it remembers nothing, with the functions of PAC and no others. The engine
// runs in a process of its own ([Workers]): what a script does to it, it does not do to the service. It is bounded in the size of its
// source, the time that it computes, the depth of its calls, the number and the time of its look-ups, the length of its result, and its
// memory: 512 MiB on Linux, where the system counts; elsewhere a watch over the heap stops it between two of its operations. A script that
// passes these bounds in a way that the engine cannot stop ends with its process.
package pac

import (
	"context"
	"errors"
	"fmt"
	"net/url"
	"runtime/metrics"
	"strings"
	"time"

	"github.com/dlclark/regexp2/v2"
	"github.com/dop251/goja"
	"github.com/dop251/goja/parser"
)

// The bounds of a script.
const (
	MaxSource   = 1 << 20 // bytes
	MaxResult   = 8 << 10
	maxString   = 1 << 20              // that padding and repeating make
	maxArray    = 1 << 20              // elements that are filled or joined at once
	maxDepth    = 200                  // calls in calls
	maxCompute  = 2 * time.Second      // without the time of look-ups
	maxLookups  = 20                   // of different names
	maxLookup   = 3 * time.Second      // each
	maxMemory   = 128 << 20            // growth of the heap of the process meanwhile
	matchTime   = time.Second          // of one regular expression that needs backtracking
	memoryEvery = 2 * time.Millisecond // how often the heap is looked at
	running     = 2                    // scripts at once
	maxAlerts   = 20                   // lines that a script may say
	version     = "1.0"                // of getClientVersion
	maxAddress  = 64                   // addresses in a list
)

// The engine has no other way to limit the regular expressions that Go's own package cannot do.
func init() { regexp2.DefaultMatchTimeout = matchTime }

// Script is a script that was read.
type Script struct{ program *goja.Program }

// Compile reads the source of a script.
func Compile(source []byte) (*Script, error) {
	if len(source) > MaxSource {
		return nil, fmt.Errorf("it has more than %d bytes", MaxSource)
	}
	text := strings.TrimPrefix(string(source), "\ufeff")
	// Without the option the parser would read files that a comment of the script names.
	tree, err := goja.Parse("proxy.pac", strings.ToValidUTF8(text, "\ufffd"), parser.WithDisableSourceMaps)
	if err != nil {
		return nil, shorten(err)
	}
	p, err := goja.CompileAST(tree, false)
	if err != nil {
		return nil, shorten(err)
	}
	return &Script{p}, nil
}

// turns lets few scripts run at once, so that their bounds are bounds of the service.
var turns = make(chan struct{}, running)

// Find asks the script how a URL is reached: a text such as "PROXY a:1; DIRECT".
// The script sees no login and no fragment of the URL, and of an https URL no path and no query.
func (s *Script) Find(ctx context.Context, w World, u *url.URL) (result string, err error) {
	select {
	case turns <- struct{}{}:
		defer func() { <-turns }()
	case <-ctx.Done():
		return "", context.Cause(ctx)
	}
	r := &run{ctx: ctx, vm: goja.New(), world: w, known: map[string][]string{}}
	defer func() {
		// The engine panics where it has no other way; what it was asked is no fault of ours.
		if p := recover(); p != nil {
			result, err = "", fmt.Errorf("the engine gave up: %.200v", p)
		}
	}()
	r.vm.SetMaxCallStackSize(maxDepth)
	r.vm.SetParserOptions(parser.WithDisableSourceMaps)
	r.patience = time.AfterFunc(maxCompute, func() { r.vm.Interrupt(errCompute) })
	defer r.patience.Stop()
	defer context.AfterFunc(ctx, func() { r.vm.Interrupt(context.Cause(ctx)) })()
	defer watch(r.vm)()
	if err := r.prepare(); err != nil {
		return "", err
	}
	if _, err := r.vm.RunProgram(s.program); err != nil {
		return "", shorten(err)
	}
	find, ok := goja.AssertFunction(r.vm.Get("FindProxyForURLEx"))
	if !ok {
		if find, ok = goja.AssertFunction(r.vm.Get("FindProxyForURL")); !ok {
			return "", errors.New("it has no function FindProxyForURL")
		}
	}
	v, err := find(goja.Undefined(), r.vm.ToValue(visible(u)), r.vm.ToValue(strings.ToLower(u.Hostname())))
	if err != nil {
		return "", shorten(err)
	}
	text, ok := v.Export().(string)
	switch {
	case !ok:
		return "", errors.New("FindProxyForURL returned something else than a text")
	case len(text) > MaxResult:
		return "", fmt.Errorf("FindProxyForURL returned more than %d bytes", MaxResult)
	}
	return text, nil
}

// visible is what a script sees of a URL.
func visible(u *url.URL) string {
	v := &url.URL{Scheme: u.Scheme, Host: u.Host, Path: "/"}
	if u.Scheme != "https" {
		v.Path, v.RawPath, v.RawQuery = u.Path, u.RawPath, u.RawQuery
		if v.Path == "" {
			v.Path = "/"
		}
	}
	return v.String()
}

var (
	errCompute = fmt.Errorf("it computes for more than %v", maxCompute)
	errMemory  = fmt.Errorf("the memory grew by more than %d bytes while it ran", maxMemory)
)

// watch interrupts an engine while the heap grows too much, until the function it returns is called.
func watch(vm *goja.Runtime) (stop func()) {
	heap := func() uint64 {
		s := []metrics.Sample{{Name: "/memory/classes/heap/objects:bytes"}}
		metrics.Read(s)
		return s[0].Value.Uint64()
	}
	before, end := heap(), make(chan struct{})
	go func() {
		tick := time.NewTicker(memoryEvery)
		defer tick.Stop()
		for {
			select {
			case <-end:
				return
			case <-tick.C:
			}
			if now := heap(); now > before+maxMemory {
				vm.Interrupt(errMemory)
				return
			}
		}
	}()
	return func() { close(end) }
}

// shorten makes an error of the engine short and one line; one that interrupted it comes out as it is.
func shorten(err error) error {
	var stopped *goja.InterruptedError
	if errors.As(err, &stopped) {
		if why, ok := stopped.Value().(error); ok {
			return why
		}
	}
	var thrown *goja.Exception
	if errors.As(err, &thrown) {
		text, _, _ := strings.Cut(thrown.String(), "\n")
		return fmt.Errorf("%.300s", text)
	}
	text, _, _ := strings.Cut(err.Error(), "\n")
	return fmt.Errorf("%.300s", text)
}
