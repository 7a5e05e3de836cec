package tests

import (
	"bytes"
	"fmt"
	"net"
	"net/http"
	"os"
	"os/exec"
	"path/filepath"
	"runtime"
	"slices"
	"strings"
	"sync"
	"syscall"
	"testing"
	"time"

	"golang.org/x/sys/unix"

	"bits"
	"bits/client/bitstest"
	"bits/hresult"
	"bits/internal/program"
	"bits/internal/wire"
)

// lan is a network of two machines: this process, whose service is to fetch, and a namespace with an origin, at the other end of cables.
// Addresses: this end of cable n has 192.0.2n.1 and 2001:db8:n::1, the other one 192.0.2n.2 and 2001:db8:n::2; the origin answers at
// every one of the other end, and at 203.0.113.1, which lies behind.
type lan struct {
	*bitstest.Service
	*bitstest.Origin
	t     *testing.T
	peer  int // the thread in the other namespace
	there chan func()
	dir   string        // of what stands for files in /etc
	slack time.Duration // for a machine that has much else to do

	mu   sync.Mutex
	from []string // addresses that connections came from
}

func newLAN(t *testing.T) *lan {
	l := &lan{Origin: bitstest.NewOrigin(t), t: t, there: make(chan func()), dir: t.TempDir()}
	ready := make(chan error)
	go func() {
		runtime.LockOSThread() // and never unlocked: the thread ends with its namespace
		l.peer = syscall.Gettid()
		ready <- unix.Unshare(unix.CLONE_NEWNET)
		for f := range l.there {
			f()
		}
	}()
	bitstest.Must(t, <-ready)
	run(t, "ip", "link", "set", "lo", "up")
	l.far("ip link set lo up", "ip address add 203.0.113.1/32 dev lo")
	var listener net.Listener
	l.do(func() {
		var err error
		listener, err = net.Listen("tcp", ":80")
		bitstest.Must(t, err)
	})
	server := &http.Server{Handler: l.Origin, ConnState: func(c net.Conn, s http.ConnState) {
		if s == http.StateNew {
			l.mu.Lock()
			defer l.mu.Unlock()
			host, _, _ := net.SplitHostPort(c.RemoteAddr().String())
			l.from = append(l.from, host)
		}
	}}
	go server.Serve(listener)
	t.Cleanup(func() { server.Close() })
	l.near("mount --make-rprivate /")
	for name, text := range map[string]string{"resolv.conf": resolver("192.0.20.9"), "hosts": hosts} {
		bitstest.Must(t, os.WriteFile(filepath.Join(l.dir, name), []byte(text), 0o644))
		l.near("mount --bind " + filepath.Join(l.dir, name) + " /etc/" + name)
	}
	l.cable(0) // it is there before the service is
	l.Service = bitstest.Start(t)
	began := time.Now()
	l.File("/first", content)
	job := l.NewJob(map[string]any{"priority": "FOREGROUND"}, l.Plain+"/first")
	bitstest.Must(t, l.Resume(ctx, job.ID))
	l.Await(job.ID, bits.StateTransferred)
	_, err := l.Cancel(ctx, job.ID)
	bitstest.Must(t, err)
	l.slack = 10 * time.Since(began) // a job without a network, on an idle machine well below a tenth of a second
	return l
}

// resolver is the text of a resolv.conf.
func resolver(server string) string {
	return "nameserver " + server + "\noptions timeout:1 attempts:1\n"
}

// hosts is the text of a hosts file. Nobody is at 9.
const hosts = "2001:db8:0::9 both.test\n192.0.20.2 both.test\n2001:db8:0::2 six.test\n192.0.20.9 gone.test\n2001:db8:0::2 gone.test\n"

// do does something in the other namespace.
func (l *lan) do(f func()) {
	done := make(chan bool)
	l.there <- func() { defer close(done); f() }
	<-done
}

