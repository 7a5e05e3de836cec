// Package store keeps jobs, files, checkpoints, events, accepted certificates and the logs of jobs in SQLite.
//
// A commit is durable when it returns: write-ahead log, synchronous=FULL.
// There is one connection and so one writer.
// The statements and the numbered migrations are the files of the folder sql.
package store

import (
	"context"
	"database/sql"
	"embed"
	"encoding/binary"
	"encoding/json"
	"errors"
	"fmt"
	"io"
	"io/fs"
	"net/url"
	"os"
	"path/filepath"
	"slices"
	"strconv"
	"strings"
	"time"

	"modernc.org/sqlite"
	sqlite3 "modernc.org/sqlite/lib"

	"bits"
	"bits/hresult"
)

//go:embed sql/*.sql
var files embed.FS

func statement(name string) string {
	text, err := files.ReadFile("sql/" + name + ".sql")
	if err != nil {
		panic(err) // embedded: a name that is wrong is wrong in every test
	}
	return string(text)
}

const applicationID = 0x42495453 // "BITS"

// Store is an open database.
// Its methods may be called from several goroutines.
type Store struct {
	db   *sql.DB
	seal sealer

	journal journal
}

// Open opens the database bits.db and the key file of the folder, and makes what is missing.
// A database of a newer program is refused and stays as it is; one of an older program is brought up to date.
func Open(ctx context.Context, dir string) (*Store, error) {
	if err := os.MkdirAll(dir, 0o700); err != nil {
		return nil, bits.Errorf(hresult.E_ACCESSDENIED, "cannot make the state folder: %w", err)
	}
	if kind := networkFileSystem(dir); kind != "" {
		return nil, bits.Errorf(hresult.ERROR_NOT_SUPPORTED, "cannot keep the state in %s: it lies on a network file system (%s), where SQLite's log is not safe", dir, kind).WithHint("set BITS_STATE_DIR to a folder on a local disk")
	}
	path := filepath.Join(dir, "bits.db")
	if err := checkHeader(path); err != nil {
		return nil, err
	}
	fresh, err := makePrivate(path)
	if err != nil {
		return nil, fail(path, err)
	}
	seal, err := openSealer(filepath.Join(dir, "key"), fresh)
	if err != nil {
		return nil, err
	}
	dsn := "file:" + (&url.URL{Path: path}).EscapedPath() +
		"?_txlock=immediate&_pragma=busy_timeout(5000)&_pragma=journal_mode(WAL)&_pragma=synchronous(FULL)&_pragma=foreign_keys(1)&_pragma=temp_store(MEMORY)"
	db, err := sql.Open("sqlite", dsn)
	if err != nil {
		return nil, fail(path, err)
	}
	db.SetMaxOpenConns(1)
	s := &Store{db: db, seal: seal}
	err = s.migrate(ctx)
	if err == nil {
		err = s.openLog(ctx)
	}
	if err != nil {
		db.Close()
		return nil, fail(path, err)
	}
	return s, nil
}

// makePrivate makes the file of the database before SQLite does, which gives its log the same mode; fresh is whether it was empty.
func makePrivate(path string) (fresh bool, err error) {
	f, err := os.OpenFile(path, os.O_RDWR|os.O_CREATE, 0o600)
	if err != nil {
		return false, err
	}
	info, err := f.Stat()
	for _, suffix := range []string{"-wal", "-shm"} { // those of an older program
		if cerr := os.Chmod(path+suffix, 0o600); cerr != nil && !errors.Is(cerr, fs.ErrNotExist) {
			err = errors.Join(err, cerr)
		}
	}
	err = errors.Join(err, f.Chmod(0o600), f.Close())
	return err == nil && info.Size() == 0, err
}

// Close writes the lines of logs that are not written, checkpoints SQLite's log and closes the database.
func (s *Store) Close() error { return errors.Join(s.writeLog(context.Background()), s.db.Close()) }

func fail(path string, err error) error {
	var e *bits.Error
	if errors.As(err, &e) {
		return err
	}
	return bits.Errorf(hresult.BG_E_DATABASE_CORRUPT, "cannot open the store %s: %w", path, err).WithHint("nothing was changed; move the file away to start with an empty queue, or restore it from a backup")
}

