package image

import (
	"context"
	"crypto/sha256"
	"encoding/hex"
	"fmt"
	"io"
	"slices"

	"lifeboat/clone/manifest"
	"lifeboat/clone/store"
)

// areaNames are all boot areas that an eMMC can have.
var areaNames = [...]string{"boot0", "boot1"}

// maxArea is the size of the largest, in bytes (JEDEC JESD84-B51, 7.4).
const maxArea = 255 * 128 << 10

// AreaFile is the name of the file beside an image that holds a boot area: its
// bytes as they are.
func AreaFile(name, area string) string { return name + "." + area + ".img" }

// ReadArea reads a boot area that the head of an image names, at most 32 MiB. A
// *DigestError says that the file beside the image is another one.
func ReadArea(ctx context.Context, s store.Store, name string, a manifest.Area, o Options) ([]byte, error) {
	o.Resume.Tries = 2
	body, _, err := store.Resume(ctx, s, AreaFile(name, a.Name), o.Resume)
	if err != nil {
		return nil, err
	}
	defer body.Close()
	data, err := io.ReadAll(io.LimitReader(body, maxArea+1))
	if err != nil {
		return nil, err
	}
	sum := sha256.Sum256(data)
	if got := hex.EncodeToString(sum[:]); got != a.SHA256 || int64(len(data)) != a.Size {
		return nil, &DigestError{AreaFile(name, a.Name), "file", got, a.SHA256}
	}
	return data, nil
}

func checkAreas(areas []manifest.Area) error {
	seen := map[string]bool{}
	for _, a := range areas {
		if !slices.Contains(areaNames[:], a.Name) || seen[a.Name] || a.Size <= 0 || a.Size > maxArea || len(a.SHA256) != sha256Digits {
			return fmt.Errorf("boot area %q of %d bytes: not possible", a.Name, a.Size)
		}
		seen[a.Name] = true
	}
	return nil
}
