package contract

import (
	"cmp"
	"fmt"
	"math"
	"path/filepath"
	"slices"
	"strings"

	"bits"
	"bits/hresult"
	"bits/internal/content"
	"bits/internal/limits"
	"bits/internal/remotename"
)

// NewJob makes the job that a Spec describes, SUSPENDED and with the defaults of BITS.
// Local names are checked by the service besides, as only it sees the disk.
func NewJob(spec bits.Spec, by Caller) (*bits.Job, error) {
	if err := atMost(bits.MaxDisplayName, hresult.E_INVALIDARG)(nil, &spec.DisplayName); err != nil {
		return nil, bits.Errorf(hresult.E_INVALIDARG, "cannot create a job with that display name: %w", err)
	}
	j := &bits.Job{
		ID: spec.ID, Owner: by.Owner, Type: spec.Type, DisplayName: spec.DisplayName,
		State: bits.StateSuspended, Priority: bits.Normal, Umask: 0o077,
		MinimumRetryDelay: bits.DefaultRetryDelay, NoProgressTimeout: bits.DefaultNoProgress, MaximumDownloadTime: bits.DefaultMaxDownload,
		NotifyFlags: bits.NotifyTransferred | bits.NotifyError, MinimumNotificationInterval: bits.DefaultInterval,
		HTTPMethod: DefaultMethod(spec.Type),
	}
	if spec.Type == bits.UploadReply {
		j.ReplyProgress = &bits.ReplyProgress{}
	}
	if spec.Umask != nil {
		j.Umask = *spec.Umask & 0o777
	}
	j.Secrets.Environment = bits.Environment(func(name string) (string, bool) { v, ok := spec.Environment[name]; return v, ok })
	if _, err := Set(j, spec.Properties); err != nil {
		return nil, err
	}
	for _, c := range spec.Credentials {
		if _, err := setCredential(j, nil, c, by); err != nil {
			return nil, err
		}
	}
	return j, Add(j, spec.Files, by)
}

// Add appends files: all of them, or, with an error, none.
// Allowed until the job is final. An upload has one file, BG_E_TOO_MANY_FILES; the limits of policy are BG_E_TOO_MANY_FILES_IN_JOB
// and BG_E_TOO_MANY_RANGES_IN_FILE.
func Add(j *bits.Job, files []bits.FileSpec, by Caller) error {
	if err := notFinal("add files to", j); err != nil {
		return err
	}
	if n := len(j.Files) + len(files); j.Type != bits.Download && n > 1 {
		return bits.Errorf(hresult.BG_E_TOO_MANY_FILES, "cannot have %d files in job %s: an upload has one", n, j.ID)
	} else if err := by.within(limits.MaxFilesPerJob, n, "files in one job"); err != nil {
		return err
	}
	all := slices.Grow(slices.Clone(j.Files), len(files))
	locals := map[string]bool{}
	for i := range all {
		locals[filepath.Clean(all[i].LocalName)] = true
	}
	for _, f := range files {
		if err := remotename.CheckSource(f.RemoteName); err != nil {
			return err
		}
		if err := checkRanges(j, f, by); err != nil {
			return err
		}
		known, err := content.Of(j.Type, f)
		if err != nil {
			return err
		}
		local := filepath.Clean(f.LocalName)
		if locals[local] {
			return bits.Errorf(hresult.E_INVALIDARG, "cannot add %s twice to one job: the second would replace the first", f.LocalName)
		}
		locals[local] = true
		all = append(all, bits.File{Number: len(all), RemoteName: f.RemoteName, LocalName: f.LocalName, Pieces: known.Pieces, FileDetails: bits.FileDetails{Ranges: slices.Clone(f.Ranges), Content: known.Content}})
	}
	work := *j
	if work.Files = all; fits(&work) != nil {
		return fits(&work)
	}
	j.Files = all
	return nil
}

