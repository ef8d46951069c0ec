package main

import (
	"bytes"
	"context"
	"debug/elf"
	"errors"
	"fmt"
	"os"
	"path/filepath"
	"strings"

	"aead.dev/minisign"

	"lifeboat/clone"
	"lifeboat/clone/image"
	"lifeboat/initramfs"
	"lifeboat/netboot"
)

// openSystems opens the places that a rescue medium is made from. done is to be
// called also after an error.
func (e *env) openSystems(ctx context.Context, places []string) (list []initramfs.Source, done func() error, err error) {
	var closers []func() error
	done = func() error {
		var errs []error
		for _, c := range closers {
			errs = append(errs, c())
		}
		return errors.Join(errs...)
	}
	for _, place := range places {
		s, closer, err := e.openSystem(ctx, place)
		if closer != nil {
			closers = append(closers, closer)
		}
		if err != nil {
			return nil, done, fmt.Errorf("%s: %w", shown(place), err)
		}
		list = append(list, s)
	}
	return list, done, nil
}

func (e *env) openSystem(ctx context.Context, place string) (initramfs.Source, func() error, error) {
	if place == "/" {
		return runningSystem(), nil, nil
	}
	debs, err := debsIn(place)
	if err != nil {
		return initramfs.Source{}, nil, err
	}
	if len(debs) > 0 {
		root, done, err := initramfs.OpenDebs(ctx, "", debs)
		return initramfs.Source{Name: "Debian packages in " + place, Root: root}, done, err
	}
	return e.openBackup(ctx, place)
}

// runningSystem is this system: its boot part is where the firmware's files are.
func runningSystem() initramfs.Source {
	s := initramfs.Source{Name: "the running system", Root: os.DirFS("/")}
	for _, dir := range []string{"/boot/firmware", "/boot"} {
		if exists(filepath.Join(dir, "config.txt")) {
			s.Boot = os.DirFS(dir)
			break
		}
	}
	return s
}

// debsIn lists the packages of a folder, or the one that place is.
func debsIn(place string) ([]string, error) {
	if strings.HasSuffix(place, ".deb") {
		return []string{place}, nil
	}
	info, err := os.Stat(place)
	if err != nil || !info.IsDir() {
		return nil, nil // an image or a disk, or opening it says what is wrong
	}
	debs, err := filepath.Glob(filepath.Join(place, "*.deb"))
	if err == nil && len(debs) == 0 {
		err = errors.New("there is no Debian package (*.deb) in this folder")
	}
	return debs, err
}

// openBackup opens a backup or a card of a board. A packed one is unpacked to a
// temporary file first: its files lie everywhere in it.
func (e *env) openBackup(ctx context.Context, place string) (initramfs.Source, func() error, error) {
	src, err := e.openOrigin(ctx, place, image.Options{})
	if err != nil {
		return initramfs.Source{}, nil, err
	}
	r, ok := src.files()
	if !ok {
		dir, err := os.MkdirTemp("", "lifeboat-")
		if err != nil {
			return initramfs.Source{}, src.Close, err
		}
		path := filepath.Join(dir, "backup.img")
		if err := unpack(ctx, src, path); err != nil {
			return initramfs.Source{}, func() error { return errors.Join(src.Close(), os.RemoveAll(dir)) }, err
		}
		s, done, err := e.openBackup(ctx, path)
		return s, func() error { return errors.Join(done(), src.Close(), os.RemoveAll(dir)) }, err
	}
	trees := clone.BootTrees(r, src.head)
	return initramfs.Source{Name: "the backup " + place, Boot: trees.Boot, Root: trees.Root}, src.Close, nil
}

// unpack writes a packed image as a raw one.
func unpack(ctx context.Context, src *origin, path string) error {
	sink, err := image.Create(path, image.SinkOptions{})
	if err != nil {
		return err
	}
	_, err = clone.Save(ctx, src.Source, src.head, sink, nil)
	return err
}

// openProgram opens the tool's own binary, or another machine's.
func openProgram(path string) (*os.File, error) {
	if path == "" {
		path = "/proc/self/exe"
	}
	return os.Open(path)
}

func machineOf(program *os.File) (elf.Machine, error) {
	f, err := elf.NewFile(program)
	if err != nil {
		return 0, fmt.Errorf("%s: %w", program.Name(), err)
	}
	return f.Machine, nil
}

// forBoards refuses a program that no board could run.
func forBoards(program *os.File) error {
	m, err := machineOf(program)
	if err != nil {
		return err
	}
	if m == elf.EM_AARCH64 || m == elf.EM_ARM {
		return nil
	}
	return &clone.Refusal{
		Err:  fmt.Errorf("%s is a program for %s, and boards have ARM processors", program.Name(), m),
		Hint: "give the lifeboat binary for arm64 with --program; make arm64 builds it",
	}
}

// publicKey is a minisign key, given as its text or its file.
func publicKey(arg string) (string, error) {
	text := []byte(arg)
	if b, err := os.ReadFile(arg); err == nil {
		text = b
	}
	var key minisign.PublicKey
	if err := key.UnmarshalText(bytes.TrimSpace(text)); err != nil {
		return "", &clone.Refusal{Err: fmt.Errorf("%s is neither a minisign public key nor a file with one: %w", arg, err)}
	}
	return key.String(), nil
}

// checkJob refuses to put a job on a medium that the medium would not take.
func checkJob(path string) error {
	data, err := os.ReadFile(path)
	if err != nil {
		return err
	}
	if _, err := netboot.ParseJob(data); err != nil {
		return &clone.Refusal{Err: fmt.Errorf("%s: %w", path, err)}
	}
	return nil
}
