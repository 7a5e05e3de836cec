package transfer_test

import (
	"fmt"
	"net/http"
	"slices"
	"testing"
	"testing/synctest"

	"bits/hresult"
)

// Every status that is no content is an error of the remote file with the code of its own. Which are tried again is what BITS documents
// under "Handling Server Application Errors": these are not. 429 is, unless the job is strict.
func TestStatuses(t *testing.T) {
	fatal := []int{300, 301, 302, 303, 304, 305, 307, 308, 501, 505}
	for status := 400; status < 500; status++ {
		if status != http.StatusRequestTimeout && status != http.StatusConflict && status != http.StatusTooManyRequests {
			fatal = append(fatal, status)
		}
	}
	several := func(from, to int) (all []int) {
		for ; from <= to; from++ {
			all = append(all, from)
		}
		return all
	}
	for _, status := range slices.Concat(several(201, 206), []int{207, 208, 226, 299}, several(300, 308), several(400, 431), []int{449, 451, 499}, several(500, 511), []int{520, 521, 522, 599, 600, 799}) {
		if status == http.StatusPartialContent || status == http.StatusRequestedRangeNotSatisfiable {
			continue // they are part of how ranges are asked for
		}
		t.Run(fmt.Sprint(status), func(t *testing.T) {
			t.Parallel()
			state := "TRANSIENT_ERROR"
			if slices.Contains(fatal, status) {
				state = "ERROR"
			}
			code := hresult.FromHTTPStatus(status)
			x := exchange{
				responses: []string{fmt.Sprintf("HTTP/1.1 %d X\nX-Why: because\nContent-Length: ?\n\nan error page", status)},
				runs:      []run{{requests: []string{"GET /f\nRange: bytes=0-"}, error: ptr(fmt.Sprintf("%s REMOTE_FILE %s %s", state, code, code.Name())), lines: ptr("X-Why: because")}},
			}
			if status == http.StatusBadRequest { // it may mean the range
				x.responses = append(x.responses, x.responses[0])
				x.runs[0].requests = append(x.runs[0].requests, "GET /f")
			}
			for _, variant := range variants {
				t.Run(variant, func(t *testing.T) {
					dir := t.TempDir()
					synctest.Test(t, func(t *testing.T) { play(t, x, variant, dir) })
				})
			}
		})
	}
}
