package main

import (
	"errors"
	"io"
	"path/filepath"
	"strings"
	"testing"
	"time"

	"lifeboat/clone/manifest"
	"lifeboat/internal/fixture"
)

// TestHeldStill: that the disk that boots was written to behind its snapshot is
// found, and told.
func TestHeldStill(t *testing.T) {
	t.Parallel()
	fixture.Need(t, "mcopy")
	boot, root := fixture.Pair{}.Make(t)
	e := hostEnv()
	e.stdout, e.stderr = io.Discard, io.Discard
	defer e.close()
	repo := filepath.Join(t.TempDir(), "pis")
	if _, err := e.initRepo(t.Context(), repoInitOptions{place: repo, chunk: defaultChunk, grace: 24 * time.Hour}); err != nil {
		t.Fatal(err)
	}
	if err := runBackup(t.Context(), e, backupOptions{from: boot, with: root, to: repo}); err != nil {
		t.Fatal(err)
	}
	place := repo + "@raspberrypi.boot/latest"
	if err := e.heldStill(t.Context(), place, boot); err != nil {
		t.Errorf("nothing was written: %v", err)
	}
	fixture.Run(t, "mcopy", "-o", "-i", boot+"@@4M", "live_two_test.go", "::noise")
	var reserved reservedError
	if err := e.heldStill(t.Context(), place, boot); !errors.As(err, &reserved) || !strings.Contains(reserved.reservations[0], "was written to while the root was saved") {
		t.Errorf("it was written to: %v", err)
	}
}

// TestPairPlace: what belongs to a backup is named as it can be given again,
// without secrets.
func TestPairPlace(t *testing.T) {
	t.Parallel()
	const ref = "0123456789abcdef/20261124T021500Z-5f0c9a1e"
	for _, c := range [][3]string{
		{"s3://b/pis?region=x@" + ref, ref, "s3://b/pis?…@" + ref},
		{"/mnt/pis@" + ref, ref, "/mnt/pis@" + ref},
		{"http://joe:secret@nas/card.img", "card.img", "http://nas/card.img"},
		{"card.img", "card.img", "card.img"},
	} {
		o := &origin{pair: &manifest.Pair{File: c[1]}, other: c[0]}
		if got := o.shownOther(); got != c[2] {
			t.Errorf("%s: got %s, want %s", c[0], got, c[2])
		}
	}
}
