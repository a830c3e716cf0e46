package host

import (
	"path/filepath"
	"strings"
	"testing"
)

func TestStoreDir(t *testing.T) {
	for _, c := range []struct{ xdg, home, want string }{
		{"/state", "/home/u", "/state/enoki/brokers"},
		{"relative", "/home/u", "/home/u/.local/state/enoki/brokers"},
		{"", "/home/u", "/home/u/.local/state/enoki/brokers"},
		{"", "", ""},
	} {
		t.Setenv("XDG_STATE_HOME", c.xdg)
		t.Setenv("HOME", c.home)
		t.Chdir(t.TempDir()) // no project: the place is the module's
		dir, err := StoreDir()
		switch {
		case c.want == "":
			if err == nil {
				t.Errorf("with %q and %q: %q", c.xdg, c.home, dir)
			}
		case err != nil || filepath.Dir(dir) != c.want || !strings.HasPrefix(filepath.Base(dir), "enoki-"):
			t.Errorf("with %q and %q: %q, %v", c.xdg, c.home, dir, err)
		}
	}
}
