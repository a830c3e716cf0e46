// Package brokerdir knows the directories of the brokers that programs run
// inside themselves. It knows which directory is a project's, whether a broker
// runs in it, and the URL by which its user reaches the broker. It starts no
// broker; package embedded does.
//
// A directory has the server's files, a lock, and a file url that only its user
// may read, because it holds the password. The file stays when the server ends.
// The next server then has the same port and password, and connected clients
// find it.
package brokerdir

import (
	"crypto/rand"
	"encoding/hex"
	"errors"
	"net/url"
	"os"
	"path/filepath"
	"runtime"
	"slices"
	"strconv"
	"strings"
)

// User is whom the servers know; the password is a token of the directory.
const User = "enoki"

const (
	urlFile     = "url"
	projectFile = "project"
)

// URL returns by which URL the broker that runs in dir is reached, with its
// password, or "" when none runs there or is just starting.
func URL(dir string) string {
	if !Running(dir) {
		return ""
	}
	return readURL(dir)
}

func readURL(dir string) string {
	text, err := os.ReadFile(filepath.Join(dir, urlFile))
	if err != nil {
		return ""
	}
	return strings.TrimSpace(string(text))
}

// Last returns the port and password of the server that ran in dir before, and
// forgets its URL, because from now on it is another's: the caller has the
// lock. The port is 0 and the password new when there was none.
func Last(dir string) (port int, password string, err error) {
	if u, err := url.Parse(readURL(dir)); err == nil && u.User != nil {
		port, _ = strconv.Atoi(u.Port())
		password, _ = u.User.Password()
	}
	if password == "" {
		token := make([]byte, 16)
		_, _ = rand.Read(token) // never fails
		password = hex.EncodeToString(token)
	}
	if err = os.Remove(filepath.Join(dir, urlFile)); errors.Is(err, os.ErrNotExist) {
		err = nil
	}
	return port, password, err
}

// Publish writes the URL of the server that runs in dir now.
func Publish(dir, brokerURL string) error {
	file := filepath.Join(dir, urlFile)
	if err := os.WriteFile(file+".new", []byte(brokerURL+"\n"), 0o600); err != nil {
		return err
	}
	return os.Rename(file+".new", file)
}

// Place is a directory and whose it is.
type Place struct {
	Dir     string
	Project string // root of the project, or path of the program's module
}

// State returns the directory below which the places of a user are: enoki in
// $XDG_STATE_HOME or ~/.local/state, on macOS in ~/Library/Application Support
// and on Windows in %LocalAppData%. It fails for a user without a home.
func State() (string, error) {
	home, err := os.UserHomeDir()
	if dir := stateOf(runtime.GOOS, home, os.Getenv); dir != "" {
		return filepath.Join(dir, "enoki"), nil
	}
	return "", err
}

// stateOf returns the directory for a user's state on a system, "" for a user
// without a home.
func stateOf(system, home string, env func(string) string) string {
	below := func(names ...string) string {
		if home == "" {
			return ""
		}
		return filepath.Join(append([]string{home}, names...)...)
	}
	switch system {
	case "windows":
		if dir := env("LocalAppData"); dir != "" {
			return dir // which is for state as well
		}
		return below("AppData", "Local")
	case "darwin", "ios":
		return below("Library", "Application Support")
	}
	if dir := env("XDG_STATE_HOME"); filepath.IsAbs(dir) { // the specification ignores others
		return dir
	}
	return below(".local", "state")
}

// Here returns the place of the project that the process runs in; see In.
func Here(module string) (Place, bool, error) {
	state, err := State()
	if err != nil {
		return Place{}, false, err
	}
	wd, err := os.Getwd()
	if err != nil {
		return Place{}, false, err
	}
	p, ok := In(state, wd, module)
	return p, ok, nil
}

// In returns the place of the project that the directory wd belongs to, below
// state, the user's directory of such things. Outside of projects that is the
// place of module, and none when that is empty.
func In(state, wd, module string) (Place, bool) {
	project := root(wd)
	if project == "" {
		project = module
	}
	if project == "" {
		return Place{}, false
	}
	return Place{Dir: filepath.Join(state, "brokers", directoryName(project)), Project: project}, true
}

// Sign writes into the directory whose it is, for All.
func (p Place) Sign() error {
	if p.Project == "" {
		return nil
	}
	if err := os.MkdirAll(p.Dir, 0o700); err != nil {
		return err
	}
	return os.WriteFile(filepath.Join(p.Dir, projectFile), []byte(p.Project+"\n"), 0o600)
}

// All returns the places below state in which a broker runs, by project.
func All(state string) []Place {
	brokers := filepath.Join(state, "brokers")
	entries, _ := os.ReadDir(brokers) // without one there are none
	var places []Place
	for _, entry := range entries {
		dir := filepath.Join(brokers, entry.Name())
		project, err := os.ReadFile(filepath.Join(dir, projectFile))
		if err == nil && URL(dir) != "" {
			places = append(places, Place{dir, strings.TrimSpace(string(project))})
		}
	}
	slices.SortFunc(places, func(a, b Place) int { return strings.Compare(a.Project, b.Project) })
	return places
}
