package repo

import (
	"bytes"
	"context"
	"crypto/cipher"
	"crypto/hkdf"
	"crypto/sha256"
	"errors"
	"fmt"
	"io"

	"filippo.io/age"
	"golang.org/x/crypto/chacha20poly1305"

	"lifeboat/clone/store"
)

// Recipients are who can open an encrypted repository: holders of age's
// identities, or who knows the passphrase. One of both, as age wants it.
type Recipients struct {
	Age        []age.Recipient
	Passphrase string
}

func (c Recipients) none() bool { return len(c.Age) == 0 && c.Passphrase == "" }

// Keys open an encrypted repository: one that fits is enough.
type Keys struct {
	Age        []age.Identity
	Passphrase string
}

const (
	keySize = 32
	// maxKeyFile bounds key.age: each recipient has some 200 bytes, a
	// post-quantum one 2 KB.
	maxKeyFile = 256 << 10
	// scryptWork is 64 MiB of memory: what the smallest board can spare, and
	// scryptMost what a hostile file may ask for.
	scryptWork, scryptMost = 16, 18
)

// sealOverhead is what sealing adds to a piece.
const sealOverhead = chacha20poly1305.NonceSizeX + chacha20poly1305.Overhead

// putKey makes a key and wraps it.
func (c InitOptions) putKey(ctx context.Context, s store.Store, random io.Reader) error {
	key := make([]byte, keySize)
	if _, err := io.ReadFull(random, key); err != nil {
		return err
	}
	to := c.Encrypt.Age
	if c.Encrypt.Passphrase != "" {
		if len(to) > 0 {
			return errors.New("age wraps a key by a passphrase or for recipients, not both")
		}
		pass, err := age.NewScryptRecipient(c.Encrypt.Passphrase)
		if err != nil {
			return err
		}
		pass.SetWorkFactor(scryptWork)
		to = []age.Recipient{pass}
	}
	var buf bytes.Buffer
	w, err := age.Encrypt(&buf, to...)
	if err != nil {
		return err
	}
	if _, err := w.Write(key); err != nil {
		return err
	}
	if err := w.Close(); err != nil {
		return err
	}
	return putBytes(ctx, s, keyName, buf.Bytes())
}

// openKey unwraps the key.
func openKey(ctx context.Context, r *Repo, k Keys) (*sealer, error) {
	data, err := r.read(ctx, keyName, maxKeyFile)
	if err != nil {
		return nil, err
	}
	ids := k.Age
	if k.Passphrase != "" {
		pass, err := age.NewScryptIdentity(k.Passphrase)
		if err != nil {
			return nil, err
		}
		pass.SetMaxWorkFactor(scryptMost)
		ids = append(ids[:len(ids):len(ids)], pass)
	}
	if len(ids) == 0 {
		return nil, fmt.Errorf("no key was given: %w", ErrKey)
	}
	plain, err := age.Decrypt(bytes.NewReader(data), ids...)
	if err != nil {
		return nil, fmt.Errorf("%w: %w", ErrKey, err)
	}
	key, err := io.ReadAll(io.LimitReader(plain, keySize+1))
	if err != nil || len(key) != keySize {
		return nil, fmt.Errorf("%s: it holds %d bytes of key, not %d (%v)", keyName, len(key), keySize, err)
	}
	return newSealer(key)
}

// A sealer encrypts and names.
type sealer struct {
	ids  []byte // key of chunk IDs
	aead cipher.AEAD
}

// newSealer derives one key for each use, so that none says anything of another.
func newSealer(key []byte) (*sealer, error) {
	ids, err := hkdf.Key(sha256.New, key, nil, "lifeboat repository 1 chunk IDs", keySize)
	if err != nil {
		return nil, err
	}
	content, err := hkdf.Key(sha256.New, key, nil, "lifeboat repository 1 content", keySize)
	if err != nil {
		return nil, err
	}
	aead, err := chacha20poly1305.NewX(content)
	return &sealer{ids, aead}, err
}

// seal appends nonce and ciphertext to dst, bound to what it is of.
func (s *sealer) seal(random io.Reader, dst, plain, of []byte) ([]byte, error) {
	nonce := make([]byte, chacha20poly1305.NonceSizeX)
	if _, err := io.ReadFull(random, nonce); err != nil {
		return nil, err
	}
	return s.aead.Seal(append(dst, nonce...), nonce, plain, of), nil
}

// open is the reverse of seal.
func (s *sealer) open(dst, sealed, of []byte) ([]byte, error) {
	if len(sealed) < sealOverhead {
		return nil, errors.New("it is too short to be encrypted")
	}
	nonce, rest := sealed[:chacha20poly1305.NonceSizeX], sealed[chacha20poly1305.NonceSizeX:]
	plain, err := s.aead.Open(dst, nonce, rest, of)
	if err != nil {
		return nil, errors.New("it was not encrypted with this repository's key, or is damaged")
	}
	return plain, nil
}
