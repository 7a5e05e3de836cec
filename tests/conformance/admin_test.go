package conformance

import (
	"bytes"
	"context"
	"encoding/json"
	"errors"
	"fmt"
	"os"
	"path/filepath"
	"regexp"
	"strconv"
	"strings"

	"bits"
	"bits/client"
	"bits/hresult"
	"bits/internal/bitsadmin"
	"bits/internal/program"
)

// adminDoor is the command line: `bits admin` where bitsadmin has a switch for a step, and `bits api` where it has none.
type adminDoor struct {
	restDoor // bits api
	s        *service
	client   *client.Client
}

func newAdminDoor(s *service) door {
	d := adminDoor{s: s, client: &client.Client{Socket: s.client.Socket}}
	d.restDoor = restDoor{s.client.Socket, d.api}
	return d
}

// getter is the switch that tells a property, or a field of one, and how it writes the value.
type getter struct {
	name  string
	line  int // of an answer of several values
	write func(any) string
}

func plain(v any) string {
	switch v := v.(type) {
	case nil:
		return ""
	case float64:
		return strconv.FormatFloat(v, 'f', -1, 64)
	}
	return fmt.Sprint(v)
}

// or writes null, and an empty text, as a word.
func or(word string) func(any) string {
	return func(v any) string {
		if plain(v) == "" {
			return word
		}
		return plain(v)
	}
}

const aclLetters = "OGDS"

var getters = map[string]getter{
	"type":                       {"GETTYPE", 0, func(v any) string { return strings.ReplaceAll(plain(v), "_", "-") }},
	"state":                      {"GETSTATE", 0, plain},
	"display_name":               {"GETDISPLAYNAME", 0, plain},
	"description":                {"GETDESCRIPTION", 0, plain},
	"priority":                   {"GETPRIORITY", 0, plain},
	"progress.bytes_total":       {"GETBYTESTOTAL", 0, or("UNKNOWN")},
	"progress.bytes_transferred": {"GETBYTESTRANSFERRED", 0, plain},
	"progress.files_total":       {"GETFILESTOTAL", 0, plain},
	"progress.files_transferred": {"GETFILESTRANSFERRED", 0, plain},
	"times.created":              {"GETCREATIONTIME", 0, plain},
	"times.modified":             {"GETMODIFICATIONTIME", 0, plain},
	"times.transfer_completed":   {"GETCOMPLETIONTIME", 0, or("UNKNOWN")},
	"error":                      {"GETERROR", 0, plain},
	"error.hresult":              {"GETERROR", 0, plain},
	"error_count":                {"GETERRORCOUNT", 0, plain},
	"notify_flags":               {"GETNOTIFYFLAGS", 0, plain},
	"notify_interface":           {"GETNOTIFYINTERFACE", 0, func(v any) string { return map[bool]string{true: "REGISTERED", false: "UNREGISTERED"}[v == true] }},
	"notify_cmd_line":            {"GETNOTIFYCMDLINE", 0, or("none")},
	"notify_cmd_line.program":    {"GETNOTIFYCMDLINE", 0, plain},
	"notify_cmd_line.parameters": {"GETNOTIFYCMDLINE", 1, or("NULL")},
	"minimum_retry_delay":        {"GETMINRETRYDELAY", 0, plain},
	"no_progress_timeout":        {"GETNOPROGRESSTIMEOUT", 0, plain},
	"maximum_download_time":      {"GETMAXDOWNLOADTIME", 0, plain},
	"proxy_settings.usage":       {"GETPROXYUSAGE", 0, plain},
	"proxy_settings.list":        {"GETPROXYLIST", 0, func(v any) string { return or("NULL")(strings.ReplaceAll(plain(v), " ", ",")) }},
	"proxy_settings.bypass":      {"GETPROXYBYPASSLIST", 0, or("NULL")},
	"custom_headers": {"GETCUSTOMHEADERS", 0, func(v any) string {
		return or("NULL")(strings.ReplaceAll(strings.TrimSuffix(plain(v), "\r\n"), "\r\n", "\n"))
	}},
	"http_method":                     {"GETHTTPMETHOD", 0, plain},
	"client_certificate":              {"GETCLIENTCERTIFICATE", 0, plain},
	"client_certificate.location":     {"GETCLIENTCERTIFICATE", 0, plain},
	"client_certificate.store":        {"GETCLIENTCERTIFICATE", 1, plain},
	"client_certificate.hash":         {"GETCLIENTCERTIFICATE", 2, or("NULL")},
	"client_certificate.subject":      {"GETCLIENTCERTIFICATE", 3, or("NULL")},
	"security_flags":                  {"GETSECURITYFLAGS", 0, func(v any) string { n, _ := v.(float64); return fmt.Sprintf("0x%04X", int(n)) }},
	"reply_file_name":                 {"GETREPLYFILENAME", 0, plain},
	"reply_data":                      {"GETREPLYDATA", 0, plain},
	"helper_token_sid":                {"GETHELPERTOKENSID", 0, or("none")},
	"helper_token_flags":              {"GETHELPERTOKENFLAGS", 0, plain},
	"validation_state":                {"GETVALIDATIONSTATE", 0, plain},
	"temporary_name":                  {"GETTEMPORARYNAME", 0, plain},
	"peer_download_stats.from_origin": {"GETPEERSTATS", 0, plain},
	"peer_download_stats.from_peers":  {"GETPEERSTATS", 1, plain},
	"file_acl_flags": {"GETACLFLAGS", 0, func(v any) string {
		letters, n := "", 0
		if f, ok := v.(float64); ok {
			n = int(f)
		}
		for i, l := range aclLetters {
			if n&(1<<i) != 0 {
				letters += string(l)
			}
		}
		return letters
	}},
}

