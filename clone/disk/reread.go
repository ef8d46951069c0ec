package disk

import (
	"context"
	"errors"
	"fmt"
	"slices"

	"golang.org/x/sys/unix"
)

// Reread makes the kernel see the parts of a table that was written: want, by
// number and extent. It asks the kernel to read the table; where the kernel
// cannot (no parser, no partition scanning) or reads it otherwise, it is told
// the parts one by one. Files have no parts: nothing happens.
//
// The parts have nodes then, but nobody can mount one until the target is
// closed.
func (t *Target) Reread(ctx context.Context, want []Partition) error {
	if !t.disk {
		return nil
	}
	if err := ctx.Err(); err != nil {
		return err
	}
	want = t.shownAs(want)
	asked := blockReread(t.cached) // its error counts only if the parts are wrong
	have, err := t.sys.parts(t.facts.Disk.Name)
	if err != nil {
		return err
	}
	for _, p := range have {
		if !slices.ContainsFunc(want, p.same) {
			if err := blockPartition(t.cached, unix.BLKPG_DEL_PARTITION, &blkpgPartition{Num: int32(p.Num)}); err != nil {
				return fmt.Errorf("take part %d of %s from the kernel: %w", p.Num, t.path, errors.Join(err, asked))
			}
		}
	}
	for _, p := range want {
		if slices.ContainsFunc(have, p.same) {
			continue
		}
		arg := &blkpgPartition{Num: int32(p.Num), Start: p.Extent.Off, Length: p.Extent.Len}
		if err := blockPartition(t.cached, unix.BLKPG_ADD_PARTITION, arg); err != nil {
			return fmt.Errorf("tell the kernel of part %d of %s: %w", p.Num, t.path, errors.Join(err, asked))
		}
	}
	return nil
}

// shownAs cuts extended partitions, which hold others, to what the kernel shows
// of them (Linux, block/partitions/msdos.c: room for a boot loader).
func (t *Target) shownAs(want []Partition) []Partition {
	shown := slices.Clone(want)
	for i := range shown {
		e := &shown[i].Extent
		for _, p := range want {
			if p.Extent.Off > e.Off && p.Extent.Off < e.End() {
				e.Len = min(e.Len, max(1024, t.Sector()))
			}
		}
	}
	return shown
}

// same compares what counts: the kernel makes the names.
func (p Partition) same(o Partition) bool { return p.Num == o.Num && p.Extent == o.Extent }
