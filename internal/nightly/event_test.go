package nightly

import (
	"strings"
	"testing"

	"lifeboat/internal/speech"
)

// snapshotOf is what a repository tells in a notice.
func snapshotOf(f Facts) Facts {
	f.Type, f.Added, f.Read, f.Freed, f.Checked = SnapshotType, 6e6, 9e6, 4e6, 12
	return f
}

// full has all that a notice can say.
func full(k Kind) Facts {
	return Facts{Kind: k, Host: "pi", Schedule: "nightly", To: "/mnt", File: "a.img.zst", Size: 5e9, Seconds: 61, FrozenMS: 90,
		Removed: 2, Free: 7e9, Error: "no room", Reservations: []string{"not verified"}, Reminder: true, DryRun: true, Log: "/var/log/x"}
}

// TestNoticesAreTranslated marks each text that went through the catalogue:
// none of a notice's lines may stand outside of the marks.
func TestNoticesAreTranslated(t *testing.T) {
	t.Parallel()
	for _, k := range []Kind{Started, Done, Reserved, Failed, Died, Overdue, Test} {
		image, snapshot := Say(speech.Marked, full(k), nil), Say(speech.Marked, snapshotOf(full(k)), nil)
		for line := range strings.SplitSeq(image.Title+"\n"+image.Text+"\n"+snapshot.Text, "\n") {
			if !strings.HasPrefix(line, "⟦") || !strings.HasSuffix(line, "⟧") {
				t.Errorf("%s: %q is not translated", k, line)
			}
		}
		if got := Say(speech.German, full(k), nil); got.Title == Say(speech.English, full(k), nil).Title {
			t.Errorf("%s: the German title is %q", k, got.Title)
		}
	}
}