// A setter is the switch that sets a property, and its operands; nil: they cannot say the value.
type setter struct {
	name     string
	operands func(value any) []string
}

func text(v any) []string {
	if s, ok := v.(string); ok {
		return []string{s}
	}
	return nil
}

func number(v any) []string {
	if _, ok := v.(float64); ok {
		return []string{plain(v)}
	}
	return nil
}

// field is a text of an object; NULL if there is none.
func field(v any, name string) string {
	o, _ := v.(map[string]any)
	return or("NULL")(o[name])
}

var setters = map[string]setter{
	"display_name":          {"SETDISPLAYNAME", text},
	"description":           {"SETDESCRIPTION", text},
	"priority":              {"SETPRIORITY", text},
	"notify_flags":          {"SETNOTIFYFLAGS", number},
	"minimum_retry_delay":   {"SETMINRETRYDELAY", number},
	"no_progress_timeout":   {"SETNOPROGRESSTIMEOUT", number},
	"maximum_download_time": {"SETMAXDOWNLOADTIME", number},
	"security_flags":        {"SETSECURITYFLAGS", number},
	"peer_caching_flags":    {"SETPEERCACHINGFLAGS", number},
	"helper_token_flags":    {"SETHELPERTOKENFLAGS", number},
	"http_method":           {"SETHTTPMETHOD", text},
	"reply_file_name":       {"SETREPLYFILENAME", text},
	"custom_headers_write_only": {"MAKECUSTOMHEADERSWRITEONLY", func(v any) []string {
		if v == true {
			return []string{}
		}
		return nil
	}},
	"custom_headers": {"SETCUSTOMHEADERS", func(v any) []string {
		s, ok := v.(string)
		switch lines := strings.Split(strings.TrimSuffix(s, "\r\n"), "\r\n"); {
		case v == nil:
			return []string{"NULL"}
		case !ok || !strings.HasSuffix(s, "\r\n"):
			return nil
		default:
			return lines
		}
	}},
	"notify_cmd_line": {"SETNOTIFYCMDLINE", func(v any) []string { return []string{field(v, "program"), field(v, "parameters")} }},
	"proxy_settings": {"SETPROXYSETTINGS", func(v any) []string {
		usage, list, bypass := field(v, "usage"), field(v, "list"), field(v, "bypass")
		if list == "NULL" && bypass == "NULL" {
			if usage == "OVERRIDE" {
				return nil
			}
			return []string{usage}
		}
		return []string{usage, strings.ReplaceAll(list, " ", ","), bypass}
	}},
	"file_acl_flags": {"SETACLFLAGS", func(v any) []string {
		n, ok := v.(float64)
		if !ok || n > 15 {
			return nil
		}
		return []string{or("NULL")(getters["file_acl_flags"].write(n))}
	}},
}

