package contract

import (
	"testing"

	"github.com/google/go-cmp/cmp"
)

// What is shown of a list has no login.
func TestLoginsAreWithheld(t *testing.T) {
	shown, logins := withhold("http=u:s3cret@p:1 socks5://v:t%40p@q  https=http://x@y@z plain,w@r")
	if shown != "http=p:1 socks5://q  https=http://z plain,r" {
		t.Errorf("%q", shown)
	}
	if diff := cmp.Diff(map[string]string{"http=p:1": "u:s3cret", "socks5://q": "v:t%40p", "https=http://z": "x@y", "r": "w"}, logins); diff != "" {
		t.Error(diff)
	}
}

func FuzzWithhold(f *testing.F) {
	f.Add("http=u:p@h:1 socks5://v@[::1]:2")
	f.Add("@://@0")
	f.Fuzz(func(t *testing.T, text string) {
		shown, _ := withhold(text)
		if again, more := withhold(shown); again != shown || more != nil {
			t.Errorf("%q: %q, then %q", text, shown, again)
		}
	})
}
