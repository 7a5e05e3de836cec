package cli

import (
	"fmt"
	"net/url"

	"github.com/spf13/cobra"

	"bits"
	"bits/hresult"
	"bits/internal/console"
	"bits/internal/login"
)

// origin reads the address of a server or proxy.
func origin(text string) (*url.URL, error) {
	u, err := url.Parse(text)
	if err != nil || u.Hostname() == "" || u.User != nil || u.Scheme != "http" && u.Scheme != "https" && u.Scheme != "smb" {
		return nil, console.Usagef("%q is not the address of a server or proxy, such as https://example.com or smb://server", text)
	}
	return u, nil
}

// unavailable is an error of the keyring.
func unavailable(err error) error {
	return bits.Errorf(hresult.E_FAIL, "%w", err).WithHint("run it in a session with a keyring that is unlocked")
}

func (a app) loginCommand() *cobra.Command {
	var user, file string
	cmd := &cobra.Command{
		Use: "login URL", Short: "Keep the login of a server or proxy in the keyring",
		Long: `Keep the login of a server or proxy in the keyring of this session. bits get --keyring uses it, when that one asks for a login; for
proxies the property use_stored_credentials does.`,
		Example: "  bits login --user joe https://example.com",
		Args:    console.Arguments(cobra.ExactArgs(1)),
		RunE: func(cmd *cobra.Command, args []string) error {
			at, err := origin(args[0])
			if err != nil {
				return err
			}
			if user == "" {
				return console.Usagef("bits login needs --user NAME")
			}
			password, err := a.Password(fmt.Sprintf("Password of %s at %s: ", user, login.Origin(at)), file)
			if err != nil {
				return err
			}
			if err := login.Store(cmd.Context(), at, user, password); err != nil {
				return unavailable(err)
			}
			a.Note("The keyring has the login of %s. bits get --keyring uses it.", login.Origin(at))
			return nil
		},
	}
	cmd.Flags().StringVar(&user, "user", "", "the `NAME`")
	cmd.Flags().StringVar(&file, "password-file", "", "`FILE` with the password; -: standard input")
	return cmd
}

func (a app) logoutCommand() *cobra.Command {
	return &cobra.Command{
		Use: "logout URL", Short: "Remove the login of a server or proxy from the keyring",
		Args: console.Arguments(cobra.ExactArgs(1)),
		RunE: func(cmd *cobra.Command, args []string) error {
			at, err := origin(args[0])
			if err != nil {
				return err
			}
			there, err := login.Forget(cmd.Context(), at)
			if err != nil {
				return unavailable(err)
			}
			if !there {
				return bits.Errorf(hresult.E_INVALIDARG, "cannot remove the login of %s: the keyring has none", login.Origin(at))
			}
			return nil
		},
	}
}
