package embedded

import (
	"fmt"
	"io/fs"
	"path/filepath"
)

// defaultMaxStore is the most that a store grows to unless told otherwise, in
// bytes.
const defaultMaxStore = 4 << 30

// storeLimit chooses the size limit of the store in dir: want, or the default
// when want is 0. What the store already holds counts as free, so that a
// restart on a filling disk does not shrink the limit below the data.
func storeLimit(dir string, want int64) (int64, error) {
	free, err := freeSpace(dir)
	if err != nil {
		return 0, fmt.Errorf("embedded NATS: can't tell the free space of %s: %w", dir, err)
	}
	room := free + usedSpace(dir)
	if want == 0 {
		return min(defaultMaxStore, room/2), nil
	}
	if want >= room {
		return 0, fmt.Errorf("embedded NATS: a store of %d MiB is not below the free space of %s, %d MiB: make room or lower the limit",
			want>>20, dir, room>>20)
	}
	return want, nil
}

// usedSpace is the size of the files below dir, as far as they can be read.
func usedSpace(dir string) int64 {
	var used int64
	_ = filepath.WalkDir(dir, func(_ string, entry fs.DirEntry, err error) error {
		if err != nil || entry.IsDir() {
			return nil // gone meanwhile: counts nothing
		}
		if info, err := entry.Info(); err == nil {
			used += info.Size()
		}
		return nil
	})
	return used
}
