package main

import (
	"context"
	"errors"
	"fmt"
	"log/slog"
	"os"
	"path/filepath"
	"strings"
	"time"

	"github.com/enoki-go/enoki"
	"github.com/enoki-go/enoki/broker"
	"github.com/enoki-go/enoki/broker/amqp"
	"github.com/enoki-go/enoki/broker/nats/embedded"
	"github.com/enoki-go/enoki/host"
)

const (
	// shadowBuildTimeout is how long packages may take to be built and to
	// start; shadowAwaitTimeout how long a service that runs may take to show
	// itself.
	shadowBuildTimeout = 3 * time.Minute
	shadowAwaitTimeout = 10 * time.Second
)

// shadowTarget is the service that gets the copies.
type shadowTarget struct {
	broker broker.Broker
	names  map[string][]string // of arguments, by method
	ended  <-chan error        // gets why its programs have ended; nil when it has none

	closers []func() // called last to first
}

func (s *shadowTarget) close() {
	for i := len(s.closers) - 1; i >= 0; i-- {
		s.closers[i]()
	}
}

func isURL(against string) bool { return strings.Contains(against, "://") }

// startShadow returns the target once its service takes requests.
func (c *cli) startShadow(ctx context.Context, o *shadowOptions, tap *amqp.Tap) (*shadowTarget, error) {
	s := &shadowTarget{}
	timeout := shadowAwaitTimeout
	var err error
	if isURL(o.against) {
		err = c.dialShadow(ctx, o, tap, s)
	} else {
		timeout = shadowBuildTimeout
		err = c.runShadow(ctx, o, s)
	}
	if err == nil {
		err = s.await(ctx, o, timeout)
	}
	if err != nil {
		s.close()
		return nil, err
	}
	return s, nil
}

// dialShadow connects to the broker that the service runs on.
func (c *cli) dialShadow(ctx context.Context, o *shadowOptions, tap *amqp.Tap, s *shadowTarget) error {
	ctx, cancel := withTimeout(ctx, shadowAwaitTimeout)
	defer cancel()
	if isAMQP(o.against) {
		same, err := tap.SameBroker(ctx, amqp.Config{URL: o.against, Logger: c.logger()})
		if err != nil {
			return fmt.Errorf("connect to the broker of --against: %w", err)
		}
		if same {
			return usageError{errors.New("--against is the broker of the live service, which would get every request twice; run the other one on a broker or vhost of its own")}
		}
	}
	b, err := (&host.Dialer{Logger: c.logger(), Name: "enoki-shadow", RPCExchange: o.exchange}).Dial(ctx, o.against)
	if err != nil {
		return fmt.Errorf("connect to the broker of --against: %w", err)
	}
	s.broker = b
	s.closers = append(s.closers, func() { _ = b.Close() })
	return nil
}

// runShadow builds and runs packages on a broker that nobody else is on.
func (c *cli) runShadow(ctx context.Context, o *shadowOptions, s *shadowTarget) error {
	packages, err := runnable(ctx, append([]string{o.against}, o.with...))
	if err != nil {
		return err
	}
	dir, err := os.MkdirTemp("", "enoki-shadow-")
	if err != nil {
		return err
	}
	s.closers = append(s.closers, func() { _ = os.RemoveAll(dir) })
	errorsOnly := slog.New(slog.NewTextHandler(c.stderr, &slog.HandlerOptions{Level: slog.LevelError})) // nobody minds that it is fast
	server, err := embedded.Start(embedded.Options{Dir: filepath.Join(dir, "broker"), Port: -1, Fast: true, Logger: errorsOnly})
	if err != nil {
		return err
	}
	s.closers = append(s.closers, server.Shutdown)
	if s.broker, err = host.Dial(ctx, server.URL(), c.logger()); err != nil {
		return err
	}
	s.closers = append(s.closers, func() { _ = s.broker.Close() })

	talk := *c
	talk.stdout = c.stderr // stdout has the differences
	// Ctrl-C lets the requests at hand end first, and then the programs.
	life, stop := context.WithCancel(context.WithoutCancel(ctx))
	ended, gone := make(chan error, 1), make(chan struct{})
	s.ended = ended
	go func() {
		defer close(gone)
		ended <- talk.runPrograms(life, talk.programs(packages, dir, server.URL(), o.arguments, true))
	}()
	s.closers = append(s.closers, func() { stop(); <-gone })
	return nil
}

// await returns when the service shows itself, and as many others as packages
// run beside it. These have shadowAwaitTimeout, as a package may have none.
func (s *shadowTarget) await(ctx context.Context, o *shadowOptions, timeout time.Duration) error {
	deadline := time.Now().Add(timeout)
	var since time.Time
	for {
		instances, err := s.broker.Services(ctx)
		if err != nil {
			return fmt.Errorf("ask for the services: %w", err)
		}
		found, _ := pick(instances, []string{o.service})
		if len(found) > 0 && since.IsZero() {
			since = time.Now()
		}
		switch {
		case len(found) > 0 && (len(instances) > len(o.with) || time.Since(since) > shadowAwaitTimeout):
			s.names = namesOfArguments(found[0])
			return nil
		case ctx.Err() != nil:
			return reported{exitInterrupted}
		case len(found) == 0 && time.Now().After(deadline):
			return enoki.Errorf(enoki.UnknownService, "%s does not serve %s, but %s", o.against, o.service, served(instances))
		}
		select {
		case err := <-s.ended:
			return endedEarly(o, err)
		default: // Services has just waited for answers
		}
	}
}

func namesOfArguments(i broker.Instance) map[string][]string {
	names := map[string][]string{}
	for _, m := range i.Methods {
		for _, name := range m.Args {
			names[m.Name] = append(names[m.Name], strings.TrimSuffix(name, "?"))
		}
	}
	return names
}

func served(instances []broker.Instance) string {
	if len(instances) == 0 {
		return "nothing"
	}
	var names []string
	for _, i := range instances {
		names = append(names, i.Name)
	}
	return strings.Join(names, ", ")
}

// endedEarly is the error of programs that have ended by themselves.
func endedEarly(o *shadowOptions, err error) error {
	var code reported
	if errors.As(err, &code) {
		return enoki.Errorf(enoki.Unavailable, "%s failed with code %d; see above what it says", strings.Join(append([]string{o.against}, o.with...), " or "), code.code)
	}
	if err != nil {
		return err
	}
	return enoki.Errorf(enoki.Unavailable, "%s has ended", o.against)
}
