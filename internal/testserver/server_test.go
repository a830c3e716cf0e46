package testserver_test

import (
	"errors"
	"net"
	"os"
	"os/exec"
	"path/filepath"
	"strings"
	"testing"
	"time"

	"github.com/enoki-go/enoki/internal/testserver"
)

func TestServersSurviveKillAndAreGoneAfterStop(t *testing.T) {
	for name, start := range map[string]func() (*testserver.Server, error){
		"rabbitmq": testserver.StartRabbitMQ,
		"redis":    testserver.StartRedis,
		"nats":     testserver.StartNATS,
		"postgres": testserver.StartPostgres,
	} {
		t.Run(name, func(t *testing.T) {
			s, err := start()
			if err != nil {
				if strings.Contains(err.Error(), exec.ErrNotFound.Error()) {
					testserver.Skip(t, err.Error())
				}
				t.Fatal(err)
			}
			t.Cleanup(s.Stop)
			url := s.URL()
			s.Kill()
			s.Kill()
			if reachable(s) {
				t.Error("reachable after Kill")
			}
			if err := s.Start(); err != nil {
				t.Fatal(err)
			}
			if s.URL() != url {
				t.Errorf("URL is %s after a restart, was %s", s.URL(), url)
			}
			if !reachable(s) {
				t.Error("not reachable after Start")
			}
			s.Stop()
			if reachable(s) {
				t.Error("reachable after Stop")
			}
			if _, err := os.Stat(s.Dir()); !os.IsNotExist(err) {
				t.Errorf("data is left after Stop: %v", err)
			}
		})
	}
}

func TestCtlReachesThePrivateNode(t *testing.T) {
	s := testserver.RabbitMQ(t)
	if _, err := s.Ctl("add_vhost", "shop"); err != nil {
		t.Fatal(err)
	}
	s.Kill()
	if err := s.Start(); err != nil {
		t.Fatal(err)
	}
	out, err := s.Ctl("list_vhosts")
	if err != nil {
		t.Fatal(err)
	}
	if !strings.Contains(out, "shop") {
		t.Errorf("the vhost is gone after a restart on the same data: %s", out)
	}
}

// The test runs itself as a child that starts servers and then panics.
func TestServersEndWithTheTestProcess(t *testing.T) {
	if file := os.Getenv("TESTSERVER_PANIC"); file != "" {
		s := testserver.Redis(t)
		if err := os.WriteFile(file, []byte(s.URL()), 0o600); err != nil {
			t.Fatal(err)
		}
		panic("as a broken test does")
	}
	if _, err := exec.LookPath("redis-server"); err != nil {
		testserver.Skip(t, err.Error())
	}
	file := filepath.Join(t.TempDir(), "url")
	cmd := exec.Command(os.Args[0], "-test.run=^TestServersEndWithTheTestProcess$")
	cmd.Env = append(os.Environ(), "TESTSERVER_PANIC="+file)
	if out, err := cmd.CombinedOutput(); err == nil {
		t.Fatalf("the child did not panic:\n%s", out)
	}
	url, err := os.ReadFile(file)
	if err != nil {
		t.Fatal(err)
	}
	address := strings.TrimSuffix(strings.TrimPrefix(string(url), "redis://"), "/0")
	if err := awaitEnd(address); err != nil {
		t.Errorf("%s is still served after its test process died: %v", url, err)
	}
}

// awaitEnd returns when nobody serves an address any more: a server that the
// kernel is about to end still takes a connection, and ends it by its end.
func awaitEnd(address string) error {
	conn, err := net.Dial("tcp", address)
	if err != nil {
		return nil
	}
	defer conn.Close()
	if err := conn.SetReadDeadline(time.Now().Add(time.Minute)); err != nil {
		return err
	}
	if _, err := conn.Read(make([]byte, 1)); errors.Is(err, os.ErrDeadlineExceeded) {
		return err
	}
	return nil
}

// A port that is held is given to nobody, and may be listened on, twice in turn.
func TestAddressIsHeld(t *testing.T) {
	address := testserver.Address(t)
	for range 2 {
		if conn, err := net.Dial("tcp", address); err == nil {
			conn.Close()
			t.Fatalf("somebody serves %s", address)
		}
		l, err := net.Listen("tcp", address)
		if err != nil {
			t.Fatal(err)
		}
		conn, err := net.Dial("tcp", address)
		if err != nil {
			t.Fatal(err)
		}
		conn.Close()
		l.Close()
	}
}

func reachable(s *testserver.Server) bool {
	address := s.URL()[strings.LastIndex(s.URL(), "127.0.0.1"):]
	if i := strings.IndexByte(address, '/'); i >= 0 {
		address = address[:i]
	}
	conn, err := net.Dial("tcp", address)
	if err == nil {
		conn.Close()
	}
	return err == nil
}
