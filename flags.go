package bits

import "bits/hresult"

// SecurityFlags are the bits of SetSecurityFlags (IBackgroundCopyJobHttpOptions).
type SecurityFlags uint32

// The security flags of BITS (bits2_5.h, SetSecurityFlags).
const (
	CheckRevocation     SecurityFlags = 0x0001 // BG_SSL_ENABLE_CRL_CHECK
	IgnoreCertName      SecurityFlags = 0x0002 // BG_SSL_IGNORE_CERT_CN_INVALID
	IgnoreCertDate      SecurityFlags = 0x0004 // BG_SSL_IGNORE_CERT_DATE_INVALID
	IgnoreUnknownCA     SecurityFlags = 0x0008 // BG_SSL_IGNORE_UNKNOWN_CA
	IgnoreCertUsage     SecurityFlags = 0x0010 // BG_SSL_IGNORE_CERT_WRONG_USAGE
	RedirectSilent      SecurityFlags = 0x0000 // BG_HTTP_REDIRECT_POLICY_ALLOW_SILENT
	RedirectReport      SecurityFlags = 0x0100 // BG_HTTP_REDIRECT_POLICY_ALLOW_REPORT
	RedirectDisallow    SecurityFlags = 0x0200 // BG_HTTP_REDIRECT_POLICY_DISALLOW
	RedirectMask        SecurityFlags = 0x0700 // BG_HTTP_REDIRECT_POLICY_MASK
	RedirectHTTPSToHTTP SecurityFlags = 0x0800 // BG_HTTP_REDIRECT_POLICY_ALLOW_HTTPS_TO_HTTP

	trustFlags = CheckRevocation | IgnoreCertName | IgnoreCertDate | IgnoreUnknownCA | IgnoreCertUsage
	allFlags   = trustFlags | RedirectReport | RedirectDisallow | RedirectHTTPSToHTTP
)

// Check returns E_NOTIMPL for bits or a redirect policy that BITS does not define.
func (f SecurityFlags) Check() error {
	if f&^allFlags != 0 || f&RedirectMask == RedirectReport|RedirectDisallow {
		return Errorf(hresult.E_NOTIMPL, "cannot set the security flags 0x%x: the defined bits are 0x0b1f, and 0x100 and 0x200 exclude each other", uint32(f))
	}
	return nil
}
