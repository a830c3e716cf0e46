package enoki

import (
	"context"
	"errors"
	"fmt"
	"slices"
	"sync"

	"github.com/enoki-go/enoki/broker"
	"github.com/enoki-go/enoki/internal/callpolicy"
)

// Run runs services on a broker. It blocks until ctx ends and all services have
// stopped. o may be nil. The services start in the given order; each one takes
// work before the next one starts. They stop in reverse order. A service that
// stops takes no new work, finishes its running handlers and hands back the
// messages that it did not start. When Options.Grace is over, the contexts of
// handlers that still run are cancelled.
//
// The error is nil after a clean stop. If a service could not start, the error
// says why; the services that had started are stopped then.
func Run(ctx context.Context, b broker.Broker, o *Options, services ...*Service) error {
	if err := errors.Join(checkBroker(b), o.check(), checkServices(services)); err != nil {
		return err
	}
	p := &process{broker: b, options: o.withDefaults(), running: map[string]*instance{}, targets: callpolicy.NewTargets()}
	err := p.start(ctx, services)
	if err == nil && ctx.Err() == nil {
		_ = safely(p.options.Logger, "OnReady", func() error { p.options.OnReady(); return nil })
		<-ctx.Done()
	}
	return errors.Join(err, p.stop(ctx))
}

func checkBroker(b broker.Broker) error {
	if isNil(b) {
		return errors.New("the broker is nil; give one, such as that of broker/memory, or host.Dial")
	}
	return nil
}

func checkServices(services []*Service) error {
	if len(services) == 0 {
		return errors.New("no service to run; give Run at least one")
	}
	var mistakes []error
	names := map[string]bool{}
	for n, s := range services {
		if s == nil {
			mistakes = append(mistakes, fmt.Errorf("service %d of %d is nil; make it with NewService", n+1, len(services)))
			continue
		}
		if names[s.name] {
			mistakes = append(mistakes, fmt.Errorf("service %q is given twice; run each name once in a process", s.name))
		}
		names[s.name] = true
		mistakes = append(mistakes, s.Check())
	}
	return errors.Join(mistakes...)
}

// process is what the services of one Run share.
type process struct {
	broker  broker.Broker
	options Options
	targets *callpolicy.Targets
	started []*instance // in the order of start; only Run's goroutine uses it
	stuck   sync.Once   // see reportStuck

	mu      sync.RWMutex
	running map[string]*instance
}

func (p *process) start(ctx context.Context, services []*Service) error {
	for _, s := range services {
		err := safely(p.options.Logger, "start of service "+s.name, func() error {
			i := newInstance(s, p)
			p.started = append(p.started, i)
			return i.start(ctx)
		})
		if err != nil {
			if ctx.Err() != nil {
				return nil // a stop during the start is not a failure
			}
			return fmt.Errorf("service %q could not start: %w", s.name, err)
		}
		p.mu.Lock()
		p.running[s.name] = p.started[len(p.started)-1]
		p.mu.Unlock()
	}
	return nil
}

// stop stops the services in reverse order, so that a service can call those
// that it needs for as long as it runs.
func (p *process) stop(ctx context.Context) error {
	ctx, cancel := context.WithTimeout(context.WithoutCancel(ctx), p.options.Grace)
	defer cancel()
	var failures []error
	for _, i := range slices.Backward(p.started) {
		if err := i.stop(ctx); err != nil {
			failures = append(failures, fmt.Errorf("service %q did not stop cleanly: %w", i.service.name, err))
		}
	}
	return errors.Join(failures...)
}

func (p *process) near(service string) *instance {
	p.mu.RLock()
	defer p.mu.RUnlock()
	return p.running[service]
}

func (p *process) client(i *instance) *Client {
	return &Client{broker: p.broker, options: p.options, name: i.service.name, errors: i.errors, forms: i.forms, near: p.near, targets: p.targets}
}

// gate counts the calls inside. Once it is shut, no more calls enter, and close
// returns when all have left.
type gate struct {
	mu     sync.Mutex
	shut   bool
	inside sync.WaitGroup
}

func (g *gate) enter() bool {
	g.mu.Lock()
	defer g.mu.Unlock()
	if g.shut {
		return false
	}
	g.inside.Add(1)
	return true
}

func (g *gate) leave() { g.inside.Done() }

// close shuts the gate and waits until all calls have left or ctx ends.
func (g *gate) close(ctx context.Context) error {
	g.mu.Lock()
	g.shut = true
	g.mu.Unlock()
	return wait(ctx, &g.inside)
}

// wait waits until the group is done or ctx ends.
func wait(ctx context.Context, group *sync.WaitGroup) error {
	done := make(chan struct{})
	go func() {
		group.Wait()
		close(done)
	}()
	select {
	case <-done:
		return nil
	case <-ctx.Done():
		return ctx.Err()
	}
}
