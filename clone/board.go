package clone

import (
	"errors"
	"io"
	"io/fs"

	"lifeboat/boards"
	"lifeboat/clone/extent"
	"lifeboat/clone/manifest"
	"lifeboat/internal/speech"
)

// BoardMisses says, as sentences, what a board would not find at boot on the disk
// of h, which r reads: its boot loader, or files that its firmware needs.
func BoardMisses(board boards.Board, r io.ReaderAt, h *manifest.Head) []speech.Text {
	misses, trees := emptyAreas(board, r, h), BootTrees(r, h)
	switch board.Boot {
	case boards.RPiFirmware:
		if trees.Boot == nil {
			return append(misses, speech.New("a %s would not boot it: there is no FAT part for its firmware", board.Title))
		}
		var elsewhere *boards.ElsewhereError
		if _, err := boards.Firmware(trees.Boot, board, boards.FirmwareOptions{}); err != nil && !errors.As(err, &elsewhere) {
			misses = append(misses, wordsOf(err))
		}
	case boards.UBoot:
		if why := uBootMisses(trees); !why.IsZero() {
			misses = append(misses, speech.New("a %s would not boot it: %s", board.Title, why))
		}
	}
	return misses
}

// emptyAreas tells of a board's boot loader that is not in its place: none of
// the areas where it may lie holds anything.
func emptyAreas(b boards.Board, r io.ReaderAt, h *manifest.Head) []speech.Text {
	if len(b.Areas) == 0 {
		return nil
	}
	buf := extent.Buffer()
	defer extent.Release(buf)
	for _, a := range b.Areas {
		n, err := r.ReadAt(buf[:max(0, min(a.Len, extent.BufferSize, h.Size-a.Off))], a.Off)
		if n > 0 && (err == nil || errors.Is(err, io.EOF)) && !extent.IsZero(buf[:n]) {
			return nil
		}
	}
	first := b.Areas[0]
	return []speech.Text{speech.New("a %s would not boot it: at byte %d, where its boot loader (%s) should lie, is nothing", b.Title, first.Off, first.What)}
}

// uBootMisses says what U-Boot would not find; nothing where a script decides, or all
// is there.
func uBootMisses(trees Trees) speech.Text {
	why := speech.New("there is neither an extlinux.conf nor a boot script")
	for _, tree := range []fs.FS{trees.Boot, trees.Root} {
		if tree == nil {
			continue
		}
		for _, script := range []string{"boot.scr", "boot/boot.scr", "boot.scr.uimg", "boot/boot.scr.uimg"} {
			if _, err := fs.Stat(tree, script); err == nil {
				return speech.Text{}
			}
		}
		_, err := boards.Extlinux(tree)
		if err == nil {
			return speech.Text{}
		}
		if !errors.Is(err, fs.ErrNotExist) {
			why = wordsOf(err)
		}
	}
	return why
}

// wordsOf are those of an error, in the reader's language where it is one that is
// told as a note.
func wordsOf(err error) speech.Text {
	var no *boards.BootError
	if errors.As(err, &no) {
		return no.Words
	}
	return speech.Plain(err.Error())
}
