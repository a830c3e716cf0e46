package enokitest

import (
	"context"
	"fmt"
	"runtime"
	"strings"
	"testing"

	"github.com/enoki-go/enoki"
)

// TestServiceOfASimulationThatCannotBeMade has a simulation get none: it ends
// with a problem that says so.
func TestServiceOfASimulationThatCannotBeMade(t *testing.T) {
	for want, service := range map[string]func() *enoki.Service{
		"makes the service is nil":             nil,
		"service 1 of 1 is nil":                func() *enoki.Service { return nil },
		"makes the service panicked: went off": func() *enoki.Service { panic("went off") },
	} {
		_, problems := simulated(t, SimOptions{Seed: 1}, func(_ *testing.T, s *Sim) { s.Run(2, service) })
		if len(problems) == 0 || !strings.Contains(problems[0], want) {
			t.Errorf("%q, want one with %q", problems, want)
		}
	}
}

// failing is a test that keeps what it was failed with.
type failing struct {
	*testing.T
	told string
}

func (f *failing) Fatalf(format string, a ...any) {
	f.told = fmt.Sprintf(format, a...)
	runtime.Goexit()
}

func (f *failing) Errorf(format string, a ...any) { f.told = fmt.Sprintf(format, a...) }

// TestNilAndPanicsFailTheTest gives a kit nothing where something must be, and
// user code that panics.
func TestNilAndPanicsFailTheTest(t *testing.T) {
	type contract struct {
		Hello func(ctx context.Context) error
	}
	for want, run := range map[string]func(f *failing){
		"service 1 of 1 is nil":    func(f *failing) { Run(f, nil) },
		"contract is nil":          func(f *failing) { Run(f, NewMock("x", nil).Service()) },
		"contract *enokitest.cont": func(f *failing) { Run(f, NewMock("x", (*contract)(nil)).Service()) },
		"middleware 2 of 2 is nil": func(f *failing) {
			RunWith(f, &enoki.Options{Middleware: []enoki.Middleware{nil}}, NewMock("x", contract{}).Service())
		},
		"went off": func(f *failing) {
			RunWith(f, &enoki.Options{OnReady: func() { panic("went off") }}, NewMock("x", contract{}).Service())
		},
	} {
		f := &failing{T: t}
		done := make(chan struct{})
		go func() {
			defer close(done)
			run(f)
		}()
		<-done
		if !strings.Contains(f.told, want) {
			t.Errorf("the test is told %q, want %q", f.told, want)
		}
	}
}
