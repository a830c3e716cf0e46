package harness

import (
	"os/exec"
	"strings"
)

// microbenchmarks runs those beside the code of Enoki's root package: what the
// framework itself costs, without a broker, and returns their lines.
func microbenchmarks(root string) ([]string, error) {
	cmd := exec.Command("go", "test", "-run", "^$", "-bench", ".", "-benchmem", "-benchtime", "300ms", ".")
	cmd.Dir = root
	text, err := cmd.Output()
	var lines []string
	for line := range strings.Lines(string(text)) {
		if strings.HasPrefix(line, "Benchmark") {
			lines = append(lines, strings.TrimRight(line, "\n"))
		}
	}
	return lines, err
}