// checkRanges accepts what AddFileWithRanges accepts: ranges in any order that do not overlap.
func checkRanges(j *bits.Job, f bits.FileSpec, by Caller) error {
	if f.Ranges == nil {
		return nil
	}
	bad := func(code hresult.Code, format string, args ...any) error {
		return bits.Errorf(code, "cannot add %s with its ranges: %s", f.RemoteName, fmt.Sprintf(format, args...))
	}
	if j.Type != bits.Download {
		return bad(hresult.E_NOTIMPL, "the type of the job is %s", j.Type)
	}
	if remotename.IsFile(f.RemoteName) {
		return bad(hresult.E_INVALIDARG, "ranges are for http and https")
	}
	if len(f.Ranges) == 0 {
		return bad(hresult.E_INVALIDARG, "there are none")
	}
	if err := by.within(limits.MaxRangesPerFile, len(f.Ranges), "ranges of one file"); err != nil {
		return err
	}
	sorted := slices.Clone(f.Ranges)
	slices.SortStableFunc(sorted, func(a, b bits.FileRange) int { return cmp.Compare(a.Offset, b.Offset) })
	end := int64(0)
	for _, r := range sorted {
		switch {
		case r.Offset < 0 || r.Length == 0 || r.Length < bits.ToEOF || r.Length > 0 && r.Offset > math.MaxInt64-r.Length:
			return bad(hresult.BG_E_INVALID_RANGE, "%d bytes from %d are no range", r.Length, r.Offset)
		case r.Offset < end:
			return bad(hresult.BG_E_OVERLAPPING_RANGES, "the one from %d overlaps another", r.Offset)
		}
		if end = r.Offset + r.Length; r.Length == bits.ToEOF {
			end = math.MaxInt64
		}
	}
	return nil
}

// FileProperty is one row of the table of what can be read of a file.
type FileProperty struct {
	Name, BITS, Doc string

	private bool // of the owner alone
	read    func(*bits.Job, *bits.File) (any, hresult.Code, error)
}

type fileProgress struct {
	BytesTotal       *int64 `json:"bytes_total"`
	BytesTransferred int64  `json:"bytes_transferred"`
	Completed        bool   `json:"completed"`
}

type peerStats struct {
	FromOrigin int64 `json:"from_origin"`
	FromPeers  int64 `json:"from_peers"`
}

var fileProperties = []FileProperty{
	fileFact("remote_name", "IBackgroundCopyFile::GetRemoteName", "the remote name; redirects may be reported in it", of(func(f *bits.File) any { return f.RemoteName })),
	fileFact("local_name", "IBackgroundCopyFile::GetLocalName", "the local name", of(func(f *bits.File) any { return f.LocalName })),
	fileFact("progress", "IBackgroundCopyFile::GetProgress", "BG_FILE_PROGRESS; bytes_total is null while it is unknown", of(func(f *bits.File) any {
		return fileProgress{f.Size, f.TransferredBytes(), f.Completed}
	})),
	fileFact("ranges", "IBackgroundCopyFile2::GetFileRanges", "the ranges it was added with; S_FALSE and null: the whole file", func(_ *bits.Job, f *bits.File) (any, hresult.Code, error) {
		if f.Ranges == nil {
			return nil, hresult.S_FALSE, nil
		}
		return f.Ranges, hresult.S_OK, nil
	}),
	fileFact("temporary_name", "IBackgroundCopyFile3::GetTemporaryName", "where the bytes are before Complete; downloads only", func(j *bits.Job, f *bits.File) (any, hresult.Code, error) {
		if j.Type == bits.Upload {
			return nil, 0, bits.Errorf(hresult.E_NOTIMPL, "cannot read the temporary name of an upload: it has none")
		}
		return f.Temporary, hresult.S_OK, nil
	}),
	fileFact("validation_state", "IBackgroundCopyFile3::GetValidationState", "the owner's verdict on the content; false also before there is one", of(func(f *bits.File) any { return f.Valid })),
	fileFact("downloaded_from_peer", "IBackgroundCopyFile3::IsDownloadedFromPeer", "whether a byte of it came from a peer", of(func(*bits.File) any { return false })),
	fileFact("peer_download_stats", "IBackgroundCopyFile4::GetPeerDownloadStats", "bytes from the origin and from peers", of(func(f *bits.File) any { return peerStats{FromOrigin: f.TransferredBytes()} })),
	fileFact("http_response_headers", "IBackgroundCopyFile5::GetProperty BITS_FILE_PROPERTY_ID_HTTP_RESPONSE_HEADERS", "the status line and the headers of the last answer, at most 64 KiB in lines that end with CRLF; null: none yet; read by the owner alone", of(func(f *bits.File) any {
		if f.ResponseHeaders == "" {
			return nil
		}
		return f.ResponseHeaders
	})).ofOwner(),
	fileFact("filled_ranges", "IBackgroundCopyFile6::GetFilledFileRanges", "what is on stable storage, sorted and merged", func(j *bits.Job, f *bits.File) (any, hresult.Code, error) {
		if err := randomAccess(j, f); err != nil {
			return nil, 0, err
		}
		filled := []bits.FileRange{}
		for _, r := range f.Done {
			filled = append(filled, bits.FileRange{Offset: r.Start, Length: r.End - r.Start})
		}
		return filled, hresult.S_OK, nil
	}),
	fileFact("checksums", "", "the digests that it must have, as it was added with them: hexadecimal, by algorithm; null: none", of(func(f *bits.File) any { return f.Digests })),
	fileFact("mirrors", "", "other URLs of it, in the order to try", of(func(f *bits.File) any { return f.Mirrors })),
	fileFact("mirrors_from_server", "", "whether mirrors are used that its server names (RFC 6249)", of(func(f *bits.File) any { return f.MirrorsFromServer })),
	fileFact("told", "", `the mirrors that its server has named, and the digests that it has told with them: {"checksums":{},"mirrors":[]}; empty: none`, of(func(f *bits.File) any { return f.Told })),
	fileFact("dropped", "", "its sources that gave bad content: they are not asked again", of(func(f *bits.File) any { return f.Dropped })),
	fileFact("pieces", "", `the digests of its pieces: {"algorithm":"sha256","length":262144,"hashes":[]}; null: none`, of(func(f *bits.File) any { return f.Pieces })),
}

