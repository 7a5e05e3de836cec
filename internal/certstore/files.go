package certstore

import (
	"bytes"
	"crypto"
	"crypto/tls"
	"crypto/x509"
	"encoding/pem"
	"errors"
	"fmt"
	"io"
	"io/fs"
	"os"
	"path/filepath"
	"strings"
	"syscall"

	"github.com/youmark/pkcs8"
	"software.sslmate.com/src/go-pkcs12"
)

// extensions are those of files that hold certificates; keys and passwords lie beside them.
var extensions = []string{".pem", ".crt", ".cer", ".p12", ".pfx"}

var errNoKey error = &hinted{errors.New("there is no private key in it, or beside it"), "give its key: --key FILE, or NAME.key beside it"}

// hinted is an error with what can be done about it.
type hinted struct {
	error
	hint string
}

// maxFile is how long a file of certificates may be.
const maxFile = 1 << 20

// read reads a regular file; a pipe does not keep us waiting.
func read(path string) ([]byte, error) {
	f, err := os.OpenFile(path, os.O_RDONLY|syscall.O_NONBLOCK, 0)
	if err != nil {
		return nil, err
	}
	defer f.Close()
	if info, err := f.Stat(); err != nil {
		return nil, err
	} else if !info.Mode().IsRegular() {
		return nil, &fs.PathError{Op: "read", Path: path, Err: errors.New("it is no regular file")}
	}
	data, err := io.ReadAll(io.LimitReader(f, maxFile+1))
	if err == nil && len(data) > maxFile {
		err = &fs.PathError{Op: "read", Path: path, Err: errors.New("it has more than 1 MiB")}
	}
	return data, err
}

// beside is the name of a file that belongs to another, if there is such a file.
func beside(path, extension string) string {
	name := strings.TrimSuffix(path, filepath.Ext(path)) + extension
	if _, err := os.Stat(name); name == path || err != nil {
		return ""
	}
	return name
}

// load reads a certificate from a file; its key from there or from another one, its password from a third; both may be empty.
func load(path, keyPath, passwordPath string) (*tls.Certificate, error) {
	data, err := read(path)
	if err != nil {
		return nil, err
	}
	password := ""
	if passwordPath != "" {
		text, err := read(passwordPath)
		if err != nil {
			return nil, err
		}
		password, _, _ = strings.Cut(string(text), "\n")
		password = strings.TrimSuffix(password, "\r")
	}
	if len(data) > 1 && data[0] == 0x30 && !bytes.Contains(data, []byte("-----BEGIN ")) { // DER
		if cert, err := x509.ParseCertificate(data); err == nil {
			return with([]*x509.Certificate{cert}, nil, keyPath, password)
		}
		return fromPKCS12(data, password)
	}
	certs, keys, err := fromPEM(data, password)
	if err != nil {
		return nil, err
	}
	return with(certs, keys, keyPath, password)
}

func fromPKCS12(data []byte, password string) (*tls.Certificate, error) {
	key, leaf, chain, err := pkcs12.DecodeChain(data, password)
	if errors.Is(err, pkcs12.ErrIncorrectPassword) {
		return nil, &hinted{errors.New("the password of the PKCS#12 file is wrong or missing"), "the password is the first line of a file: --cert-password-file FILE, or NAME.pass beside NAME.p12 in a store"}
	} else if err != nil {
		return nil, fmt.Errorf("it is neither PEM nor a certificate nor PKCS#12: %w", err)
	}
	return join(append([]*x509.Certificate{leaf}, chain...), []any{key})
}

// with takes the key from a file of its own, if there is one.
func with(certs []*x509.Certificate, keys []any, path, password string) (*tls.Certificate, error) {
	if path != "" {
		data, err := read(path)
		if err != nil {
			return nil, err
		}
		if _, keys, err = fromPEM(data, password); err != nil {
			return nil, fmt.Errorf("%s: %w", path, err)
		}
	}
	return join(certs, keys)
}

// fromPEM reads all certificates and keys of a PEM file.
func fromPEM(data []byte, password string) (certs []*x509.Certificate, keys []any, err error) {
	for block, rest := pem.Decode(data); block != nil; block, rest = pem.Decode(rest) {
		var key any
		switch block.Type {
		case "CERTIFICATE":
			cert, err := x509.ParseCertificate(block.Bytes)
			if err != nil {
				return nil, nil, err
			}
			certs = append(certs, cert)
			continue
		case "PRIVATE KEY":
			key, err = x509.ParsePKCS8PrivateKey(block.Bytes)
		case "ENCRYPTED PRIVATE KEY":
			if key, err = pkcs8.ParsePKCS8PrivateKey(block.Bytes, []byte(password)); err != nil {
				err = &hinted{errors.New("the password of the private key is wrong or missing"), "the password is the first line of a file: --cert-password-file FILE, or NAME.pass beside NAME.pem in a store"}
			}
		case "RSA PRIVATE KEY", "EC PRIVATE KEY":
			switch {
			case block.Headers["DEK-Info"] != "":
				err = &hinted{errors.New("its private key is encrypted in an old way, which is not safe"), "openssl pkey -in OLD.key -aes256 -out NEW.key writes it in the way of today"}
			case block.Type == "EC PRIVATE KEY":
				key, err = x509.ParseECPrivateKey(block.Bytes)
			default:
				key, err = x509.ParsePKCS1PrivateKey(block.Bytes)
			}
		default:
			continue // parameters of curves, and the like
		}
		if err != nil {
			return nil, nil, err
		}
		keys = append(keys, key)
	}
	return certs, keys, nil
}

// join finds the certificate to which one of the keys belongs; the others are its chain.
func join(certs []*x509.Certificate, keys []any) (*tls.Certificate, error) {
	if len(certs) == 0 {
		return nil, errors.New("there is no certificate in it")
	}
	if len(keys) == 0 {
		return nil, errNoKey
	}
	for _, key := range keys {
		signer, ok := key.(crypto.Signer)
		if !ok {
			continue
		}
		public, ok := signer.Public().(interface{ Equal(crypto.PublicKey) bool })
		for i, leaf := range certs {
			if !ok || !public.Equal(leaf.PublicKey) {
				continue
			}
			found := &tls.Certificate{PrivateKey: signer, Leaf: leaf, Certificate: [][]byte{leaf.Raw}}
			for k, other := range certs {
				if k != i {
					found.Certificate = append(found.Certificate, other.Raw)
				}
			}
			return found, nil
		}
	}
	return nil, &hinted{errors.New("the private key belongs to another certificate"), "give the key of this certificate: --key FILE, or NAME.key beside it"}
}
