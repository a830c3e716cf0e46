package telemetry

import (
	"net/http"
	"time"

	"github.com/prometheus/client_golang/prometheus"
	"github.com/prometheus/client_golang/prometheus/collectors"
	"github.com/prometheus/client_golang/prometheus/promhttp"
)

// OK is the code of a call that ended without an error.
const OK = "ok"

// maxNames is how many different pairs of service and method one side of a
// process may have before further ones are counted as "other": names can come
// from outside, and every one costs some 20 time series.
const maxNames = 1000

// Metrics counts the calls that a process handles and makes:
//
//	enoki_handled_total{service,method,kind,code}     handlers that have ended
//	enoki_handle_seconds{service,method,kind}         how long they took
//	enoki_handling{service}                           how many run now
//	enoki_called_total{service,method,kind,code}      calls made that have ended
//	enoki_call_seconds{service,method,kind}           how long they took
//	enoki_calling{service}                            how many wait now
//	enoki_dead_letters_total{service,handler}         messages that were kept because they could not be handled
//	enoki_breaker_open{service,method}                1 while calls to it are refused, 0.5 while some are let through
//	enoki_retries_total{service,method}               calls that were sent again
//	enoki_ready                                       1 while ready, else 0; see WatchReady
//
// and what the Go runtime and the operating system say of the process. Its
// registry is its own. Its methods may be called concurrently.
type Metrics struct {
	registry *prometheus.Registry
	handled  side
	called   side
	dead     *prometheus.CounterVec
	breakers *prometheus.GaugeVec
	retries  *prometheus.CounterVec
	buried   *nameLimit // names in dead
}

// NewMetrics returns metrics that have counted nothing yet.
func NewMetrics() *Metrics {
	m := &Metrics{
		registry: prometheus.NewRegistry(),
		handled:  newSide("handled_total", "handle_seconds", "handling", "Handlers"),
		called:   newSide("called_total", "call_seconds", "calling", "Calls made"),
		dead: prometheus.NewCounterVec(prometheus.CounterOpts{Namespace: "enoki", Name: "dead_letters_total",
			Help: "Messages that could not be handled and are kept as dead letters."}, []string{"service", "handler"}),
		breakers: prometheus.NewGaugeVec(prometheus.GaugeOpts{Namespace: "enoki", Name: "breaker_open",
			Help: "1 while calls to a method are refused, 0.5 while a few are let through to see, else 0."}, []string{"service", "method"}),
		retries: prometheus.NewCounterVec(prometheus.CounterOpts{Namespace: "enoki", Name: "retries_total",
			Help: "Calls that were sent again."}, []string{"service", "method"}),
		buried: &nameLimit{max: maxNames, seen: map[name]bool{}},
	}
	m.registry.MustRegister(
		m.handled.total, m.handled.seconds, m.handled.running,
		m.called.total, m.called.seconds, m.called.running,
		m.dead, m.breakers, m.retries,
		collectors.NewGoCollector(),
		collectors.NewProcessCollector(collectors.ProcessCollectorOpts{}),
		collectors.NewBuildInfoCollector(),
	)
	return m
}

// Registry takes further metrics of the program's own.
func (m *Metrics) Registry() *prometheus.Registry { return m.registry }

// Handler serves the metrics to Prometheus.
func (m *Metrics) Handler() http.Handler {
	return promhttp.HandlerFor(m.registry, promhttp.HandlerOpts{Registry: m.registry})
}

// Handling notes that a handler has started. Its end is noted by calling the
// result once with its code, OK when there was no error.
func (m *Metrics) Handling(service, method, kind string) (ended func(code string)) {
	return m.handled.start(service, method, kind)
}

// Calling notes that a call to service has started, like Handling.
func (m *Metrics) Calling(service, method, kind string) (ended func(code string)) {
	return m.called.start(service, method, kind)
}

// Buried notes that a message is kept as a dead letter of a handler.
func (m *Metrics) Buried(service, handler string) {
	n := m.buried.admit(name{service, handler})
	m.dead.WithLabelValues(n.service, n.method).Inc()
}

// Breaker notes how far the circuit breaker of a method that is called is open:
// 1 is fully. The names are those of contracts.
func (m *Metrics) Breaker(service, method string, open float64) {
	m.breakers.WithLabelValues(service, method).Set(open)
}

// Retried notes that a call was sent again. The names are those of contracts.
func (m *Metrics) Retried(service, method string) { m.retries.WithLabelValues(service, method).Inc() }

// WatchReady adds the metric enoki_ready, which asks ready at every scrape.
// Call it at most once.
func (m *Metrics) WatchReady(ready func() bool) {
	m.registry.MustRegister(prometheus.NewGaugeFunc(prometheus.GaugeOpts{
		Namespace: "enoki", Name: "ready", Help: "1 while the process is ready for work, else 0.",
	}, func() float64 {
		if ready() {
			return 1
		}
		return 0
	}))
}

// side is one half of the metrics: what is handled, or what is called.
type side struct {
	total   *prometheus.CounterVec
	seconds *prometheus.HistogramVec
	running *prometheus.GaugeVec
	names   *nameLimit
	series  *memo[labels, *series]
}

// labels are what a call is counted under, but for its outcome.
type labels struct {
	name
	kind string
}

// series are the metrics of one set of labels. To look them up by their labels
// costs more than to count.
type series struct {
	running  prometheus.Gauge
	outcomes *memo[string, outcome] // by code
}

type outcome struct {
	total   prometheus.Counter
	seconds prometheus.Observer
}

func newSide(total, seconds, running, subject string) side {
	opts := func(name, help string) prometheus.Opts {
		return prometheus.Opts{Namespace: "enoki", Name: name, Help: help}
	}
	byMethod := []string{"service", "method", "kind"}
	s := side{
		total: prometheus.NewCounterVec(prometheus.CounterOpts(opts(total, subject+" that have ended, by the code of their outcome.")),
			append([]string{"code"}, byMethod...)),
		seconds: prometheus.NewHistogramVec(prometheus.HistogramOpts{
			Namespace: "enoki", Name: seconds, Help: subject + ": how long they took.",
			// From a call within the machine to the longest a caller waits.
			Buckets: []float64{0.001, 0.0025, 0.005, 0.01, 0.025, 0.05, 0.1, 0.25, 0.5, 1, 2.5, 5, 10, 30},
		}, byMethod),
		running: prometheus.NewGaugeVec(prometheus.GaugeOpts(opts(running, subject+" that have not ended yet.")), []string{"service"}),
		names:   &nameLimit{max: maxNames, seen: map[name]bool{}},
	}
	s.series = newMemo(s.newSeries)
	return s
}

func (s *side) start(service, method, kind string) func(code string) {
	began := time.Now()
	of := s.of(labels{name{service, method}, kind})
	of.running.Inc()
	return func(code string) {
		of.running.Dec()
		ended := of.outcomes.get(code)
		ended.total.Inc()
		ended.seconds.Observe(time.Since(began).Seconds())
	}
}

// of returns the series of a call. Those of a name beyond the limit are not
// kept under it.
func (s *side) of(l labels) *series {
	if known, ok := s.series.look(l); ok {
		return known
	}
	l.name = s.names.admit(l.name)
	return s.series.get(l)
}

func (s side) newSeries(l labels) *series {
	return &series{
		running: s.running.WithLabelValues(l.service),
		outcomes: newMemo(func(code string) outcome {
			return outcome{
				s.total.WithLabelValues(code, l.service, l.method, l.kind),
				s.seconds.WithLabelValues(l.service, l.method, l.kind),
			}
		}),
	}
}
