// Package limits has the limits of policy: how many jobs, files and ranges there may be.
package limits

import (
	"strconv"
	"strings"

	"bits"
	"bits/hresult"
)

// Limit is one of the limits of policy, by its name in the policy of BITS.
type Limit struct {
	Name    string
	Default int
	Code    hresult.Code
	Doc     string
}

// Names of limits.
const (
	MaxJobsPerMachine = "MaxJobsPerMachine"
	MaxJobsPerUser    = "MaxJobsPerUser"
	MaxFilesPerJob    = "MaxFilesPerJob"
	MaxRangesPerFile  = "MaxRangesPerFile"
)

// All is the table of the limits of policy. The defaults are higher than those of Windows (300, 60, 200, 500): those were made for
// machines of 2007.
var All = []Limit{
	{MaxJobsPerMachine, 10_000, hresult.BG_E_TOO_MANY_JOBS_PER_MACHINE, "jobs of all users"},
	{MaxJobsPerUser, 1_000, hresult.BG_E_TOO_MANY_JOBS_PER_USER, "jobs of one user"},
	{MaxFilesPerJob, 1_000, hresult.BG_E_TOO_MANY_FILES_IN_JOB, "files in one job"},
	{MaxRangesPerFile, 1_000, hresult.BG_E_TOO_MANY_RANGES_IN_FILE, "ranges of one file"},
}

// Limits are the limits that were set, by name; the others have their defaults.
type Limits map[string]Setting

// Setting is the value of a limit, and who set it.
type Setting struct {
	N  int
	By string
}

// Parse reads settings "NAME=NUMBER" that by has made; a name that is none or a number below 1 is E_INVALIDARG.
func Parse(settings []string, by string) (Limits, error) {
	limits := Limits{}
	for _, s := range settings {
		name, value, _ := strings.Cut(s, "=")
		n, err := strconv.Atoi(value)
		if row, _ := limits.of(name); row.Name == "" || err != nil || n < 1 {
			var names []string
			for _, row := range All {
				names = append(names, row.Name)
			}
			return nil, bits.Errorf(hresult.E_INVALIDARG, "cannot read the limit %q", s).WithHint("limits are NAME=NUMBER, the number at least 1, the name one of %s", strings.Join(names, ", "))
		}
		limits[name] = Setting{n, by}
	}
	return limits, nil
}

func (l Limits) of(name string) (Limit, Setting) {
	for _, row := range All {
		if row.Name == name {
			if s, ok := l[name]; ok {
				return row, s
			}
			return row, Setting{row.Default, "the default"}
		}
	}
	return Limit{}, Setting{}
}

// Within returns the error of somebody who would have n of something that a limit is set for.
func (l Limits) Within(name string, n int, what string) error {
	row, s := l.of(name)
	if n <= s.N {
		return nil
	}
	return bits.Errorf(row.Code, "cannot have %d %s: %d are allowed (%s, set by %s)", n, what, s.N, name, s.By).WithHint("administrators are exempt; another value is set with: bits daemon --limit %s=NUMBER", name)
}
