package repo_test

import (
	"errors"
	"io/fs"
	"math/rand/v2"
	"net/url"
	"os"
	"path/filepath"
	"strings"
	"testing"

	"github.com/minio/minio-go/v7"
	"github.com/minio/minio-go/v7/pkg/credentials"

	"lifeboat/clone/repo"
	"lifeboat/clone/store"
	"lifeboat/internal/fixture"
)

// other is somebody whose snapshots are nobody else's business.
var other = repo.Identity{Machine: "fedcba9876543210fedcba9876543210"}

// TestMayOnlyAddS3: with the policy of docs/REPOSITORY.md a board backs up, and
// can do nothing else.
func TestMayOnlyAddS3(t *testing.T) {
	t.Parallel()
	fixture.Long(t) // versitygw takes minutes to build
	server := fixture.S3(t, "versitygw", "backup")
	admin := s3Client(t, server)
	must(t, admin.EnableVersioning(t.Context(), "backup"))
	root, board := s3At(t, server, fixture.S3Key), s3At(t, server, fixture.S3User)
	r := fresh(t, root, repo.InitOptions{}, repo.Options{})
	theirs := mustSave(t, r, randomContent(rand.New(rand.NewPCG(1, 1)), 3*chunk), repo.SaveOptions{Identity: other})
	must(t, root.Remove(t.Context(), "catalog.json"))
	if _, err := repo.Open(t.Context(), board, repo.Options{}); !errors.Is(err, fs.ErrPermission) {
		t.Errorf("before it has rights: got %v", err)
	}
	policy := strings.NewReplacer("BOARD", fixture.S3User, "BUCKET", "backup", "FOLDER", "pis", "SERIES", somebody.Series()).Replace(blockOfDocs(t, "json"))
	must(t, admin.SetBucketPolicy(t.Context(), "backup", policy))
	ours := boardSaves(t, board, root)
	for what, err := range refusals(t, board, theirs, ours) {
		if !errors.Is(err, fs.ErrPermission) {
			t.Errorf("%s: got %v, want a refusal", what, err)
		}
	}
	chunkAt := "pis/" + r.ChunkName(chunksOf(t, r, ours)[0])
	must(t, store.PutBytes(t.Context(), board, strings.TrimPrefix(chunkAt, "pis/"), []byte("rubbish")))
	if v, err := r.Verify(t.Context(), repo.VerifyOptions{}); err != nil || len(v.Bad) == 0 {
		t.Errorf("a chunk was replaced by rubbish: verify says %+v, %v", v, err)
	}
	for o := range admin.ListObjects(t.Context(), "backup", minio.ListObjectsOptions{Prefix: chunkAt, WithVersions: true}) {
		must(t, o.Err)
		if !o.IsLatest {
			_, err := admin.CopyObject(t.Context(), minio.CopyDestOptions{Bucket: "backup", Object: chunkAt},
				minio.CopySrcOptions{Bucket: "backup", Object: chunkAt, VersionID: o.VersionID})
			must(t, err)
		}
	}
	whole(t, root)
}

// TestMayOnlyAddSFTP: without the requests that docs/REPOSITORY.md lets sshd
// refuse, a board backs up; and where the server takes what is there away from it,
// it cannot harm that.
func TestMayOnlyAddSFTP(t *testing.T) {
	t.Parallel()
	fixture.Root(t)
	fixture.Need(t, "find")
	dir := filepath.Join(t.TempDir(), "pi")
	must(t, os.Chmod(filepath.Dir(filepath.Dir(dir)), 0o711)) // nobody must come by, to its key and to dir
	must(t, os.Mkdir(dir, 0o755))
	must(t, os.Chmod(dir, 0o1777))
	docs := blockOfDocs(t, "")
	force, _, _ := strings.Cut(docs[strings.Index(docs, "ForceCommand"):], "\n")
	server := fixture.SSHD(t, strings.Replace(force, " -d /srv/backup", "", 1))
	server.User = "nobody"
	u := &url.URL{Scheme: "sftp", User: url.User(server.User), Host: server.Addr, Path: dir}
	board, err := store.NewSFTP(u, store.SSHOptions{Identities: []string{server.Key}, KnownHosts: []string{server.KnownHosts}})
	must(t, err)
	t.Cleanup(func() { board.Close() })
	root := store.NewFolder(dir)
	r := fresh(t, root, repo.InitOptions{}, repo.Options{})
	theirs := mustSave(t, r, randomContent(rand.New(rand.NewPCG(1, 1)), 3*chunk), repo.SaveOptions{Identity: other})
	takeOver := func() {
		find := docs[strings.Index(docs, "find /srv"):]
		fixture.Run(t, "sh", "-c", strings.NewReplacer("/srv/backup/pi", dir, "-user pi", "-user nobody").Replace(find))
	}
	takeOver()
	ours := boardSaves(t, board, root)
	takeOver()
	name := r.ChunkName(chunksOf(t, r, ours)[0])
	for what, err := range map[string]error{
		"remove a chunk":     board.Remove(t.Context(), name),
		"replace a chunk":    store.PutBytes(t.Context(), board, name, []byte("rubbish")),
		"remove a record":    board.Remove(t.Context(), ours.Stem()+".json"),
		"rename over":        store.Move(t.Context(), board, name, ours.Stem()+".json"),
		"remove another's":   board.Remove(t.Context(), theirs.Stem()+".json"),
		"replace the config": store.PutBytes(t.Context(), board, "repository.json", []byte("{}")),
	} {
		if !errors.Is(err, fs.ErrPermission) && !errors.Is(err, fs.ErrExist) {
			t.Errorf("%s: got %v, want a refusal", what, err)
		}
	}
	whole(t, root)
}

