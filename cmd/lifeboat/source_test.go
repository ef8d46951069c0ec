package main

import "testing"

func TestShownHidesSecrets(t *testing.T) {
	t.Parallel()
	for place, want := range map[string]string{
		"http://joe:secret@nas/card.img":            "http://nas/card.img",
		"http://nas/card.img":                       "http://nas/card.img",
		"https://s3.nas/card.img?X-Amz-Signature=1": "https://s3.nas/card.img?…",
		"http://joe:secret@na%zz/card.img":          "http://…",
		"sftp://pi@nas/card.img":                    "sftp://nas/card.img",
		"/mnt/a:b@c/card.img?b":                     "/mnt/a:b@c/card.img?b",
		"card.img":                                  "card.img",
		"-":                                         "standard input",
	} {
		if got := shown(place); got != want {
			t.Errorf("%s: got %s, want %s", place, got, want)
		}
	}
}
