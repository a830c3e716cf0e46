package embedded

import (
	"fmt"
	"os"
	"path/filepath"
	"strconv"
	"strings"
)

// dirLock keeps other processes out of a directory: the server itself does not
// look whether another one has the same files open. The operating system drops
// the lock when the process dies.
type dirLock struct {
	file *os.File
}

// lockDir creates dir when needed and locks it.
func lockDir(dir string) (*dirLock, error) {
	if err := os.MkdirAll(dir, 0o700); err != nil {
		return nil, fmt.Errorf("embedded NATS: can't use directory %s: %w", dir, err)
	}
	name := filepath.Join(dir, "lock")
	file, err := openLocked(name)
	if err != nil {
		return nil, lockError(dir, name, err)
	}
	// The number is for people only, so failing to write it does no harm.
	if err := file.Truncate(0); err == nil {
		_, _ = file.WriteAt([]byte(strconv.Itoa(os.Getpid())+"\n"), 0)
	}
	return &dirLock{file: file}, nil
}

func lockError(dir, name string, err error) error {
	if !isLocked(err) {
		return fmt.Errorf("embedded NATS: can't use directory %s: %w", dir, err)
	}
	holder := ""
	if pid, err := os.ReadFile(name); err == nil && len(pid) > 0 {
		holder = " (process " + strings.TrimSpace(string(pid)) + ")"
	}
	return fmt.Errorf("embedded NATS: %w: %s%s", ErrLocked, dir, holder)
}

// release frees the directory; the file stays, because removing it would race
// with the next owner.
func (l *dirLock) release() { _ = l.file.Close() }
