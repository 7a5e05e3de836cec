package store

import (
	"crypto/aes"
	"crypto/cipher"
	"crypto/rand"
	"errors"
	"fmt"
	"io/fs"
	"os"
	"path/filepath"

	"bits"
	"bits/hresult"
)

// sealer encrypts what must not lie on the disk in clear: AES-256-GCM, a fresh nonce each time, bound to the id of the job.
type sealer struct{ aead cipher.AEAD }

const keySize = 32

// openSealer reads the key file, or, for a fresh store, makes it with mode 0600.
func openSealer(path string, fresh bool) (sealer, error) {
	key, err := os.ReadFile(path)
	if fresh && errors.Is(err, fs.ErrNotExist) {
		key = make([]byte, keySize)
		rand.Read(key)
		err = writeKey(path, key)
	}
	if err == nil && len(key) != keySize {
		err = fmt.Errorf("it has %d bytes, not %d", len(key), keySize)
	}
	if err != nil {
		return sealer{}, bits.Errorf(hresult.E_FAIL, "cannot use the key file %s: %w", path, err).WithHint("without it the headers and credentials of the jobs cannot be read; restore it, or move it and bits.db away to start anew")
	}
	block, err := aes.NewCipher(key)
	if err != nil {
		return sealer{}, err
	}
	aead, err := cipher.NewGCM(block)
	return sealer{aead}, err
}

// writeKey is durable before the first secret is: a key lost in a power cut would take the secrets with it.
func writeKey(path string, key []byte) error {
	temp := path + ".new"
	f, err := os.OpenFile(temp, os.O_CREATE|os.O_WRONLY|os.O_TRUNC, 0o600)
	if err != nil {
		return err
	}
	_, err = f.Write(key)
	err = errors.Join(err, f.Sync(), f.Close())
	if err != nil {
		return err
	}
	if err := os.Rename(temp, path); err != nil {
		return err
	}
	if dir, err := os.Open(filepath.Dir(path)); err == nil {
		dir.Sync() // not every system can
		dir.Close()
	}
	return nil
}

func (s sealer) seal(plain []byte, id string) []byte {
	nonce := make([]byte, s.aead.NonceSize())
	rand.Read(nonce)
	return s.aead.Seal(nonce, nonce, plain, []byte(id))
}

func (s sealer) open(sealed []byte, id string) ([]byte, error) {
	if len(sealed) < s.aead.NonceSize() {
		return nil, errors.New("too short")
	}
	return s.aead.Open(nil, sealed[:s.aead.NonceSize()], sealed[s.aead.NonceSize():], []byte(id))
}
