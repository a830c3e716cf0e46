//go:build !linux && !darwin && !freebsd && !windows

package embedded

// freeSpace can't be told on this system without more code than it has users;
// twice the default keeps the default limit.
func freeSpace(string) (int64, error) { return 2 * defaultMaxStore, nil }
