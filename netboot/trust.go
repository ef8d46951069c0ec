package netboot

import (
	"errors"
	"fmt"
	"strings"

	"aead.dev/minisign"
)

// Trust is whom the rescue medium was built to obey.
type Trust struct {
	Keys    []string // minisign public keys, as "RWQ…" or as the file of one
	Network bool     // obey unsigned jobs as well: for a bench
}

// Judge reads a job and its signature; sig is nil where there is none. Each of
// these is an error: a job that does not parse, a signature that is malformed,
// does not fit the job, or (where the medium has keys) is by a key that it does
// not have. A job without a signature comes back with Why.
func (t Trust) Judge(data, sig []byte) (*Found, error) {
	keys, err := t.keys()
	if err != nil {
		return nil, err
	}
	f := &Found{Obey: t.Network}
	switch {
	case sig == nil:
		f.Why = "the job is not signed"
	case len(keys) == 0:
		f.Why = "the job is signed, but this medium was built without a key to check that"
	default:
		if f.By, err = verify(keys, data, sig); err != nil {
			return nil, err
		}
	}
	if f.Job, err = ParseJob(data); err != nil {
		return nil, err
	}
	if f.By != "" && !f.Job.Pinned() {
		f.Why = "the job is signed, but does not say by digest which image it means, nor who signs the snapshot: whoever sits in the network could put another in its place"
	}
	f.Signed = f.By != "" && f.Why == ""
	f.Obey = f.Obey || f.Signed
	return f, nil
}

func (t Trust) keys() ([]minisign.PublicKey, error) {
	var keys []minisign.PublicKey
	for _, text := range t.Keys {
		var k minisign.PublicKey
		if err := k.UnmarshalText([]byte(strings.TrimSpace(text))); err != nil {
			return nil, fmt.Errorf("trusted key %q: %w", shorten(text), err)
		}
		keys = append(keys, k)
	}
	return keys, nil
}

// verify returns who signed data, by one of the keys.
func verify(keys []minisign.PublicKey, data, sig []byte) (string, error) {
	var s minisign.Signature
	if err := s.UnmarshalText(sig); err != nil {
		return "", fmt.Errorf("its signature is malformed: %w", err)
	}
	var ids []string
	for _, k := range keys {
		ids = append(ids, keyID(k.ID()))
		if k.ID() != s.KeyID {
			continue
		}
		if !minisign.Verify(k, data, sig) {
			return "", fmt.Errorf("its signature names key %s, but does not fit: the job or the signature was changed", keyID(s.KeyID))
		}
		return strings.TrimSpace("key " + keyID(k.ID()) + " " + oneLine(s.TrustedComment)), nil
	}
	return "", fmt.Errorf("it is signed by key %s; this medium trusts %s", keyID(s.KeyID), strings.Join(ids, ", "))
}

// keyID is the ID as minisign prints it.
func keyID(id uint64) string { return fmt.Sprintf("%016X", id) }

// SignJob checks the job and signs it with a minisign secret key: the text of a
// file without a password, or of one with it. The signature belongs beside the
// job, under its name and ".minisig".
func SignJob(data, key []byte, password string) ([]byte, error) {
	job, err := ParseJob(data)
	if err != nil {
		return nil, err
	}
	if !job.Pinned() {
		return nil, errors.New("a signed job needs source.sha256, source.content_sha256, or for a snapshot source.signed_by: the signature would say nothing about the image")
	}
	var k minisign.PrivateKey
	if minisign.IsEncrypted(key) {
		if k, err = minisign.DecryptKey(password, key); err != nil {
			return nil, fmt.Errorf("open the secret key: %w", err)
		}
	} else if err := k.UnmarshalText(key); err != nil {
		return nil, fmt.Errorf("read the secret key: %w", err)
	}
	return minisign.SignWithComments(k, data, "lifeboat job "+job.ID, "signature of a lifeboat job"), nil
}
