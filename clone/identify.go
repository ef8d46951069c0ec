package clone

import (
	"context"
	"fmt"
	"io/fs"
	"slices"

	"lifeboat/boards"
	"lifeboat/clone/filesystem/fat"
	"lifeboat/clone/identity"
	"lifeboat/clone/manifest"
)

// identify gives the file systems their new IDs, follows every reference to
// them, stamps the boot part, and resolves what the board will look up.
func (e *execution) identify(ctx context.Context) error {
	e.Meter.Phase("identity", -1)
	if err := e.newIDs(ctx); err != nil {
		return err
	}
	head, _, err := surveyTable(e.target, e.plan.Table, e.plan.Target.Size, e.plan.Target.Sector)
	if err != nil {
		return err
	}
	views, err := e.views(head)
	if err != nil {
		return err
	}
	own := views.without(e.plan.Stays)
	changes, err := e.plan.renamed(own.boot, own.root, views.rooted)
	if err != nil {
		return err
	}
	if len(changes) > 0 {
		edited, err := identity.Apply(changes, own.boot, own.root)
		if err != nil {
			return err
		}
		for _, name := range edited {
			e.logf("%s: names the new IDs", name)
		}
	}
	if err := e.stamp(own.boot); err != nil {
		return err
	}
	return e.resolve(head, views)
}

// newIDs changes the IDs that live in the file systems themselves. A swap part
// has got its own when it was made.
func (e *execution) newIDs(ctx context.Context) error {
	for _, s := range e.plan.Steps {
		to, ok := e.plan.newID(s.Part)
		if s.Op != Move || !ok {
			continue
		}
		part, _ := e.plan.Head.Part(s.Part)
		s.Dst, _ = e.plan.place(s.Part) // the file system may have grown into it
		var err error
		if part.FS.Type == "vfat" {
			err = fat.SetSerial(e.target.Window(s.Dst), s.Dst.Len, to)
		} else {
			err = e.onDevice(ctx, s, "left with its old UUID", func(path string) error {
				return e.Tools.NewUUID(ctx, part.FS, path, to)
			})
		}
		if err != nil {
			return fmt.Errorf("part %d: new ID %s: %w", s.Part, to, err)
		}
	}
	return nil
}

// resolve reports each reference that would not be found at boot.
func (e *execution) resolve(head *manifest.Head, v views) error {
	findings, err := identity.Check(head, v.boot, v.root, e.plan.others()...)
	if err != nil {
		return err
	}
	e.report.Findings = findings
	for _, f := range findings {
		if f.Serious() {
			e.reserve("%s", f.Text)
		}
		for _, text := range []string{e.plan.misplaced(f), e.plan.unsure(f)} {
			if text != "" {
				e.reserve("%s", text)
			}
		}
	}
	if board, ok := boards.Find(e.plan.Board); ok {
		for _, text := range BoardMisses(board, e.target, head) {
			e.reserve("%s", text)
		}
	}
	return nil
}

func (e *execution) stamp(boot identity.Files) error {
	if e.plan.Stamp == nil {
		return nil
	}
	if boot == nil {
		e.reserve("the finished job could not be recorded: no FAT part was written")
		return nil
	}
	return boot.WriteFile(e.plan.Stamp.Name, e.plan.Stamp.Data)
}

// views are the two file trees that decide over a boot, with their parts; each
// may be nil.
type views struct {
	boot, root         identity.Files
	bootPart, rootPart int
	rooted             []int // all parts that a root could be
}

// without drops the trees of parts that are not to be written to.
func (v views) without(parts []int) views {
	if slices.Contains(parts, v.bootPart) {
		v.boot = nil
	}
	if slices.Contains(parts, v.rootPart) {
		v.root = nil
	}
	return v
}

// views finds the boot part, the first FAT, and the root part: of those with an
// etc/fstab the one that the boot part will name, else the first.
func (e *execution) views(head *manifest.Head) (v views, err error) {
	roots := map[int]identity.Files{}
	for _, p := range head.Parts {
		isBoot := p.FS.Type == "vfat"
		if isBoot && v.boot != nil || slices.Contains(e.plan.Empty, p.Num) {
			continue
		}
		files, err := editable(e.target.Window(p.Extent), p.FS)
		switch {
		case err != nil && (!e.plan.writes(p.Num) || len(roots) > 0): // what stays, or is no root, may hold anything
		case err != nil:
			return v, fmt.Errorf("part %d: %w", p.Num, err)
		case files == nil:
		case isBoot:
			v.boot, v.bootPart = files, p.Num
		case has(files, "etc/fstab"):
			v.rooted, roots[p.Num] = append(v.rooted, p.Num), files
		}
	}
	return v, e.chooseRoot(&v, head, roots)
}

// chooseRoot picks one of several roots.
func (e *execution) chooseRoot(v *views, head *manifest.Head, roots map[int]identity.Files) error {
	if len(v.rooted) == 0 {
		return nil
	}
	v.rootPart = v.rooted[0]
	if len(v.rooted) > 1 && v.boot != nil {
		changes, err := e.plan.renamed(v.boot, nil, v.rooted)
		if err != nil {
			return err
		}
		named, err := identity.RootOf(head, v.boot, changes)
		if err != nil {
			return err
		}
		if slices.Contains(v.rooted, named) {
			v.rootPart = named
		}
	}
	v.root = roots[v.rootPart]
	return nil
}

func has(files fs.FS, name string) bool {
	_, err := fs.Stat(files, name)
	return err == nil
}
