//go:build linux

// Package bench compares bits with the tool that a user would pick instead, in one run.
package bench

import (
	"context"
	"encoding/json"
	"fmt"
	"os"
	"os/exec"
	"path/filepath"
	"slices"
	"strconv"
	"strings"
	"syscall"
	"testing"
	"time"

	"bits"
	"bits/client"
	"bits/client/bitstest"
	"bits/internal/digest"
	"bits/internal/pki"
	"bits/internal/program"
	"bits/internal/wire"
)

// size is how much is moved: BITS_BENCH_MIB, or 1 GiB.
func size() int {
	if n, err := strconv.Atoi(os.Getenv("BITS_BENCH_MIB")); err == nil {
		return n << 20
	}
	return 1 << 30
}

// cost is what a transfer took.
type cost struct {
	wall, cpu time.Duration
	peak      int64 // bytes
}

func costOf(wall time.Duration, s *os.ProcessState) cost {
	u := s.SysUsage().(*syscall.Rusage)
	return cost{wall, s.UserTime() + s.SystemTime(), u.Maxrss << 10}
}

func median[T interface{ ~int64 }](all []cost, of func(cost) T) T {
	var v []T
	for _, c := range all {
		v = append(v, of(c))
	}
	slices.Sort(v)
	return v[len(v)/2]
}

// BenchmarkDownload moves a file from nginx on loopback, with curl and with the service, in turn; both are durable at the end: curl's
// file is synced after it ends.
func BenchmarkDownload(b *testing.B) {
	curl := program.Need(b, "curl")
	sync := program.Need(b, "sync")
	root, port, secure := pki.Root("root"), program.Port(b), program.Port(b)
	n := program.StartNginx(b, port, fmt.Sprintf("server { listen 127.0.0.1:%d; }", port))
	n.Kill()
	n.Configure(fmt.Sprintf("server { listen 127.0.0.1:%d; listen 127.0.0.1:%d ssl http2; %s }", port, secure, n.Pair("leaf", root.Server([]string{"localhost"}))))
	n.Start()
	authority := filepath.Join(n.Dir, "root.pem")
	bitstest.Must(b, os.WriteFile(authority, root.PEM(), 0o600))
	fill(b, n, nil)
	for name, url := range map[string]string{"HTTP": fmt.Sprintf("http://localhost:%d/file", port), "HTTPS": fmt.Sprintf("https://localhost:%d/file", secure)} {
		b.Run(name, func(b *testing.B) {
			var theirs, ours []cost
			for b.Loop() {
				theirs = append(theirs, byCurl(b, curl, sync, authority, url))
				ours = append(ours, byBits(b, root, bits.FileSpec{RemoteName: url}))
			}
			wall := func(c cost) time.Duration { return c.wall }
			cpu := func(c cost) time.Duration { return c.cpu }
			b.ReportMetric(median(ours, wall).Seconds(), "bits-s")
			b.ReportMetric(median(theirs, wall).Seconds(), "curl-s")
			b.ReportMetric(float64(median(ours, wall))/float64(median(theirs, wall)), "wall-ratio")
			b.ReportMetric(float64(median(ours, cpu))/float64(median(theirs, cpu)), "cpu-ratio")
			b.ReportMetric(float64(median(ours, func(c cost) int64 { return c.peak }))/(1<<20), "bits-peak-MiB")
			b.ReportMetric(float64(median(theirs, func(c cost) int64 { return c.peak }))/(1<<20), "curl-peak-MiB")
			b.ReportMetric(0, "ns/op")
		})
	}
}

// fill writes the file that is moved, in pieces: the peak of a child counts from that of this process. The digests see it too.
func fill(b *testing.B, n *program.Nginx, sums *digest.Running) {
	f, err := os.Create(filepath.Join(n.Dir, "www", "file"))
	bitstest.Must(b, err)
	for i := range size() >> 20 {
		piece := bitstest.Content(byte(i), 1<<20)
		if sums != nil {
			sums.Pass(piece, int64(i)<<20)
		}
		_, err := f.Write(piece)
		bitstest.Must(b, err)
	}
	bitstest.Must(b, f.Close())
}

// BenchmarkDigest moves the same file without a digest and with each of these, in turn: what a checksum costs, as a ratio.
func BenchmarkDigest(b *testing.B) {
	port := program.Port(b)
	n := program.StartNginx(b, port, fmt.Sprintf("server { listen 127.0.0.1:%d; }", port))
	names := []string{"sha256", "sha512", "blake3"}
	sums := digest.Run(names, nil, 0)
	fill(b, n, sums)
	want, all := sums.Sums(int64(size())), map[string][]cost{}
	for b.Loop() {
		for _, name := range append([]string{""}, names...) {
			file := bits.FileSpec{RemoteName: fmt.Sprintf("http://localhost:%d/file", port)}
			if name != "" {
				file.Digests = map[string]string{name: want[name]}
			}
			all[name] = append(all[name], byBits(b, pki.Root("root"), file))
		}
	}
	wall := func(c cost) time.Duration { return c.wall }
	cpu := func(c cost) time.Duration { return c.cpu }
	b.ReportMetric(median(all[""], wall).Seconds(), "plain-s")
	for _, name := range names {
		b.ReportMetric(float64(median(all[name], wall))/float64(median(all[""], wall)), name+"-wall-ratio")
		b.ReportMetric(float64(median(all[name], cpu))/float64(median(all[""], cpu)), name+"-cpu-ratio")
	}
	b.ReportMetric(0, "ns/op")
}

