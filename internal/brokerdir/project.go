package brokerdir

import (
	"crypto/sha256"
	"encoding/hex"
	"os"
	"path/filepath"
	"strings"
)

// root returns the project that a directory belongs to: the nearest directory
// above it, or itself, that has go.work or .git; else the nearest with go.mod;
// "" outside of projects. A home that is kept in git is no project.
func root(wd string) string {
	home, _ := os.UserHomeDir()
	module := ""
	for dir := filepath.Clean(wd); ; dir = filepath.Dir(dir) {
		switch {
		case has(dir, "go.work"), dir != home && has(dir, ".git"):
			return dir
		case module == "" && has(dir, "go.mod"):
			module = dir
		}
		if dir == filepath.Dir(dir) {
			return module
		}
	}
}

func has(dir, name string) bool {
	_, err := os.Stat(filepath.Join(dir, name))
	return err == nil
}

// directoryName is one that people recognise and that no other project has.
func directoryName(project string) string {
	sum := sha256.Sum256([]byte(project))
	base := strings.Map(func(r rune) rune {
		if r >= 'a' && r <= 'z' || r >= 'A' && r <= 'Z' || r >= '0' && r <= '9' || r == '-' || r == '_' || r == '.' {
			return r
		}
		return '-'
	}, filepath.Base(project))
	return base + "-" + hex.EncodeToString(sum[:4])
}