// near runs commands here, far at the other end.
func (l *lan) near(lines ...string) {
	l.t.Helper()
	for _, line := range lines {
		words := strings.Fields(line)
		run(l.t, words[0], words[1:]...)
	}
}

func (l *lan) far(lines ...string) {
	l.t.Helper()
	l.do(func() { l.near(lines...) })
}

// cable lays a cable, whose ends are called near and far and its number.
func (l *lan) cable(n int) {
	l.t.Helper()
	l.near(fmt.Sprintf("ip link add near%d type veth peer name far%[1]d", n), fmt.Sprintf("ip link set far%d netns %d", n, l.peer))
	for end, on := range []func(...string){l.near, l.far} {
		dev := fmt.Sprintf("%s%d", []string{"near", "far"}[end], n)
		on(fmt.Sprintf("ip address add 192.0.2%d.%d/24 dev %s", n, end+1, dev), fmt.Sprintf("ip address add 2001:db8:%d::%d/64 dev %s nodad", n, end+1, dev), "ip link set "+dev+" up")
	}
}

// fetch resumes a job of its own that fetches a slow file, and waits until some of it is there.
func (l *lan) fetch(host, name string, properties map[string]any) *bits.Job {
	l.t.Helper()
	l.File("/"+name, content)
	l.Fault("/"+name, bitstest.Slow(400_000))
	job := l.NewJob(properties, "http://"+host+"/"+name)
	bitstest.Must(l.t, l.Resume(ctx, job.ID))
	return l.Until(job.ID, func(j *bits.Job) bool { return j.State == bits.StateTransferring && j.Progress.BytesReceived > 120_000 })
}

// arrives waits for a job to be TRANSFERRED within a time, and looks at the file.
func (l *lan) arrives(job *bits.Job, within time.Duration) *bits.Job {
	l.t.Helper()
	began := time.Now()
	now := l.Await(job.ID, bits.StateTransferred)
	if took := time.Since(began); took > within+l.slack {
		l.t.Errorf("it took %v, and %v and %v are allowed", took, within, l.slack)
	}
	_, err := l.Complete(ctx, job.ID)
	bitstest.Must(l.t, err)
	there, err := os.ReadFile(job.Files[0].LocalName)
	if err != nil || !bytes.Equal(there, content) {
		l.t.Errorf("%d bytes, %v; want %d", len(there), err, len(content))
	}
	return now
}

// offline waits until a job says that there is no network, and that it waits for one.
func (l *lan) offline(job *bits.Job) *bits.Job {
	l.t.Helper()
	began := time.Now()
	now := l.Await(job.ID, bits.StateTransientError)
	if took := time.Since(began); took > 4*time.Second+l.slack {
		l.t.Errorf("it took %v to see that the network has gone", took)
	}
	wantError(l.t, now, bits.StateTransientError, bits.ContextQueueManager, hresult.BG_E_NETWORK_DISCONNECTED)
	if now.ErrorCount != 0 || now.Waiting == nil || now.Waiting.Until != nil || !strings.Contains(now.Waiting.Reason, "it waits for a network") {
		l.t.Errorf("%d errors are counted; it waits: %+v", now.ErrorCount, now.Waiting)
	}
	return now
}

// resumed looks whether the second request for a file began where the first had ended; what is compared at the seam comes once more.
// At 0 it is not known where that was.
func (l *lan) resumed(name string, at int64) {
	l.t.Helper()
	var from []int64
	for _, line := range l.Seen() {
		var n int64
		if _, err := fmt.Sscanf(line, "GET /"+name+" bytes=%d-", &n); err == nil {
			from = append(from, n)
		}
	}
	const seam = 64 << 10
	if len(from) != 2 || from[0] != 0 || from[1] == 0 || at > 0 && (from[1] > at || from[1] < at-seam) {
		l.t.Errorf("requests began at %v; the second should at %d, or %d before", from, at, seam)
	}
}

// content is what every file has.
var content = bitstest.Content(7, 500_000)

