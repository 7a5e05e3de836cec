package client

import (
	"context"

	"bits"
	"bits/hresult"
	"bits/internal/contract"
)

// The calls of BITS that take more than a property has, by BITS's names.
// Properties are set with [Client.Set] and read with [Client.Property], [Client.FileProperty] or in the [bits.Job].

// AddFileWithRanges adds a file of which only the ranges are fetched, and put one after another in the order given
// (IBackgroundCopyJob3).
// BG_E_INVALID_RANGE, BG_E_OVERLAPPING_RANGES, BG_E_TOO_MANY_RANGES_IN_FILE, E_INVALIDARG for none, E_NOTIMPL for uploads.
func (c *Client) AddFileWithRanges(ctx context.Context, id, remote, local string, ranges ...bits.FileRange) error {
	if ranges == nil {
		ranges = []bits.FileRange{}
	}
	return c.Add(ctx, id, bits.FileSpec{RemoteName: remote, LocalName: local, Ranges: ranges})
}

// ReplaceRemotePrefix replaces the start of every remote name that begins with old (IBackgroundCopyJob3): all of them or, with an
// error, none.
// S_FALSE if none does; E_INVALIDARG for an empty prefix or a name that is none then; E_NOTIMPL for uploads.
func (c *Client) ReplaceRemotePrefix(ctx context.Context, id, old, new string) (hresult.Code, error) {
	return c.Call(ctx, id, "replace-remote-prefix", contract.Prefixes{Old: old, New: new})
}

// SetCredentials adds or replaces the credential of one target and scheme (IBackgroundCopyJob2).
// It lives as long as the job and its ownership, sealed on disk; nobody can read it back.
// BG_E_INVALID_AUTH_TARGET, BG_E_INVALID_AUTH_SCHEME, BG_E_USERNAME_TOO_LARGE, BG_E_PASSWORD_TOO_LARGE, E_INVALIDARG.
func (c *Client) SetCredentials(ctx context.Context, id string, credential bits.Credential) error {
	_, err := c.Call(ctx, id, "set-credentials", credential)
	return err
}

// RemoveCredentials removes the credential of one target and scheme (IBackgroundCopyJob2); S_FALSE if there is none.
func (c *Client) RemoveCredentials(ctx context.Context, id string, target bits.AuthTarget, scheme bits.AuthScheme) (hresult.Code, error) {
	return c.Call(ctx, id, "remove-credentials", contract.Pair{Target: target, Scheme: scheme})
}

// RemoveClientCertificate removes the client certificate (IBackgroundCopyJobHttpOptions); S_FALSE if there is none.
func (c *Client) RemoveClientCertificate(ctx context.Context, id string) (hresult.Code, error) {
	return c.Call(ctx, id, "remove-client-certificate", nil)
}

// SetHelperToken lends the identity of this process to the job (IBitsTokenOptions), until the service ends; a job that then still
// has files to fetch becomes ERROR with BG_E_TOKEN_REQUIRED.
func (c *Client) SetHelperToken(ctx context.Context, id string) error {
	_, err := c.Call(ctx, id, "set-helper-token", nil)
	return err
}

// ClearHelperToken takes the helper token back; its flags stay.
func (c *Client) ClearHelperToken(ctx context.Context, id string) error {
	_, err := c.Call(ctx, id, "clear-helper-token", nil)
	return err
}

// SetRemoteName lets a file be fetched from elsewhere (IBackgroundCopyFile2), by its number from 0.
// What is there is kept where it is certain that the content is the same. E_INVALIDARG for a bad name, E_NOTIMPL for uploads.
func (c *Client) SetRemoteName(ctx context.Context, id string, file int, remote string) error {
	_, err := c.FileCall(ctx, id, file, "set-remote-name", contract.RemoteName{RemoteName: remote})
	return err
}

// SetValidationState is the owner's verdict on the content of a file that is fully transferred, else E_PENDING (IBackgroundCopyFile3).
// False makes the job ERROR with BG_E_VALIDATION_FAILED, and Resume fetches the file again.
func (c *Client) SetValidationState(ctx context.Context, id string, file int, valid bool) error {
	_, err := c.FileCall(ctx, id, file, "set-validation-state", contract.Validation{Valid: &valid})
	return err
}

// RequestFileRanges lets these ranges be fetched first, and in on-demand mode nothing else (IBackgroundCopyFile6).
// BG_E_INVALID_RANGE if a part is not in the file, BG_E_RANDOM_ACCESS_NOT_SUPPORTED if the job or its server cannot.
func (c *Client) RequestFileRanges(ctx context.Context, id string, file int, ranges ...bits.FileRange) error {
	_, err := c.FileCall(ctx, id, file, "request-ranges", contract.Ranges{Ranges: ranges})
	return err
}

// UpdateDownloadPosition lets the bytes from the offset on be fetched first (IBackgroundCopyFile6).
// BG_E_INVALID_RANGE beyond the file, BG_E_RANDOM_ACCESS_NOT_SUPPORTED if the job or its server cannot.
func (c *Client) UpdateDownloadPosition(ctx context.Context, id string, file int, offset int64) error {
	_, err := c.FileCall(ctx, id, file, "update-download-position", contract.Position{Offset: &offset})
	return err
}

// GetFilledFileRanges returns what of a file is on stable storage, sorted and merged (IBackgroundCopyFile6).
// BG_E_RANDOM_ACCESS_NOT_SUPPORTED if the job or its server cannot.
func (c *Client) GetFilledFileRanges(ctx context.Context, id string, file int) (ranges []bits.FileRange, err error) {
	_, err = c.FileProperty(ctx, id, file, "filled_ranges", &ranges)
	return ranges, err
}
