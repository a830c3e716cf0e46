package testserver

import (
	"net"
	"strconv"
	"testing"
)

// Address returns a loopback address where nobody listens, and that nobody is
// given who asks for a free port, until the test ends. The test, or a program
// of it, may listen there.
func Address(t testing.TB) string {
	t.Helper()
	p, err := holdPort()
	if err != nil {
		t.Fatal(err)
	}
	t.Cleanup(p.release)
	return loopback(p.number)
}

// port is a loopback port that is ours until it is released.
type port struct {
	number  int
	release func()
}

func loopback(port int) string {
	return net.JoinHostPort("127.0.0.1", strconv.Itoa(port))
}
