// Command flaky repeats tests under load and names those that fail: how often,
// of how many rounds, and what each said the first time. Flags of go test and
// packages are given as to testrun; the rounds and the load come first:
//
//	flaky [-n rounds] [-load loops] [flags of go test] packages
//
// An interrupt ends the round that runs and shows what was found until then.
package main

import (
	"context"
	"flag"
	"fmt"
	"os"
	"os/signal"
	"runtime"
	"slices"
	"syscall"

	"github.com/enoki-go/enoki/scripts/gotest"
)

const maxLoad = 16 // busy loops for each processor

func main() {
	ctx, stop := signal.NotifyContext(context.Background(), os.Interrupt, syscall.SIGTERM, syscall.SIGHUP)
	clean, err := run(ctx, os.Args[1:])
	stop()
	if err != nil {
		fmt.Fprintln(os.Stderr, "flaky:", err)
	}
	if err != nil || !clean {
		os.Exit(1)
	}
}

func run(ctx context.Context, args []string) (clean bool, err error) {
	ours, theirs := split(args)
	flags := flag.NewFlagSet("flaky", flag.ContinueOnError)
	n := flags.Int("n", 10, "rounds")
	load := flags.Int("load", 4*runtime.NumCPU(), fmt.Sprintf("busy loops beside the tests, at most %d for each processor", maxLoad))
	if err := flags.Parse(ours); err != nil {
		return false, err
	}
	if *n < 1 || *load < 0 || *load > maxLoad*runtime.NumCPU() {
		return false, fmt.Errorf("-n %d -load %d: rounds are 1 or more, and busy loops at most %d here", *n, *load, maxLoad*runtime.NumCPU())
	}
	testFlags, modules, err := gotest.Arguments(theirs)
	if err != nil {
		return false, err
	}
	common, err := gotest.Flags()
	if err != nil {
		return false, err
	}
	stopLoad := keepBusy(*load)
	defer stopLoad()
	fmt.Printf("%d rounds, with %d busy loops on %d processors beside them\n", *n, *load, runtime.NumCPU())
	r := rounds{out: os.Stdout, terminal: isTerminal(os.Stdout), flags: slices.Concat(common, testFlags, []string{"-count", "1"}), modules: modules}
	r.run(ctx, *n)
	r.report()
	return len(r.found) == 0, ctx.Err()
}

// split tells our flags, which come first, from those of go test.
func split(args []string) (ours, theirs []string) {
	for len(args) >= 2 && (args[0] == "-n" || args[0] == "-load") {
		ours, args = append(ours, args[:2]...), args[2:]
	}
	return ours, args
}

// keepBusy runs n loops, each on a thread of its own, until it is told to stop.
func keepBusy(n int) (stop func()) {
	ctx, cancel := context.WithCancel(context.Background())
	before := runtime.GOMAXPROCS(runtime.GOMAXPROCS(0) + n)
	for range n {
		go func() {
			for ctx.Err() == nil {
			}
		}()
	}
	return func() {
		cancel()
		runtime.GOMAXPROCS(before)
	}
}

func isTerminal(f *os.File) bool {
	info, err := f.Stat()
	return err == nil && info.Mode()&os.ModeCharDevice != 0
}
