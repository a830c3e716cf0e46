package host

import (
	"context"
	"errors"
	"sync"
	"time"

	"github.com/enoki-go/enoki"
	"github.com/enoki-go/enoki/broker"
	"github.com/enoki-go/enoki/entrypoint"
	"github.com/enoki-go/enoki/telemetry"
)

const (
	// surveyAge is how long what was measured is shown: so often at most do
	// scrapes and people make us ask the broker and the stores.
	surveyAge = 5 * time.Second

	// surveyTimeout bounds the time of one survey; Prometheus waits 10 s for a
	// page unless it is told otherwise.
	surveyTimeout = 3 * time.Second
)

// survey tells what waits and how much room there is for more, when somebody
// asks. Its methods may be called concurrently.
type survey struct {
	services []*enoki.Service
	memory   *entrypoint.Memory // for what arrives

	mu       sync.Mutex // guards what follows; held while it is measured
	broker   broker.Broker
	readings []telemetry.Reading
	blocked  string // why the broker takes no messages; empty while it does
	err      error  // why some readings are missing
	taken    time.Time
}

func (s *survey) connected(b broker.Broker) {
	s.mu.Lock()
	defer s.mu.Unlock()
	s.broker = b
}

// read returns what was measured within surveyAge, in the order in which it is
// shown; why the broker takes no messages, if it does not; and why some of all
// this is missing.
func (s *survey) read() (readings []telemetry.Reading, blocked string, err error) {
	s.mu.Lock()
	defer s.mu.Unlock()
	if s.broker != nil && (s.taken.IsZero() || time.Since(s.taken) > surveyAge) {
		s.take()
	}
	readings = append(memoryReadings(s.memory), s.readings...)
	telemetry.SortReadings(readings)
	return readings, s.blocked, s.err
}

func memoryReadings(m *entrypoint.Memory) []telemetry.Reading {
	if m.Total() == 0 {
		return nil
	}
	return []telemetry.Reading{
		{Name: "memory_bytes", Help: "Bytes of memory for what arrives and is not done yet.", Value: float64(m.Total())},
		{Name: "memory_used_bytes", Help: "Bytes of that memory which are taken.", Value: float64(m.Used())},
	}
}

// take measures. s.mu is held.
func (s *survey) take() {
	ctx, cancel := context.WithTimeout(context.Background(), surveyTimeout)
	defer cancel()
	backlog, err := s.broker.Backlog(ctx)
	readings, failures := readingsOf(backlog), []error{err}
	if err == nil || backlog.Blocked != "" {
		readings = append(readings, blockedReading(backlog))
	}
	for _, service := range s.services {
		gauges, err := service.Measure(ctx)
		for _, g := range gauges {
			readings = append(readings, telemetry.Reading(g))
		}
		failures = append(failures, err)
	}
	s.readings, s.blocked, s.err, s.taken = readings, backlog.Blocked, errors.Join(failures...), time.Now()
}

// blockedReading has no reason among its labels: an alert wants one series.
func blockedReading(b broker.Backlog) telemetry.Reading {
	r := telemetry.Reading{Name: "broker_blocked", Help: "1 while the broker takes no messages from this process."}
	if b.Blocked != "" {
		r.Value = 1
	}
	return r
}

func readingsOf(b broker.Backlog) []telemetry.Reading {
	var all []telemetry.Reading
	for _, w := range b.Waiting {
		all = append(all, telemetry.Reading{
			Name: "backlog", Help: "Events that wait in a subscription.", Value: float64(w.Events),
			Labels: map[string]string{"service": w.Service, "handler": w.Handler, "source": w.Source, "event": w.Event},
		})
	}
	for _, s := range b.Stores {
		store := map[string]string{"store": s.Name}
		all = append(all, telemetry.Reading{Name: "store_used_bytes", Help: "Bytes that a store of the broker holds.", Labels: store, Value: float64(s.Used)})
		if s.Lost > 0 {
			all = append(all, telemetry.Reading{Name: "store_lost_messages", Help: "Confirmed messages that a damaged disk has cost, found at the start.", Labels: store, Value: float64(s.Lost)})
		}
		if s.Limit > 0 {
			all = append(all, telemetry.Reading{Name: "room_bytes", Help: "Bytes that a store of the broker takes before it refuses more.", Labels: store, Value: float64(max(s.Limit-s.Used, 0))})
		}
	}
	return all
}
