package telemetry

import "sync"

// memo keeps what has been made for each key. It may be used concurrently.
type memo[K comparable, V any] struct {
	create func(K) V

	mu   sync.RWMutex // guards made
	made map[K]V
}

func newMemo[K comparable, V any](create func(K) V) *memo[K, V] {
	return &memo[K, V]{create: create, made: map[K]V{}}
}

// look returns what has been made for key before.
func (m *memo[K, V]) look(key K) (V, bool) {
	m.mu.RLock()
	defer m.mu.RUnlock()
	v, ok := m.made[key]
	return v, ok
}

// get makes it if need be.
func (m *memo[K, V]) get(key K) V {
	if v, ok := m.look(key); ok {
		return v
	}
	m.mu.Lock()
	defer m.mu.Unlock()
	v, ok := m.made[key]
	if !ok {
		v = m.create(key)
		m.made[key] = v
	}
	return v
}
