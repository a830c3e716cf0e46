package testserver

import (
	"fmt"
	"syscall"
)

// holdPort finds a port by a socket that is bound and does not listen: who asks
// the kernel for any port does not get this one, and who names it may listen
// there, also again after a kill, given SO_REUSEADDR, which servers set.
func holdPort() (port, error) {
	fd, err := syscall.Socket(syscall.AF_INET, syscall.SOCK_STREAM|syscall.SOCK_CLOEXEC, 0)
	if err != nil {
		return port{}, fmt.Errorf("hold a port: %w", err)
	}
	number, err := bindLoopback(fd)
	if err != nil {
		_ = syscall.Close(fd)
		return port{}, fmt.Errorf("hold a port: %w", err)
	}
	return port{number, func() { _ = syscall.Close(fd) }}, nil
}

func bindLoopback(fd int) (number int, err error) {
	if err := syscall.SetsockoptInt(fd, syscall.SOL_SOCKET, syscall.SO_REUSEADDR, 1); err != nil {
		return 0, err
	}
	if err := syscall.Bind(fd, &syscall.SockaddrInet4{Addr: [4]byte{127, 0, 0, 1}}); err != nil {
		return 0, err
	}
	bound, err := syscall.Getsockname(fd)
	if err != nil {
		return 0, err
	}
	return bound.(*syscall.SockaddrInet4).Port, nil
}
