package nightly

import (
	"context"
	"time"
)

// unmountTries is how often a busy folder is tried: a server's last words, a
// program of a hook that looks at it.
const unmountTries, unmountPause = 4, 500 * time.Millisecond

// unmount unmounts a folder; what is not mounted is no error. One that stays
// busy goes from sight at once, and for good when it is let go of.
func unmount(ctx context.Context, run Runner, folder string) error {
	var err error
	for range unmountTries {
		if _, err = run(ctx, nil, "mountpoint", "-q", folder); err != nil {
			return nil
		}
		if _, err = run(ctx, nil, "umount", folder); err == nil {
			return nil
		}
		select {
		case <-ctx.Done():
			return err
		case <-time.After(unmountPause):
		}
	}
	_, err = run(ctx, nil, "umount", "--lazy", folder)
	return err
}
