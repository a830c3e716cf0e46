// Package storeurl turns the value of the flag --store into a store.
package storeurl

import (
	"context"
	"fmt"
	"log/slog"
	"os"
	"path/filepath"
	"strings"
	"time"

	"github.com/enoki-go/enoki/examples/comments/store"
	"github.com/enoki-go/enoki/examples/comments/store/bolt"
	"github.com/enoki-go/enoki/examples/comments/store/redis"
	"github.com/enoki-go/enoki/host"
)

// Usage is the usage of the flag --store.
const Usage = "`URL` of where to keep data: redis://host:port/database, or the path of a file that one process at a time can open"

// openTimeout is how long Open waits for a Redis server.
const openTimeout = 5 * time.Second

// Default returns the file of a program's own in which it keeps data when no
// store is given: beside the files of the embedded broker, in the user's
// directory for state, or in that for temporary files when the user has no
// home.
func Default(program string) string {
	state := filepath.Join(os.TempDir(), "enoki")
	if broker, err := host.StoreDir(); err == nil {
		state = filepath.Dir(filepath.Dir(broker))
	}
	return filepath.Join(state, "comments", program+".db")
}

// Open opens the store at url: a URL of Redis, or a path with or without
// "bolt:" before it. It tells log where the data is. A program may end without
// closing the store: what was confirmed is there.
func Open(url string, log *slog.Logger) (store.Store, error) {
	scheme, rest, hasScheme := strings.Cut(url, ":")
	switch {
	case scheme == "redis" || scheme == "rediss" || scheme == "unix":
		ctx, cancel := context.WithTimeout(context.Background(), openTimeout)
		defer cancel()
		return openRedis(ctx, url, log)
	case scheme == "bolt":
		return openFile(strings.TrimPrefix(rest, "//"), log)
	case hasScheme && strings.HasPrefix(rest, "//"):
		return nil, fmt.Errorf("no store for scheme %q in --store: have redis, rediss, unix, bolt, or the path of a file", scheme)
	}
	return openFile(url, log)
}

func openRedis(ctx context.Context, url string, log *slog.Logger) (store.Store, error) {
	s, err := redis.Open(ctx, url, log)
	if err != nil {
		return nil, err // not s: a nil *redis.Store is no nil store.Store
	}
	log.Info("keeping data on a Redis server")
	return s, nil
}

func openFile(path string, log *slog.Logger) (store.Store, error) {
	if path == "" {
		return nil, fmt.Errorf("--store names no file: write bolt:path, or leave it out for the default")
	}
	s, err := bolt.Open(path)
	if err != nil {
		return nil, err
	}
	log.Info("keeping data in a file", "path", path)
	return s, nil
}
