package memory_test

import (
	"io/fs"
	"os"
	"testing"
	"testing/fstest"

	"lifeboat/internal/memory"
)

func TestAvailable(t *testing.T) {
	t.Parallel()
	meminfo := func(text string) fs.FS { return fstest.MapFS{"meminfo": {Data: []byte(text)}} }
	for _, c := range []struct {
		proc fs.FS
		want int64
		ok   bool
	}{
		{meminfo("MemTotal: 500000 kB\nMemAvailable:   40000 kB\n"), 40000 << 10, true},
		{meminfo("MemTotal: 500000 kB\n"), 0, false}, // before Linux 3.14
		{meminfo("MemAvailable: 18446744073709551615 kB\n"), 0, false},
		{fstest.MapFS{}, 0, false},
	} {
		if got, ok := memory.Available(c.proc); ok != c.ok || ok && got != c.want {
			t.Errorf("got %d, %v, want %d, %v", got, ok, c.want, c.ok)
		}
	}
	if have, ok := memory.Available(os.DirFS("/proc")); !ok || have < 1<<20 {
		t.Errorf("this machine has %d bytes, %v", have, ok)
	}
}
