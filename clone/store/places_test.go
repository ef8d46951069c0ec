package store_test

import (
	"strings"
	"testing"

	"lifeboat/clone/store"
)

func TestHostOptions(t *testing.T) {
	t.Parallel()
	home := folder(t, map[string]string{".aws/credentials": "[default]\naws_access_key_id = K\naws_secret_access_key = S\n", "password": "open sesame\nmore"})
	vars := map[string]string{"HOME": home, "USER": "pi", "SSH_AUTH_SOCK": "/run/agent", "AWS_REGION": "eu-central-1", "AWS_ENDPOINT_URL": "https://nas:9000"}
	o := store.HostOptions(func(name string) string { return vars[name] })
	if o.SSH.User != "pi" || o.SSH.Agent != "/run/agent" || len(o.SSH.Identities) != 3 || o.SSH.KnownHosts[1] != home+"/.ssh/known_hosts" || o.SSH.Password != nil {
		t.Errorf("got %+v", o.SSH)
	}
	if o.S3.CredentialsFile != home+"/.aws/credentials" || o.S3.Region != "eu-central-1" || o.S3.Endpoint != "https://nas:9000" {
		t.Errorf("got %+v", o.S3)
	}
	vars["LIFEBOAT_SSH_IDENTITY"], vars["LIFEBOAT_SSH_PASSWORD_FILE"] = "/key", home+"/password"
	o = store.HostOptions(func(name string) string { return vars[name] })
	if got, err := o.SSH.Password(t.Context(), ""); err != nil || got != "open sesame" || o.SSH.Agent != "" || o.SSH.Identities[0] != "/key" {
		t.Errorf("got %q, %v and %+v", got, err, o.SSH)
	}
}

func TestPlacesOfServers(t *testing.T) {
	t.Parallel()
	for place, want := range map[string]string{
		"sftp://host/card.img":                         "names no user",
		"sftp://pi:secret@host/card.img?port=3":        `a "port" behind its ?`,
		"s3://secret:secret@bucket/card.img":           "has a key in it",
		"s3://bucket/card.img?path-style=perhaps":      "true or false",
		"s3://bucket/card.img?endpoint=nas:9000":       "an endpoint is written",
		"s3://bucket/card.img?endpoint=ftp://nas":      "an endpoint is written",
		"s3://bucket/card.img?secret=secret":           "but only endpoint",
		"sftp://pi@host/card.img?hostkey=x&password=y": `a "password" behind`,
	} {
		_, _, err := store.Open(place, store.Options{})
		if err == nil || !strings.Contains(err.Error(), want) || strings.Contains(err.Error(), "secret@") {
			t.Errorf("%s: got %v, want %q", place, err, want)
		}
	}
}
