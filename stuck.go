package enoki

import (
	"context"
	"runtime"
	"slices"
	"strings"
)

const (
	mostStuck      = 20       // the most handlers that the log shows
	mostStackText  = 16 << 10 // bytes of one handler's stack
	mostGoroutines = 16 << 20 // bytes of the stacks of all goroutines
	ownPackage     = "github.com/enoki-go/enoki."
)

// reportStuck logs the handlers that still run when the grace period is over.
// It does so once for the process, because the services share its goroutines.
func (p *process) reportStuck() {
	p.stuck.Do(func() {
		stacks := handlerStacks(allStacks())
		for _, stack := range stacks[:min(len(stacks), mostStuck)] {
			p.options.Logger.ErrorContext(context.Background(), "handler still runs when the grace period is over; it is cancelled",
				"handler", handlerFunction(stack), "of", len(stacks), "stack", stack[:min(len(stack), mostStackText)])
		}
	})
}

// allStacks returns the stacks of all goroutines, up to mostGoroutines bytes.
func allStacks() string {
	for size := 1 << 20; ; size *= 4 {
		buf := make([]byte, size)
		if n := runtime.Stack(buf, true); n < size || size >= mostGoroutines {
			return string(buf[:n])
		}
	}
}

// handlerStacks returns the stacks that contain a handler.
func handlerStacks(all string) []string {
	stacks := strings.Split(all, "\n\n")
	return slices.DeleteFunc(stacks, func(stack string) bool { return netAt(strings.Split(stack, "\n")) < 0 })
}

// netAt returns the line of the innermost call of recovered, or -1 if the stack
// has none.
func netAt(lines []string) int {
	return slices.IndexFunc(lines, func(line string) bool {
		return strings.HasPrefix(line, ownPackage) && strings.Contains(line, "recovered.func")
	})
}

// handlerFunction returns the user's function that the innermost recovered has
// called.
func handlerFunction(stack string) string {
	lines := strings.Split(stack, "\n")
	for at := netAt(lines) - 2; at > 0; at -= 2 { // a frame has two lines: its function and its place
		function := lines[at]
		if !strings.HasPrefix(function, ownPackage) && !strings.HasPrefix(function, "reflect.") {
			return function[:max(strings.LastIndexByte(function, '('), 0)]
		}
	}
	return "unknown"
}
