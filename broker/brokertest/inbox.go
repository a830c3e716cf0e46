package brokertest

import (
	"context"
	"fmt"
	"maps"
	"slices"
	"sync"

	"github.com/enoki-go/enoki/broker"
)

// inbox records the events that handlers get. The zero value is ready; it may
// be used concurrently.
type inbox struct {
	mu  sync.Mutex
	got []*broker.Message
}

// take handles an event by recording it.
func (in *inbox) take(_ context.Context, m *broker.Message) broker.Settlement {
	in.mu.Lock()
	defer in.mu.Unlock()
	in.got = append(in.got, m)
	return broker.Settlement{}
}

// all returns what has come so far, in order.
func (in *inbox) all() []*broker.Message {
	in.mu.Lock()
	defer in.mu.Unlock()
	return slices.Clone(in.got)
}

// counts returns how often each event came, by its id.
func (in *inbox) counts() map[string]int {
	n := make(map[string]int)
	for _, m := range in.all() {
		n[m.ID]++
	}
	return n
}

// missing says which of ids has not come yet.
func (in *inbox) missing(ids []string) error {
	n := in.counts()
	for _, id := range ids {
		if n[id] == 0 {
			return fmt.Errorf("event %q has not been handled; handled are %d of %d", id, len(n), len(ids))
		}
	}
	return nil
}

// once says which of ids has not come exactly once, or what else has come.
func (in *inbox) once(ids []string) error {
	want := make(map[string]int)
	for _, id := range ids {
		want[id] = 1
	}
	if got := in.counts(); !maps.Equal(got, want) {
		return fmt.Errorf("got events (id: times) %v, want each once: %v", got, want)
	}
	return nil
}
