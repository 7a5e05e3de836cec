package conformance

import (
	"bufio"
	"encoding/json"
	"fmt"
	"io"
	"net/http"
	"os"
	"os/exec"
	"slices"
	"strings"
	"sync"
	"testing"
	"time"

	"bits"
	"bits/client/bitstest"
	"bits/hresult"
	"bits/internal/ipc"
	"bits/internal/program"
)

// caller is a program that makes the calls that it reads, a line each: METHOD PATH BODY. It writes the code of each answer.
// After the word "die" the next call is only sent, and the process is dead before the answer.
func caller(socket string) {
	d := newHTTPDoor(&service{client: (goDoor{}).at(socket)}).(restDoor)
	in := bufio.NewScanner(os.Stdin)
	in.Buffer(nil, 1<<20)
	for dies := false; in.Scan(); {
		if in.Text() == "die" {
			dies = true
			continue
		}
		parts := strings.SplitN(in.Text(), " ", 3)
		if dies {
			c, err := ipc.Dial(ctx, socket)
			if err == nil {
				r, _ := http.NewRequest(parts[0], "http://bits/v1"+parts[1], strings.NewReader(parts[2]))
				r.Write(c)
			}
			p, _ := os.FindProcess(os.Getpid())
			p.Kill()
			select {}
		}
		var r struct {
			Code hresult.Code `json:"hresult"`
		}
		text, err := d.do(parts[0], parts[1], []byte(parts[2]))
		if err == nil && parts[0] == "POST" {
			json.Unmarshal(text, &r)
		} else if err != nil {
			r.Code = bits.AsError(err).Code
		}
		fmt.Println(r.Code)
	}
}

// partner is a process that is a caller.
type partner struct {
	cmd *exec.Cmd
	in  io.Writer
	out *bufio.Scanner
}

func newPartner(t *testing.T, s *service) *partner {
	t.Helper()
	cmd := program.Command(s.dir)
	cmd.Env = append(cmd.Env, "BITS_TEST_PROGRAM=", "BITS_CONFORMANCE_CALLER="+s.client.Socket)
	in, err := cmd.StdinPipe()
	bitstest.Must(t, err)
	out, err := cmd.StdoutPipe()
	bitstest.Must(t, err, cmd.Start())
	t.Cleanup(func() {
		cmd.Process.Kill()
		cmd.Wait()
	})
	return &partner{cmd, in, bufio.NewScanner(out)}
}

func (p *partner) call(line string) hresult.Code {
	fmt.Fprintln(p.in, line)
	if !p.out.Scan() {
		return hresult.E_UNEXPECTED
	}
	code, _ := hresult.Parse(p.out.Text())
	return code
}

