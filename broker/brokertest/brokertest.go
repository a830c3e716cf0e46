// Package brokertest proves that a driver keeps the promises of package broker.
// Every driver runs Run in its tests and Benchmark in its benchmarks. A new
// promise in package broker is a new case here, so that all drivers get it. It
// leaves to the drivers what only they know: the names and flags of the things
// that they make on the broker.
package brokertest

import (
	"slices"
	"testing"
	"time"

	"go.uber.org/goleak"

	"github.com/enoki-go/enoki/broker"
)

// Fixture is what a driver gives to the suite: a broker, and the declared
// differences. The zero value of a difference is the full promise.
type Fixture struct {
	// Dial returns a new, ready link to the one broker of this fixture. The suite
	// closes it. Dial is called concurrently.
	Dial func(t testing.TB) broker.Broker

	// Kill ends the broker at once and without warning, like SIGKILL. Start starts
	// it again on the same data and address, and returns when it takes connections.
	// Both are nil for a broker without a process of its own; the fault cases do
	// not apply then.
	Kill, Start func(t testing.TB)

	// Doomed returns a further link, and a function that makes its process die as
	// far as the broker can tell: nothing more of the link reaches the broker. The
	// suite closes the link after that.
	Doomed func(t testing.TB) (link broker.Broker, die func())

	// CallsWait: a call to a stopped service waits for an instance until its
	// context ends. Otherwise it is broker.ErrUnknownService, like a call to a
	// service that never existed.
	CallsWait bool

	// CallsStay: a call that an instance hands back does not go to another one. It
	// is broker.ErrNotDelivered.
	CallsStay bool

	// KeepsNoIDs: an event that is emitted again with its id, within two minutes,
	// is delivered again.
	KeepsNoIDs bool

	// BacklogIsOwn: Backlog covers only the subscriptions of the link's members.
	BacklogIsOwn bool

	// TooLarge is a size of a body, in bytes, that the driver refuses. 0 means that
	// it refuses no body because of its size.
	TooLarge int

	// IgnoreLeaks are goroutines that a library leaves running after Close.
	IgnoreLeaks []goleak.Option
}

// testCase is one promise and its proof. A failed case prints the promise.
type testCase struct {
	name    string
	promise string
	run     func(t *trial)
}

// Run proves that the driver behind f keeps the promises of package broker.
// Cases that kill the broker run last and alone.
func Run(t *testing.T, f Fixture) {
	before := goleak.IgnoreCurrent()
	f.describe(t)
	t.Run("parallel", func(t *testing.T) {
		for _, c := range atMostOnceCases() {
			t.Run("at most once "+c.name, func(t *testing.T) {
				t.Parallel()
				try(t, f, c, patience)
			})
		}
		for _, group := range [][]testCase{callCases(), directCases(), eventCases(), laterCases(), orderCases(), settlementCases(), exitCases(), poisonCases(), memberCases(), lockCases(), backlogCases()} {
			for _, c := range group {
				t.Run(c.name, func(t *testing.T) {
					t.Parallel()
					try(t, f, c, patience)
				})
			}
		}
	})
	t.Run("alone", func(t *testing.T) { // because dead letters belong to the whole broker
		for _, c := range deadLetterCases() {
			t.Run(c.name, func(t *testing.T) { try(t, f, c, patience) })
		}
	})
	t.Run("fault", func(t *testing.T) {
		if !f.killable() {
			t.Log("not applicable: this broker has no process of its own to kill")
			return
		}
		for _, c := range slices.Concat(faultCases(), lockFaultCases()) {
			t.Run(c.name, func(t *testing.T) { try(t, f, c, recovery) })
		}
	})
	t.Run("no goroutine is left", func(t *testing.T) { f.checkLeaks(t, before) })
}

// checkLeaks looks for goroutines that have come since before. It runs while
// the broker is down, so that it does not see what watches the broker's
// process.
func (f *Fixture) checkLeaks(t *testing.T, before goleak.Option) {
	if f.killable() {
		f.Kill(t)
		defer f.Start(t)
	}
	poll(t, time.Now().Add(patience), "links that are closed leave no goroutine", func() error {
		return goleak.Find(append(f.IgnoreLeaks[:len(f.IgnoreLeaks):len(f.IgnoreLeaks)], before)...)
	})
}

// describe prints the declared differences of this driver.
func (f *Fixture) describe(t *testing.T) {
	t.Logf("declared: CallsWait=%v CallsStay=%v KeepsNoIDs=%v BacklogIsOwn=%v TooLarge=%d, can be killed: %v",
		f.CallsWait, f.CallsStay, f.KeepsNoIDs, f.BacklogIsOwn, f.TooLarge, f.killable())
}

func (f *Fixture) killable() bool { return f.Kill != nil && f.Start != nil }
