package telemetry

import (
	"bytes"
	"io"
	"net/http"
	"time"

	"github.com/VictoriaMetrics/metrics"
)

// OK is the code of a call that ended without an error.
const OK = "ok"

// maxNames is how many pairs of service and method one side of a process may
// have. Further ones are counted as "other". Names can come from outside, and
// each costs about 20 time series.
const maxNames = 1000

// Metrics counts the calls that a process handles and makes:
//
//	enoki_handled_total{service,method,kind,code}     handlers that have ended
//	enoki_handle_seconds{service,method,kind}         how long they took
//	enoki_handling{service}                           how many run now
//	enoki_called_total{service,method,kind,code}      calls made that have ended
//	enoki_call_seconds{service,method,kind}           how long they took
//	enoki_calling{service}                            how many wait now
//	enoki_dead_letters_total{service,handler}         messages that became dead letters
//	enoki_breaker_open{service,method}                1 while calls are refused, 0.5 while some are let through
//	enoki_retries_total{service,method}               calls that were sent again
//	enoki_ready                                       1 while ready, else 0; see WatchReady
//
// It also has the readings of Watch and the metrics of the Go runtime and of
// the operating system. Its methods may be called concurrently.
type Metrics struct {
	handled  side
	called   side
	dead     *family
	breakers *family
	retries  *family
	ready    *family
	buried   *nameLimit       // names in dead
	read     func() []Reading // nil means none; see Watch
}

// NewMetrics returns metrics that have counted nothing yet.
func NewMetrics() *Metrics {
	return &Metrics{
		handled:  newSide("handled_total", "handle_seconds", "handling", "Handlers"),
		called:   newSide("called_total", "call_seconds", "calling", "Calls made"),
		dead:     newFamily(counter, "dead_letters_total", "Messages that could not be handled and are kept as dead letters."),
		breakers: newFamily(gauge, "breaker_open", "1 while calls to a method are refused, 0.5 while a few are let through to see, else 0."),
		retries:  newFamily(counter, "retries_total", "Calls that were sent again."),
		ready:    newFamily(gauge, "ready", "1 while the process is ready for work, else 0."),
		buried:   &nameLimit{max: maxNames, seen: map[name]bool{}},
	}
}

// Handler serves the metrics in Prometheus' text format.
func (m *Metrics) Handler() http.Handler {
	return http.HandlerFunc(func(w http.ResponseWriter, _ *http.Request) {
		var page bytes.Buffer
		m.write(&page)
		metrics.WriteProcessMetrics(&page)
		w.Header().Set("Content-Type", "text/plain; version=0.0.4; charset=utf-8")
		_, _ = w.Write(page.Bytes()) // if it fails, the client has gone
	})
}

// write writes what this package counts.
func (m *Metrics) write(w io.Writer) {
	for _, f := range []*family{
		m.handled.total, m.handled.seconds, m.handled.running, m.called.total, m.called.seconds, m.called.running,
		m.dead, m.breakers, m.retries, m.ready,
	} {
		f.write(w)
	}
	if m.read != nil {
		writeReadings(w, m.read())
	}
}

// Handling notes that a handler has started. Call ended once when it has ended,
// with its code; the code is OK if there was no error.
func (m *Metrics) Handling(service, method, kind string) (ended func(code string)) {
	return m.handled.start(service, method, kind)
}

// Calling notes that a call to service has started. Use ended as with Handling.
func (m *Metrics) Calling(service, method, kind string) (ended func(code string)) {
	return m.called.start(service, method, kind)
}

// Buried counts a dead letter of a handler.
func (m *Metrics) Buried(service, handler string) {
	n := m.buried.admit(name{service, handler})
	m.dead.counter(label{"handler", n.method}, label{"service", n.service}).Inc()
}

// Breaker notes how far the circuit breaker of a called method is open; 1 is
// fully open. The names are those of contracts.
func (m *Metrics) Breaker(service, method string, open float64) {
	m.breakers.gauge(label{"method", method}, label{"service", service}).Set(open)
}

// Retried notes that a call was sent again. The names are those of contracts.
func (m *Metrics) Retried(service, method string) {
	m.retries.counter(label{"method", method}, label{"service", service}).Inc()
}

// WatchReady adds the metric enoki_ready, which asks ready at every scrape.
// Call it at most once.
func (m *Metrics) WatchReady(ready func() bool) {
	m.ready.set.NewGauge(m.ready.name, func() float64 {
		if ready() {
			return 1
		}
		return 0
	})
}

// side is one half of the metrics: handled calls or made calls.
type side struct {
	total   *family
	seconds *family
	running *family
	names   *nameLimit
	series  *memo[labels, *series]
}

// labels are the labels of a call, except its outcome.
type labels struct {
	name
	kind string
}

// series are the metrics of one set of labels. They are kept because a look-up
// by labels costs more than to count.
type series struct {
	running  *metrics.Gauge
	outcomes *memo[string, outcome] // by code
}

type outcome struct {
	total   *metrics.Counter
	seconds *metrics.PrometheusHistogram
}

// bounds, in seconds, reach from a call within the machine to the longest time
// that a caller waits.
func bounds() []float64 {
	return []float64{0.001, 0.0025, 0.005, 0.01, 0.025, 0.05, 0.1, 0.25, 0.5, 1, 2.5, 5, 10, 30}
}

func newSide(total, seconds, running, subject string) side {
	s := side{
		total:   newFamily(counter, total, subject+" that have ended, by the code of their outcome."),
		seconds: newFamily(histogram, seconds, subject+": how long they took."),
		running: newFamily(gauge, running, subject+" that have not ended yet."),
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
		ended.seconds.Update(time.Since(began).Seconds())
	}
}

// of returns the series of a call. A name beyond the limit shares one series.
func (s *side) of(l labels) *series {
	if known, ok := s.series.look(l); ok {
		return known
	}
	l.name = s.names.admit(l.name)
	return s.series.get(l)
}

func (s side) newSeries(l labels) *series {
	kind, method, service := label{"kind", l.kind}, label{"method", l.method}, label{"service", l.service}
	return &series{
		running: s.running.gauge(service),
		outcomes: newMemo(func(code string) outcome {
			return outcome{
				s.total.counter(label{"code", code}, kind, method, service),
				s.seconds.histogram(bounds(), kind, method, service),
			}
		}),
	}
}