// boardSaves makes two snapshots with a board's key, the second on the first, and
// holds that an admin finds all whole.
func boardSaves(t *testing.T, board, root store.Store) *repo.Snapshot {
	t.Helper()
	r := open(t, board, repo.Options{})
	c := randomContent(rand.New(rand.NewPCG(2, 2)), 6*chunk)
	first := mustSave(t, r, c, repo.SaveOptions{Verify: true})
	c.bytes[c.used[0].Off] ^= 1
	before, err := r.Snapshots(t.Context(), somebody.Series())
	if err != nil || len(before) != 1 {
		t.Fatalf("its own snapshots: got %d and %v, want 1", len(before), err)
	}
	second := mustSave(t, r, c, repo.SaveOptions{Verify: true, Base: before[0]})
	if first.Chunks < 2 || second.Chunks != 1 {
		t.Errorf("%d and then %d chunks were put, want some and then 1", first.Chunks, second.Chunks)
	}
	must(t, readBack(t.Context(), r, second, c))
	whole(t, root)
	return second
}

// refusals tries what a board may not do.
func refusals(t *testing.T, board store.Store, theirs, ours *repo.Snapshot) map[string]error {
	t.Helper()
	_, record := board.Open(t.Context(), theirs.Stem()+".json", 0)
	_, index := board.Open(t.Context(), theirs.Stem()+".caibx", 0)
	tries := map[string]error{
		"read another's record": record, "read another's index": index,
		"remove its own record": board.Remove(t.Context(), ours.Stem()+".json"),
		"remove another's":      board.Remove(t.Context(), theirs.Stem()+".json"),
		"write another's":       store.PutBytes(t.Context(), board, theirs.Stem()+".json", []byte("{}")),
		"replace the config":    store.PutBytes(t.Context(), board, "repository.json", []byte("{}")),
		"put a catalog":         store.PutBytes(t.Context(), board, "catalog.json", []byte("[]")),
		"condemn":               store.PutBytes(t.Context(), board, "condemned/20261128T000000Z-00000000.json", []byte("{}")),
	}
	for _, prefix := range []string{"", "snapshots/", "chunks.castr/", "intents/", "snapshots/" + theirs.Series + "/"} {
		for _, err := range board.List(t.Context(), prefix) {
			tries["list "+prefix] = err
			break
		}
	}
	return tries
}

func whole(t *testing.T, s store.Store) {
	t.Helper()
	v, err := open(t, s, repo.Options{}).Verify(t.Context(), repo.VerifyOptions{})
	if err != nil || len(v.Bad) > 0 || v.Snapshots == 0 {
		t.Errorf("verify: %+v, %v", v, err)
	}
}

func chunksOf(t *testing.T, r *repo.Repo, s *repo.Snapshot) []repo.ID {
	t.Helper()
	src, err := r.Source(t.Context(), s)
	must(t, err)
	defer src.Close()
	return src.IDs()
}

func s3At(t *testing.T, server *fixture.S3Server, key string) store.Store {
	t.Helper()
	o := store.S3Options{Endpoint: "http://" + server.Addr, AccessKey: key, SecretKey: fixture.S3Secret}
	s, _, err := store.Open("s3://backup/pis/", store.Options{S3: o})
	must(t, err)
	return s
}

func s3Client(t *testing.T, server *fixture.S3Server) *minio.Client {
	t.Helper()
	c, err := minio.New(server.Addr, &minio.Options{Creds: credentials.NewStaticV4(fixture.S3Key, fixture.S3Secret, "")})
	must(t, err)
	return c
}

// blockOfDocs is what stands in the blocks of one kind of section 9.
func blockOfDocs(t *testing.T, kind string) string {
	t.Helper()
	text, err := os.ReadFile(filepath.Join(fixture.Top(t), "docs", "REPOSITORY.md"))
	must(t, err)
	_, section, _ := strings.Cut(string(text), "\n## 9.")
	var blocks []string
	for i, part := range strings.Split(section, "```") {
		if first, rest, _ := strings.Cut(part, "\n"); i%2 == 1 && first == kind {
			blocks = append(blocks, rest)
		}
	}
	return strings.Join(blocks, "")
}
