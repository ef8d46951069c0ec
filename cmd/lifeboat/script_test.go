package main

import (
	"bytes"
	"encoding/json"
	"errors"
	"flag"
	"io"
	"net/http/httptest"
	"os"
	"os/exec"
	"path/filepath"
	"regexp"
	"strconv"
	"strings"
	"testing"

	"github.com/rogpeppe/go-internal/testscript"

	"lifeboat/internal/fixture"
)

var update = flag.Bool("update", false, "rewrite the goldens in testdata/script")

// TestMain lets the test binary be the tool: scripts start it as lifeboat, and
// backups within this process as their watchdog.
func TestMain(m *testing.M) {
	if len(os.Args) == 2 && os.Args[1] == watchdogCommand {
		main()
	}
	testscript.Main(m, map[string]func(){"lifeboat": main})
}

// TestScripts runs the tool as its users meet it: testdata/script has one file
// a behaviour.
func TestScripts(t *testing.T) {
	t.Parallel()
	testscript.Run(t, testscript.Params{
		Dir:                 "testdata/script",
		Setup:               setUp,
		UpdateScripts:       *update,
		RequireExplicitExec: true,
		RequireUniqueNames:  true,
		Cmds: map[string]func(ts *testscript.TestScript, neg bool, args []string){
			"blank":     cmdBlank,
			"card":      cmdCard,
			"disk":      cmdDisk,
			"exitcode":  cmdExitcode,
			"flip":      cmdFlip,
			"fsck":      cmdFsck,
			"interrupt": cmdInterrupt,
			"jsonlines": cmdJSONLines,
			"need":      cmdNeed,
			"needroot":  cmdNeedRoot,
			"pair":      cmdPair,
			"replace":   cmdReplace,
			"s3":        cmdS3,
			"sameparts": cmdSameParts,
			"sshd":      cmdSSHD,
			"types":     cmdTypes,
			"word":      cmdWord,
		},
	})
}

// What a script's commands know of their test.
type (
	keyTB     struct{}
	keyServer struct{}
)

// setUp gives each script a server for its folder, as $URL: faults_test.go
// says which paths go wrong. What it was asked for stands in access.log.
func setUp(e *testscript.Env) error {
	s := &faultServer{dir: e.WorkDir, stalled: make(chan struct{}, 100)}
	server := httptest.NewServer(s)
	e.Defer(server.Close)
	e.Setenv("URL", server.URL)
	e.Setenv("PATH", e.Getenv("PATH")+":/usr/sbin:/sbin")
	e.Setenv("LC_ALL", "C")
	e.Values[keyTB{}], e.Values[keyServer{}] = e.T().(testing.TB), s
	return nil
}

func tbOf(ts *testscript.TestScript) testing.TB { return ts.Value(keyTB{}).(testing.TB) }

// wants stops a script that calls a command wrongly.
func wants(ts *testscript.TestScript, neg bool, args []string, least int, how string) {
	if neg || len(args) < least {
		ts.Fatalf("usage: %s", how)
	}
}

func number(ts *testscript.TestScript, text string) int64 {
	n, err := strconv.ParseInt(text, 10, 64)
	ts.Check(err)
	return n
}

// card NAME FILE: a copy of a card of testdata/cards.
func cmdCard(ts *testscript.TestScript, neg bool, args []string) {
	wants(ts, neg, args, 2, "card NAME FILE")
	ts.Check(os.Rename(fixture.Card(tbOf(ts), args[0]), ts.MkAbs(args[1])))
}

// pair BOOT ROOT: a card that boots, and a disk with its root.
func cmdPair(ts *testscript.TestScript, neg bool, args []string) {
	wants(ts, neg, args, 2, "pair BOOT ROOT")
	boot, root := fixture.Pair{}.Make(tbOf(ts))
	ts.Check(os.Rename(boot, ts.MkAbs(args[0])))
	ts.Check(os.Rename(root, ts.MkAbs(args[1])))
}

// blank FILE MIB: an empty disk.
func cmdBlank(ts *testscript.TestScript, neg bool, args []string) {
	wants(ts, neg, args, 2, "blank FILE MIB")
	ts.Check(os.Rename(fixture.Sparse(tbOf(ts), "blank", number(ts, args[1])<<20), ts.MkAbs(args[0])))
}

// need PROGRAM...: skips where a tool is missing, and fails in CI.
func cmdNeed(ts *testscript.TestScript, neg bool, args []string) {
	wants(ts, neg, args, 1, "need PROGRAM...")
	fixture.Need(tbOf(ts), args...)
}

// needroot: skips an ordinary user, and fails in CI.
func cmdNeedRoot(ts *testscript.TestScript, neg bool, args []string) {
	wants(ts, neg, args, 0, "needroot")
	fixture.Root(tbOf(ts))
}

// disk VAR FILE: attaches FILE as a block device, and sets VAR to its path.
func cmdDisk(ts *testscript.TestScript, neg bool, args []string) {
	wants(ts, neg, args, 2, "disk VAR FILE")
	tb := tbOf(ts)
	fixture.Root(tb)
	fixture.Need(tb, "losetup")
	path := strings.TrimSpace(fixture.Run(tb, "losetup", "--show", "-f", "-P", ts.MkAbs(args[1])))
	ts.Defer(func() { exec.Command("losetup", "-d", path).Run() })
	fixture.Try(tb, "partx", "-u", path) // the kernel looks for parts at leisure
	ts.Setenv(args[0], path)
}

// word VAR: sets VAR to the consent word in the output of the last dry run.
func cmdWord(ts *testscript.TestScript, neg bool, args []string) {
	wants(ts, neg, args, 1, "word VAR")
	found := regexp.MustCompile(`--yes=(\w+)`).FindStringSubmatch(ts.ReadFile("stdout"))
	if found == nil {
		ts.Fatalf("the last output names no word")
	}
	ts.Setenv(args[0], found[1])
}

