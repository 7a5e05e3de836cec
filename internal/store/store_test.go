package store_test

import (
	"bytes"
	"context"
	"database/sql"
	"encoding/json"
	"errors"
	"flag"
	"fmt"
	"os"
	"path/filepath"
	"runtime"
	"strings"
	"testing"
	"time"

	"github.com/google/go-cmp/cmp"
	"github.com/google/go-cmp/cmp/cmpopts"

	"bits"
	"bits/internal/store"
)

var ctx = context.Background()

func open(t *testing.T, dir string) *store.Store {
	t.Helper()
	s, err := store.Open(ctx, dir)
	if err != nil {
		t.Fatal(err)
	}
	t.Cleanup(func() { s.Close() })
	return s
}

// sample is a job that uses every field that is kept.
func sample() *bits.Job {
	at := time.Date(2026, 11, 24, 10, 0, 0, 123456000, time.UTC)
	size, file := int64(1000), 1
	user, password := "u", "passw0rd2"
	return &bits.Job{
		ID: "5d0fd2d2-9a5c-4b83-9f6c-0c1d9f1b8a77", Owner: "uid:1000", OwnerElevated: true, OwnerIntegrity: 0x3000, TakenFrom: "uid:1001", State: bits.StateTransientError, DisplayName: "a name", Description: "ü", Priority: bits.High,
		Created: at, Modified: at, Transferred: &at, MinimumRetryDelay: 60, NoProgressTimeout: 7, MaximumDownloadTime: 8,
		SecurityFlags: bits.CheckRevocation, ValidatorRequired: true, AutoComplete: true, NoReplace: true, Backoff: &bits.Backoff{First: 1, Max: 2, Jitter: .5},
		NotifyFlags: 0x1b, NotifyCommand: &bits.Command{Program: "/p", Parameters: "p x"}, NotifyUser: "uid:7", NotificationCLSID: "g", MinimumNotificationInterval: 9, Notice: &bits.Notice{N: 5}, Notices: 5,
		ProxySettings: bits.ProxySettings{Usage: bits.ProxyOverride, List: "p", Bypass: "b"}, FileACLFlags: 1, PeerCachingFlags: 2, CostFlags: 0x800000ff,
		DynamicContent: true, HighPerformance: true, OnDemand: true, MaxDownloadSize: &size, StoredCredentials: bits.AuthProxy, HTTPMethod: "POST",
		HeadersWriteOnly: true, HelperTokenFlags: 3, HelperTokenSID: "uid:8", ReplyFileName: "/r", ReplyProgress: &bits.ReplyProgress{BytesTotal: &size, BytesTransferred: 3},
		Strict: true, GiveUpAfter: 9, Roots: "pem", Umask: 0o27, ErrorCount: 3, Failures: 2, TransientSince: &at, NextRetry: &at, Active: 77, Expiring: &at, Resumed: true,
		Error: &bits.JobError{Code: 0x80041234, Context: 8, Message: "cannot x", Hint: "y", File: &file, URL: "u", Protocol: "http", At: at},
		Files: []bits.File{
			{Number: 0, RemoteName: "http://a/b", LocalName: "/b", Temporary: "/t", Size: &size, Validator: &bits.Validator{ETag: `"x"`, Size: 1000}, Done: bits.Ranges{{Start: 0, End: 10}, {Start: 20, End: 30}}},
			{Number: 1, RemoteName: "http://b/c", Original: "http://a/c", LocalName: "/c", Temporary: "/u", Finished: true, Completed: true, ResponseHeaders: "A: b\r\n", Hashing: []byte("h"), Pieces: &bits.Pieces{Algorithm: "sha1", Length: 2, Hashes: []string{"x"}}, FileDetails: bits.FileDetails{
				Content: bits.Content{Digests: map[string]string{"sha256": "x"}, Expected: &size, Mirrors: []string{"http://m/c"}},
				Source:  "http://m/c", Dropped: []string{"http://n/c"}, Blended: true,
				Ranges: []bits.FileRange{{Offset: 5, Length: bits.ToEOF}}, Requested: bits.Ranges{{Start: 1, End: 2}}, Position: 4, Renamed: true, NoRanges: true, Valid: true, Notice: &bits.Notice{N: 4, Taken: true}, Made: true, Volume: "v"}},
		},
		Secrets: bits.Secrets{Credentials: []bits.Credential{{Target: bits.AuthServer, Scheme: bits.Basic, User: &user, Password: &password}},
			ClientCertificate: &bits.ClientCertificate{Location: 2, Store: "MY", Hash: "h"},
			Headers:           "X-Secret: s3cr3t\r\n", Environment: map[string]string{"https_proxy": "http://user:passw0rd@proxy"}},
	}
}

