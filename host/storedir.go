package host

import (
	"fmt"
	"os"
	"path/filepath"
	"runtime"
)

// StoreDir returns the directory where the embedded broker keeps its files
// unless told otherwise: enoki/broker below the user's state directory, which
// is $XDG_STATE_HOME or ~/.local/state, ~/Library/Application Support on macOS
// and %LocalAppData% on Windows. It fails for a user without a home.
func StoreDir() (string, error) {
	state, err := stateDir()
	if err != nil {
		return "", fmt.Errorf("no place for the embedded broker's files: %w; name one with --store-dir", err)
	}
	return filepath.Join(state, "enoki", "broker"), nil
}

func stateDir() (string, error) {
	switch runtime.GOOS {
	case "windows":
		return os.UserCacheDir() // %LocalAppData%, which is for state as well
	case "darwin", "ios":
		return os.UserConfigDir()
	}
	if dir := os.Getenv("XDG_STATE_HOME"); filepath.IsAbs(dir) { // the specification ignores others
		return dir, nil
	}
	home, err := os.UserHomeDir()
	return filepath.Join(home, ".local", "state"), err
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
