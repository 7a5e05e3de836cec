package store

import (
	"context"
	"database/sql"
	"sync"
	"time"

	"bits/internal/joblog"
)

// journal are the lines of logs that are not written yet.
type journal struct {
	mu       sync.Mutex
	next     int64                   // the number of the next line
	pending  map[string]*joblog.Tail // by job
	writing  map[string]*joblog.Tail // that are being written
	size     int
	timer    *time.Timer    // fires when they are written; nil while there are none
	changed  chan struct{}  // closed at the next line; nil while nobody waits
	flushing sync.Mutex     // one at a time
	grown    map[string]int // lines written since the log of a job was bounded; used while flushing
}

const (
	logEvery = time.Second
	logMany  = 10_000   // jobs whose growth is remembered
	logMost  = 16 << 20 // in memory: what comes beside it is lost
	logAhead = 1 << 16  // numbers that a crash may have used without a record
	logOver  = 100      // lines that a log may have too many: to look for them costs more than to write one
)

// Log adds a line to the log of a job and fills in its number.
// It costs the caller no write: lines are written together, a second later at the most, so a crash may lose those of the last second.
// Readers see them at once.
func (s *Store) Log(l joblog.Line) {
	j := &s.journal
	j.mu.Lock()
	defer j.mu.Unlock()
	if j.size += len(l.Text); j.size > logMost {
		return // the disk has taken nothing for long
	}
	l.N = j.next
	j.next++
	if j.pending[l.Job] == nil {
		j.pending[l.Job] = new(joblog.Tail)
	}
	j.pending[l.Job].Add(l)
	if j.timer == nil {
		j.timer = time.AfterFunc(logEvery, func() { s.writeLog(context.Background()) })
	}
	if j.changed != nil {
		close(j.changed)
		j.changed = nil
	}
}

// Logged returns a channel that is closed at the next line of any log. Take it before reading, and nothing is missed.
func (s *Store) Logged() <-chan struct{} {
	j := &s.journal
	j.mu.Lock()
	defer j.mu.Unlock()
	if j.changed == nil {
		j.changed = make(chan struct{})
	}
	return j.changed
}

func (s *Store) openLog(ctx context.Context) error {
	var last int64
	err := s.db.QueryRowContext(ctx, "select coalesce(max(seq), 0) from sqlite_sequence where name = 'log'").Scan(&last)
	s.journal.grown = map[string]int{}
	s.journal.pending = map[string]*joblog.Tail{}
	s.journal.next = last + 1
	if last > 0 {
		s.journal.next += logAhead
	}
	return err
}

// writeLog writes what is pending. If that cannot be, it is tried again with the next line.
func (s *Store) writeLog(ctx context.Context) error {
	j := &s.journal
	j.flushing.Lock()
	defer j.flushing.Unlock()
	j.mu.Lock()
	if j.timer != nil {
		j.timer.Stop()
		j.timer = nil
	}
	j.writing, j.pending, j.size = j.pending, map[string]*joblog.Tail{}, 0
	j.mu.Unlock()
	if len(j.writing) == 0 {
		return nil
	}
	err := s.transact(ctx, func(tx *sql.Tx) error {
		add, err := tx.PrepareContext(ctx, statement("log"))
		if err != nil {
			return err
		}
		defer add.Close()
		for job, tail := range j.writing {
			for _, l := range tail.Lines() {
				if _, err := add.ExecContext(ctx, l.N, stamp(l.At), l.Job, l.Owner, l.Kind, l.File, l.Text); err != nil {
					return err
				}
			}
			if j.grown[job] += len(tail.Lines()); j.grown[job] < logOver {
				continue
			}
			if _, err := tx.ExecContext(ctx, statement("bound_log"), job, joblog.First, joblog.MaxLines, joblog.MaxBytes); err != nil {
				return err
			}
			delete(j.grown, job)
		}
		return nil
	})
	if len(j.grown) > logMany {
		clear(j.grown)
	}
	j.mu.Lock()
	defer j.mu.Unlock()
	if err != nil { // they come before what was added meanwhile
		for job, tail := range j.writing {
			if later := j.pending[job]; later != nil {
				for _, l := range later.Lines() {
					tail.Add(l)
				}
			}
			j.pending[job] = tail
		}
		for _, tail := range j.pending {
			j.size += tail.Size()
		}
	}
	j.writing = nil
	return err
}

// LogOf returns the lines after a number of the log of a job, oldest first, that were written while it belonged to the owner.
func (s *Store) LogOf(ctx context.Context, owner, job string, after int64) (lines []joblog.Line, err error) {
	j := &s.journal
	j.mu.Lock()
	var fresh []joblog.Line
	for _, tails := range []map[string]*joblog.Tail{j.writing, j.pending} {
		if t := tails[job]; t != nil {
			fresh = append(fresh, t.Lines()...)
		}
	}
	end := j.next
	j.mu.Unlock()
	if len(fresh) > 0 {
		end = fresh[0].N // what is before it was written, and what is after may be twice
	}
	err = s.query(ctx, "select n, at, job, owner, kind, file, text from log where job = ? and owner = ? and n > ? and n < ? order by n", []any{job, owner, after, end}, func(scan func(...any) error) error {
		var l joblog.Line
		var at string
		if err := scan(&l.N, &at, &l.Job, &l.Owner, &l.Kind, &l.File, &l.Text); err != nil {
			return err
		}
		l.At, err = time.Parse(time.RFC3339Nano, at)
		lines = append(lines, l)
		return err
	})
	for _, l := range fresh {
		if l.Owner == owner && l.N > after {
			lines = append(lines, l)
		}
	}
	return lines, err
}

// LoggedJobs returns the jobs of an owner that have a log and an id that begins so, at most two of them.
func (s *Store) LoggedJobs(ctx context.Context, owner, prefix string) (jobs []string, err error) {
	if err := s.writeLog(ctx); err != nil {
		return nil, notWritten("write the logs", err)
	}
	err = s.query(ctx, "select distinct job from log where job >= ?1 and job < ?1 || 'g' and owner = ?2 limit 2", []any{prefix, owner}, func(scan func(...any) error) error {
		jobs = append(jobs, "")
		return scan(&jobs[len(jobs)-1])
	})
	return jobs, err
}

// PruneLogs removes the lines of logs before the time, and all but the newest keep ones.
func (s *Store) PruneLogs(ctx context.Context, before time.Time, keep int) error {
	_, err := s.db.ExecContext(ctx, statement("prune_log"), stamp(before), keep)
	return err
}
