//go:build !linux

package testserver

import "net"

// holdPort finds a port that is free now. Nothing holds it: elsewhere than on
// Linux a socket that is bound would be in the way of the server.
func holdPort() (port, error) {
	l, err := net.Listen("tcp", "127.0.0.1:0")
	if err != nil {
		return port{}, err
	}
	defer l.Close()
	return port{l.Addr().(*net.TCPAddr).Port, func() {}}, nil
}
