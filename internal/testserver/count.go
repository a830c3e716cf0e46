package testserver

import (
	"os"
	"strconv"
	"testing"
)

// Count returns how often a test does what takes long: as often as the
// environment variable name says, or else standard times.
func Count(t testing.TB, name string, standard int) int {
	t.Helper()
	text := os.Getenv(name)
	if text == "" {
		return standard
	}
	n, err := strconv.Atoi(text)
	if err != nil || n < 1 {
		t.Fatalf("%s is %q; give a number from 1", name, text)
	}
	return n
}
