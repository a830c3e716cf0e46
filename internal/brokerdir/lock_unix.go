//go:build unix

package brokerdir

import (
	"errors"
	"os"
	"syscall"
)

func openLocked(name string) (*os.File, error) {
	file, err := os.OpenFile(name, os.O_RDWR|os.O_CREATE, 0o600)
	if err != nil {
		return nil, err
	}
	if err := syscall.Flock(int(file.Fd()), syscall.LOCK_EX|syscall.LOCK_NB); err != nil {
		_ = file.Close()
		return nil, err
	}
	return file, nil
}

func isLocked(err error) bool { return errors.Is(err, syscall.EWOULDBLOCK) }
