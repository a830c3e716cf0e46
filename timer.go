package enoki

import (
	"context"
	"fmt"
	"reflect"
	"runtime"
	"strings"
	"time"

	"github.com/enoki-go/enoki/internal/cron"
)

// timer is a function that a service runs at an interval, or by a schedule.
type timer struct {
	name     string
	interval time.Duration
	eager    bool
	schedule *cron.Schedule // nil for an interval
	zone     string         // of a schedule that names none
	fn       func(ctx context.Context) error
}

// TimerOption changes a timer made by Every or Cron.
type TimerOption func(*timer)

// Eager has the first tick at start instead of one interval later.
func Eager() TimerOption { return func(t *timer) { t.eager = true } }

// Every runs fn on each instance of the service at a fixed interval: the n-th
// tick is due at start + n × interval. Two ticks never overlap: those that
// fall due while fn runs follow one after another as soon as it returns. An
// error is logged and stops nothing.
func Every(interval time.Duration, fn func(ctx context.Context) error, options ...TimerOption) Part {
	t := &timer{name: functionName(fn), interval: interval, fn: fn}
	mistake := t.apply(options)
	return partFunc(func(s *Service) error {
		if mistake != nil {
			return fmt.Errorf("timer %s: %w", t.name, mistake)
		}
		if interval <= 0 {
			return fmt.Errorf("timer %s has the interval %v; give it a positive one", t.name, interval)
		}
		if fn == nil {
			return fmt.Errorf("timer of every %v has no function", interval)
		}
		if t.zone != "" {
			return fmt.Errorf("timer %s runs at an interval, whatever the time zone; drop enoki.TimeZone", t.name)
		}
		s.timers = append(s.timers, t)
		return nil
	})
}

func (t *timer) apply(options []TimerOption) error {
	for n, option := range options {
		if option == nil {
			return fmt.Errorf("option %d of %d is nil; leave it out", n+1, len(options))
		}
		option(t)
	}
	return nil
}

// functionName returns the last word of a function's name in the program, for
// logs and metrics; a method value ends in "-fm" there.
func functionName(fn any) string {
	v := reflect.ValueOf(fn)
	if v.IsNil() {
		return "timer"
	}
	name := strings.TrimSuffix(runtime.FuncForPC(v.Pointer()).Name(), "-fm")
	name = strings.TrimSuffix(name, "[...]") // of a generic function
	return name[strings.LastIndexByte(name, '.')+1:]
}

// run ticks until stop is closed and waits for the tick that is running.
func (t *timer) run(stop <-chan struct{}, tick func()) {
	due := time.Now()
	if !t.eager {
		due = due.Add(t.interval)
	}
	for {
		wait := time.NewTimer(time.Until(due))
		select {
		case <-stop:
			wait.Stop()
			return
		case <-wait.C:
		}
		select {
		case <-stop: // both were ready
			return
		default:
		}
		tick()
		due = due.Add(t.interval)
	}
}
