package brokerdir

import (
	"errors"
	"os"
	"path/filepath"
	"testing"
)

func write(t *testing.T, path ...string) {
	t.Helper()
	file := filepath.Join(path...)
	if err := os.MkdirAll(filepath.Dir(file), 0o700); err != nil {
		t.Fatal(err)
	}
	if err := os.WriteFile(file, nil, 0o600); err != nil {
		t.Fatal(err)
	}
}

func TestProjects(t *testing.T) {
	home := t.TempDir()
	t.Setenv("HOME", home)
	write(t, home, ".git", "config")
	write(t, home, "shop", ".git", "config")
	write(t, home, "shop", "push", "go.mod")
	write(t, home, "toy", "go.mod")
	write(t, home, "toy", "deep", "below", "file")
	write(t, home, "work", "go.work")
	write(t, home, "work", "a", ".git", "config")
	write(t, home, "work", "b", "go.mod")
	for wd, want := range map[string]string{
		"shop": "shop", "shop/push": "shop", "toy/deep/below": "toy", "work/b": "work", "work/a": "work/a", ".": "", "..": "",
	} {
		if want != "" {
			want = filepath.Join(home, want)
		}
		if got := root(filepath.Join(home, wd)); got != want {
			t.Errorf("%s belongs to %q, want %q", wd, got, want)
		}
	}
	shop, _ := In("/s", filepath.Join(home, "shop"), "m")
	push, _ := In("/s", filepath.Join(home, "shop", "push"), "other")
	toy, _ := In("/s", filepath.Join(home, "toy"), "m")
	program, ok := In("/s", home, "example.org/m")
	if shop != push || shop.Dir == toy.Dir || !ok || program.Project != "example.org/m" {
		t.Errorf("places are %v, %v, %v, %v", shop, push, toy, program)
	}
	if _, ok := In("/s", home, ""); ok {
		t.Error("there is a place for nobody")
	}
}

func TestURLOfARunningBroker(t *testing.T) {
	state := t.TempDir()
	place := Place{Dir: filepath.Join(state, "brokers", "p"), Project: "/p"}
	if err := place.Sign(); err != nil {
		t.Fatal(err)
	}
	lock, err := Take(place.Dir)
	if err != nil {
		t.Fatal(err)
	}
	port, password, err := Last(place.Dir)
	if port != 0 || len(password) != 32 || err != nil {
		t.Errorf("of a new directory: %d, %q, %v", port, password, err)
	}
	if got := URL(place.Dir); got != "" || len(All(state)) != 0 {
		t.Errorf("before it is published the URL is %q", got)
	}
	const url = "nats://enoki:secret@127.0.0.1:4223"
	if err := Publish(place.Dir, url); err != nil {
		t.Fatal(err)
	}
	if got := URL(place.Dir); got != url {
		t.Errorf("the URL is %q", got)
	}
	if all := All(state); len(all) != 1 || all[0] != place {
		t.Errorf("what runs is %v", all)
	}
	info, err := os.Stat(filepath.Join(place.Dir, urlFile))
	if err != nil || info.Mode().Perm() != 0o600 {
		t.Errorf("the file is %v, %v", info, err)
	}
	if _, err := Take(place.Dir); !errors.Is(err, ErrLocked) {
		t.Errorf("a second one takes it: %v", err)
	}
	lock.Release()
	if got := URL(place.Dir); got != "" || len(All(state)) != 0 {
		t.Errorf("after the end the URL is %q", got)
	}
	lock, err = Take(place.Dir)
	if err != nil {
		t.Fatal(err)
	}
	defer lock.Release()
	if port, password, err = Last(place.Dir); port != 4223 || password != "secret" || err != nil {
		t.Errorf("the next one gets %d, %q, %v", port, password, err)
	}
}

func TestStateOfSystems(t *testing.T) {
	variables := map[string]string{"LocalAppData": "/local", "XDG_STATE_HOME": "/xdg"}
	for _, c := range []struct{ system, home, set, want string }{
		{"linux", "/home/ada", "", "/home/ada/.local/state"},
		{"linux", "/home/ada", "XDG_STATE_HOME", "/xdg"},
		{"linux", "", "XDG_STATE_HOME", "/xdg"},
		{"freebsd", "/home/ada", "", "/home/ada/.local/state"},
		{"darwin", "/Users/ada", "XDG_STATE_HOME", "/Users/ada/Library/Application Support"},
		{"windows", "/Users/ada", "LocalAppData", "/local"},
		{"windows", "/Users/ada", "", "/Users/ada/AppData/Local"},
		{"linux", "", "", ""},
		{"darwin", "", "", ""},
		{"windows", "", "", ""},
	} {
		got := stateOf(c.system, filepath.FromSlash(c.home), func(name string) string {
			if name == c.set {
				return filepath.FromSlash(variables[name])
			}
			return ""
		})
		if want := filepath.FromSlash(c.want); got != want {
			t.Errorf("%s with home %q and %q set: %q, want %q", c.system, c.home, c.set, got, want)
		}
	}
}
