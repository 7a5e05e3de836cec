package bits_test

import (
	"strings"
	"testing"

	"bits"
	"bits/hresult"
)

// Every context has its name and a sentence of its own, and every code that a job can fail with has a context.
func TestErrorContexts(t *testing.T) {
	seen := map[string]bool{}
	for c := bits.ContextNone; c <= bits.ContextCertificateCallback; c++ {
		if text := c.Message(); text == "" || seen[text] || !strings.HasPrefix(c.String(), "BG_ERROR_CONTEXT_") {
			t.Errorf("context %d is %s: %q", int(c), c, text)
		}
		seen[c.Message()] = true
	}
	for _, c := range []bits.ErrorContext{-1, 9, 1000} {
		if c.String() != "BG_ERROR_CONTEXT_UNKNOWN" || c.Message() != bits.ContextUnknown.Message() {
			t.Errorf("context %d is %s: %q", int(c), c, c.Message())
		}
	}
	for name, want := range map[bits.ErrorContext]string{
		bits.ContextQueueManager: "BG_ERROR_CONTEXT_GENERAL_QUEUE_MANAGER", bits.ContextNotification: "BG_ERROR_CONTEXT_QUEUE_MANAGER_NOTIFICATION",
		bits.ContextCertificateCallback: "BG_ERROR_CONTEXT_SERVER_CERTIFICATE_CALLBACK",
	} {
		if name.String() != want {
			t.Errorf("%s, want %s", name, want)
		}
	}
	for _, r := range hresult.Rows() {
		fails := r.Class == 'T' || r.Class == 'F'
		if c := bits.ErrorContext(r.Context); fails != (c != bits.ContextNone) || c > bits.ContextCertificateCallback {
			t.Errorf("%s: class %c, %s", r.Name, r.Class, c)
		}
	}
}
