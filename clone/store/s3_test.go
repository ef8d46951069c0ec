package store_test

import (
	"fmt"
	"io"
	"os"
	"path/filepath"
	"slices"
	"strings"
	"testing"
	"time"

	"github.com/minio/minio-go/v7"
	"github.com/minio/minio-go/v7/pkg/credentials"

	"lifeboat/clone/store"
	"lifeboat/clone/store/storetest"
	"lifeboat/internal/fixture"
)

// s3Options are those of who may use a server.
func s3Options(endpoint string) store.S3Options {
	return store.S3Options{Endpoint: endpoint, AccessKey: fixture.S3Key, SecretKey: fixture.S3Secret}
}

func s3Store(t *testing.T, place string, o store.S3Options) store.Store {
	t.Helper()
	s, _, err := store.Open(place+"/", store.Options{S3: o})
	if err != nil {
		t.Fatal(err)
	}
	return s
}

// eachS3 runs a test against each kind of server, with an empty bucket "cards".
func eachS3(t *testing.T, test func(t *testing.T, s *fixture.S3Server)) {
	for _, kind := range fixture.S3Servers() {
		t.Run(kind, func(t *testing.T) {
			t.Parallel()
			test(t, fixture.S3(t, kind, "cards"))
		})
	}
}

func putAll(t *testing.T, s store.Store, files map[string]string) {
	t.Helper()
	for name, content := range files {
		if err := store.PutBytes(t.Context(), s, name, []byte(content)); err != nil {
			t.Fatal(err)
		}
	}
}

func readAll(t *testing.T, s store.Store, name string) string {
	t.Helper()
	body, _, err := store.Resume(t.Context(), s, name, store.ResumeOptions{Backoff: time.Millisecond})
	if err != nil {
		t.Error(err)
		return ""
	}
	defer body.Close()
	b, err := io.ReadAll(body)
	if err != nil {
		t.Error(err)
	}
	return string(b)
}

func TestS3(t *testing.T) {
	t.Parallel()
	eachS3(t, func(t *testing.T, server *fixture.S3Server) {
		storetest.Run(t, func(t *testing.T, files map[string]string) store.Store {
			s := s3Store(t, "s3://cards/pi/"+filepath.Base(t.Name()), s3Options("http://"+server.Addr))
			putAll(t, s, files)
			return s
		})
	})
}

// TestS3Parts puts what takes several parts, of known and unknown size, and lists
// more than one page.
func TestS3Parts(t *testing.T) {
	t.Parallel()
	eachS3(t, func(t *testing.T, server *fixture.S3Server) {
		// Beforehand: a server may remember what a folder holds.
		if err := os.Mkdir(filepath.Join(server.Dir, "cards", "many"), 0o755); err != nil {
			t.Fatal(err)
		}
		for i := range 1010 {
			writeFile(t, filepath.Join(server.Dir, "cards", fmt.Sprintf("many/%04d", i)), "")
		}
		s := s3Store(t, "s3://cards", s3Options("http://"+server.Addr))
		large := strings.Repeat(content, (40<<20)/len(content))
		for name, size := range map[string]int64{"known": int64(len(large)), "blind": -1} {
			if err := s.Put(t.Context(), name, size, strings.NewReader(large)); err != nil {
				t.Fatal(err)
			}
			if got := readAll(t, s, name); got != large {
				t.Errorf("%s: got %d bytes, want %d", name, len(got), len(large))
			}
		}
		for name, size := range map[string]int64{"short": int64(len(large)) + 1, "long": int64(len(large)) - 1} {
			if err := s.Put(t.Context(), name, size, strings.NewReader(large)); err == nil {
				t.Errorf("%s: got no error", name)
			}
		}
		seen := map[string]bool{}
		for info, err := range s.List(t.Context(), "") {
			if err != nil {
				t.Fatal(err)
			}
			seen[info.Name] = true
		}
		if len(seen) != 1012 || !seen["known"] || !seen["blind"] || !seen["many/1009"] {
			t.Errorf("got %d files, want 1012", len(seen))
		}
	})
}