// fileFact makes a row.
func fileFact(name, is, doc string, read func(*bits.Job, *bits.File) (any, hresult.Code, error)) FileProperty {
	return FileProperty{Name: name, BITS: is, Doc: doc, read: read}
}

// ofOwner hides the property from everybody else.
func (p FileProperty) ofOwner() FileProperty {
	p.private = true
	return p
}

func of(read func(*bits.File) any) func(*bits.Job, *bits.File) (any, hresult.Code, error) {
	return func(_ *bits.Job, f *bits.File) (any, hresult.Code, error) { return read(f), hresult.S_OK, nil }
}

// FileProperties returns the table of what can be read of a file.
func FileProperties() []FileProperty { return slices.Clone(fileProperties) }

// GetFile reads one property of a file; the code is S_FALSE where BITS says so.
func GetFile(j *bits.Job, file int, name string, by Caller) (any, hresult.Code, error) {
	f, err := at(j, file)
	if err != nil {
		return nil, 0, err
	}
	i := slices.IndexFunc(fileProperties, func(p FileProperty) bool { return p.Name == name })
	if i < 0 {
		var names []string
		for _, p := range fileProperties {
			names = append(names, p.Name)
		}
		return nil, 0, bits.Errorf(hresult.BG_E_UNKNOWN_PROPERTY_ID, "cannot use the property %q: files have no such property", name).WithHint("the properties are %s", strings.Join(names, ", "))
	}
	if fileProperties[i].private && by.Owner != j.Owner {
		return nil, 0, notHis(name, j)
	}
	return fileProperties[i].read(j, f)
}

func at(j *bits.Job, file int) (*bits.File, error) {
	if file < 0 || file >= len(j.Files) {
		return nil, bits.Errorf(hresult.BG_E_FILE_NOT_FOUND, "cannot find file %d of job %s: it has %d, counted from 0", file, j.ID, len(j.Files))
	}
	return &j.Files[file], nil
}

// randomAccess is the rule of the calls of IBackgroundCopyFile6: the job must qualify for the on-demand mode.
func randomAccess(j *bits.Job, f *bits.File) error {
	why := ""
	switch {
	case j.Type != bits.Download:
		why = "the type of its job is " + j.Type.String()
	case j.DynamicContent:
		why = "its job has dynamic_content"
	case ownMethod(j):
		why = "its job has a method of its own"
	case f.Ranges != nil:
		why = "it was added with ranges"
	case remotename.IsFile(f.RemoteName):
		why = "it is not on the web"
	case f.NoRanges:
		why = "its server has no ranges"
	default:
		return nil
	}
	return bits.Errorf(hresult.BG_E_RANDOM_ACCESS_NOT_SUPPORTED, "cannot fetch parts of %s: %s", f.RemoteName, why)
}

// RandomAccess reports whether the file qualifies for the on-demand mode: then its ranges are worth a notification.
func RandomAccess(j *bits.Job, f *bits.File) bool { return randomAccess(j, f) == nil }
