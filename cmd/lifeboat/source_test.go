package main

import "testing"

func TestShownHidesPasswords(t *testing.T) {
	t.Parallel()
	for place, want := range map[string]string{
		"http://joe:secret@nas/card.img": "http://joe:xxxxx@nas/card.img",
		"http://nas/card.img":            "http://nas/card.img",
		"/mnt/a:b@c/card.img":            "/mnt/a:b@c/card.img",
		"card.img":                       "card.img",
	} {
		if got := shown(place); got != want {
			t.Errorf("%s: got %s, want %s", place, got, want)
		}
	}
}
