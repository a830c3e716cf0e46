package brokerdir

import (
	"errors"
	"fmt"
	"os"
	"path/filepath"
	"strconv"
	"strings"
	"time"
)

// ErrLocked says that another process runs a broker in the directory.
var ErrLocked = errors.New("directory is in use by another process")

const (
	lockFile = "lock"

	// Running locks a directory for an instant, so that one try may fail.
	lockAttempts = 5
	lockPause    = 5 * time.Millisecond
)

// Lock keeps other processes out of a directory: a NATS server does not look
// whether another one has the same files open. The operating system drops the
// lock when the process dies.
type Lock struct {
	file *os.File
}

// Take creates dir when needed, for its user alone, and locks it. The error is
// ErrLocked while another process has it.
func Take(dir string) (*Lock, error) {
	if err := os.MkdirAll(dir, 0o700); err != nil {
		return nil, fmt.Errorf("can't use directory %s: %w", dir, err)
	}
	name := filepath.Join(dir, lockFile)
	file, err := openLocked(name)
	for try := 1; try < lockAttempts && err != nil && isLocked(err); try++ {
		time.Sleep(lockPause)
		file, err = openLocked(name)
	}
	if err != nil {
		return nil, lockError(dir, name, err)
	}
	// The number is for people only, so failing to write it does no harm.
	if err := file.Truncate(0); err == nil {
		_, _ = file.WriteAt([]byte(strconv.Itoa(os.Getpid())+"\n"), 0)
	}
	return &Lock{file: file}, nil
}

func lockError(dir, name string, err error) error {
	if !isLocked(err) {
		return fmt.Errorf("can't use directory %s: %w", dir, err)
	}
	holder := ""
	if pid, err := os.ReadFile(name); err == nil && len(pid) > 0 {
		holder = " (process " + strings.TrimSpace(string(pid)) + ")"
	}
	return fmt.Errorf("%w: %s%s", ErrLocked, dir, holder)
}

// Release frees the directory; the file stays, because removing it would race
// with the next owner.
func (l *Lock) Release() { _ = l.file.Close() }

// Running reports whether a process has the directory.
func Running(dir string) bool {
	name := filepath.Join(dir, lockFile)
	if _, err := os.Stat(name); err != nil {
		return false
	}
	file, err := openLocked(name)
	if err != nil {
		return isLocked(err)
	}
	_ = file.Close()
	return false
}
