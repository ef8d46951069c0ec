package disk

import (
	"context"
	"crypto/sha256"
	"encoding/binary"
	"errors"
	"strconv"
	"strings"
)

// ErrNoConsent is what Claim returns where nobody agreed.
var ErrNoConsent = errors.New("no consent")

// A Consent asks whether the disk may be overwritten: nil is a yes,
// ErrNoConsent a no.
type Consent func(ctx context.Context, f Facts) error

// Say is the consent of who gave the disk's word beforehand.
func Say(word string) Consent {
	return func(_ context.Context, f Facts) error {
		if f.Word == "" || !strings.EqualFold(strings.TrimSpace(word), f.Word) {
			return ErrNoConsent
		}
		return nil
	}
}

// The letters of consent words lie in the same place on American, German and
// French keyboards: a rescue system does not know which one it has.
const (
	consonants = "bdfghjklnprstv"
	vowels     = "eiou"
	syllables  = 4 // 56 of each: ten million words
)

// word makes the consent word, such as "tobekuri", from what the disk is and
// holds.
func word(d Disk, holds string) string {
	what := strings.Join([]string{d.Model, d.Serial, strconv.FormatInt(d.Size, 10), holds}, "\x00")
	sum := sha256.Sum256([]byte(what))
	n := binary.BigEndian.Uint64(sum[:])
	var b strings.Builder
	for range syllables {
		b.WriteByte(consonants[n%uint64(len(consonants))])
		n /= uint64(len(consonants))
		b.WriteByte(vowels[n%uint64(len(vowels))])
		n /= uint64(len(vowels))
	}
	return b.String()
}
