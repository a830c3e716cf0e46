package brokerdir

import (
	"errors"
	"os"
	"syscall"
)

// errSharingViolation is Windows' word for a file that another process has
// opened without sharing it.
const errSharingViolation = syscall.Errno(32)

// openLocked opens a file that nobody else can open for writing meanwhile.
func openLocked(name string) (*os.File, error) {
	path, err := syscall.UTF16PtrFromString(name)
	if err != nil {
		return nil, err
	}
	handle, err := syscall.CreateFile(path, syscall.GENERIC_READ|syscall.GENERIC_WRITE,
		syscall.FILE_SHARE_READ, nil, syscall.OPEN_ALWAYS, syscall.FILE_ATTRIBUTE_NORMAL, 0)
	if err != nil {
		return nil, &os.PathError{Op: "open", Path: name, Err: err}
	}
	return os.NewFile(uintptr(handle), name), nil
}

func isLocked(err error) bool { return errors.Is(err, errSharingViolation) }
