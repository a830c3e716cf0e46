package host

import (
	"context"
	"errors"
	"fmt"
	"io"
	"log/slog"
	"runtime/debug"
	"strings"
	"time"

	"github.com/enoki-go/enoki"
	"github.com/enoki-go/enoki/broker"
	"github.com/enoki-go/enoki/entrypoint"
	"github.com/enoki-go/enoki/resilience"
	"github.com/enoki-go/enoki/telemetry"
)

// process is one run of services with their settings known.
type process struct {
	config  *config
	began   time.Time
	log     *slog.Logger
	metrics *telemetry.Metrics
	memory  *entrypoint.Memory
	ready   readiness
	survey  survey
	admin   string // URL, or noAdmin
}

// slowDial is how long connecting may take before the log says what the
// process waits for.
const slowDial = time.Second

// newProcess takes settings that were verified.
func newProcess(c *config, began time.Time, stderr io.Writer) *process {
	level, _ := telemetry.ParseLevel(c.logLevel)    // verified
	format, _ := telemetry.ParseFormat(c.logFormat) // verified
	bytes, _ := parseMemory(c.memory)               // verified
	p := &process{
		config: c, began: began, admin: noAdmin,
		log:     slog.New(enoki.LogHandler(telemetry.NewLogger(stderr, level, format).Handler())),
		metrics: telemetry.NewMetrics(),
		memory:  entrypoint.NewMemory(bytes),
	}
	p.survey.memory = p.memory
	p.metrics.WatchReady(func() bool { return p.ready.err() == nil })
	p.metrics.Watch(func() []telemetry.Reading {
		readings, _, err := p.survey.read()
		if err != nil {
			p.log.Debug("some metrics are missing", "error", err)
		}
		return readings
	})
	return p
}

// run runs the services until ctx ends, and reports the error that it
// returns.
func (p *process) run(ctx context.Context, build func() ([]*enoki.Service, error)) error {
	for _, key := range p.config.ignored {
		p.log.Info("key of the config file is ignored", "key", key)
	}
	for _, what := range p.config.foreign {
		p.log.Warn(what + " names no setting of this program; --help lists them")
	}
	services, err := p.build(build)
	if err == nil {
		err = p.serve(ctx, services)
	}
	if err != nil {
		p.log.Error("stopped by an error", "error", err)
	}
	return err
}

// build has the user's function make the services. A panic of it is an error,
// like everything that keeps a process from starting.
func (p *process) build(build func() ([]*enoki.Service, error)) (services []*enoki.Service, err error) {
	if build == nil {
		return nil, errors.New("there is no function that builds the services; give Main one")
	}
	defer func() {
		if v := recover(); v != nil {
			p.log.Error("building the services panicked", "panic", v, "stack", string(debug.Stack()))
			err = fmt.Errorf("building the services panicked: %v", v)
		}
	}()
	return build()
}

func (p *process) serve(ctx context.Context, services []*enoki.Service) error {
	if err := checkServices(services); err != nil {
		return err
	}
	p.survey.services = services
	if p.config.admin != noAdmin {
		a, err := startAdmin(p.config.admin, words(p.config.httpHosts), &p.ready, &p.survey, p.metrics, p.log)
		if err != nil {
			return err
		}
		defer a.stop()
		p.admin = a.url
	}
	b, err := p.dial(ctx, services)
	if err != nil {
		if ctx.Err() != nil {
			return nil // told to stop while it waited for the broker
		}
		return err
	}
	p.ready.connected(b.Ready)
	p.survey.connected(b)
	working, stop := p.drainAfter(ctx)
	err = enoki.Run(working, b, p.options(services), services...)
	stop()
	if closed := b.Close(); err == nil {
		err = closed
	}
	if err == nil {
		p.log.Info("stopped")
	}
	return err
}

// checkServices finds what a start would refuse before a broker is looked for.
func checkServices(services []*enoki.Service) error {
	if len(services) == 0 {
		return errors.New("no service to run; give Main at least one")
	}
	var mistakes []error
	for n, s := range services {
		if s == nil {
			mistakes = append(mistakes, fmt.Errorf("service %d of %d is nil; make it with enoki.NewService", n+1, len(services)))
			continue
		}
		mistakes = append(mistakes, s.Check())
	}
	return errors.Join(mistakes...)
}

