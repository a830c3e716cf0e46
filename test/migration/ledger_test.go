package migration_test

import (
	"encoding/json"
	"fmt"
	"strings"
	"sync"
	"testing"
	"time"

	"github.com/enoki-go/enoki/broker/amqp"
)

// ledger holds, by id, what was asked and answered, emitted and handled. An
// answer names the call it belongs to, so one that reaches another caller is
// found: its call then has two, and that caller's none. Its methods may be
// called concurrently.
type ledger struct {
	mu        sync.Mutex // guards the fields below
	changed   *sync.Cond
	asked     map[string]bool
	answered  map[string]int      // answers that callers got, by the id in the answer
	run       map[string][]string // instances that began the method, in order
	replied   map[string]int      // replies on the wire, by correlation id
	confirmed map[string]bool
	handled   map[string]int
	failures  []string
}

func newLedger() *ledger {
	l := &ledger{asked: map[string]bool{}, answered: map[string]int{}, run: map[string][]string{},
		replied: map[string]int{}, confirmed: map[string]bool{}, handled: map[string]int{}}
	l.changed = sync.NewCond(&l.mu)
	return l
}

func (l *ledger) note(change func()) {
	l.mu.Lock()
	defer l.mu.Unlock()
	change()
	l.changed.Broadcast()
}

// hear notes a line that somebody, an instance or a caller, has printed.
func (l *ledger) hear(somebody, line string) {
	word, rest, _ := strings.Cut(line, " ")
	id, rest, _ := strings.Cut(rest, " ")
	l.note(func() {
		switch word {
		case "asked":
			l.asked[id] = true
		case "answered":
			var answer struct{ ID string }
			if err := json.Unmarshal([]byte(rest), &answer); err != nil {
				l.failures = append(l.failures, line)
			}
			l.answered[answer.ID]++
		case "call":
			l.run[id] = append(l.run[id], somebody)
		case "confirmed":
			l.confirmed[id] = true
		case "event":
			l.handled[id]++
		default: // failed, lost, or what should not be there
			l.failures = append(l.failures, line)
		}
	})
}

// see notes what passes on the wire.
func (l *ledger) see(c amqp.Copy) {
	if c.Method == "" {
		l.note(func() { l.replied[c.CorrelationID]++ })
	}
}

// await returns when the totals are as wanted.
func (l *ledger) await(t *testing.T, what string, wanted func(totals) bool) {
	t.Helper()
	late := false
	timer := time.AfterFunc(patience, func() { l.note(func() { late = true }) })
	defer timer.Stop()
	l.mu.Lock()
	defer l.mu.Unlock()
	for !wanted(l.sum()) {
		if late {
			t.Fatalf("%s did not come within %v: %v\nfailures: %q", what, patience, l.sum(), l.failures)
		}
		l.changed.Wait()
	}
}

func (l *ledger) totals() totals {
	l.mu.Lock()
	defer l.mu.Unlock()
	return l.sum()
}

// totals are what a ledger comes to.
type totals struct {
	calls, answered, unanswered, doubled int
	ranAgain, repliedAgain               int // more than once, by no fault
	confirmed, unhandled, handledAgain   int
	failures                             int
}

// sum is called with l.mu locked.
func (l *ledger) sum() totals {
	s := totals{calls: len(l.asked), answered: len(l.answered), confirmed: len(l.confirmed), failures: len(l.failures)}
	for id := range l.asked {
		if l.answered[id] == 0 {
			s.unanswered++
		}
	}
	s.doubled = repeated(l.answered)
	for _, instances := range l.run {
		if len(instances) > 1 {
			s.ranAgain++
		}
	}
	s.repliedAgain = repeated(l.replied)
	for id := range l.confirmed {
		if l.handled[id] == 0 {
			s.unhandled++
		}
	}
	s.handledAgain = repeated(l.handled)
	return s
}

// leftRunning counts, by instance, the calls that it began and that another
// began again.
func (l *ledger) leftRunning() map[string]int {
	l.mu.Lock()
	defer l.mu.Unlock()
	left := map[string]int{}
	for _, instances := range l.run {
		for _, instance := range instances[:len(instances)-1] {
			left[instance]++
		}
	}
	return left
}

// repeated counts what came more than once.
func repeated(counts map[string]int) (n int) {
	for _, count := range counts {
		if count > 1 {
			n++
		}
	}
	return n
}

func (s totals) String() string {
	return fmt.Sprintf("%d calls: %d answered, %d failed, %d answered twice to their caller "+
		"(%d were begun again by another instance, %d had a second reply on the wire); "+
		"%d events confirmed: %d not handled, %d handled again; %d failures reported",
		s.calls, s.answered, s.unanswered, s.doubled, s.ranAgain, s.repliedAgain,
		s.confirmed, s.unhandled, s.handledAgain, s.failures)
}

// TestLedger shows that the ledger finds what the rolling move must not have.
func TestLedger(t *testing.T) {
	l := newLedger()
	for _, line := range []string{
		"asked 1", "call 1", `answered 1 {"id":"1"}`,
		"asked 2", "call 2", "call 2", `answered 2 {"id":"1"}`, // answered with what belongs to 1
		"asked 3", "failed 3 RpcTimeout 30s",
		"confirmed 1", "event 1", "event 1",
		"confirmed 2",
		"lost 3 no confirm",
	} {
		l.hear("somebody", line)
	}
	for range 2 {
		l.see(amqp.Copy{CorrelationID: "a"})
		l.see(amqp.Copy{CorrelationID: "b", Method: "price"}) // a request
	}
	want := totals{calls: 3, answered: 1, unanswered: 2, doubled: 1, ranAgain: 1, repliedAgain: 1,
		confirmed: 2, unhandled: 1, handledAgain: 1, failures: 2}
	if got := l.totals(); got != want {
		t.Errorf("the ledger comes to\n%+v, want\n%+v", got, want)
	}
}
