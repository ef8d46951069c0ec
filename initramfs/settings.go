package initramfs

import (
	"fmt"
	"slices"
	"strings"

	"lifeboat/boards"
)

// settings writes what the boards' firmware reads: config.txt and cmdline.txt
// for the Raspberry Pi, extlinux.conf for U-Boot.
func (c *content) settings() error {
	if slices.ContainsFunc(c.support, func(s Support) bool { return s.Board.Pi != nil }) {
		c.text("config.txt", c.configTxt())
		c.text("cmdline.txt", c.args(boards.RPiFirmware)+"\n")
	}
	if c.uboot {
		c.text("extlinux/extlinux.conf", c.extlinux())
	}
	return nil
}

// args is what the kernel is told. A console that is not there is no fault; the
// last one that is there is /dev/console, so the screen stands first.
func (c *content) args(by boards.Method) string {
	words := []string{"console=tty1"}
	for _, s := range c.support {
		if s.Board.Boot != by {
			continue
		}
		for _, con := range s.Board.Consoles {
			if w := "console=" + con; !slices.Contains(words, w) {
				words = append(words, w)
			}
		}
	}
	words = append(words, "panic=10", "quiet")
	if c.o.Args != "" {
		words = append(words, c.o.Args)
	}
	return strings.Join(words, " ")
}

// title says which build this is.
func (c *content) title() string {
	i := c.report.Info
	return strings.TrimSpace("lifeboat "+i.Version) + ", rescue image " + i.ID + " of " + i.Date
}

// configTxt is one file for all models: what differs stands in the model's
// section. No auto_initramfs: it was seen to take another kernel's.
func (c *content) configTxt() string {
	var b strings.Builder
	fmt.Fprintf(&b, "# %s\n", c.title())
	b.WriteString("[all]\nenable_uart=1\ndisable_splash=1\n")
	fmt.Fprintf(&b, "initramfs %s followkernel\n", archiveName)
	done := map[string]bool{}
	for _, s := range c.support {
		if s.Board.Pi == nil || done[group(s.Board)] {
			continue
		}
		done[group(s.Board)] = true
		fmt.Fprintf(&b, "\n[%s]\n# %s\nkernel=%s\n", group(s.Board), s.Kernel, c.names[s.kernel])
		if s.Board.Runs(32) && s.Board.Runs(64) {
			fmt.Fprintf(&b, "arm_64bit=%d\n", btoi(s.kernel.bits == 64))
		}
		if !s.kernel.downstream() {
			b.WriteString("upstream_kernel=1\n")
		}
	}
	b.WriteString("\n[all]\n")
	return b.String()
}

// extlinux is U-Boot's menu: a label for each kernel, with its boards. U-Boot
// asks nobody for long; the first label is the default.
func (c *content) extlinux() string {
	var b strings.Builder
	b.WriteString("default lifeboat\ntimeout 10\n")
	n := 0
	for _, k := range c.kernels {
		if !c.startedByUBoot(k) {
			continue
		}
		n++
		label := "lifeboat"
		if n > 1 {
			label = fmt.Sprintf("lifeboat%d", n)
		}
		fmt.Fprintf(&b, "\nlabel %s\n\tlinux /%s\n\tinitrd /%s\n", label, c.names[k], archiveName)
		if c.hasTrees() {
			fmt.Fprintf(&b, "\tfdtdir /%s\n", treeDir)
		}
		fmt.Fprintf(&b, "\tappend %s\n", c.args(boards.UBoot))
	}
	return b.String()
}

// hasTrees tells whether there are device trees for boards with U-Boot.
func (c *content) hasTrees() bool {
	return slices.ContainsFunc(c.items, func(i item) bool { return strings.HasPrefix(i.name, treeDir+"/") })
}
