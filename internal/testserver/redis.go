package testserver

import (
	"fmt"
	"net"
	"os/exec"
	"strconv"
	"testing"
)

// Redis starts a private Redis server that syncs every write and lives until
// the test ends.
func Redis(t testing.TB) *Server {
	t.Helper()
	s, err := StartRedis()
	return forTest(t, s, err)
}

// StartRedis is Redis for a TestMain; the caller calls Stop. The error is
// exec.ErrNotFound when redis-server is not installed.
func StartRedis() (*Server, error) {
	return start("redis", redis{}, func(port int) string { return "redis://" + loopback(port) + "/0" })
}

type redis struct{}

func (redis) command(s *Server) (*exec.Cmd, error) {
	path, err := exec.LookPath("redis-server")
	if err != nil {
		return nil, fmt.Errorf("%w (on Debian: apt-get install redis-server)", err)
	}
	cmd := exec.Command(path,
		"--port", strconv.Itoa(s.port), "--bind", "127.0.0.1", "--dir", s.dir,
		"--appendonly", "yes", "--appendfsync", "always", "--save", "")
	cmd.Dir = s.dir
	return cmd, nil
}

// probe fails while Redis still loads its data, when it answers -LOADING.
func (redis) probe(conn net.Conn) error {
	if _, err := conn.Write([]byte("PING\r\n")); err != nil {
		return err
	}
	return expect(conn, "+PONG\r\n")
}
