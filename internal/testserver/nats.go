package testserver

import (
	"bytes"
	"fmt"
	"net"
	"os"
	"os/exec"
	"path/filepath"
	"strings"
	"testing"
)

// module is this one, also where a test or program of another uses it.
const module = "github.com/enoki-go/enoki"

const natsModule = "github.com/nats-io/nats-server/v2"

// NATS starts a private NATS server with JetStream that syncs every write and
// lives until the test ends.
func NATS(t testing.TB) *Server {
	t.Helper()
	s, err := StartNATS()
	return forTest(t, s, err)
}

// StartNATS is NATS for a TestMain; the caller calls Stop. The server is
// built from the version in go.mod and kept in the user's cache directory.
func StartNATS() (*Server, error) { return startNATS("always", "") }

// StartNATSFast is StartNATS with a server that confirms before the disk has
// it, as NATS does unless it is told otherwise.
func StartNATSFast() (*Server, error) { return startNATS("2m", "") }

// NATSWith is NATS with more in its configuration file, such as a tls block.
func NATSWith(t testing.TB, config string) *Server {
	t.Helper()
	s, err := startNATS("always", config)
	return forTest(t, s, err)
}

func startNATS(syncInterval, more string) (*Server, error) {
	path, err := natsProgram()
	if err != nil {
		return nil, fmt.Errorf("build nats-server: %w", err)
	}
	return start("nats", nats{path, syncInterval, more}, func(port int) string { return "nats://" + loopback(port) })
}

type nats struct{ path, syncInterval, more string }

func (n nats) command(s *Server) (*exec.Cmd, error) {
	config := filepath.Join(s.dir, "nats.conf")
	text := fmt.Sprintf("listen: %q\njetstream { store_dir: %q, sync_interval: %s }\n%s\n",
		loopback(s.port), filepath.Join(s.dir, "data"), n.syncInterval, n.more)
	if err := os.WriteFile(config, []byte(text), 0o600); err != nil {
		return nil, err
	}
	return exec.Command(n.path, "--config", config), nil
}

func (nats) probe(conn net.Conn) error { return expect(conn, "INFO ") }

// natsProgram returns the path of a nats-server of the version in go.mod, and
// builds it when it is not in the cache yet.
func natsProgram() (string, error) {
	root, err := goTool(".", "list", "-m", "-f", "{{.Dir}}", module)
	if err != nil {
		return "", err
	}
	version, err := goTool(root, "list", "-m", "-f", "{{.Version}}", natsModule)
	if err != nil {
		return "", err
	}
	cache, err := os.UserCacheDir()
	if err != nil {
		return "", err
	}
	dir := filepath.Join(cache, "enoki-test")
	path := filepath.Join(dir, "nats-server-"+version)
	if _, err := os.Stat(path); err == nil {
		return path, nil
	}
	if err := os.MkdirAll(dir, 0o755); err != nil {
		return "", err
	}
	return path, buildNATS(root, path)
}

// buildNATS builds beside path and renames, because the tests of several
// packages may do so at once.
func buildNATS(root, path string) error {
	building, err := os.MkdirTemp(filepath.Dir(path), "building-")
	if err != nil {
		return err
	}
	defer os.RemoveAll(building)
	out := filepath.Join(building, "nats-server")
	if _, err := goTool(root, "build", "-o", out, natsModule); err != nil {
		return err
	}
	return os.Rename(out, path)
}

func goTool(dir string, args ...string) (string, error) {
	cmd := exec.Command("go", args...)
	cmd.Dir = dir
	var stderr bytes.Buffer
	cmd.Stderr = &stderr
	out, err := cmd.Output()
	if err != nil {
		return "", fmt.Errorf("go %s: %w\n%s", strings.Join(args, " "), err, stderr.Bytes())
	}
	return strings.TrimSpace(string(out)), nil
}
