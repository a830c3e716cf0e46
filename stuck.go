package enoki

import (
	"context"
	"runtime"
	"slices"
	"strings"
)

const (
	mostStuck      = 20       // handlers that the log shows
	mostStackText  = 16 << 10 // bytes of the stack of each
	mostGoroutines = 16 << 20 // bytes of the stacks of all goroutines
	ownPackage     = "github.com/enoki-go/enoki."
)

// reportStuck logs the handlers that still run when the grace period is over,
// once for the process: its services share their goroutines.
func (p *process) reportStuck() {
	p.stuck.Do(func() {
		stacks := handlerStacks(allStacks())
		for _, stack := range stacks[:min(len(stacks), mostStuck)] {
			p.options.Logger.ErrorContext(context.Background(), "handler still runs when the grace period is over; it is cancelled",
				"handler", handlerFunction(stack), "of", len(stacks), "stack", stack[:min(len(stack), mostStackText)])
		}
	})
}

// allStacks returns the stacks of all goroutines, as far as they fit.
func allStacks() string {
	for size := 1 << 20; ; size *= 4 {
		buf := make([]byte, size)
		if n := runtime.Stack(buf, true); n < size || size >= mostGoroutines {
			return string(buf[:n])
		}
	}
}

// handlerStacks returns the stacks that have a handler in them.
func handlerStacks(all string) []string {
	stacks := strings.Split(all, "\n\n")
	return slices.DeleteFunc(stacks, func(stack string) bool { return netAt(strings.Split(stack, "\n")) < 0 })
}

// netAt returns the line of the innermost net that catches the panics of
// handlers, or -1.
func netAt(lines []string) int {
	return slices.IndexFunc(lines, func(line string) bool {
		return strings.HasPrefix(line, ownPackage) && strings.Contains(line, "recovered.func")
	})
}

// handlerFunction returns the function of the user that the innermost net of
// a stack has called.
func handlerFunction(stack string) string {
	lines := strings.Split(stack, "\n")
	for at := netAt(lines) - 2; at > 0; at -= 2 { // each frame has a line for its function and one for its place
		function := lines[at]
		if !strings.HasPrefix(function, ownPackage) && !strings.HasPrefix(function, "reflect.") {
			return function[:max(strings.LastIndexByte(function, '('), 0)]
		}
	}
	return "unknown"
}