// pairs are two calls at once on one job. $J is the job; N stands for the number of the round.
// codes are those that either may have, and whole says what is wrong with what came of it, or nothing.
var pairs = []struct {
	name  string
	page  string // of the file of the job
	runs  bool   // the job was resumed
	calls [2]string
	codes []string
	whole func(codes [2]hresult.Code, j *bits.Job) string
}{
	{"two properties", "dead", true, [2]string{`PATCH $J {"description":"N"}`, `PATCH $J {"minimum_retry_delay":77}`}, []string{"S_OK"}, func(_ [2]hresult.Code, j *bits.Job) string {
		return unless(j.Description == "N" && j.MinimumRetryDelay == 77, "a call was lost")
	}},
	{"one property", "dead", false, [2]string{`PATCH $J {"description":"a","priority":"LOW"}`, `PATCH $J {"description":"b","priority":"HIGH"}`}, []string{"S_OK"}, func(_ [2]hresult.Code, j *bits.Job) string {
		return unless(j.Description == "a" && j.Priority == bits.Low || j.Description == "b" && j.Priority == bits.High, "a mixture of two calls")
	}},
	{"two files", "dead", true, [2]string{`POST $J/files {"files":[{"remote_name":"http://127.0.0.1/1","local_name":"$DIR/1"}]}`, `POST $J/files {"files":[{"remote_name":"http://127.0.0.1/2","local_name":"$DIR/2"}]}`}, []string{"S_OK"}, func(_ [2]hresult.Code, j *bits.Job) string {
		return unless(len(j.Files) == 3 && j.Files[2].Number == 2 && j.Files[1].LocalName != j.Files[2].LocalName, "a call was lost")
	}},
	{"one file", "dead", false, [2]string{`POST $J/files {"files":[{"remote_name":"http://127.0.0.1/1","local_name":"$DIR/1"}]}`, `POST $J/files {"files":[{"remote_name":"http://127.0.0.1/2","local_name":"$DIR/1"}]}`}, []string{"S_OK", "E_INVALIDARG"}, func(c [2]hresult.Code, j *bits.Job) string {
		return unless(len(j.Files) == 2 && c[0] != c[1], "both, or neither, were taken")
	}},
	{"Cancel twice", "half", true, [2]string{"POST $J/cancel ", "POST $J/cancel "}, []string{"S_OK", "BG_E_INVALID_STATE"}, oneOf(bits.StateCancelled)},
	{"Complete twice", "ok", true, [2]string{"POST $J/complete ", "POST $J/complete "}, []string{"S_OK", "BG_S_PARTIAL_COMPLETE", "BG_E_INVALID_STATE"}, oneOf(bits.StateAcknowledged)},
	{"Complete and Cancel", "half", true, [2]string{"POST $J/complete ", "POST $J/cancel "}, []string{"S_OK", "BG_S_PARTIAL_COMPLETE", "BG_E_INVALID_STATE"}, oneOf(bits.StateAcknowledged, bits.StateCancelled)},
	{"Suspend and Resume", "half", true, [2]string{"POST $J/suspend ", "POST $J/resume "}, []string{"S_OK"}, func(_ [2]hresult.Code, j *bits.Job) string {
		return unless(j.State == bits.StateSuspended || j.State == bits.StateQueued || j.State.Running(), "an impossible state")
	}},
	{"Suspend twice", "half", true, [2]string{"POST $J/suspend ", "POST $J/suspend "}, []string{"S_OK"}, func(_ [2]hresult.Code, j *bits.Job) string {
		return unless(j.State == bits.StateSuspended, "it is not SUSPENDED")
	}},
	{"Resume and Cancel", "ok", false, [2]string{"POST $J/resume ", "POST $J/cancel "}, []string{"S_OK", "BG_E_INVALID_STATE"}, func(c [2]hresult.Code, j *bits.Job) string {
		return unless(c[1] == hresult.S_OK && j.State == bits.StateCancelled, "Cancel was lost")
	}},
	{"a property and Cancel", "half", true, [2]string{`PATCH $J {"description":"N"}`, "POST $J/cancel "}, []string{"S_OK", "BG_E_INVALID_STATE"}, func(c [2]hresult.Code, j *bits.Job) string {
		return unless(j.State == bits.StateCancelled && (c[0] == hresult.S_OK) == (j.Description == "N"), "the answer and the job differ")
	}},
	{"a file and Complete", "ok", true, [2]string{`POST $J/files {"files":[{"remote_name":"http://127.0.0.1/1","local_name":"$DIR/1"}]}`, "POST $J/complete "}, []string{"S_OK", "BG_S_PARTIAL_COMPLETE", "BG_E_INVALID_STATE"}, func(c [2]hresult.Code, j *bits.Job) string {
		return unless(j.State == bits.StateAcknowledged && (c[0] == hresult.S_OK) == (len(j.Files) == 2), "the answer and the job differ")
	}},
	{"TakeOwnership and a property", "half", true, [2]string{"POST $J/own ", `PATCH $J {"security_flags":2}`}, []string{"S_OK", "E_ACCESSDENIED"}, func(_ [2]hresult.Code, j *bits.Job) string {
		return unless(j.SecurityFlags == bits.IgnoreCertName, "a call was lost")
	}},
	{"a verdict and Complete", "ok", true, [2]string{`POST $J/files/0/set-validation-state {"valid":false}`, "POST $J/complete "}, []string{"S_OK", "BG_S_PARTIAL_COMPLETE", "BG_E_INVALID_STATE", "E_PENDING"}, func(c [2]hresult.Code, j *bits.Job) string {
		return unless(j.State == bits.StateAcknowledged && (!j.Files[0].Completed || c[1] == hresult.S_OK), "a file that was declared invalid has its name")
	}},
	{"two remote names", "404", true, [2]string{`POST $J/replace-remote-prefix {"old":"http://","new":"https://"}`, `POST $J/files/0/set-remote-name {"remote_name":"http://127.0.0.1/x"}`}, []string{"S_OK"}, func(_ [2]hresult.Code, j *bits.Job) string {
		return unless(strings.HasPrefix(j.Files[0].RemoteName, "https://") || j.Files[0].RemoteName == "http://127.0.0.1/x", "a call was lost")
	}},
	{"credentials", "half", true, [2]string{`POST $J/set-credentials {"target":"SERVER","scheme":"BASIC","user":"u","password":"p"}`, `POST $J/remove-credentials {"target":"SERVER","scheme":"BASIC"}`}, []string{"S_OK", "S_FALSE"}, func([2]hresult.Code, *bits.Job) string { return "" }},
}