// Networks that come, go and change, in namespaces of the test's own. Every job waits 600 seconds for its timer; what goes on goes on
// without one.
func TestNetworks(t *testing.T) {
	t.Parallel()
	asRoot(t)
	for name, test := range map[string]func(*lan){
		"cable out and in": func(l *lan) {
			running := l.fetch("192.0.20.2", "a", nil)
			queued := l.NewJob(nil, "http://192.0.20.2/b") // one background job at a time
			l.File("/b", content)
			bitstest.Must(l.t, l.Resume(ctx, queued.ID))
			l.far("ip link set far0 down")
			at := l.offline(running).Progress.BytesTransferred
			l.offline(queued)
			l.far("ip link set far0 up")
			l.arrives(running, 5*time.Second)
			l.arrives(queued, 5*time.Second)
			l.resumed("a", int64(at))
		},
		"interface removed, another added": func(l *lan) {
			l.near("ip route add default via 192.0.20.2")
			job := l.fetch("203.0.113.1", "a", nil)
			l.near("ip link delete near0")
			at := l.offline(job).Progress.BytesTransferred
			l.cable(1)
			l.near("ip route add default via 192.0.21.2")
			l.arrives(job, 6*time.Second)
			l.resumed("a", int64(at))
		},
		"another address": func(l *lan) {
			job := l.fetch("192.0.20.2", "a", nil)
			l.near("ip address add 192.0.20.77/25 dev near0", "ip address delete 192.0.20.1/24 dev near0") // one of the same network would go with the first
			if now := l.arrives(job, 5*time.Second); now.ErrorCount != 0 {
				l.t.Errorf("%d errors are counted", now.ErrorCount)
			}
			l.resumed("a", 0)
			if got := fmt.Sprint(slices.Compact(l.from)); got != "[192.0.20.1 192.0.20.77]" { // it may dial once more, if both come to be known one after another
				l.t.Errorf("connections came from %s", got)
			}
		},
		"a route appears": func(l *lan) {
			l.File("/a", content)
			job := l.NewJob(nil, "http://203.0.113.1/a")
			bitstest.Must(l.t, l.Resume(ctx, job.ID))
			wantError(l.t, l.Await(job.ID, bits.StateTransientError), bits.StateTransientError, bits.ContextRemoteFile, hresult.ERROR_WINHTTP_CANNOT_CONNECT)
			l.near("ip route add 203.0.113.0/24 via 192.0.20.2")
			l.arrives(job, 3*time.Second)
		},
		"VPN up and down": func(l *lan) {
			l.File("/up", content)
			job := l.NewJob(nil, "http://203.0.113.1/up")
			bitstest.Must(l.t, l.Resume(ctx, job.ID))
			wantError(l.t, l.Await(job.ID, bits.StateTransientError), bits.StateTransientError, bits.ContextRemoteFile, hresult.ERROR_WINHTTP_CANNOT_CONNECT)
			l.cable(1)
			l.near("ip route add default via 192.0.21.2")
			l.arrives(job, 6*time.Second)
			job = l.fetch("203.0.113.1", "down", nil)
			l.near("ip route add default via 192.0.20.2 metric 1000", "ip link delete near1")
			if now := l.arrives(job, 5*time.Second); now.ErrorCount != 0 {
				l.t.Errorf("%d errors are counted", now.ErrorCount)
			}
			l.resumed("down", 0)
		},
		"loopback without a network": func(l *lan) {
			l.File("/a", content)
			l.Fault("/a", bitstest.Slow(400_000))
			job := l.NewJob(nil, l.Plain+"/a")
			bitstest.Must(l.t, l.Resume(ctx, job.ID))
			l.Until(job.ID, func(j *bits.Job) bool { return j.Progress.BytesReceived > 120_000 })
			l.near("ip link delete near0")
			l.arrives(job, 5*time.Second)
			if l.Requests() != 2 { // with that of newLAN
				l.t.Errorf("requests: %q", l.Seen())
			}
		},
		"names": func(l *lan) {
			l.near("ip neighbour add 192.0.20.9 lladdr 02:00:00:00:00:09 dev near0")
			l.File("/a", content)
			l.File("/b", content)
			patient, quick := l.NewJob(nil, "http://origin.test/a"), l.NewJob(map[string]any{"backoff": bits.Backoff{First: 1, Max: 2}}, "http://origin.test/b")
			for _, job := range []*bits.Job{patient, quick} {
				bitstest.Must(l.t, l.Resume(ctx, job.ID))
				wantError(l.t, l.Await(job.ID, bits.StateTransientError), bits.StateTransientError, bits.ContextRemoteFile, hresult.ERROR_WINHTTP_NAME_NOT_RESOLVED)
			}
			l.far("ip address add 192.0.20.9/24 dev far0")
			stop := l.names("192.0.20.9")
			l.near("ip neighbour delete 192.0.20.9 dev near0")
			l.arrives(quick, 10*time.Second)
			stop()
			if now, err := l.Job(ctx, patient.ID); err != nil || now.State != bits.StateTransientError {
				l.t.Errorf("%v, %v", now.State, err)
			}
			l.names("192.0.20.2")
			bitstest.Must(l.t, os.WriteFile("/etc/resolv.conf", []byte(resolver("192.0.20.2")), 0))
			l.arrives(patient, 10*time.Second)
		},
		// A real name server, which is a DHCP server too, and the resolver of the system: the script is found, fetched, run, and obeyed.
		"WPAD by DNS": func(l *lan) {
			bitstest.Must(l.t, os.WriteFile("/etc/resolv.conf", []byte("search sub.corp.example.test\n"+resolver("192.0.20.2")), 0))
			l.dnsmasq("--local=/test/", "--address=/wpad.corp.example.test/192.0.20.2", "--address=/files.example.test/192.0.20.2", "--dhcp-range=192.0.20.50,192.0.20.60,1h")
			p := new(proxy)
			server := &http.Server{Handler: p}
			l.do(func() {
				listener, err := net.Listen("tcp", "192.0.20.2:3128")
				bitstest.Must(l.t, err)
				go server.Serve(listener)
			})
			l.t.Cleanup(func() { server.Close() })
			l.File("/a", content)
			l.File("/wpad.dat", []byte(`function FindProxyForURL(url, host) { return dnsResolve(host) == "192.0.20.2" ? "PROXY 192.0.20.2:3128" : "DIRECT" }`))
			job := l.NewJob(map[string]any{"proxy_settings": bits.ProxySettings{Usage: bits.ProxyAutodetect}}, "http://files.example.test/a")
			bitstest.Must(l.t, l.Resume(ctx, job.ID))
			l.arrives(job, 10*time.Second)
			if n := p.plain.Load(); n == 0 || !slices.Contains(l.Seen(), "GET /wpad.dat ") {
				l.t.Errorf("%d requests came through the proxy; of all %q", n, l.Seen())
			}
			var would wire.Route
			bitstest.Must(l.t, l.Do(ctx, "POST", "/proxy", wire.Explain{URL: "http://files.example.test/a", ProxySettings: bits.ProxySettings{Usage: bits.ProxyAutodetect}}, &would))
			why := strings.Join(would.Why, "\n")
			for _, note := range []string{"DHCP names no script", "DNS has no wpad.sub.corp.example.test", "DNS has wpad.corp.example.test", "the script http://wpad.corp.example.test/wpad.dat answers \"PROXY 192.0.20.2:3128\""} {
				if !strings.Contains(why, note) {
					l.t.Errorf("%q is not in %s", note, why)
				}
			}
		},
		"packets are lost": func(l *lan) {
			for i, on := range []func(...string){l.near, l.far} {
				on("nft add table inet lossy", "nft add chain inet lossy in { type filter hook input priority 0 ; }", "nft add rule inet lossy in numgen random mod 100 < 5 counter drop")
				on("ip link set " + []string{"near0", "far0"}[i] + " gso_max_segs 1") // packets as large as on a real cable
			}
			l.File("/a", content)
			job := l.NewJob(map[string]any{"backoff": bits.Backoff{First: 1, Max: 1}}, "http://192.0.20.2/a")
			bitstest.Must(l.t, l.Resume(ctx, job.ID))
			l.arrives(job, 20*time.Second)
			if out, err := exec.Command(program.Need(l.t, "nft"), "list", "ruleset").CombinedOutput(); err != nil || strings.Contains(string(out), "packets 0 ") {
				l.t.Errorf("no packet was lost: %v, %s", err, out)
			}
		},
		"IPv6 and Happy Eyeballs": func(l *lan) {
			// The way to 9 is known: what is sent is lost without a word.
			l.near("ip neighbour add 2001:db8:0::9 lladdr 02:00:00:00:00:09 dev near0", "ip neighbour add 192.0.20.9 lladdr 02:00:00:00:00:09 dev near0")
			for i, host := range []string{"[2001:db8:0::2]", "192.0.20.2", "six.test", "both.test", "gone.test"} {
				name := fmt.Sprint(i)
				l.File("/"+name, content)
				job := l.NewJob(map[string]any{"priority": "FOREGROUND"}, "http://"+host+"/"+name)
				bitstest.Must(l.t, l.Resume(ctx, job.ID))
				l.arrives(job, 2*time.Second)
			}
		},
	} {
		t.Run(name, func(t *testing.T) {
			t.Parallel()
			if elsewhere(t, &syscall.SysProcAttr{Cloneflags: syscall.CLONE_NEWNET | syscall.CLONE_NEWNS}) {
				test(newLAN(t))
			}
		})
	}
}

