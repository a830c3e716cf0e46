package testserver

import (
	"net"
	"os"
	"os/exec"
	"path/filepath"
	"strings"
	"testing"
)

// Enoki starts "enoki broker", the embedded NATS server in a process of its
// own, that lives until the test ends. program is the path of the command.
func Enoki(t testing.TB, program string) *Server {
	t.Helper()
	s, err := start("broker", enoki{program}, func(port int) string { return "nats://" + loopback(port) })
	s = forTest(t, s, err)
	url, err := os.ReadFile(filepath.Join(s.dir, "data", "url")) // with the password, which restarts keep
	if err != nil {
		t.Fatal(err)
	}
	s.url = strings.TrimSpace(string(url))
	return s
}

type enoki struct{ program string }

func (e enoki) command(s *Server) (*exec.Cmd, error) {
	cmd := exec.Command(e.program, "broker", "--listen", loopback(s.port), "--dir", filepath.Join(s.dir, "data"))
	cmd.Dir = s.dir
	return cmd, nil
}

func (enoki) probe(conn net.Conn) error { return expect(conn, "INFO ") }
