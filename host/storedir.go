package host

import (
	"bufio"
	"fmt"
	"log/slog"
	"net"
	"os"
	"path/filepath"
	"runtime/debug"
	"strings"
	"time"

	"github.com/enoki-go/enoki/internal/brokerdir"
)

// StoreDir returns the directory where the embedded broker keeps its files by
// default. The directory belongs to the project of the working directory. That
// is the nearest directory above it with go.work or .git, or else with go.mod.
// Outside of projects it belongs to the program's module. It is below
// enoki/brokers in the user's state directory: $XDG_STATE_HOME or
// ~/.local/state, ~/Library/Application Support on macOS, %LocalAppData% on
// Windows. StoreDir fails for a user without a home.
func StoreDir() (string, error) {
	p, err := project()
	return p.Dir, err
}

// project is whose broker this process uses when it is given none.
func project() (brokerdir.Place, error) {
	module := filepath.Base(os.Args[0])
	if info, ok := debug.ReadBuildInfo(); ok && info.Main.Path != "" {
		module = info.Main.Path
	}
	p, _, err := brokerdir.Here(module)
	if err != nil {
		return p, fmt.Errorf("no place for the embedded broker's files: %w; name one with --store-dir", err)
	}
	return p, nil
}

// defaultStoreDir is StoreDir, or "" where there is none: that is a mistake
// only once the directory is needed.
func defaultStoreDir() string {
	dir, err := StoreDir()
	if err != nil {
		return ""
	}
	return dir
}

// settle prepares a directory for its first broker, and returns whose it is
// when it is the one of this project.
func settle(dir string, log *slog.Logger) (string, error) {
	p, err := project()
	if err != nil || p.Dir != dir {
		return "", nil //nolint:nilerr // a directory that was named needs no project
	}
	_, missing := os.Stat(dir)
	if err := p.Sign(); err != nil {
		return "", fmt.Errorf("can't use directory %s: %w", dir, err)
	}
	if missing != nil { // these change what users of earlier versions had
		tellOfOldDirectory(filepath.Join(filepath.Dir(filepath.Dir(dir)), "broker"), log)
		tellOfOtherNATS(log)
	}
	return p.Project, nil
}

func tellOfOldDirectory(dir string, log *slog.Logger) {
	if _, err := os.Stat(dir); err == nil {
		log.Info("earlier versions kept the events of all projects in one directory, which is left as it is; a program reads it with --store-dir", "dir", dir)
	}
}

// tellOfOtherNATS looks for a NATS server where programs without a broker used
// to find one.
func tellOfOtherNATS(log *slog.Logger) {
	const address = "127.0.0.1:4222"
	conn, err := net.DialTimeout("tcp", address, time.Second)
	if err != nil {
		return
	}
	defer func() { _ = conn.Close() }() // nothing was written
	_ = conn.SetReadDeadline(time.Now().Add(time.Second))
	greeting, _ := bufio.NewReader(conn).ReadString('\n') // "" for others
	if strings.HasPrefix(greeting, "INFO ") && !strings.Contains(greeting, `"server_name":"enoki-`) {
		log.Info("a NATS server on this machine is not used; name it if it is your broker", "flag", "--broker nats://"+address)
	}
}
