// Command enoki runs services, calls them, emits and shows events, and lists
// what is alive on a broker. See docs/cli.md.
package main

import (
	"context"
	"os"
	"os/signal"
	"syscall"
)

func main() {
	soft, hard := stopSignals()
	os.Exit(newCLI(hard, os.Stdin, os.Stdout, os.Stderr).run(soft, os.Args[1:]))
}

// stopSignals returns two contexts: the first signal ends soft, which asks to
// finish and stop; the second one ends hard, which stops at once; and if that
// does not help, the third one ends the process.
func stopSignals() (soft, hard context.Context) {
	soft, stop := context.WithCancel(context.Background())
	hard, stopNow := context.WithCancel(context.Background())
	signals := make(chan os.Signal, 3)
	signal.Notify(signals, os.Interrupt, syscall.SIGTERM)
	go func() {
		<-signals
		stop()
		<-signals
		stopNow()
		<-signals
		os.Exit(exitInterrupted)
	}()
	return soft, hard
}