// words is how the command line writes a value.
func words(property string, value any) any { return getters[property].write(value) }

// api is `bits api`, as a process.
func (d adminDoor) api(method, path string, body []byte) ([]byte, error) {
	args := []string{"--json", "api", method, "/v1" + path}
	if len(body) > 0 {
		args = append(args, "-")
	}
	var out, said bytes.Buffer
	cmd := program.Command(d.s.dir, args...)
	cmd.Stdin, cmd.Stdout, cmd.Stderr = bytes.NewReader(body), &out, &said
	if err := cmd.Run(); err != nil {
		return nil, refusal(said.Bytes())
	}
	return out.Bytes(), nil
}

var codeIn = regexp.MustCompile(`0x[0-9A-F]{8}`)

// admin is `bits admin`: what it prints, and the code that it names.
func (d adminDoor) admin(args ...string) (string, hresult.Code, error) {
	var out, said bytes.Buffer
	c := bitsadmin.Command{Client: d.client, Connect: func(context.Context) error { return nil }, Out: &out, Err: &said}
	err := c.Run(ctx, args)
	if err != nil {
		err = errors.New(said.String())
		if code, bad := hresult.Parse(codeIn.FindString(said.String())); bad == nil {
			err = &bits.Error{Code: code, Message: said.String()}
		} else if strings.Contains(said.String(), "Usage:") {
			err = &bits.Error{Code: hresult.E_INVALIDARG, Message: said.String()}
		}
	}
	code := hresult.S_OK
	if strings.Contains(out.String(), "Nothing had to be changed.") {
		code = hresult.S_FALSE
	} else if lines := strings.Split(out.String(), "\n"); args[0] != "/RAWRETURN" {
		for _, line := range lines {
			if c, err := hresult.Parse(line[:min(10, len(line))]); err == nil && strings.HasPrefix(line, "0x") {
				code = c
			}
		}
	}
	return out.String(), code, err
}

// say carries out a switch that changes something.
func (d adminDoor) say(args ...string) answer {
	_, code, err := d.admin(args...)
	return done(code, err)
}

func (d adminDoor) ask(g getter, operands ...string) answer {
	out, _, err := d.admin(append([]string{"/RAWRETURN", "/" + g.name}, operands...)...)
	if err != nil {
		return failed(err)
	}
	if g.line > 0 || g.name == "GETNOTIFYCMDLINE" || g.name == "GETCLIENTCERTIFICATE" || g.name == "GETPEERSTATS" {
		if lines := strings.Split(out, "\n"); g.line < len(lines) {
			out = lines[g.line]
		} else {
			out = "NULL"
		}
	}
	return answer{text: &out}
}

func braced(id string) string { return "{" + strings.ToUpper(id) + "}" }

func (d adminDoor) create(spec bits.Spec) (string, answer) {
	if spec.Type > bits.UploadReply {
		return d.restDoor.create(spec)
	}
	out, _, err := d.admin("/RAWRETURN", "/CREATE", "/"+strings.ReplaceAll(spec.Type.String(), "_", "-"), spec.DisplayName)
	return strings.ToLower(strings.Trim(out, "{}")), done(0, err)
}

var guidIn = regexp.MustCompile(`(?m)^\{([0-9A-F-]{36})\}`)

func (d adminDoor) list() (ids []string, a answer) {
	out, _, err := d.admin("/LIST")
	for _, m := range guidIn.FindAllStringSubmatch(out, -1) {
		ids = append(ids, strings.ToLower(m[1]))
	}
	return ids, done(0, err)
}