// checkHeader refuses foreign and newer databases before SQLite touches the file.
func checkHeader(path string) error {
	f, err := os.Open(path)
	if errors.Is(err, fs.ErrNotExist) {
		return nil
	} else if err != nil {
		return fail(path, err)
	}
	defer f.Close()
	var head [100]byte
	if _, err := io.ReadFull(f, head[:]); err == io.EOF {
		return nil
	} else if err != nil || !strings.HasPrefix(string(head[:]), "SQLite format 3\x00") {
		return fail(path, errors.New("it is no SQLite database"))
	}
	if id := binary.BigEndian.Uint32(head[68:]); id != applicationID && id != 0 {
		return fail(path, fmt.Errorf("it belongs to another application (id 0x%x)", id))
	}
	return newer(path, int(binary.BigEndian.Uint32(head[60:])))
}

func newer(path string, version int) error {
	if ours := len(migrations()); version > ours {
		return bits.Errorf(hresult.ERROR_NOT_SUPPORTED, "cannot open the store %s: a newer program wrote it (version %d, this one knows %d); it was left as it is", path, version, ours).WithHint("use the newer program, or set BITS_STATE_DIR to another folder")
	}
	return nil
}

// migrations returns the names of the numbered files, in order.
func migrations() (names []string) {
	entries, _ := files.ReadDir("sql")
	for _, e := range entries {
		if _, err := strconv.Atoi(strings.TrimSuffix(e.Name(), ".sql")); err == nil {
			names = append(names, strings.TrimSuffix(e.Name(), ".sql"))
		}
	}
	slices.Sort(names)
	return names
}

func (s *Store) migrate(ctx context.Context) error {
	var library string
	if err := s.db.QueryRowContext(ctx, "select sqlite_version()").Scan(&library); err != nil {
		return err
	}
	if !atLeast(library, 3, 51, 3) {
		return fmt.Errorf("SQLite %s can corrupt its log; 3.51.3 is the least", library)
	}
	var version int
	if err := s.db.QueryRowContext(ctx, "pragma user_version").Scan(&version); err != nil {
		return err
	}
	if err := newer("bits.db", version); err != nil {
		return err
	}
	for i, name := range migrations()[version:] {
		err := s.transact(ctx, func(tx *sql.Tx) error {
			if _, err := tx.ExecContext(ctx, statement(name)); err != nil {
				return err
			}
			_, err := tx.ExecContext(ctx, fmt.Sprintf("pragma user_version = %d; pragma application_id = %d", version+i+1, applicationID))
			return err
		})
		if err != nil {
			return fmt.Errorf("migration %s: %w", name, err)
		}
	}
	return nil
}

func atLeast(version string, want ...int) bool {
	for i, part := range strings.Split(version, ".") {
		n, _ := strconv.Atoi(part)
		if i >= len(want) || n > want[i] {
			return true
		} else if n < want[i] {
			return false
		}
	}
	return true
}

func (s *Store) transact(ctx context.Context, f func(*sql.Tx) error) error {
	tx, err := s.db.BeginTx(ctx, nil)
	if err != nil {
		return err
	}
	defer tx.Rollback()
	if err := f(tx); err != nil {
		return err
	}
	return tx.Commit()
}

// Event is something that happened to a job and is kept for those who were away.
type Event struct {
	N     int64           `json:"n"`
	At    time.Time       `json:"at"`
	Job   string          `json:"job"`
	Owner string          `json:"-"`
	Kind  string          `json:"kind"`
	Body  json.RawMessage `json:"body"`
}

// Accepted is a certificate that the application of a job accepted at an endpoint.
// It is remembered across restarts, until the memory of the job is emptied.
type Accepted struct {
	Endpoint string
	SHA256   [32]byte
	At       time.Time
}

// Change is what one transaction writes about one job.
type Change struct {
	Job            *bits.Job    // the row of the job
	Files          []*bits.File // the files to write besides
	ForgetAccepted bool         // empty the memory of accepted certificates, before more are written
	Accepted       []Accepted
	Delete         bool    // remove the job with all that belongs to it
	Events         []Event // their numbers are filled in
}