// exitcode N PROGRAM ARGS...: runs a program that must end with N.
func cmdExitcode(ts *testscript.TestScript, neg bool, args []string) {
	wants(ts, neg, args, 2, "exitcode N PROGRAM ARGS...")
	checkCode(ts, args[0], ts.Exec(args[1], args[2:]...))
}

func checkCode(ts *testscript.TestScript, want string, err error) {
	got := 0
	var exit *exec.ExitError
	if errors.As(err, &exit) {
		got = exit.ExitCode()
	} else {
		ts.Check(err)
	}
	if got != int(number(ts, want)) {
		ts.Fatalf("exit code: got %d, want %s", got, want)
	}
}

// flip FILE OFFSET: one byte goes bad.
func cmdFlip(ts *testscript.TestScript, neg bool, args []string) {
	wants(ts, neg, args, 2, "flip FILE OFFSET")
	f, err := os.OpenFile(ts.MkAbs(args[0]), os.O_RDWR, 0)
	ts.Check(err)
	defer f.Close()
	b := make([]byte, 1)
	_, err = f.ReadAt(b, number(ts, args[1]))
	ts.Check(err)
	_, err = f.WriteAt([]byte{^b[0]}, number(ts, args[1]))
	ts.Check(err)
}

// replace FILE OLD NEW: puts NEW in every place of OLD, which is as long.
func cmdReplace(ts *testscript.TestScript, neg bool, args []string) {
	wants(ts, neg, args, 3, "replace FILE OLD NEW")
	path, was, is := ts.MkAbs(args[0]), []byte(args[1]), []byte(args[2])
	data, err := os.ReadFile(path)
	ts.Check(err)
	if len(was) != len(is) || !bytes.Contains(data, was) {
		ts.Fatalf("%q is not in %s, or not as long as %q", was, args[0], is)
	}
	f, err := os.OpenFile(path, os.O_WRONLY, 0)
	ts.Check(err)
	defer f.Close()
	for off := 0; ; off += len(was) {
		n := bytes.Index(data[off:], was)
		if n < 0 {
			return
		}
		off += n
		_, err := f.WriteAt(is, int64(off))
		ts.Check(err)
	}
}

// jsonlines FILE: each line is JSON, and there is one.
func cmdJSONLines(ts *testscript.TestScript, neg bool, args []string) {
	wants(ts, neg, args, 1, "jsonlines FILE")
	d := json.NewDecoder(strings.NewReader(ts.ReadFile(args[0])))
	n := 0
	for ; ; n++ {
		var v any
		err := d.Decode(&v)
		if err == io.EOF {
			break
		}
		ts.Check(err)
	}
	if n == 0 {
		ts.Fatalf("%s is empty", args[0])
	}
}

// fsck FILE: the tools of each file system find it clean.
func cmdFsck(ts *testscript.TestScript, neg bool, args []string) {
	wants(ts, neg, args, 1, "fsck FILE")
	tb := tbOf(ts)
	fixture.Need(tb, "sfdisk", "blkid", "e2fsck", "fsck.vfat")
	if len(fixture.Parts(tb, ts.MkAbs(args[0]))) == 0 {
		ts.Fatalf("%s has no partition table", args[0])
	}
	fixture.Check(tb, ts.MkAbs(args[0]))
}

// sameparts A B: in the eyes of sfdisk, debugfs and mtools both disks have the
// same parts (the last may be larger) with the same files.
func cmdSameParts(ts *testscript.TestScript, neg bool, args []string) {
	smaller := len(args) > 0 && args[0] == "-smaller"
	if smaller {
		args = args[1:]
	}
	wants(ts, neg, args, 2, "sameparts [-smaller] A B")
	tb := tbOf(ts)
	fixture.Need(tb, "sfdisk", "blkid", "debugfs", "mcopy", "diff")
	a, b := fixture.Parts(tb, ts.MkAbs(args[0])), fixture.Parts(tb, ts.MkAbs(args[1]))
	if len(a) == 0 || len(a) != len(b) {
		ts.Fatalf("%s has %d parts, %s has %d", args[0], len(a), args[1], len(b))
	}
	for i, p := range a {
		q := b[i]
		last := i == len(a)-1
		if p.Num != q.Num || p.Off != q.Off || p.Type != q.Type || q.Size != p.Size && (!last || smaller != (q.Size < p.Size)) {
			ts.Fatalf("part %d: %+v is %+v now", p.Num, p, q)
		}
		was, is := unpackPart(tb, ts.MkAbs(args[0]), p), unpackPart(tb, ts.MkAbs(args[1]), q)
		fixture.Run(tb, "diff", "-r", "--no-dereference", was, is)
	}
}

// unpackPart copies the files of a part into a folder.
func unpackPart(tb testing.TB, disk string, p fixture.Part) string {
	part := fixture.Cut(tb, disk, p)
	dir := filepath.Join(tb.TempDir(), "files")
	if err := os.Mkdir(dir, 0o755); err != nil {
		tb.Fatal(err)
	}
	switch fixture.FSType(tb, part) {
	case "ext2", "ext3", "ext4":
		fixture.Run(tb, "debugfs", "-R", "rdump / "+dir, part)
		// Places of device nodes hold no bytes that diff could read.
		fixture.Run(tb, "find", dir, "-not", "-type", "f", "-not", "-type", "d", "-not", "-type", "l", "-delete")
	case "vfat":
		fixture.Run(tb, "mcopy", "-s", "-n", "-i", part, "::*", dir)
	}
	if err := os.Remove(part); err != nil {
		tb.Fatal(err)
	}
	return dir
}