func (d adminDoor) add(id string, files []bits.FileSpec) answer {
	switch {
	case len(files) == 1 && files[0].Ranges == nil:
		return d.say("/ADDFILE", braced(id), files[0].RemoteName, files[0].LocalName)
	case len(files) == 1 && len(files[0].Ranges) > 0:
		var ranges []string
		for _, r := range files[0].Ranges {
			length := strconv.FormatInt(r.Length, 10)
			if r.Length == bits.ToEOF {
				length = "eof"
			}
			ranges = append(ranges, fmt.Sprintf("%d:%s", r.Offset, length))
		}
		return d.say("/ADDFILEWITHRANGES", braced(id), files[0].RemoteName, files[0].LocalName, strings.Join(ranges, ","))
	case len(files) > 1:
		var set strings.Builder
		for _, f := range files {
			fmt.Fprintln(&set, f.RemoteName, f.LocalName)
		}
		name := filepath.Join(d.s.dir, "set.txt")
		if err := os.WriteFile(name, []byte(set.String()), 0o600); err != nil {
			return failed(err)
		}
		return d.say("/ADDFILESET", braced(id), name)
	}
	return d.restDoor.add(id, files)
}

func (d adminDoor) get(id, property string) answer {
	if g, ok := getters[property]; ok {
		return d.ask(g, braced(id))
	}
	return d.restDoor.get(id, property)
}

func (d adminDoor) fileGet(id string, file int, property string) answer {
	switch property {
	case "validation_state", "temporary_name", "peer_download_stats.from_origin", "peer_download_stats.from_peers":
		return d.ask(getters[property], braced(id), strconv.Itoa(file))
	}
	return d.restDoor.fileGet(id, file, property)
}

func (d adminDoor) set(id, property string, raw json.RawMessage) answer {
	var v any
	if err := json.Unmarshal(raw, &v); err != nil {
		return failed(err)
	}
	if s, ok := setters[property]; ok {
		if operands := s.operands(v); operands != nil {
			return d.say(append([]string{"/" + s.name, braced(id)}, operands...)...)
		}
	}
	if by := map[bool]string{true: "hash", false: "subject"}[field(v, "hash") != "NULL"]; property == "client_certificate" && field(v, "store") != "NULL" && (field(v, "hash") == "NULL") != (field(v, "subject") == "NULL") {
		name := map[string]string{"hash": "ID", "subject": "NAME"}[by]
		return d.say("/SETCLIENTCERTIFICATEBY"+name, braced(id), field(v, "location"), field(v, "store"), field(v, by))
	}
	return d.restDoor.set(id, property, raw)
}

func (d adminDoor) call(id, operation string, raw json.RawMessage) answer {
	var v any
	json.Unmarshal(raw, &v)
	switch operation {
	case "replace-remote-prefix":
		if o, ok := v.(map[string]any); ok && len(o) == 2 {
			return d.say("/REPLACEREMOTEPREFIX", braced(id), plain(o["old"]), plain(o["new"]))
		}
	case "set-credentials":
		return d.say("/SETCREDENTIALS", braced(id), field(v, "target"), field(v, "scheme"), credential(v, "user"), credential(v, "password"))
	case "remove-credentials":
		return d.say("/REMOVECREDENTIALS", braced(id), field(v, "target"), field(v, "scheme"))
	case "remove-client-certificate":
		return d.say("/REMOVECLIENTCERTIFICATE", braced(id))
	case "set-helper-token":
		return d.say("/SETHELPERTOKEN", braced(id))
	}
	return d.restDoor.call(id, operation, raw)
}

// credential is a part of a credential: NULL is not the same as an empty text.
func credential(v any, name string) string {
	o, _ := v.(map[string]any)
	if s, ok := o[name].(string); ok {
		return s
	}
	return "NULL"
}

func (d adminDoor) fileCall(id string, file int, operation string, raw json.RawMessage) answer {
	var v struct{ Valid *bool }
	json.Unmarshal(raw, &v)
	if operation == "set-validation-state" && v.Valid != nil {
		return d.say("/SETVALIDATIONSTATE", braced(id), strconv.Itoa(file), strconv.FormatBool(*v.Valid))
	}
	return d.restDoor.fileCall(id, file, operation, raw)
}

func (d adminDoor) act(id, verb string) answer {
	if verb == "own" {
		verb = "takeownership"
	}
	return d.say("/"+strings.ToUpper(verb), braced(id))
}