func unless(right bool, why string) string {
	if right {
		return ""
	}
	return why
}

// oneOf: one of the calls won, and the job is in one of the states.
func oneOf(states ...bits.State) func([2]hresult.Code, *bits.Job) string {
	return func(c [2]hresult.Code, j *bits.Job) string {
		return unless(slices.Contains(states, j.State) && c[0].Failed() != c[1].Failed(), "not one of the two calls has ended the job")
	}
}

// TestTogether makes two calls on one job at once, from two processes, many times: no call is lost, no state is impossible, and each
// answers a code of its table.
func TestTogether(t *testing.T) {
	t.Parallel()
	if !(row{marks: map[string]string{}}).ours() {
		t.Skip("another user is at work")
	}
	rounds := 10
	if os.Getenv("BITS_CONFORMANCE") == "all" {
		rounds = 100
	}
	o := newOrigin()
	t.Cleanup(o.close)
	for n, p := range pairs {
		t.Run(p.name, func(t *testing.T) {
			t.Parallel()
			s := newService(t, false, nil)
			one, two := newPartner(t, s), newPartner(t, s)
			w := &world{t: t, door: doors["go"](s), s: s, origin: o, key: fmt.Sprint("pair", n), ids: map[string]string{}, states: map[string]bits.State{}}
			for round := range rounds {
				w.play("create j;add j $URL/" + p.page + " file" + fmt.Sprint(round) + ";set j priority \"FOREGROUND\"")
				if p.runs {
					way := map[string]string{"ok": "TRANSFERRED", "half": "TRANSFERRING", "404": "ERROR", "dead": "CONNECTING"}[p.page]
					w.play("resume j;wait j " + way)
				}
				fill := strings.NewReplacer("$J", "/jobs/"+w.ids["j"], "$DIR", w.dir())
				var codes [2]hresult.Code
				var both sync.WaitGroup
				for i, partner := range []*partner{one, two} {
					both.Go(func() { codes[i] = partner.call(fill.Replace(p.calls[(i+round)%2])) })
				}
				both.Wait()
				if round%2 == 1 {
					codes[0], codes[1] = codes[1], codes[0]
				}
				for i, c := range codes {
					if !slices.ContainsFunc(p.codes, func(name string) bool { return codeOf(t, p.name, name) == c }) {
						t.Errorf("round %d: %s answers %v %s", round, p.calls[i], c, c.Name())
					}
				}
				j, err := s.client.Job(ctx, w.ids["j"])
				bitstest.Must(t, err)
				if why := p.whole(codes, j); why != "" {
					t.Fatalf("round %d: %s: %v %v, the job is %v", round, why, codes[0].Name(), codes[1].Name(), j.State)
				}
				if !j.State.Final() {
					w.play("cancel j")
				}
			}
		})
	}
}

