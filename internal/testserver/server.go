// Package testserver runs private brokers and stores for tests: a RabbitMQ
// node, a Redis server, a NATS server. Each has a free loopback port and a data
// directory of its own, so that it does not touch the servers of a developer.
//
// A server can be killed as by kill -9 and started again with the same data and
// port. All servers end with the test process. On Linux that holds however the
// process ends; elsewhere a killed test process leaves them behind.
package testserver

import (
	"bytes"
	"errors"
	"fmt"
	"net"
	"os"
	"os/exec"
	"path/filepath"
	"sync"
	"testing"
	"time"
)

// startTimeout is how long a server may take until it answers. RabbitMQ takes
// 5 s on an idle machine of two cores, and several times that on a busy one.
const startTimeout = 2 * time.Minute

// Server is one private server. Its methods may be called concurrently.
type Server struct {
	kind kind
	dir  string // everything the server writes
	port int
	url  string

	mu       sync.Mutex // guards the fields below
	process  *process   // nil while the server is down
	sidecars []*process // they live as long as the Server, not as one run of it
	held     []port     // and so do its ports
}

// kind is what differs between the programs.
type kind interface {
	// command returns the command that runs the server in the foreground.
	command(s *Server) (*exec.Cmd, error)
	// probe returns nil when the server behind conn has answered as it does
	// when it takes work.
	probe(conn net.Conn) error
}

// URL returns where clients reach the server. It stays the same over Kill
// and Start.
func (s *Server) URL() string { return s.url }

// Port returns the port clients connect to, on 127.0.0.1.
func (s *Server) Port() int { return s.port }

// PID returns the process id of the server, 0 while it is down.
func (s *Server) PID() int {
	s.mu.Lock()
	defer s.mu.Unlock()
	if s.process == nil {
		return 0
	}
	return s.process.cmd.Process.Pid
}

// Dir returns the directory of the server's data and logs.
func (s *Server) Dir() string { return s.dir }

// Kill ends the server at once, as kill -9 does, and returns when it is gone.
// Killing a server that is down does nothing.
func (s *Server) Kill() {
	s.mu.Lock()
	defer s.mu.Unlock()
	if s.process != nil {
		s.process.kill()
		s.process = nil
	}
}

// Start runs the server again on the same data and port and returns when it
// takes work. Starting a server that runs does nothing.
func (s *Server) Start() error {
	s.mu.Lock()
	defer s.mu.Unlock()
	if s.process != nil {
		return nil
	}
	cmd, err := s.kind.command(s)
	if err != nil {
		return err
	}
	p, err := startProcess(cmd, filepath.Join(s.dir, "output.log"))
	if err != nil {
		return err
	}
	if err := s.await(p); err != nil {
		p.kill()
		return fmt.Errorf("%w\n%s", err, p.tail())
	}
	s.process = p
	return nil
}

// Stop ends the server for good and removes its data.
func (s *Server) Stop() {
	s.Kill()
	s.mu.Lock()
	defer s.mu.Unlock()
	for _, p := range s.sidecars {
		p.kill()
	}
	for _, p := range s.held {
		p.release()
	}
	s.sidecars, s.held = nil, nil
	_ = os.RemoveAll(s.dir) // a directory left in TMPDIR harms nobody
}

// hold returns a further port of the server. It wants mu held.
func (s *Server) hold() (int, error) {
	p, err := holdPort()
	if err != nil {
		return 0, err
	}
	s.held = append(s.held, p)
	return p.number, nil
}

// await returns when the server answers, has ended or has had its time.
func (s *Server) await(p *process) error {
	deadline := time.NewTimer(startTimeout)
	defer deadline.Stop()
	tick := time.NewTicker(20 * time.Millisecond)
	defer tick.Stop()
	var last error
	for {
		select {
		case <-p.done:
			return fmt.Errorf("%s ended before it took work", p.name)
		case <-deadline.C:
			return fmt.Errorf("%s did not take work within %s: %w", p.name, startTimeout, last)
		case <-tick.C:
			if last = s.answers(); last == nil {
				return nil
			}
		}
	}
}

func (s *Server) answers() error {
	conn, err := net.DialTimeout("tcp", loopback(s.port), time.Second)
	if err != nil {
		return err
	}
	defer conn.Close()
	if err := conn.SetDeadline(time.Now().Add(time.Second)); err != nil {
		return err
	}
	return s.kind.probe(conn)
}

// start makes a server of this kind and starts it for the first time. Where
// ports can't be held, one that was free a moment ago may be taken since, so it
// tries three times.
func start(name string, k kind, url func(port int) string) (*Server, error) {
	var last error
	for range 3 {
		p, err := holdPort()
		if err != nil {
			return nil, err
		}
		dir, err := os.MkdirTemp("", "enoki-"+name+"-")
		if err != nil {
			p.release()
			return nil, err
		}
		s := &Server{kind: k, dir: dir, port: p.number, url: url(p.number), held: []port{p}}
		if last = s.Start(); last == nil {
			return s, nil
		}
		s.Stop()
		if errors.Is(last, exec.ErrNotFound) {
			break
		}
	}
	return nil, fmt.Errorf("start a private %s: %w", name, last)
}

// forTest turns what a Start function returned into a server of one test.
func forTest(t testing.TB, s *Server, err error) *Server {
	t.Helper()
	if errors.Is(err, exec.ErrNotFound) {
		Skip(t, err.Error())
	}
	if err != nil {
		t.Fatal(err)
	}
	t.Cleanup(s.Stop)
	return s
}

// Skip skips the test and says why. With ENOKI_NO_SKIP=1, as in CI, it fails
// the test instead: a suite that is green because it did not run proves
// nothing.
func Skip(t testing.TB, reason string) {
	t.Helper()
	if os.Getenv("ENOKI_NO_SKIP") == "1" {
		t.Fatalf("must not be skipped (ENOKI_NO_SKIP=1): %s", reason)
	}
	t.Skip(reason)
}

// expect reads from conn until it has as many bytes as want and compares.
func expect(conn net.Conn, want string) error {
	got := make([]byte, 0, len(want))
	for len(got) < len(want) {
		n, err := conn.Read(got[len(got):cap(got)])
		if err != nil {
			return err
		}
		got = got[:len(got)+n]
	}
	if !bytes.Equal(got, []byte(want)) {
		return fmt.Errorf("answered %q instead of %q", got, want)
	}
	return nil
}
