package main

import (
	"context"
	"path/filepath"
	"slices"
	"strings"
	"sync"
	"time"

	"github.com/fsnotify/fsnotify"
)

// quiet is how long files must stay as they are before a change is reported:
// editors write in several steps, and tools write several files.
const quiet = 100 * time.Millisecond

// watch tells when a file that a package is made of has changed.
type watch struct {
	changed chan struct{} // gets a value after a change; never more than one waits

	watcher *fsnotify.Watcher
	ended   chan struct{} // closed when the goroutine has ended

	mu    sync.Mutex
	files map[string]bool // that count although they are not Go code: embedded ones, go.mod, go.sum
}

func newWatch() (*watch, error) {
	watcher, err := fsnotify.NewWatcher()
	if err != nil {
		return nil, err
	}
	w := &watch{changed: make(chan struct{}, 1), watcher: watcher, ended: make(chan struct{})}
	go w.run()
	return w, nil
}

func (w *watch) close() {
	_ = w.watcher.Close() // nothing is lost with it
	<-w.ended
}

// follow watches the files that pkg is made of now: its own and those of the
// packages it imports, as far as they are the user's.
func (w *watch) follow(ctx context.Context, pkg goPackage) error {
	packages, err := goList(ctx, pkg.Dir, "-deps", pkg.ImportPath)
	if err != nil {
		return err
	}
	files, dirs := map[string]bool{}, map[string]bool{}
	for _, p := range packages {
		if !p.local() {
			continue
		}
		dirs[p.Dir] = true
		for _, name := range []string{"go.mod", "go.sum"} {
			files[filepath.Join(p.Module.Dir, name)] = true
		}
		for _, name := range p.EmbedFiles {
			files[filepath.Join(p.Dir, name)] = true
		}
	}
	for file := range files {
		dirs[filepath.Dir(file)] = true
	}
	w.mu.Lock()
	w.files = files
	w.mu.Unlock()
	return w.setDirs(dirs)
}

// setDirs watches these directories and no others: a file that is replaced, as
// many editors do, is a new file that only its directory knows of.
func (w *watch) setDirs(dirs map[string]bool) error {
	now := w.watcher.WatchList()
	for _, dir := range now {
		if !dirs[dir] {
			_ = w.watcher.Remove(dir) // a removed directory is not watched any more
		}
	}
	for dir := range dirs {
		if slices.Contains(now, dir) {
			continue
		}
		if err := w.watcher.Add(dir); err != nil {
			return err
		}
	}
	return nil
}

func (w *watch) run() {
	defer close(w.ended)
	timer := time.NewTimer(quiet)
	timer.Stop()
	for {
		select {
		case event, ok := <-w.watcher.Events:
			if !ok {
				return
			}
			if w.counts(event) {
				timer.Reset(quiet)
			}
		case _, ok := <-w.watcher.Errors:
			if !ok {
				return
			}
			timer.Reset(quiet) // events were lost: something may have changed
		case <-timer.C:
			select {
			case w.changed <- struct{}{}:
			default: // one waits already
			}
		}
	}
}

// counts reports whether an event can change what is built.
func (w *watch) counts(event fsnotify.Event) bool {
	if event.Op == fsnotify.Chmod {
		return false
	}
	name := filepath.Base(event.Name)
	if strings.HasPrefix(name, ".") || strings.HasPrefix(name, "_") || strings.HasSuffix(name, "_test.go") {
		return false // no part of a program, like the copies that editors keep
	}
	if strings.HasSuffix(name, ".go") {
		return true
	}
	w.mu.Lock()
	defer w.mu.Unlock()
	return w.files[event.Name]
}
