package store_test

import (
	"database/sql"
	"fmt"
	"path/filepath"
	"strings"
	"testing"
	"testing/synctest"
	"time"

	"bits/internal/joblog"
	"bits/internal/store"
)

func line(job string, i int) joblog.Line {
	return joblog.Line{At: time.Now(), Job: job, Owner: "me", Kind: joblog.Run, Text: fmt.Sprint("line ", i)}
}

func logOf(t *testing.T, s *store.Store, job string, after int64) []joblog.Line {
	t.Helper()
	lines, err := s.LogOf(ctx, "me", job, after)
	if err != nil {
		t.Fatal(err)
	}
	return lines
}

// A line is read at once, written a second later, and outlives the store, the job and whoever was told of it.
func TestLog(t *testing.T) {
	dir := t.TempDir()
	synctest.Test(t, func(t *testing.T) {
		s, err := store.Open(ctx, dir)
		if err != nil {
			t.Fatal(err)
		}
		defer s.Close()
		heard := s.Logged()
		one := line("a", 1)
		one.File = new(int)
		s.Log(one)
		<-heard
		s.Log(line("b", 2))
		s.Log(line("a", 3))
		written := func() (n int) {
			db, err := sql.Open("sqlite", "file:"+filepath.Join(dir, "bits.db"))
			if err != nil {
				t.Fatal(err)
			}
			defer db.Close()
			if err := db.QueryRow("select count(*) from log").Scan(&n); err != nil {
				t.Fatal(err)
			}
			return n
		}
		for range 2 { // from the memory, and from the disk
			got := logOf(t, s, "a", 0)
			if len(got) != 2 || got[0].Text != "line 1" || *got[0].File != 0 || got[1].Text != "line 3" || got[1].File != nil || got[1].N <= got[0].N {
				t.Errorf("%+v", got)
			}
			if rest := logOf(t, s, "a", got[0].N); len(rest) != 1 || rest[0].Text != "line 3" {
				t.Errorf("%+v", rest)
			}
			if n := written(); n != 0 && n != 3 {
				t.Errorf("%d lines are written", n)
			}
			time.Sleep(time.Second + time.Millisecond)
			synctest.Wait()
		}
		if n := written(); n != 3 {
			t.Errorf("%d lines are written", n)
		}
	})
	s := open(t, dir)
	last := logOf(t, s, "a", 0)
	s.Log(line("a", 4))
	if now := logOf(t, s, "a", 0); len(last) != 2 || len(now) != 3 || now[2].N <= last[1].N {
		t.Errorf("%+v, %+v", last, now)
	}
	if lines, err := s.LogOf(ctx, "you", "a", 0); err != nil || len(lines) != 0 {
		t.Errorf("another user reads %+v, %v", lines, err)
	}
	for _, c := range []struct {
		owner, prefix string
		want          string
	}{{"me", "a", "a"}, {"me", "", "a b"}, {"me", "c", ""}, {"you", "a", ""}, {"me", "ab", ""}} {
		if jobs, err := s.LoggedJobs(ctx, c.owner, c.prefix); err != nil || strings.Join(jobs, " ") != c.want {
			t.Errorf("%+v: %v, %v", c, jobs, err)
		}
	}
}

// The log of a job is bounded: the first lines stay, and of the others the newest; and so are the logs of all.
func TestLogIsBounded(t *testing.T) {
	dir := t.TempDir()
	s := open(t, dir)
	s.Log(line("other", 0))
	for i := range 3 * joblog.MaxLines {
		s.Log(line("a", i))
		if i == joblog.MaxLines/2 { // some of them were written
			if _, err := s.LoggedJobs(ctx, "me", ""); err != nil {
				t.Fatal(err)
			}
		}
	}
	look := func(s *store.Store) {
		t.Helper()
		got := logOf(t, s, "a", 0)
		if n := len(got); n != joblog.MaxLines || got[0].Text != "line 0" || got[joblog.First-1].Text != fmt.Sprint("line ", joblog.First-1) || got[n-1].Text != fmt.Sprint("line ", 3*joblog.MaxLines-1) {
			t.Errorf("%d lines: %+v ... %+v", n, got[0], got[n-1])
		}
		if len(logOf(t, s, "other", 0)) != 1 {
			t.Error("that of the other is gone")
		}
	}
	s.Close()
	s = open(t, dir)
	look(s)
	big := line("big", 0)
	big.Text = strings.Repeat("x", joblog.MaxText)
	for range 200 {
		s.Log(big)
	}
	if err := s.PruneLogs(ctx, time.Now().Add(-time.Hour), joblog.MaxTotal); err != nil {
		t.Fatal(err)
	}
	look(s)
	if n := len(logOf(t, s, "big", 0)) - joblog.First; n != joblog.MaxBytes/joblog.MaxText {
		t.Errorf("%d large lines are kept beside the first", n)
	}
	if _, err := s.LoggedJobs(ctx, "me", ""); err != nil { // they are written
		t.Fatal(err)
	}
	if err := s.PruneLogs(ctx, time.Now().Add(-time.Hour), 10); err != nil {
		t.Fatal(err)
	}
	if a, b := len(logOf(t, s, "a", 0)), len(logOf(t, s, "big", 0)); a != 0 || b != 10 {
		t.Errorf("%d and %d lines", a, b)
	}
	if err := s.PruneLogs(ctx, time.Now().Add(time.Hour), 10); err != nil {
		t.Fatal(err)
	}
	if n := len(logOf(t, s, "big", 0)); n != 0 {
		t.Errorf("%d lines are too old", n)
	}
}

// A disk that takes nothing loses no line that there is room for, and the next line is the next attempt.
func TestLogThatCannotBeWritten(t *testing.T) {
	dir := t.TempDir()
	s := open(t, dir)
	db, err := sql.Open("sqlite", "file:"+filepath.Join(dir, "bits.db")+"?_pragma=busy_timeout(5000)")
	if err != nil {
		t.Fatal(err)
	}
	defer db.Close()
	if _, err := db.Exec("create trigger full before insert on log begin select raise(abort, 'full'); end"); err != nil {
		t.Fatal(err)
	}
	s.Log(line("a", 1))
	if _, err := s.LoggedJobs(ctx, "me", ""); err == nil {
		t.Error("it was written")
	}
	s.Log(line("a", 2))
	if n := len(logOf(t, s, "a", 0)); n != 2 {
		t.Errorf("%d lines", n)
	}
	if _, err := db.Exec("drop trigger full"); err != nil {
		t.Fatal(err)
	}
	if jobs, err := s.LoggedJobs(ctx, "me", ""); err != nil || len(jobs) != 1 {
		t.Error(jobs, err)
	}
	if got := logOf(t, s, "a", 0); len(got) != 2 || got[0].Text != "line 1" {
		t.Errorf("%+v", got)
	}
}
