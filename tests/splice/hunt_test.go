//go:build unix

package splice

import (
	"context"
	"fmt"
	"math/rand/v2"
	"net/url"
	"os"
	"os/exec"
	"path/filepath"
	"strconv"
	"strings"
	"sync"
	"testing"
	"time"

	"bits"
	"bits/client/bitstest"
	"bits/hresult"
)

var ctx = context.Background()

// tries is how often a user of another tool runs it again after an error.
const tries = 25

// number reads a number from the environment.
func number(name string, otherwise int) int {
	if n, err := strconv.Atoi(os.Getenv(name)); err == nil {
		return n
	}
	return otherwise
}

// tool is what is hunted: it fetches all resources of an origin into a folder, and tells which it says are done.
type tool struct {
	name  string
	fetch func(t *testing.T, o *origin, dir string, seed uint64) (done []bool)
}

// repeat runs a program again and again, as people and scripts do, until it says that it is done; some runs are killed.
func repeat(command func(url, dir, name string) []string) func(*testing.T, *origin, string, uint64) []bool {
	return func(t *testing.T, o *origin, dir string, seed uint64) []bool {
		done := make([]bool, len(o.all))
		each(len(o.all), func(n int) {
			rng := rand.New(rand.NewPCG(seed+uint64(n), 2))
			for range tries {
				args := command(o.at(n), dir, strconv.Itoa(n))
				c, cancel := context.WithTimeout(ctx, 20*time.Second)
				cmd := exec.CommandContext(c, args[0], args[1:]...)
				cmd.Env = append(os.Environ(), "no_proxy=*")
				if rng.IntN(3) == 0 {
					time.AfterFunc(time.Duration(5+rng.IntN(30))*time.Millisecond, cancel)
				}
				err := cmd.Run()
				cancel()
				if done[n] = err == nil; done[n] {
					return
				}
			}
		})
		return done
	}
}

// each calls f for 0 to n-1, sixteen at once.
func each(n int, f func(int)) {
	var all sync.WaitGroup
	next := make(chan int)
	for range 16 {
		all.Go(func() {
			for i := range next {
				f(i)
			}
		})
	}
	for i := range n {
		next <- i
	}
	close(next)
	all.Wait()
}

var tools = []tool{
	{"bits", ours},
	{"curl -C -", repeat(func(url, dir, name string) []string {
		return []string{"curl", "-q", "-sS", "-f", "-C", "-", "-o", filepath.Join(dir, name), url}
	})},
	{"wget -c", repeat(func(url, dir, _ string) []string {
		return []string{"wget", "--no-config", "-q", "-c", "--tries=2", "--waitretry=0", "-P", dir, url}
	})},
	{"aria2c", repeat(func(url, dir, name string) []string {
		return []string{"aria2c", "--no-conf", "-q", "-c", "--auto-save-interval=1", "--max-tries=2", "--file-allocation=none", "-d", dir, "-o", name, url}
	})},
}

// atOnce is how many jobs there are at a time.
const atOnce = 64

// ours fetches with the service, which is killed again and again.
func ours(t *testing.T, o *origin, dir string, seed uint64) []bool {
	s := bitstest.Start(t, bitstest.Process)
	rng := rand.New(rand.NewPCG(seed, 3))
	done := make([]bool, len(o.all))
	for from := 0; from < len(o.all); from += atOnce {
		until := min(from+atOnce, len(o.all))
		jobs := map[string]int{}
		for n := from; n < until; n++ {
			file := o.file(n)
			file.LocalName = filepath.Join(dir, strconv.Itoa(n))
			jobs[create(t, s, file).ID] = n
		}
		kill := time.Now().Add(time.Duration(30+rng.IntN(200)) * time.Millisecond)
		for end := time.Now().Add(60 * time.Second); len(jobs) > 0; {
			if time.Now().After(end) {
				for id, n := range jobs {
					now, _ := s.Client.Job(ctx, id)
					t.Errorf("seed %d: %s: %s, %+v", o.all[n].seed, o.all[n].kind.name, now.State, now.Error)
				}
				return done
			}
			if time.Now().After(kill) {
				s.Kill()
				s.Restart()
				kill = time.Now().Add(time.Duration(200+rng.IntN(600)) * time.Millisecond)
			}
			list, err := s.Client.Jobs(ctx, url.Values{"final": {"true"}})
			bitstest.Must(t, err)
			for _, j := range list {
				n, mine := jobs[j.ID]
				bad := j.State == bits.StateError && j.Error.Code == hresult.BG_E_VALIDATION_FAILED
				switch {
				case !mine:
				case j.State == bits.StateTransientError:
					s.Client.Resume(ctx, j.ID) // it may have ended its wait
				case bad && (o.all[n].kind.known != nothing || o.all[n].kind.late):
					s.Client.Resume(ctx, j.ID) // the server had not come to that version yet
				case j.State == bits.StateAcknowledged, j.State == bits.StateError:
					done[n] = j.State == bits.StateAcknowledged
					if !done[n] && !(bad && o.all[n].kind.lies) {
						t.Errorf("seed %d: %s: %+v", o.all[n].seed, o.all[n].kind.name, j.Error)
					}
					delete(jobs, j.ID)
				}
			}
			time.Sleep(5 * time.Millisecond)
		}
	}
	return done
}

