package host

import (
	"fmt"
	"math"
	"os"
	"runtime/debug"
	"strconv"
	"strings"

	"github.com/enoki-go/enoki/entrypoint"
)

// least is the smallest budget that is of use, in bytes: a body of 1 MiB is
// handled alone in its half.
const leastMemory = 16 << 20

// memoryUnits are those of GOMEMLIMIT.
var memoryUnits = []struct {
	name  string
	bytes int64
}{{"KiB", 1 << 10}, {"MiB", 1 << 20}, {"GiB", 1 << 30}, {"TiB", 1 << 40}, {"B", 1}}

// parseMemory reads a size such as 256MiB; "" is what suits the machine.
func parseMemory(text string) (int64, error) {
	if text == "" {
		return usualMemory(memoryLimit()), nil
	}
	number, unit := text, int64(1)
	for _, u := range memoryUnits {
		if before, ok := strings.CutSuffix(text, u.name); ok {
			number, unit = strings.TrimSpace(before), u.bytes
			break
		}
	}
	n, err := strconv.ParseInt(number, 10, 64)
	if err != nil || n > math.MaxInt64/unit {
		return 0, fmt.Errorf(`want a size such as "256MiB", have %q`, text)
	}
	if n*unit < leastMemory {
		return 0, fmt.Errorf("want 16MiB or more, have %s", text)
	}
	return n * unit, nil
}

// usualMemory is a quarter of what the process may have, since decoding is
// counted about only and garbage stays for a while; with much or no limit it is
// the default of package enoki.
func usualMemory(limit int64) int64 {
	return max(min(limit/4, entrypoint.DefaultMemory), leastMemory)
}

// memoryLimit is the least of GOMEMLIMIT and the limits of the control group,
// in bytes.
func memoryLimit() int64 {
	limit := debug.SetMemoryLimit(-1)
	for _, file := range []string{"/sys/fs/cgroup/memory.max", "/sys/fs/cgroup" + ownGroup() + "/memory.max", "/sys/fs/cgroup/memory/memory.limit_in_bytes"} {
		text, err := os.ReadFile(file)
		if err != nil {
			continue // not on this system
		}
		if n, err := strconv.ParseInt(strings.TrimSpace(string(text)), 10, 64); err == nil && n > 0 { // else "max"
			limit = min(limit, n)
		}
	}
	return limit
}

// ownGroup is the path of the process's control group, of the second version.
func ownGroup() string {
	text, _ := os.ReadFile("/proc/self/cgroup") // missing elsewhere than on Linux
	for line := range strings.Lines(string(text)) {
		if path, ok := strings.CutPrefix(strings.TrimSpace(line), "0::"); ok {
			return path
		}
	}
	return ""
}