// live are the fields of a file that are not kept.
var live = cmpopts.IgnoreFields(bits.File{}, "Best")

func save(t *testing.T, s *store.Store, j *bits.Job, events ...store.Event) {
	t.Helper()
	c := &store.Change{Job: j, Events: events}
	for i := range j.Files {
		c.Files = append(c.Files, &j.Files[i])
	}
	if err := s.Save(ctx, c); err != nil {
		t.Fatal(err)
	}
}

func TestWhatIsSavedIsLoaded(t *testing.T) {
	dir := t.TempDir()
	s, want := open(t, dir), sample()
	save(t, s, want)
	s.Close()
	got, err := open(t, dir).Jobs(ctx)
	if err != nil || len(got) != 1 {
		t.Fatal(got, err)
	}
	if d := cmp.Diff(want, got[0], cmpopts.EquateEmpty(), live); d != "" {
		t.Error(d)
	}
	for _, name := range []string{"bits.db", "bits.db-wal", "key"} {
		text, _ := os.ReadFile(filepath.Join(dir, name))
		if bytes.Contains(text, []byte("s3cr3t")) || bytes.Contains(text, []byte("passw0rd")) {
			t.Errorf("a secret lies in %s in the clear", name)
		}
		if info, err := os.Stat(filepath.Join(dir, name)); err == nil && info.Mode().Perm() != 0o600 {
			t.Errorf("%s has mode %o", name, info.Mode().Perm())
		}
	}
}

// What is kept is all that there is: a field that is added to Job is kept, or marked live.
func TestEveryFieldIsInTheSample(t *testing.T) {
	text, err := json.Marshal(sample())
	if err != nil {
		t.Fatal(err)
	}
	var fields map[string]any
	json.Unmarshal(text, &fields)
	for name, v := range fields {
		switch v {
		case nil, "", false, 0.0:
			if name != "type" && name != "state" && name != "progress" {
				t.Errorf("the sample has no %s", name)
			}
		}
	}
}

// The memory of accepted certificates holds 256 for each job, the oldest go first, and it is emptied as a whole.
func TestAccepted(t *testing.T) {
	s, j := open(t, t.TempDir()), sample()
	save(t, s, j)
	other := sample()
	other.ID = "00000000-9a5c-4b83-9f6c-0c1d9f1b8a77"
	save(t, s, other)
	sum := [32]byte{1}
	known := func(job *bits.Job, endpoint string) bool {
		ok, err := s.Accepted(ctx, job.ID, endpoint, sum)
		if err != nil {
			t.Fatal(err)
		}
		return ok
	}
	for i := range 257 {
		if err := s.Save(ctx, &store.Change{Job: j, Accepted: []store.Accepted{{Endpoint: fmt.Sprintf("host:%d", i), SHA256: sum, At: time.Unix(int64(i), 0)}}}); err != nil {
			t.Fatal(err)
		}
	}
	if known(j, "host:0") || !known(j, "host:1") || !known(j, "host:256") || known(other, "host:1") {
		t.Error(known(j, "host:0"), known(j, "host:1"), known(j, "host:256"), known(other, "host:1"))
	}
	if ok, _ := s.Accepted(ctx, j.ID, "host:1", [32]byte{2}); ok {
		t.Error("another certificate is known")
	}
	if err := s.Save(ctx, &store.Change{Job: j, ForgetAccepted: true}); err != nil {
		t.Fatal(err)
	}
	if known(j, "host:256") {
		t.Error("it was not emptied")
	}
}

