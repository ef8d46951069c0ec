package fit_test

import (
	"errors"
	"os"
	"testing"

	"lifeboat/clone/filesystem"
	"lifeboat/clone/fit"
	"lifeboat/internal/fixture"
)

// holdRule holds the rule of Need against itself; the sizes that it gives are
// what the other tests shrink to.
func holdRule(t *testing.T, f *fit.Facts) {
	t.Helper()
	least := fit.Need(f, f.Size).Min
	if a := fit.Need(f, least); !a.Fits || a.MissingBytes != 0 || a.MissingInodes != 0 {
		t.Errorf("at its own minimum %d: got %+v", least, a)
	}
	small := (least - least/100) / f.Block * f.Block
	if a := fit.Need(f, small); a.Fits || a.MissingBytes == 0 && a.MissingInodes == 0 {
		t.Errorf("a hundredth below %d: got %+v", least, a)
	}
}

// testTooSmall holds that what does not fit is told as that, also by a plan on a
// scratch file.
func testTooSmall(t *testing.T, path string, facts *fit.Facts) {
	least := fit.Need(facts, facts.Size).Min
	for _, plan := range []bool{true, false} {
		tr := &trial{path: path, facts: facts, plan: plan, size: (least - least/8) / facts.Block * facts.Block}
		err := tr.run(t)
		var small *fit.NoRoomError
		if !errors.As(err, &small) {
			t.Errorf("plan %v: got %v, want a NoRoomError", plan, err)
		}
		unmountable(t, tr.to.Name(), "too small")
		if plan && tr.to.written > facts.Used.Bytes()/4 {
			t.Errorf("the plan wrote %d bytes of %d", tr.to.written, facts.Used.Bytes())
		}
	}
}

// TestRefuse holds the sentences for what cannot be made smaller.
func TestRefuse(t *testing.T) {
	t.Parallel()
	fixture.Need(t, "mke2fs", "debugfs")
	mkfs := func(args ...string) string {
		path := fixture.Sparse(t, "refused", 16*mib)
		fixture.Run(t, "mke2fs", append(append([]string{"-q", "-F"}, args...), path)...)
		return path
	}
	stable := mkfs("-t", "ext4", "-O", "stable_inodes")
	external := mkfs("-t", "ext4")
	fixture.Run(t, "debugfs", "-w", "-R", "set_super_value journal_inum 0", external)
	damaged := mkfs("-t", "ext4", "-O", "metadata_csum")
	fixture.Run(t, "debugfs", "-w", "-R", "freeb 2000 500", damaged)
	fixture.Run(t, "debugfs", "-w", "-R", "set_super_value free_blocks_count 77", damaged)
	for path, want := range map[string]fit.Reason{stable: fit.StableInodes, external: fit.ExternalJournal, damaged: fit.Damaged} {
		var refused *fit.RefusedError
		if err := refuse(t, path); !errors.As(err, &refused) || refused.Reason != want {
			t.Errorf("got %v, want one for %q", err, want)
		}
	}
}

func refuse(t *testing.T, path string) error {
	t.Helper()
	f, err := os.Open(path)
	must(t, err)
	defer f.Close()
	_, err = fit.Survey(f, 16*mib)
	return err
}

// TestSupported holds that the programs at hand are asked what they know.
func TestSupported(t *testing.T) {
	t.Parallel()
	fixture.Need(t, "mke2fs", "resize2fs")
	for _, args := range [][]string{{"-t", "ext4"}, {"-t", "ext3", "-b", "1024"}, {"-t", "ext4", "-O", "bigalloc,64bit"}} {
		path := fixture.Sparse(t, "asked", 64*mib)
		fixture.Run(t, "mke2fs", append(append([]string{"-q", "-F"}, args...), path)...)
		facts := survey(t, path)
		if err := facts.Supported(t.Context(), filesystem.ExecBound); err != nil {
			t.Errorf("%v: got %v, want nil", args, err)
		}
		var refused *fit.RefusedError
		const unknown = 1 << 30
		if err := facts.WithFeature(unknown).Supported(t.Context(), filesystem.ExecBound); !errors.As(err, &refused) || refused.Reason != fit.UnknownFeature {
			t.Errorf("%v with an unknown feature: got %v, want a refusal", args, err)
		}
	}
}
