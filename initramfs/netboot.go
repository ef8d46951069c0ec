package initramfs

import (
	"context"
	"errors"
	"fmt"
	"io"
	"io/fs"
	"os"
	"path/filepath"
	"slices"
	"strings"

	"lifeboat/boards"
	"lifeboat/internal/atomicfile"
)

// Netboot makes the folder dir, to be served by TFTP: what the Raspberry Pi's
// firmware asks for, a script for U-Boot, and a README with lines for dnsmasq.
// The folder appears whole; one that is there already is an error that wraps
// fs.ErrExist.
func Netboot(ctx context.Context, dir string, o MediumOptions) (*MediumReport, error) {
	if _, err := os.Lstat(dir); err == nil {
		return nil, fmt.Errorf("folder %s: %w", dir, fs.ErrExist)
	}
	c, err := newContent(ctx, o)
	if err != nil {
		return nil, fmt.Errorf("netboot folder: %w", err)
	}
	err = c.netboot(ctx, dir)
	if err = errors.Join(err, c.close()); err != nil {
		return nil, fmt.Errorf("netboot folder %s: %w", dir, err)
	}
	return c.reportOf(c.bytes(1)), nil
}

func (c *content) netboot(ctx context.Context, dir string) error {
	if c.uboot {
		script := string(bootScript(c.script(), "lifeboat", c.kernels[0].bits, c.date()))
		c.text("boot.scr.uimg", script)
	}
	c.text("README", c.readme())
	temp, err := os.MkdirTemp(filepath.Dir(dir), "."+filepath.Base(dir)+"-")
	if err != nil {
		return err
	}
	err = c.fill(ctx, temp)
	if err == nil {
		err = c.prove(os.DirFS(temp))
	}
	if err == nil {
		err = errors.Join(os.Chmod(temp, 0o755), os.Rename(temp, dir))
	}
	if err != nil {
		return errors.Join(err, os.RemoveAll(temp))
	}
	return atomicfile.SyncDir(filepath.Dir(dir))
}

// fill writes all files into a folder, and syncs each.
func (c *content) fill(ctx context.Context, dir string) error {
	r, err := os.OpenRoot(dir)
	if err != nil {
		return err
	}
	defer r.Close()
	for _, i := range c.items {
		if err := ctx.Err(); err != nil {
			return err
		}
		if err := write(ctx, r, i); err != nil {
			return fmt.Errorf("write %s: %w", i.name, err)
		}
	}
	return nil
}

func write(ctx context.Context, r *os.Root, i item) error {
	if err := r.MkdirAll(filepath.Dir(i.name), 0o755); err != nil {
		return err
	}
	in, err := i.open()
	if err != nil {
		return err
	}
	defer in.Close()
	f, err := r.OpenFile(i.name, os.O_CREATE|os.O_EXCL|os.O_WRONLY, 0o644)
	if err != nil {
		return err
	}
	n, err := io.Copy(f, &ctxReader{ctx, in})
	if err == nil && n != i.size {
		err = fmt.Errorf("it has %d bytes and had %d", n, i.size)
	}
	return errors.Join(err, f.Sync(), f.Close())
}

// script is what U-Boot runs after it got its address: kernel, archive, and the
// board's device tree where the server has one, else U-Boot's own.
func (c *content) script() string {
	var k *kernel
	for _, s := range c.support {
		if s.Board.Boot == boards.UBoot {
			k = s.kernel
			break
		}
	}
	start := "booti"
	if k.bits == 32 {
		start = "bootz"
	}
	lines := []string{
		fmt.Sprintf("setenv bootargs \"%s\"", c.args(boards.UBoot)),
		"setenv lb_fdt ${fdtcontroladdr}",
		"if test -n \"${fdt_addr}\"; then setenv lb_fdt ${fdt_addr}; fi",
		"tftpboot ${kernel_addr_r} " + c.names[k],
	}
	if c.hasTrees() {
		lines = append(lines,
			fmt.Sprintf("if test -n \"${fdtfile}\"; then if tftpboot ${fdt_addr_r} %s/${fdtfile}; then setenv lb_fdt ${fdt_addr_r}; fi; fi", treeDir))
	}
	lines = append(lines,
		"tftpboot ${ramdisk_addr_r} "+archiveName,
		start+" ${kernel_addr_r} ${ramdisk_addr_r}:${filesize} ${lb_fdt}")
	return strings.Join(lines, "\n") + "\n"
}

// readme says how to serve the folder.
func (c *content) readme() string {
	var b strings.Builder
	fmt.Fprintf(&b, "%s, to be booted from the network.\n\nBoards:\n", c.title())
	var option43 []string
	for _, s := range c.support {
		n := s.Board.Netboot
		switch {
		case n == nil:
			fmt.Fprintf(&b, "  %s: boots from no network; use a stick\n", s.Board.Title)
		case n.Prefix == "serial":
			fmt.Fprintf(&b, "  %s: asks for its serial number's folder first, then for these files\n", s.Board.Title)
		default:
			fmt.Fprintf(&b, "  %s: U-Boot asks for %s\n", s.Board.Title, n.Script)
		}
		if n != nil && n.Option43 != "" && !slices.Contains(option43, n.Option43) {
			option43 = append(option43, n.Option43)
		}
	}
	b.WriteString("\ndnsmasq beside your router's own DHCP server (change the network's address):\n\n" +
		"  port=0\n  dhcp-range=192.168.1.0,proxy\n  enable-tftp\n  tftp-root=/PATH/OF/THIS/FOLDER\n")
	for i, text := range option43 {
		if i > 0 {
			b.WriteString("  # or, where a board does not answer to that:\n  # ")
		}
		fmt.Fprintf(&b, "  pxe-service=0,\"%s\"\n", text)
	}
	b.WriteString("\ndnsmasq as the only DHCP server, which U-Boot needs:\n\n" +
		"  port=0\n  dhcp-range=192.168.77.10,192.168.77.99,1h\n  dhcp-boot=boot.scr.uimg\n  enable-tftp\n  tftp-root=/PATH/OF/THIS/FOLDER\n")
	return b.String()
}
