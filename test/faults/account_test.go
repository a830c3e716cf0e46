package faults

import (
	"maps"
	"slices"
	"sync"
	"testing"
	"time"
)

// patience bounds every wait. RabbitMQ alone takes seconds to start again, and
// minutes on a busy machine.
const patience = 3 * time.Minute

// account is what is known of every event.
type account struct {
	mu      sync.Mutex // guards books
	changed *sync.Cond
	books   books
}

// books hold events by what they carry, a number of their own.
type books struct {
	emitted   int // tries to emit that have begun
	confirmed map[int]bool
	unknown   map[int]bool // may have been stored, and was not confirmed in time
	refused   int          // surely not stored
	handled   map[int]int  // by the handler without an inbox: how often
	once      map[int]int  // by the one with an inbox: how often it ran to its end
}

func newAccount() *account {
	a := &account{books: books{confirmed: map[int]bool{}, unknown: map[int]bool{}, handled: map[int]int{}, once: map[int]int{}}}
	a.changed = sync.NewCond(&a.mu)
	return a
}

func (a *account) note(change func(*books)) {
	a.mu.Lock()
	defer a.mu.Unlock()
	change(&a.books)
	a.changed.Broadcast()
}

// await waits until the books are as wanted.
func (a *account) await(t *testing.T, what string, wanted func(*books) bool) {
	t.Helper()
	late := false
	timer := time.AfterFunc(patience, func() { a.note(func(*books) { late = true }) })
	defer timer.Stop()
	a.mu.Lock()
	defer a.mu.Unlock()
	for !wanted(&a.books) {
		if late {
			t.Fatalf("within %v it did not come to this: %s; %s", patience, what, a.books.sum())
		}
		a.changed.Wait()
	}
}

// progress is reached when 50 more events were handled by both than now.
func progress(a *account) func(*books) bool {
	var handled, once int
	a.note(func(b *books) { handled, once = len(b.handled), len(b.once) })
	return func(b *books) bool { return len(b.handled) >= handled+50 && len(b.once) >= once+50 }
}

// attempts is reached when every emitter has begun another event than now, or
// is at the one that it has.
func attempts(a *account) func(*books) bool {
	var emitted, settled int
	count := func(b *books) int { return len(b.confirmed) + len(b.unknown) + b.refused }
	a.note(func(b *books) { emitted, settled = b.emitted, count(b) })
	return func(b *books) bool { return b.emitted > emitted || b.emitted-settled >= emitters }
}

// missing counts the confirmed events that one of the handlers lacks.
func (b *books) missing() (n int) {
	for id := range b.confirmed {
		if b.handled[id] == 0 || b.once[id] == 0 {
			n++
		}
	}
	return n
}

func (b *books) sum() string {
	return sumOf("emitted", b.emitted, "confirmed", len(b.confirmed), "unknown", len(b.unknown), "refused", b.refused,
		"handled", len(b.handled), "handled again", again(b.handled), "confirmed and missing", b.missing())
}

func again(handled map[int]int) (n int) {
	for times := range maps.Values(handled) {
		n += times - 1
	}
	return n
}

// check compares what was confirmed with what was handled, and with the
// effects of the handler with an inbox, by event.
func (a *account) check(t *testing.T, effects map[int]int) {
	t.Helper()
	b := &a.books // nobody writes them any more
	t.Log(b.sum())
	if sum := len(b.confirmed) + len(b.unknown) + b.refused; sum != b.emitted {
		t.Errorf("%d events were emitted, and the outcome of %d is known", b.emitted, sum)
	}
	for _, id := range slices.Sorted(maps.Keys(b.confirmed)) {
		if b.handled[id] == 0 {
			t.Errorf("event %d was confirmed and is lost", id)
		}
		if effects[id] != 1 {
			t.Errorf("event %d was confirmed and has %d effects with an inbox, want 1", id, effects[id])
		}
	}
	for id, times := range effects {
		if times > 1 {
			t.Errorf("event %d has %d effects with an inbox", id, times)
		}
		if !b.confirmed[id] && !b.unknown[id] {
			t.Errorf("event %d has an effect, though its emit was refused", id)
		}
	}
}