func create(t *testing.T, s *bitstest.Service, file bits.FileSpec) *bits.Job {
	t.Helper()
	job, err := s.Client.Create(ctx, bits.Spec{Resume: true, Files: []bits.FileSpec{file}, Properties: map[string]bits.RawMessage{
		"auto_complete": bits.RawMessage("true"), "no_replace": bits.RawMessage("true"), "priority": bits.RawMessage(`"FOREGROUND"`),
		"backoff": bits.RawMessage(`{"first":1,"max":1,"jitter":0}`),
	}})
	bitstest.Must(t, err)
	return job
}

// result is what came of the rounds with one tool.
type result struct{ whole, spliced, unfinished int }

// TestHunt lets each tool fetch the same resources over the same faults. Ours must finish every one, with one version of it.
// BITS_ROUNDS is how many, BITS_SEED where the numbers begin.
func TestHunt(t *testing.T) {
	rounds, seed := number("BITS_ROUNDS", len(kinds)), uint64(number("BITS_SEED", int(time.Now().UnixNano()&0xffffff)))
	t.Logf("BITS_ROUNDS=%d BITS_SEED=%d", rounds, seed)
	table := &strings.Builder{}
	fmt.Fprintf(table, "| %d rounds each | one version | spliced, and called done | never done | bytes sent, of those needed |\n|---|---|---|---|---|\n", rounds)
	others := result{}
	detail := map[string]map[string]*result{}
	for _, tool := range tools {
		if _, err := exec.LookPath(strings.Fields(tool.name)[0]); err != nil && tool.name != "bits" {
			t.Logf("%s is not installed", tool.name)
			continue
		}
		began, o, dir := time.Now(), newOrigin(t, rounds, seed), t.TempDir()
		done := tool.fetch(t, o, dir, seed)
		sum, by := result{}, map[string]*result{}
		detail[tool.name] = by
		needed, sent := int64(0), int64(0)
		for n, r := range o.all {
			of := by[r.kind.name]
			if of == nil {
				of = &result{}
				by[r.kind.name] = of
			}
			needed, sent = needed+int64(r.size), sent+r.served.Load()
			told := nothing
			if tool.name == "bits" {
				told = r.kind.known
			}
			there, err := os.ReadFile(filepath.Join(dir, strconv.Itoa(n)))
			switch {
			case !done[n]:
				sum.unfinished++
				of.unfinished++
				if tool.name == "bits" && err == nil {
					t.Errorf("seed %d, %s: there is a file, and its job is ERROR", r.seed, r.kind.name)
				}
			case err == nil && r.is(there, told):
				sum.whole++
				of.whole++
			default:
				sum.spliced++
				of.spliced++
				if tool.name == "bits" {
					t.Errorf("seed %d, %s: the file is no version of the resource (%v)", r.seed, r.kind.name, err)
				}
			}
		}
		if tool.name != "bits" {
			others.spliced += sum.spliced
		}
		t.Logf("%s: %s", tool.name, time.Since(began).Round(time.Second))
		fmt.Fprintf(table, "| `%s` | %d | %d | %d | %.2f |\n", tool.name, sum.whole, sum.spliced, sum.unfinished, float64(sent)/float64(needed))
	}
	fmt.Fprint(table, "\n| server |")
	for _, tool := range tools {
		fmt.Fprintf(table, " `%s` |", tool.name)
	}
	fmt.Fprint(table, "\n|---|---|---|---|---|\n")
	for _, k := range kinds {
		fmt.Fprintf(table, "| %s |", k.name)
		for _, tool := range tools {
			if r := detail[tool.name][k.name]; r != nil {
				fmt.Fprintf(table, " %d / %d / %d |", r.whole, r.spliced, r.unfinished)
			} else {
				fmt.Fprint(table, " |")
			}
		}
		fmt.Fprintln(table)
	}
	t.Log("\n" + table.String())
	if len(detail) > 1 && others.spliced == 0 {
		t.Error("no other tool was caught: the hunt has lost its teeth")
	}
}
