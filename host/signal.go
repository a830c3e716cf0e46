package host

import (
	"context"
	"os"
	"os/signal"
	"syscall"
)

// signalled is why a context ended.
type signalled struct{ os.Signal }

func (s signalled) Error() string { return s.String() }

// exitCode is what a shell shows of a process that a signal has ended.
func exitCode(s os.Signal) int {
	if number, ok := s.(syscall.Signal); ok {
		return 128 + int(number)
	}
	return 1
}

// untilSignal returns a context that ends with the first SIGINT or SIGTERM;
// the second one ends the process at once. stop gives the signals back.
func untilSignal(parent context.Context) (ctx context.Context, stop func()) {
	signals := make(chan os.Signal, 2)
	signal.Notify(signals, os.Interrupt, syscall.SIGTERM)
	ctx, cancel := context.WithCancelCause(parent)
	stopped, ended := make(chan struct{}), make(chan struct{})
	go func() {
		defer close(ended)
		select {
		case s := <-signals:
			cancel(signalled{s})
		case <-stopped:
			return
		}
		select {
		case s := <-signals:
			os.Exit(exitCode(s))
		case <-stopped:
		}
	}()
	return ctx, func() {
		signal.Stop(signals)
		close(stopped)
		<-ended
		cancel(nil)
	}
}
