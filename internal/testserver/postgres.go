package testserver

import (
	"encoding/binary"
	"errors"
	"fmt"
	"net"
	"os"
	"os/exec"
	"path/filepath"
	"slices"
	"strconv"
	"strings"
	"testing"
	"time"
)

// Postgres starts a private PostgreSQL server with an empty database that
// lives until the test ends.
func Postgres(t testing.TB) *Server {
	t.Helper()
	s, err := StartPostgres()
	return forTest(t, s, err)
}

// StartPostgres is Postgres for a TestMain; the caller calls Stop. The error
// is exec.ErrNotFound when PostgreSQL is not installed.
func StartPostgres() (*Server, error) {
	return start("postgres", postgres{}, func(port int) string {
		return "postgres://postgres@" + loopback(port) + "/postgres?sslmode=disable"
	})
}

type postgres struct{}

func (postgres) command(s *Server) (*exec.Cmd, error) {
	programs, err := postgresPrograms()
	if err != nil {
		return nil, err
	}
	data := filepath.Join(s.dir, "data")
	if _, err := os.Stat(data); errors.Is(err, os.ErrNotExist) {
		if err := initPostgres(programs, s.dir, data); err != nil {
			return nil, err
		}
	}
	if err := awaitOrphans(data); err != nil {
		return nil, err
	}
	cmd := exec.Command(filepath.Join(programs, "postgres"), "-D", data, "-h", "127.0.0.1", "-p", strconv.Itoa(s.port), "-k", "")
	cmd.Dir = s.dir
	return cmd, unprivileged(cmd, s.dir)
}

// initPostgres makes an empty database. Whoever reaches the port on loopback
// may do anything.
func initPostgres(programs, dir, data string) error {
	cmd := exec.Command(filepath.Join(programs, "initdb"), "-D", data, "-U", "postgres", "-A", "trust", "--no-instructions", "-E", "UTF8", "--locale", "C")
	cmd.Dir = dir
	if err := unprivileged(cmd, dir); err != nil {
		return err
	}
	if out, err := cmd.CombinedOutput(); err != nil {
		return fmt.Errorf("initdb: %w\n%s", err, out)
	}
	return nil
}

// awaitOrphans waits until the children of a server that was killed have
// noticed and ended: as long as one has the memory that they share,
// PostgreSQL does not start.
func awaitOrphans(data string) error {
	pidFile, err := os.ReadFile(filepath.Join(data, "postmaster.pid"))
	if err != nil {
		return nil // it was never started, or has ended in good order
	}
	lines := strings.Split(string(pidFile), "\n")
	const memoryLine = 6 // key and id of the shared memory
	if len(lines) <= memoryLine {
		return nil
	}
	memory := strings.Fields(lines[memoryLine])
	for begun := time.Now(); time.Since(begun) < startTimeout; time.Sleep(5 * time.Millisecond) {
		if !attached(memory) {
			return nil
		}
	}
	return fmt.Errorf("children of the killed PostgreSQL at %s did not end within %v", data, startTimeout)
}

// attached tells whether a process has a System V shared memory, given as key
// and id; never where the kernel does not show it.
func attached(memory []string) bool {
	table, err := os.ReadFile("/proc/sysvipc/shm")
	if err != nil {
		return false
	}
	for line := range strings.Lines(string(table)) {
		fields := strings.Fields(line) // key, id, permissions, size, creator, last user, attached, …
		if len(fields) > 6 && slices.Equal(fields[:2], memory) {
			return fields[6] != "0"
		}
	}
	return false
}

// postgresPrograms returns the directory of the newest version. Debian keeps
// them out of PATH.
func postgresPrograms() (string, error) {
	if path, err := exec.LookPath("postgres"); err == nil {
		return filepath.Dir(path), nil
	}
	found, err := filepath.Glob("/usr/lib/postgresql/*/bin/postgres")
	if err != nil || len(found) == 0 {
		return "", fmt.Errorf("postgres: %w (on Debian: apt-get install postgresql)", exec.ErrNotFound)
	}
	return filepath.Dir(slices.Max(found)), nil
}

// probe fails while PostgreSQL still recovers, when it answers with an error.
func (postgres) probe(conn net.Conn) error {
	const protocol3 = 3 << 16
	hello := binary.BigEndian.AppendUint32(nil, protocol3)
	hello = append(hello, "user\x00postgres\x00database\x00postgres\x00\x00"...)
	if _, err := conn.Write(append(binary.BigEndian.AppendUint32(nil, uint32(len(hello)+4)), hello...)); err != nil {
		return err
	}
	return expect(conn, "R") // it asks for no password
}