func TestS3Clock(t *testing.T) {
	t.Parallel()
	eachS3(t, func(t *testing.T, server *fixture.S3Server) {
		o := s3Options("http://" + server.Addr)
		o.SecretKey = "a refusal has a date too"
		for range 2 {
			now, err := store.Now(t.Context(), s3Store(t, "s3://cards", o))
			if err != nil || time.Since(now).Abs() > 3*time.Second {
				t.Errorf("got %v and %v", now, err)
			}
			o = s3Options("http://" + server.Addr)
		}
	})
}

// TestS3Refusals: each wrong thing is said in a sentence, and no secret.
func TestS3Refusals(t *testing.T) {
	t.Parallel()
	eachS3(t, func(t *testing.T, server *fixture.S3Server) {
		for says, c := range map[string]struct {
			bucket string
			change func(*store.S3Options)
		}{
			"has no bucket nothing-here":   {"nothing-here", func(*store.S3Options) {}},
			"does not know the access key": {"cards", func(o *store.S3Options) { o.AccessKey = "SECRETLY" }},
			"does not fit the access key":  {"cards", func(o *store.S3Options) { o.SecretKey = "SECRETLY" }},
			"none was given":               {"cards", func(o *store.S3Options) { o.AccessKey, o.SecretKey = "", "" }},
		} {
			o := s3Options("http://" + server.Addr)
			c.change(&o)
			s := s3Store(t, "s3://"+c.bucket, o)
			_, err := s.Open(t.Context(), "card.img", 0)
			perr := store.PutBytes(t.Context(), s, "card.img", []byte("abc"))
			_, serr := store.Stat(t.Context(), s, "card.img")
			for what, err := range map[string]error{"open": err, "put": perr, "stat": serr} {
				if err == nil || !strings.Contains(err.Error(), says) {
					t.Errorf("%s: got %v, want %q", what, err, says)
				} else if strings.Contains(err.Error(), "SECRETLY") || strings.Contains(err.Error(), fixture.S3Secret) {
					t.Errorf("%s: got a secret in %v", what, err)
				}
			}
		}
	})
}

// TestS3Clean: old unfinished uploads below the store's folder end, young ones
// and others' stay. A key that may not end them is no error.
func TestS3Clean(t *testing.T) {
	t.Parallel()
	eachS3(t, func(t *testing.T, server *fixture.S3Server) {
		client, err := minio.NewCore(server.Addr, &minio.Options{Creds: credentials.NewStaticV4(fixture.S3Key, fixture.S3Secret, "")})
		if err != nil {
			t.Fatal(err)
		}
		ids := map[string]string{}
		for _, key := range []string{"pi/a", "pi/sub/b", "pine"} {
			if ids[key], err = client.NewMultipartUpload(t.Context(), "cards", key, minio.PutObjectOptions{}); err != nil {
				t.Fatal(err)
			}
		}
		alive := func() (keys []string) {
			for key, id := range ids {
				data := strings.NewReader(content)
				if _, err := client.PutObjectPart(t.Context(), "cards", key, id, 1, data, int64(len(content)), minio.PutObjectPartOptions{}); err == nil {
					keys = append(keys, key)
				}
			}
			return slices.Sorted(slices.Values(keys))
		}
		clean := func(key string, before time.Duration) {
			t.Helper()
			o := s3Options("http://" + server.Addr)
			o.AccessKey = key
			s := s3Store(t, "s3://cards/pi", o).(*store.S3)
			if _, err := s.Clean(t.Context(), time.Now().Add(before)); err != nil {
				t.Errorf("clean: %v", err)
			}
		}
		clean(fixture.S3Key, -time.Hour)
		clean("nobody", time.Hour)
		if got := alive(); len(got) != 3 {
			t.Errorf("got %q, want all", got)
		}
		clean(fixture.S3Key, time.Hour)
		want := []string{"pine"}
		if strings.HasSuffix(t.Name(), "/rclone") {
			want = []string{"pi/a", "pi/sub/b", "pine"} // 1.76 lists none
		}
		if got := alive(); !slices.Equal(got, want) {
			t.Errorf("got %q, want %q", got, want)
		}
	})
}