// Save writes the change in one transaction.
// When it returns nil the change survives a power cut; with an error nothing was written.
func (s *Store) Save(ctx context.Context, c *Change) error {
	err := s.transact(ctx, func(tx *sql.Tx) error {
		if c.Delete {
			_, err := tx.ExecContext(ctx, "delete from job where id = ?", c.Job.ID)
			return err
		}
		if err := s.saveJob(ctx, tx, c.Job); err != nil {
			return err
		}
		for _, f := range c.Files {
			if err := s.saveFile(ctx, tx, c.Job.ID, f); err != nil {
				return err
			}
		}
		if c.ForgetAccepted {
			if _, err := tx.ExecContext(ctx, "delete from accepted where job = ?", c.Job.ID); err != nil {
				return err
			}
		}
		for _, a := range c.Accepted {
			if _, err := tx.ExecContext(ctx, statement("accept"), c.Job.ID, a.Endpoint, fmt.Sprintf("%x", a.SHA256), stamp(a.At)); err != nil {
				return err
			}
			if _, err := tx.ExecContext(ctx, statement("forget_oldest_accepted"), c.Job.ID); err != nil {
				return err
			}
		}
		for i := range c.Events {
			e := &c.Events[i]
			r, err := tx.ExecContext(ctx, "insert into event (at, job, owner, kind, body) values (?, ?, ?, ?, ?)", stamp(e.At), e.Job, e.Owner, e.Kind, string(e.Body))
			if err != nil {
				return err
			}
			if e.N, err = r.LastInsertId(); err != nil {
				return err
			}
		}
		return nil
	})
	if err != nil {
		return notWritten("record job "+c.Job.ID, err)
	}
	return nil
}

// ErrNotWritten is what errors.Is finds when a change could not be written: nothing of it was.
// It may pass: a disk that is full gets room again.
var ErrNotWritten = errors.New("the store cannot be written")

// notWritten makes the error of a write: that of the disk, or of the store.
func notWritten(what string, err error) error {
	code := hresult.E_FAIL
	var e *sqlite.Error
	if errors.As(err, &e) {
		switch e.Code() & 0xff {
		case sqlite3.SQLITE_FULL:
			code = hresult.ERROR_DISK_FULL
		case sqlite3.SQLITE_IOERR, sqlite3.SQLITE_READONLY, sqlite3.SQLITE_CANTOPEN:
			code = hresult.ERROR_IO_DEVICE
		case sqlite3.SQLITE_CORRUPT, sqlite3.SQLITE_NOTADB:
			code = hresult.BG_E_DATABASE_CORRUPT
		}
	}
	return bits.Errorf(code, "cannot %s: %w", what, fmt.Errorf("%w: %w", ErrNotWritten, err)).In(bits.ContextQueueManager)
}

func stamp(t time.Time) string { return t.UTC().Format("2006-01-02T15:04:05.000000Z") }

func (s *Store) saveJob(ctx context.Context, tx *sql.Tx, j *bits.Job) error {
	row := *j
	row.Files, row.Waiting, row.HeaderNames, row.NotifyAttached = nil, nil, nil, false
	properties, err := json.Marshal(row)
	if err != nil {
		return err
	}
	plain, err := json.Marshal(j.Secrets)
	if err != nil {
		return err
	}
	_, err = tx.ExecContext(ctx, statement("save_job"), j.ID, j.Owner, j.State.String(), string(properties), s.seal.seal(plain, j.ID), stamp(j.Modified))
	return err
}

// fileDetails is the column details, with what the JSON of a job does not show.
type fileDetails struct {
	bits.FileDetails
	Headers []byte `json:"headers,omitempty"`          // of the last answer, sealed: there are cookies in them, and what else a server hands out
	Clear   string `json:"response_headers,omitempty"` // the same, as it was written before; it is only read
	Hashing []byte `json:"hashing,omitempty"`
}

func (s *Store) saveFile(ctx context.Context, tx *sql.Tx, job string, f *bits.File) error {
	validator, done, pieces := []byte(nil), []byte("[]"), []byte(nil)
	var err error
	if f.Validator != nil {
		if validator, err = json.Marshal(f.Validator); err != nil {
			return err
		}
	}
	if len(f.Done) > 0 {
		if done, err = json.Marshal(f.Done); err != nil {
			return err
		}
	}
	if f.Pieces != nil && len(f.Done) == 0 { // they stay as they were first written
		if pieces, err = json.Marshal(f.Pieces); err != nil {
			return err
		}
	}
	kept := fileDetails{FileDetails: f.FileDetails, Hashing: f.Hashing}
	if f.ResponseHeaders != "" {
		kept.Headers = s.seal.seal([]byte(f.ResponseHeaders), job)
	}
	details, err := json.Marshal(kept)
	if err != nil {
		return err
	}
	_, err = tx.ExecContext(ctx, statement("save_file"), job, f.Number, f.RemoteName, f.LocalName, f.Temporary, f.Size, text(validator), string(done), f.Finished, f.Completed, f.Original, string(details), text(pieces))
	return err
}

func text(b []byte) any {
	if b == nil {
		return nil
	}
	return string(b)
}