// TestDyingClients kills a client right after it has sent each kind of call: the call is carried out or not, and the service goes on, also
// after a restart.
func TestDyingClients(t *testing.T) {
	t.Parallel()
	if !(row{marks: map[string]string{}}).ours() {
		t.Skip("another user is at work")
	}
	o := newOrigin()
	t.Cleanup(o.close)
	s := newService(t, true, nil)
	w := &world{t: t, door: doors["go"](s), s: s, origin: o, key: "dying", row: row{marks: map[string]string{"volatile": "helper_token_sid"}}, ids: map[string]string{}, states: map[string]bits.State{}}
	for n, call := range []string{
		`POST /jobs {"display_name":"dead"}`,
		`PATCH $J {"description":"dead"}`,
		`POST $J/files {"files":[{"remote_name":"http://127.0.0.1/1","local_name":"$DIR/1"}]}`,
		`POST $J/resume `, `POST $J/suspend `, `POST $J/complete `, `POST $J/cancel `, `POST $J/own `,
		`POST $J/set-credentials {"target":"SERVER","scheme":"BASIC","user":"u","password":"p"}`,
		`POST $J/set-helper-token `,
		`POST $J/replace-remote-prefix {"old":"http://","new":"https://"}`,
		`POST $J/files/0/set-remote-name {"remote_name":"http://127.0.0.1/x"}`,
		`POST $J/files/0/request-ranges {"ranges":[{"offset":0,"length":1}]}`,
		`POST $J/certificate-validation {"interface":"IBackgroundCopyServerCertificateValidationCallback"}`,
		`GET $J `, `GET /jobs `, `GET /events `, `GET $J/properties/state `,
	} {
		name := fmt.Sprint("j", n)
		w.play("create " + name + ";add " + name + " $URL/half f" + name + ";set " + name + " priority \"FOREGROUND\";resume " + name + ";wait " + name + " TRANSFERRING")
		p := newPartner(t, s)
		fmt.Fprintf(p.in, "die\n%s\n", strings.NewReplacer("$J", "/jobs/"+w.ids[name], "$DIR", w.dir()).Replace(call))
		p.cmd.Wait()
		if _, err := s.client.System(ctx); err != nil {
			t.Fatalf("after a client has died in %s: %v", call, err)
		}
	}
	w.states = map[string]bits.State{}
	settled := func() map[string]string {
		time.Sleep(50 * time.Millisecond) // what the last client has sent may be under way
		return w.picture()
	}
	settled()
	w.restart(step{at: "the dying clients"})
	for name, id := range w.ids {
		j, err := s.client.Job(ctx, id)
		if err != nil {
			t.Errorf("%s: %v", name, err)
		} else if !j.State.Final() {
			w.play("cancel " + name)
		}
	}
}

// FuzzBodies sends anything as the body of every call that has one: each answers JSON with a code, and what is refused changes nothing.
func FuzzBodies(f *testing.F) {
	s := newService(f, false, nil)
	d := newHTTPDoor(s).(restDoor)
	id, a := d.create(bits.Spec{DisplayName: "fuzz"})
	if a.err != nil {
		f.Fatal(a.err)
	}
	calls := []string{
		"POST /jobs", "PATCH /jobs/" + id, "POST /jobs/" + id + "/files", "POST /jobs/" + id + "/set-credentials",
		"POST /jobs/" + id + "/remove-credentials", "POST /jobs/" + id + "/replace-remote-prefix", "POST /jobs/" + id + "/files/0/set-remote-name",
		"POST /jobs/" + id + "/files/0/set-validation-state", "POST /jobs/" + id + "/files/0/request-ranges",
		"POST /jobs/" + id + "/files/0/update-download-position", "POST /jobs/" + id + "/certificate-validation",
	}
	for n := range calls {
		for _, body := range []string{"", "{}", "null", "[]", `{"display_name":"x"}`, `{"files":[{"remote_name":"http://h/","local_name":"/tmp/x"}]}`, `{"target":"SERVER","scheme":"BASIC","user":"u","password":"p"}`, `{"valid":true}`, `{"ranges":[{"offset":0,"length":-1}]}`, `{"offset":1e9}`} {
			f.Add(n, []byte(body))
		}
	}
	f.Fuzz(func(t *testing.T, n int, body []byte) {
		if n < 0 {
			return
		}
		method, path, _ := strings.Cut(calls[n%len(calls)], " ")
		if strings.HasSuffix(path, "certificate-validation") && !json.Valid(body) || !strings.HasSuffix(path, "certificate-validation") {
			text, err := d.do(method, path, body)
			if err == nil && !json.Valid(text) {
				t.Errorf("%s %s with %q answers %q", method, path, body, text)
			}
			if err != nil {
				if code := bits.AsError(err).Code; !code.Failed() || code == hresult.E_FAIL || code == hresult.E_UNEXPECTED {
					t.Errorf("%s %s with %q: %v %v", method, path, body, code, err)
				}
			}
		}
		if _, err := d.do("GET", "/jobs/"+id, nil); err != nil {
			t.Errorf("%s %s with %q: the job is gone: %v", method, path, body, err)
		}
	})
}