func byCurl(b *testing.B, curl, sync, authority, url string) cost {
	dir := program.Dir(b)
	defer os.RemoveAll(dir)
	file := filepath.Join(dir, "file")
	cmd := exec.Command(curl, "-sS", "--cacert", authority, "-o", file, url)
	cmd.Stderr = os.Stderr
	began := time.Now()
	bitstest.Must(b, cmd.Run(), exec.Command(sync, file).Run())
	return costOf(time.Since(began), cmd.ProcessState)
}

// byBits measures the service, from Create to the end of Complete.
func byBits(b *testing.B, root *pki.Pair, file bits.FileSpec) cost {
	ctx, dir := context.Background(), program.Dir(b)
	defer os.RemoveAll(dir)
	daemon := program.Command(dir, "daemon")
	bitstest.Must(b, daemon.Start())
	c := &client.Client{Socket: filepath.Join(dir, "run", "s")}
	for {
		if _, err := c.System(ctx); err == nil {
			break
		}
		time.Sleep(time.Millisecond)
	}
	file.LocalName = filepath.Join(dir, "file")
	began := time.Now()
	job, err := c.Create(ctx, bits.Spec{
		Files:      []bits.FileSpec{file},
		Properties: map[string]bits.RawMessage{"auto_complete": bits.RawMessage("true"), "roots": bitstest.JSON(string(root.PEM()))}, Resume: true,
	})
	bitstest.Must(b, err)
	job, err = c.Wait(ctx, job.ID)
	wall := time.Since(began)
	if err != nil || job.State != bits.StateAcknowledged {
		b.Fatalf("%v: %+v, %v", job.State, job.Error, err)
	}
	peak := peakOf(daemon.Process.Pid)
	daemon.Process.Signal(syscall.SIGTERM)
	daemon.Wait()
	used := costOf(wall, daemon.ProcessState)
	used.peak = peak
	return used
}

// peakOf is the most memory that a process has had.
func peakOf(pid int) int64 {
	status, err := os.ReadFile(fmt.Sprintf("/proc/%d/status", pid))
	if err != nil {
		return 0
	}
	for line := range strings.SplitSeq(string(status), "\n") {
		if f := strings.Fields(line); len(f) == 3 && f[0] == "VmHWM:" {
			n, _ := strconv.ParseInt(f[1], 10, 64)
			return n << 10
		}
	}
	return 0
}

// BenchmarkQuestion is the cost of a certificate question: a job of one small file over HTTPS, with and without a validator.
func BenchmarkQuestion(b *testing.B) {
	ctx := context.Background()
	s, o := bitstest.Start(b), bitstest.NewOrigin(b)
	o.File("/f", []byte("x"))
	run := func(validator bool) time.Duration {
		job := s.NewJob(map[string]any{"roots": string(o.Roots()), "priority": "FOREGROUND"}, o.URL+"/f")
		if validator {
			v, err := s.SetServerCertificateValidation(ctx, job.ID, &bitstest.Judge{})
			bitstest.Must(b, err)
			defer v.Close()
		}
		began := time.Now()
		bitstest.Must(b, s.Resume(ctx, job.ID))
		for e, err := range s.Events(ctx, client.Now, job.ID) {
			bitstest.Must(b, err)
			var body wire.StateEvent
			if e.Kind != wire.KindState {
				continue
			}
			if bitstest.Must(b, json.Unmarshal(e.Body, &body)); body.State == bits.StateTransferred {
				break
			}
		}
		d := time.Since(began)
		_, err := s.Cancel(ctx, job.ID)
		bitstest.Must(b, err)
		return d
	}
	var with, without []cost
	for b.Loop() {
		for range 50 { // in turn, as the machine's pace changes
			with = append(with, cost{wall: run(true)})
			without = append(without, cost{wall: run(false)})
		}
	}
	wall := func(c cost) time.Duration { return c.wall }
	a, c := median(with, wall), median(without, wall)
	b.ReportMetric(float64(a.Microseconds())/1000, "asked-ms")
	b.ReportMetric(float64(c.Microseconds())/1000, "not-asked-ms")
	b.ReportMetric(float64((a-c).Microseconds())/1000, "question-ms")
	b.ReportMetric(0, "ns/op")
}

// BenchmarkManyFiles moves the same small files in one job and in many, from the same origin: what a file costs must not grow with the
// number of files in its job. BITS_BENCH_FILES is how many, or 10,000.
func BenchmarkManyFiles(b *testing.B) {
	all := 10_000
	if n, err := strconv.Atoi(os.Getenv("BITS_BENCH_FILES")); err == nil {
		all = n
	}
	ctx, o := context.Background(), bitstest.NewOrigin(b)
	o.File("/f", bitstest.Content(1, 1000))
	for _, each := range []int{200, all} {
		b.Run(fmt.Sprintf("%d-of-%d", all/each, each), func(b *testing.B) {
			for b.Loop() {
				s := bitstest.Start(b)
				var ids []string
				for range all / each {
					spec := bits.Spec{Resume: true, Properties: map[string]bits.RawMessage{"priority": bits.RawMessage(`"HIGH"`)}}
					for i := range each {
						spec.Files = append(spec.Files, bits.FileSpec{RemoteName: o.Plain + "/f", LocalName: s.Path(fmt.Sprintf("%d-%d", len(ids), i))})
					}
					job, err := s.Create(ctx, spec)
					bitstest.Must(b, err)
					ids = append(ids, job.ID)
				}
				for _, id := range ids {
					job, err := s.Wait(ctx, id)
					if err != nil || job.State != bits.StateTransferred {
						b.Fatal(job.State, err)
					}
				}
				s.Stop()
			}
			b.ReportMetric(float64(b.Elapsed().Microseconds())/float64(b.N)/float64(all), "us/file")
			b.ReportMetric(0, "ns/op")
		})
	}
}
