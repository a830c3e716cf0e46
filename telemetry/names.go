package telemetry

import "sync"

// name is what a call is counted under.
type name struct{ service, method string }

var otherName = name{"other", "other"}

// nameLimit keeps the number of different label values bounded: the first max
// names are kept, any further one becomes otherName.
type nameLimit struct {
	max int

	mu   sync.RWMutex // guards seen
	seen map[name]bool
}

func (l *nameLimit) admit(n name) name {
	l.mu.RLock()
	known := l.seen[n]
	l.mu.RUnlock()
	if known {
		return n
	}
	l.mu.Lock()
	defer l.mu.Unlock()
	if l.seen[n] {
		return n
	}
	if len(l.seen) >= l.max {
		return otherName
	}
	l.seen[n] = true
	return n
}
