package speech_test

import (
	"encoding/json"
	"testing"

	"lifeboat/internal/speech"
)

// TestText holds that a text is said whole in each language, and as it always
// was in JSON.
func TestText(t *testing.T) {
	t.Parallel()
	parts := speech.Join([]speech.Text{speech.New("part %d", 1), speech.New("part %d", 2)}, ", ")
	text := speech.New("All of %s but %s will be lost.", "/dev/sda", parts)
	for l, want := range map[speech.Language]string{
		speech.English: "All of /dev/sda but part 1, part 2 will be lost.",
		speech.German:  "Der Inhalt von /dev/sda geht bis auf Partition 1, Partition 2 verloren.",
		speech.Marked:  "⟦All of /dev/sda but ⟦part 1⟧, ⟦part 2⟧ will be lost.⟧",
	} {
		if got := text.In(l); got != want {
			t.Errorf("%s: got %q, want %q", l, got, want)
		}
	}
	b, err := json.Marshal(map[string]any{"a": text, "b": []speech.Text{speech.Plain("100% <of> it")}})
	want, _ := json.Marshal(map[string]any{"a": text.String(), "b": []string{"100% <of> it"}})
	if err != nil || string(b) != string(want) {
		t.Errorf("got %s, %v, want %s", b, err, want)
	}
	var back speech.Text
	if err := json.Unmarshal([]byte(`"100% %d"`), &back); err != nil || back.In(speech.German) != "100% %d" {
		t.Errorf("got %q, %v", back, err)
	}
	if !(speech.Text{}).IsZero() || !speech.Join(nil, ", ").IsZero() || text.IsZero() {
		t.Error("what says nothing is zero, and nothing else")
	}
}
