package harness

import (
	"os"
	"os/exec"
	"runtime"
	"runtime/debug"
	"strconv"
	"strings"
	"time"
)

// Machine is what the numbers were measured on.
type Machine struct {
	OS       string            `json:"os"`
	CPU      string            `json:"cpu"`
	Cores    int               `json:"cores"`
	Go       string            `json:"go"`
	Load     string            `json:"load"` // load average before the run
	Commit   string            `json:"commit"`
	Versions map[string]string `json:"versions"` // of libraries and servers
}

func cores() float64 { return float64(runtime.NumCPU()) }

func describeMachine(root string) Machine {
	return Machine{
		OS: runtime.GOOS + "/" + runtime.GOARCH + " " + firstLine("/proc/sys/kernel/osrelease"), CPU: cpuModel(), Cores: runtime.NumCPU(),
		Go: runtime.Version(), Load: firstLine("/proc/loadavg"), Commit: commit(root), Versions: versions(),
	}
}

func firstLine(path string) string {
	text, err := os.ReadFile(path)
	if err != nil {
		return ""
	}
	line, _, _ := strings.Cut(string(text), "\n")
	return line
}

func cpuModel() string {
	text, err := os.ReadFile("/proc/cpuinfo")
	if err != nil {
		return ""
	}
	for line := range strings.Lines(string(text)) {
		if name, value, ok := strings.Cut(line, ":"); ok && strings.TrimSpace(name) == "model name" {
			return strings.TrimSpace(value)
		}
	}
	return ""
}

// commit returns the commit that was measured, with "+" when files differ.
func commit(root string) string {
	cmd := exec.Command("git", "describe", "--always", "--dirty=+")
	cmd.Dir = root
	out, err := cmd.Output()
	if err != nil {
		return ""
	}
	return strings.TrimSpace(string(out))
}

// versions are those of the modules in this program. Servers add theirs.
func versions() map[string]string {
	out := map[string]string{}
	info, ok := debug.ReadBuildInfo()
	if !ok {
		return out
	}
	for _, m := range info.Deps {
		out[m.Path] = m.Version
	}
	return out
}

// busyTime returns the CPU time that the whole machine has used, 0 where it
// can't be read. The kernel counts in hundredths of a second.
func busyTime() time.Duration {
	fields := strings.Fields(firstLine("/proc/stat")) // cpu user nice system idle iowait irq softirq …
	var ticks int64
	for i, text := range fields {
		if i == 0 || i == 4 || i == 5 || i > 7 {
			continue
		}
		n, _ := strconv.ParseInt(text, 10, 64) // the kernel writes numbers
		ticks += n
	}
	return time.Duration(ticks) * 10 * time.Millisecond
}
