package host

import "testing"

func TestStoreDir(t *testing.T) {
	for _, c := range []struct{ xdg, home, want string }{
		{"/state", "/home/u", "/state/enoki/broker"},
		{"relative", "/home/u", "/home/u/.local/state/enoki/broker"},
		{"", "/home/u", "/home/u/.local/state/enoki/broker"},
		{"", "", ""},
	} {
		t.Setenv("XDG_STATE_HOME", c.xdg)
		t.Setenv("HOME", c.home)
		dir, err := StoreDir()
		if dir != c.want || (err != nil) != (c.want == "") {
			t.Errorf("with %q and %q: %q, %v", c.xdg, c.home, dir, err)
		}
	}
}