// Jobs returns all jobs with their files.
func (s *Store) Jobs(ctx context.Context) ([]*bits.Job, error) {
	byID := map[string]*bits.Job{}
	var jobs []*bits.Job
	err := s.query(ctx, "select id, properties, secrets from job order by changed", nil, func(scan func(...any) error) error {
		var id, properties string
		var sealed []byte
		if err := scan(&id, &properties, &sealed); err != nil {
			return err
		}
		j := &bits.Job{}
		if err := json.Unmarshal([]byte(properties), j); err != nil {
			return fmt.Errorf("job %s: %w", id, err)
		}
		plain, err := s.seal.open(sealed, id)
		if err != nil {
			return fmt.Errorf("job %s: cannot open its secrets: %w", id, err)
		}
		if err := json.Unmarshal(plain, &j.Secrets); err != nil {
			return fmt.Errorf("job %s: %w", id, err)
		}
		byID[id] = j
		jobs = append(jobs, j)
		return nil
	})
	if err != nil {
		return nil, fail("bits.db", err)
	}
	err = s.query(ctx, statement("load_files"), nil, func(scan func(...any) error) error {
		var job, done, details string
		var validator, pieces sql.NullString
		var f bits.File
		if err := scan(&job, &f.Number, &f.RemoteName, &f.LocalName, &f.Temporary, &f.Size, &validator, &done, &f.Finished, &f.Completed, &f.Original, &details, &pieces); err != nil {
			return err
		}
		if err := json.Unmarshal([]byte(done), &f.Done); err != nil {
			return err
		}
		if validator.Valid {
			if err := json.Unmarshal([]byte(validator.String), &f.Validator); err != nil {
				return err
			}
		}
		if pieces.Valid {
			if err := json.Unmarshal([]byte(pieces.String), &f.Pieces); err != nil {
				return err
			}
		}
		var kept fileDetails
		if err := json.Unmarshal([]byte(details), &kept); err != nil {
			return err
		}
		f.FileDetails, f.ResponseHeaders, f.Hashing = kept.FileDetails, kept.Clear, kept.Hashing
		if kept.Headers != nil {
			plain, err := s.seal.open(kept.Headers, job)
			if err != nil {
				return fmt.Errorf("job %s: cannot open the headers of its answers: %w", job, err)
			}
			f.ResponseHeaders = string(plain)
		}
		f.Best = f.Done.Len()
		j := byID[job]
		j.Files = append(j.Files, f)
		return nil
	})
	if err != nil {
		return nil, fail("bits.db", err)
	}
	return jobs, nil
}

func (s *Store) query(ctx context.Context, q string, args []any, row func(scan func(...any) error) error) error {
	rows, err := s.db.QueryContext(ctx, q, args...)
	if err != nil {
		return err
	}
	defer rows.Close()
	for rows.Next() {
		if err := row(rows.Scan); err != nil {
			return err
		}
	}
	return rows.Err()
}

// Events returns the events after the number since, oldest first, at most limit.
func (s *Store) Events(ctx context.Context, since int64, limit int) (events []Event, err error) {
	err = s.query(ctx, "select n, at, job, owner, kind, body from event where n > ? order by n limit ?", []any{since, limit}, func(scan func(...any) error) error {
		var e Event
		var at, body string
		if err := scan(&e.N, &at, &e.Job, &e.Owner, &e.Kind, &body); err != nil {
			return err
		}
		e.Body = json.RawMessage(body)
		e.At, err = time.Parse(time.RFC3339Nano, at)
		events = append(events, e)
		return err
	})
	return events, err
}

// LastEvent returns the number of the newest event.
func (s *Store) LastEvent(ctx context.Context) (n int64, err error) {
	return n, s.db.QueryRowContext(ctx, "select coalesce(max(n), 0) from event").Scan(&n)
}

// PruneEvents removes events older than the time, and all but the newest keep ones.
func (s *Store) PruneEvents(ctx context.Context, before time.Time, keep int) error {
	_, err := s.db.ExecContext(ctx, statement("prune_events"), stamp(before), keep)
	return err
}

// Accepted reports whether the application of the job accepted the certificate at the endpoint.
func (s *Store) Accepted(ctx context.Context, job, endpoint string, sha256 [32]byte) (bool, error) {
	var n int
	err := s.db.QueryRowContext(ctx, "select count(*) from accepted where job = ? and endpoint = ? and sha256 = ?", job, endpoint, fmt.Sprintf("%x", sha256)).Scan(&n)
	return n > 0, err
}
