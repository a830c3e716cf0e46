package gotest

import (
	"path/filepath"
	"slices"
	"testing"
)

func TestArguments(t *testing.T) {
	t.Parallel()
	flags, modules, err := Arguments([]string{"-count", "1", "-skip", "^TestA$/^b$", ".", "../testrun", "../../examples/authentication/..."})
	if err != nil {
		t.Fatal(err)
	}
	if !slices.Equal(flags, []string{"-count", "1", "-skip", "^TestA$/^b$"}) {
		t.Errorf("flags are %q", flags)
	}
	if len(modules) != 2 || !slices.Equal(modules[0].Patterns, []string{"./scripts/gotest", "./scripts/testrun"}) ||
		filepath.Base(modules[1].Dir) != "authentication" || !slices.Equal(modules[1].Patterns, []string{"./..."}) {
		t.Errorf("modules are %+v", modules)
	}
	if _, _, err := Arguments([]string{"-race"}); err == nil {
		t.Error("no package is named, and nothing is said of it")
	}
}
