package ext4

import "io"

// Replayed is what f reads through.
func Replayed(f *FS) io.ReaderAt { return f.now.r }
