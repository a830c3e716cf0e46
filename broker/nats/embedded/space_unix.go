//go:build linux || darwin || freebsd

package embedded

import "syscall"

// freeSpace is what an ordinary user may still write below dir, in bytes.
func freeSpace(dir string) (int64, error) {
	var stat syscall.Statfs_t
	if err := syscall.Statfs(dir, &stat); err != nil {
		return 0, err
	}
	return int64(stat.Bavail) * int64(stat.Bsize), nil
}
