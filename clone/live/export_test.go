package live

import (
	"path/filepath"
	"time"

	"lifeboat/clone/extent"
)

// What tests set, and see.

func (o Options) WithFrozen(hook func() error) Options { o.frozen = hook; return o }
func (o Options) WithMethod(name string) Options       { o.method = name; return o }
func (o Options) WithTrace(kb int, look time.Duration) Options {
	o.trace = ring{kb, look}
	return o
}
func (o Options) WithArena(size int64) Options { o.arena = size; return o }

// Settings are the files that a source changes for a time, and puts back.
func (s *Source) Settings() []string {
	var files []string
	for _, x := range s.limiter.restore {
		files = append(files, x.File)
	}
	return files
}

// Tracing are the trace instances that a process has for a disk.
func Tracing(pid int, disk string) ([]string, error) {
	t, err := openTracefs()
	if err != nil {
		return nil, err
	}
	defer t.close()
	return filepath.Glob(filepath.Join(t.dir, "instances", instancePrefix(pid, disk)+"*"))
}

// Disarm takes the means to thaw from a source.
func (s *Source) Disarm() {
	for _, h := range s.freezer.mounts {
		h.dir.Close()
	}
}

// Swap is where the disk is swapped to.
func (s *Source) Swap() extent.Set { return s.swap }

// Void is what holds nothing.
func (s *Source) Void() extent.Set { return s.void }
