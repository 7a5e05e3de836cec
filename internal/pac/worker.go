package pac

import (
	"bufio"
	"context"
	"encoding/json"
	"errors"
	"fmt"
	"io"
	"net"
	"net/netip"
	"net/url"
	"os"
	"os/exec"
	"runtime/debug"
	"time"
)

// marker is the environment variable that makes a program with this package in it the worker of another.
const marker = "BITS_PAC_WORKER"

const (
	maxRun    = 15 * time.Second // of one request, look-ups and all; then the worker is ended
	idleTime  = 30 * time.Second // after which a worker ends itself
	stackSize = 32 << 20
	dataSize  = 512 << 20 // of a worker, where the system can limit it
	kept      = 4         // scripts that a worker remembers
)

// Here, and not in a command: a test that has a service in it is its worker too.
func init() {
	if os.Getenv(marker) == "" {
		return
	}
	debug.SetMaxStack(stackSize)
	limit(dataSize)
	serve(os.Stdin, os.Stdout)
	os.Exit(0)
}

// request and answer are the messages between a service and its worker, one a line.
type request struct {
	Source []byte
	URL    string
}

type answer struct {
	Result string
	Alerts []string
	Fault  string
}

// serve answers requests until there are no more, or it has been idle.
func serve(in io.Reader, out io.Writer) {
	idle := time.AfterFunc(idleTime, func() { os.Exit(0) })
	scripts := map[string]*Script{}
	from, to := json.NewDecoder(in), json.NewEncoder(out)
	for {
		var q request
		if from.Decode(&q) != nil {
			return
		}
		idle.Stop()
		end := time.AfterFunc(maxRun, func() { os.Exit(3) }) // the service does so too; it may be gone
		var a answer
		script, err := scripts[string(q.Source)], error(nil)
		if script == nil {
			if script, err = Compile(q.Source); err == nil {
				if len(scripts) >= kept {
					clear(scripts)
				}
				scripts[string(q.Source)] = script
			}
		}
		var u *url.URL
		if err == nil {
			u, err = url.Parse(q.URL)
		}
		if err == nil {
			world := World{Lookup: lookup, Mine: mine, Alert: func(s string) { a.Alerts = append(a.Alerts, s) }}
			a.Result, err = script.Find(context.Background(), world, u)
		}
		if err != nil {
			a.Fault = err.Error()
		}
		end.Stop()
		if to.Encode(a) != nil {
			return
		}
		idle.Reset(idleTime)
	}
}

func lookup(ctx context.Context, host string) ([]netip.Addr, error) {
	return net.DefaultResolver.LookupNetIP(ctx, "ip", host)
}

// mine are the addresses of this machine; the one that it would use towards the internet is first. Nothing is sent to find it out.
func mine() (all []netip.Addr) {
	for _, towards := range []string{"192.0.2.1:9", "[2001:db8::1]:9"} {
		if c, err := net.Dial("udp", towards); err == nil {
			if a, ok := c.LocalAddr().(*net.UDPAddr); ok {
				all = append(all, a.AddrPort().Addr().Unmap())
			}
			c.Close()
		}
	}
	addrs, _ := net.InterfaceAddrs()
	for _, a := range addrs {
		if n, ok := a.(*net.IPNet); ok && n.IP.IsGlobalUnicast() {
			if ip, ok := netip.AddrFromSlice(n.IP); ok && (len(all) == 0 || all[0] != ip.Unmap()) {
				all = append(all, ip.Unmap())
			}
		}
	}
	return all
}

// Workers are processes of their own in which scripts run: what a script does to its engine, it does not do to the service.
type Workers struct{ slots chan *worker }

// NewWorkers makes the workers. Their processes are started when they are needed, and end soon after.
func NewWorkers() *Workers {
	w := &Workers{make(chan *worker, running)}
	for range running {
		w.slots <- nil
	}
	return w
}

// Find asks a script how a URL is reached; see [Script.Find]. It also returns what the script said with alert.
func (w *Workers) Find(ctx context.Context, source []byte, u *url.URL) (result string, alerts []string, err error) {
	if len(source) > MaxSource {
		return "", nil, fmt.Errorf("it has more than %d bytes", MaxSource)
	}
	var one *worker
	select {
	case one = <-w.slots:
	case <-ctx.Done():
		return "", nil, context.Cause(ctx)
	}
	defer func() { w.slots <- one }()
	ctx, cancel := context.WithTimeoutCause(ctx, maxRun, fmt.Errorf("it took longer than %v", maxRun))
	defer cancel()
	clean := *u
	clean.User, clean.Fragment = nil, ""
	q := request{source, clean.String()}
	for fresh := one == nil; ; fresh = true {
		if one == nil {
			if one, err = start(); err != nil {
				return "", nil, err
			}
		}
		a, err := one.ask(ctx, q)
		if err == nil {
			if a.Fault != "" {
				err = errors.New(a.Fault)
			}
			return a.Result, a.Alerts, err
		}
		one.end()
		one = nil
		if ctx.Err() != nil {
			return "", nil, context.Cause(ctx)
		} else if fresh { // else it had ended for idleness, perhaps
			return "", nil, errors.New("it has brought its engine down: it calls itself too deeply, or takes too much memory")
		}
	}
}

// Close ends the processes.
func (w *Workers) Close() {
	for range running {
		if one := <-w.slots; one != nil {
			one.end()
		}
		w.slots <- nil
	}
}

// worker is one process.
type worker struct {
	process *os.Process
	in      io.WriteCloser
	out     *bufio.Reader
	pipe    io.Closer // what out reads
}

func start() (*worker, error) {
	program, err := os.Executable()
	if err != nil {
		return nil, fmt.Errorf("cannot start a process for the script: %w", err)
	}
	cmd := exec.Command(program)
	cmd.Env = append(system(), marker+"=1")
	cmd.Dir = os.TempDir()
	in, err1 := cmd.StdinPipe()
	out, err2 := cmd.StdoutPipe()
	if err := errors.Join(err1, err2); err != nil {
		return nil, err
	}
	if err := cmd.Start(); err != nil {
		return nil, fmt.Errorf("cannot start a process for the script: %w", err)
	}
	go cmd.Process.Wait() // one that has ended for idleness does not stay as a zombie
	return &worker{cmd.Process, in, bufio.NewReaderSize(out, 8*MaxResult), out}, nil
}

func (w *worker) end() {
	w.in.Close()
	w.process.Kill()
	w.pipe.Close()
}

// ask sends a request and reads the answer. When the context ends, so does the process.
func (w *worker) ask(ctx context.Context, q request) (a answer, err error) {
	stop := context.AfterFunc(ctx, func() { w.process.Kill() })
	defer stop()
	line, err := json.Marshal(q)
	if err != nil {
		return a, err
	}
	if _, err := w.in.Write(append(line, '\n')); err != nil {
		return a, err
	}
	text, err := w.out.ReadSlice('\n') // longer than the buffer: an error
	if err == nil {
		err = json.Unmarshal(text, &a)
	}
	return a, err
}

// system are the variables that a process needs at all.
func system() (env []string) {
	for _, name := range []string{"SYSTEMROOT", "SystemRoot", "RES_OPTIONS", "LOCALDOMAIN"} {
		if v, ok := os.LookupEnv(name); ok {
			env = append(env, name+"="+v)
		}
	}
	return env
}