// dnsmasq starts a dnsmasq at the other end, and waits until it answers.
func (l *lan) dnsmasq(args ...string) {
	l.t.Helper()
	cmd := exec.Command(program.Need(l.t, "dnsmasq"), append([]string{"-k", "--conf-file=/dev/null", "--no-hosts", "--no-resolv", "--user=root", "--pid-file=", "--leasefile-ro", "--interface=far0", "--bind-interfaces"}, args...)...)
	l.do(func() { bitstest.Must(l.t, cmd.Start()) })
	l.t.Cleanup(func() { cmd.Process.Kill(); cmd.Wait() })
	for end := time.Now().Add(10 * time.Second); time.Now().Before(end); time.Sleep(10 * time.Millisecond) {
		if c, err := net.Dial("tcp", "192.0.20.2:53"); err == nil {
			c.Close()
			return
		}
	}
	l.t.Fatal("dnsmasq does not answer")
}

// names is a name server at an address of the other end, where every name is 192.0.20.2.
func (l *lan) names(at string) (stop func() error) {
	l.t.Helper()
	var c net.PacketConn
	l.do(func() {
		var err error
		c, err = net.ListenPacket("udp", at+":53")
		bitstest.Must(l.t, err)
	})
	l.t.Cleanup(func() { c.Close() })
	go func() {
		for buf := make([]byte, 1500); ; {
			n, from, err := c.ReadFrom(buf)
			if err != nil {
				return
			}
			end := 12 + bytes.IndexByte(buf[12:n], 0) + 5 // name, type, class
			answer := bytes.Clone(buf[:end])
			answer[2], answer[3] = answer[2]|0x80, 0x80
			copy(answer[6:12], make([]byte, 6))
			if answer[end-3] == 1 { // A; there is nothing else
				answer[7] = 1
				answer = append(answer, 0xc0, 12, 0, 1, 0, 1, 0, 0, 0, 0, 0, 4, 192, 0, 20, 2)
			}
			c.WriteTo(answer, from)
		}
	}()
	return c.Close
}