func TestEvents(t *testing.T) {
	s := open(t, t.TempDir())
	old := time.Now().Add(-100 * 24 * time.Hour)
	for i := range 10 {
		at := time.Now()
		if i < 3 {
			at = old
		}
		save(t, s, sample(), store.Event{At: at, Job: "j", Owner: "me", Kind: "state", Body: []byte(`{}`)})
	}
	if n, err := s.LastEvent(ctx); n != 10 || err != nil {
		t.Error(n, err)
	}
	if err := s.PruneEvents(ctx, time.Now().Add(-90*24*time.Hour), 5); err != nil {
		t.Fatal(err)
	}
	events, err := s.Events(ctx, 0, 100)
	if err != nil || len(events) != 5 || events[0].N != 6 {
		t.Errorf("%d events, %v", len(events), err)
	}
	if events, err = s.Events(ctx, 8, 1); err != nil || len(events) != 1 || events[0].N != 9 {
		t.Errorf("%+v, %v", events, err)
	}
}

func TestDelete(t *testing.T) {
	dir := t.TempDir()
	s, j := open(t, dir), sample()
	save(t, s, j)
	if err := s.Save(ctx, &store.Change{Job: j, Accepted: []store.Accepted{{Endpoint: "a:1", At: time.Now()}}}); err != nil {
		t.Fatal(err)
	}
	if err := s.Save(ctx, &store.Change{Job: j, Delete: true}); err != nil {
		t.Fatal(err)
	}
	if jobs, err := s.Jobs(ctx); err != nil || len(jobs) != 0 {
		t.Error(jobs, err)
	}
	if ok, _ := s.Accepted(ctx, j.ID, "a:1", [32]byte{}); ok {
		t.Error("what it accepted is still there")
	}
}

// The store and its log are the user's alone from the first byte, whatever the folder and the umask.
func TestPrivateFiles(t *testing.T) {
	if runtime.GOOS == "windows" {
		t.Skip("modes are a matter of Unix")
	}
	dir := t.TempDir()
	save(t, open(t, dir), sample())
	for _, name := range []string{"bits.db", "bits.db-wal", "bits.db-shm", "key"} {
		if info, err := os.Stat(filepath.Join(dir, name)); err != nil || info.Mode().Perm() != 0o600 {
			t.Errorf("%s: %v, %v", name, info, err)
		}
	}
}

// A key that is gone is no reason to make another: the secrets of the store need that one.
func TestMissingKey(t *testing.T) {
	dir := t.TempDir()
	s := open(t, dir)
	save(t, s, sample())
	s.Close()
	key := filepath.Join(dir, "key")
	if err := os.Remove(key); err != nil {
		t.Fatal(err)
	}
	if _, err := store.Open(ctx, dir); err == nil || !strings.Contains(err.Error(), "cannot use the key file") {
		t.Errorf("%v", err)
	}
	if _, err := os.Stat(key); !os.IsNotExist(err) {
		t.Errorf("another key was made: %v", err)
	}
}

// A write that cannot be made says so, and the store goes on when it can again.
func TestStoreThatCannotBeWritten(t *testing.T) {
	dir := t.TempDir()
	s := open(t, dir)
	save(t, s, sample())
	db, err := sql.Open("sqlite", "file:"+filepath.Join(dir, "bits.db")+"?_pragma=busy_timeout(5000)")
	if err != nil {
		t.Fatal(err)
	}
	defer db.Close()
	if _, err := db.Exec("create trigger full before update on job begin select raise(abort, 'full'); end"); err != nil {
		t.Fatal(err)
	}
	if err := s.Save(ctx, &store.Change{Job: sample()}); !errors.Is(err, store.ErrNotWritten) || bits.AsError(err).Context != bits.ContextQueueManager {
		t.Errorf("%v", err)
	}
	if _, err := db.Exec("drop trigger full"); err != nil {
		t.Fatal(err)
	}
	save(t, s, sample())
}

