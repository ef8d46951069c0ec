package ext4_test

import "syscall"

func umount(dir string) error { return syscall.Unmount(dir, 0) }