func (p *process) dial(ctx context.Context, services []*enoki.Service) (broker.Broker, error) {
	tlsConfig, roots, err := p.config.tlsConfig(p.log)
	if err != nil {
		return nil, err
	}
	d := &Dialer{
		Logger: p.log, Name: services[0].Name(), StoreDir: p.config.storeDir, TLS: tlsConfig,
		Credentials: p.config.natsCreds, Replicas: p.config.natsReplicas, EventBytes: p.config.natsEvents, DeadBytes: p.config.natsDead, LaterBytes: p.config.natsLater, RPCExchange: p.config.rpcExchange, Heartbeat: p.config.heartbeat,
		LoginMethod: p.config.loginMethod, QueueType: p.config.queueType, AutoDeleteEvents: p.config.autoDeleteEvents, EventsUndeclared: !p.config.declareEvents, Memory: p.memory,
		RootCAs: roots, OnUnreachable: p.ready.unreachable,
	}
	waiting := time.AfterFunc(slowDial, func() {
		p.log.Info("waiting for the broker", "broker", p.config.brokerName(), "admin", p.admin)
	})
	defer waiting.Stop()
	b, err := d.Dial(ctx, p.config.broker)
	if err != nil && enoki.CodeOf(err) == enoki.Unknown {
		err = enoki.Errorf(enoki.Unavailable, "%w", err)
	}
	return b, err
}

// drainAfter returns a context that ends drain-delay after ctx: meanwhile
// /readyz says to everybody that no more work should come. stop ends it at
// once.
func (p *process) drainAfter(ctx context.Context) (working context.Context, stop func()) {
	working, cancel := context.WithCancelCause(context.WithoutCancel(ctx))
	ended := make(chan struct{})
	go func() {
		defer close(ended)
		select {
		case <-ctx.Done():
		case <-working.Done():
			return
		}
		p.ready.drain()
		p.log.Info("stopping: running work is finished; a second signal ends the process at once",
			"cause", context.Cause(ctx), "delay", p.config.drainDelay, "grace", p.config.grace)
		select {
		case <-time.After(p.config.drainDelay):
		case <-working.Done():
		}
		cancel(context.Cause(ctx))
	}()
	return working, func() {
		cancel(nil)
		<-ended
	}
}

func (p *process) options(services []*enoki.Service) *enoki.Options {
	c := p.config
	send, _ := form(c.serializer) // checked
	accept, _ := c.accepted()
	return &enoki.Options{
		Serializer: send, Accept: accept, CloudEvents: c.cloudEvents,
		Logger: p.log, Workers: c.workers, Timeout: c.timeout, Grace: c.grace,
		HTTPAddress: c.http, HTTPHosts: words(c.httpHosts), Memory: p.memory, CallsTracked: c.tracked, Isolated: c.isolated,
		Middleware:     []enoki.Middleware{measureHandlers(p.metrics)},
		CallMiddleware: []enoki.Middleware{measureCalls(p.metrics)},
		OnDeadLetter:   func(l broker.DeadLetter) { p.metrics.Buried(l.Service, l.Handler) },
		Breakers:       &c.breakers, Retries: &c.retries,
		OnBreaker: func(service, method string, s resilience.State) { p.metrics.Breaker(service, method, howOpen(s)) },
		OnRetry:   p.metrics.Retried,
		OnReady:   func() { p.reportReady(services) },
	}
}

// reportReady says what runs, and where.
func (p *process) reportReady(services []*enoki.Service) {
	p.ready.start()
	for _, s := range services {
		var serves []string
		for _, d := range s.Describe() {
			serves = append(serves, d.Text)
		}
		p.log.Info("serves "+strings.Join(serves, ", "), "service", s.Name())
	}
	p.log.Info(fmt.Sprintf("ready in %d ms", time.Since(p.began).Milliseconds()),
		"broker", p.config.brokerName(), "admin", p.admin)
}