func TestSpoiledKey(t *testing.T) {
	dir := t.TempDir()
	s := open(t, dir)
	save(t, s, sample())
	s.Close()
	key := filepath.Join(dir, "key")
	good, err := os.ReadFile(key)
	if err != nil {
		t.Fatal(err)
	}
	if err := os.WriteFile(key, good[:10], 0o600); err != nil {
		t.Fatal(err)
	}
	if _, err := store.Open(ctx, dir); err == nil {
		t.Error("a short key was taken")
	}
	if err := os.WriteFile(key, bytes.Repeat([]byte{1}, 32), 0o600); err != nil {
		t.Fatal(err)
	}
	if s, err := store.Open(ctx, dir); err == nil {
		if _, err := s.Jobs(ctx); err == nil {
			t.Error("secrets of another key were taken")
		}
		s.Close()
	}
}

var update = flag.Bool("update", false, "write the testdata of this version")

// Every store that a version wrote opens and keeps its jobs.
func TestOldStores(t *testing.T) {
	if *update {
		os.RemoveAll("testdata/v5")
		s := open(t, "testdata/v5")
		s.Log(line("j", 1))
		save(t, s, sample(), store.Event{At: time.Now(), Job: "j", Owner: "me", Kind: "state", Body: []byte(`{}`)})
		s.Close()
	}
	versions, err := filepath.Glob("testdata/v*")
	if err != nil || len(versions) == 0 {
		t.Fatal(versions, err)
	}
	for _, v := range versions {
		dir := t.TempDir()
		if err := os.CopyFS(dir, os.DirFS(v)); err != nil {
			t.Fatal(err)
		}
		got, err := open(t, dir).Jobs(ctx)
		if err != nil || len(got) != 1 {
			t.Fatalf("%s: %v, %v", v, got, err)
		}
		want := sample()
		if filepath.Base(v) < "v2" {
			want.Expiring, want.Files[1].Original, want.Files[1].RemoteName = nil, "", "http://a/c"
		}
		if filepath.Base(v) < "v3" {
			want.NotifyFlags, want.MinimumNotificationInterval, want.HTTPMethod = 3, 500, "GET"
			want.NotifyCommand, want.NotifyUser, want.NotificationCLSID = nil, "", ""
			want.ProxySettings, want.FileACLFlags, want.PeerCachingFlags, want.CostFlags = bits.ProxySettings{}, 0, 0, 0
			want.DynamicContent, want.HighPerformance, want.OnDemand, want.MaxDownloadSize, want.StoredCredentials = false, false, false, nil, 0
			want.HeadersWriteOnly, want.HelperTokenFlags, want.HelperTokenSID, want.ReplyFileName, want.ReplyProgress = false, 0, "", "", nil
			want.Secrets.Credentials, want.Secrets.ClientCertificate = nil, nil
			want.Files[1].FileDetails, want.Files[1].ResponseHeaders = bits.FileDetails{}, ""
			want.Notice, want.Notices = nil, 0
			want.OwnerElevated, want.OwnerIntegrity, want.TakenFrom = false, 0, ""
		}
		if f := &want.Files[1]; filepath.Base(v) < "v4" {
			f.Hashing, f.Pieces, f.Content, f.Source, f.Dropped, f.Blended = nil, nil, bits.Content{}, "", nil, false
		}
		if d := cmp.Diff(want, got[0], cmpopts.EquateEmpty(), live); d != "" {
			t.Errorf("%s: %s", v, d)
		}
	}
}
