// Command boardinit is the /init of a card that a board starts all by itself:
// it tells the kernel's command line, for as long as somebody listens. Package
// vmtest packs it; nothing else uses it.
package main

import (
	"fmt"
	"os"
	"strings"
	"syscall"
	"time"
)

// marker is what the host waits for: package vmtest has the same.
const marker = "vmtest: the card's init runs: "

func main() {
	err := syscall.Mount("proc", "/proc", "proc", 0, "")
	line, rerr := os.ReadFile("/proc/cmdline")
	for {
		if err != nil || rerr != nil {
			fmt.Println("vmtest: /proc/cmdline:", err, rerr)
		} else {
			fmt.Println(marker + strings.TrimSpace(string(line)))
		}
		time.Sleep(10 * time.Second) // a kernel's message may have cut the line
	}
}
