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

// timer is a function that a service runs at an interval or by a schedule.
type timer struct {
	name     string
	interval time.Duration
	eager    bool
	schedule *cron.Schedule // nil for an interval
	zone     string         // for a schedule that names no time zone
	fn       func(ctx context.Context) error
}

// TimerOption is an option of Every or Cron.
type TimerOption func(*timer)

// Eager runs the first tick at start instead of one interval later. Cron
// refuses it.
func Eager() TimerOption { return func(t *timer) { t.eager = true } }

// Every runs fn on each instance of the service at a fixed interval. Tick n is
// due at start + n × interval. Two ticks never overlap. If ticks fall due
// while fn runs, they follow one after another as soon as it returns. An error
// is logged and stops nothing.
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

// functionName returns the last part of a function's name, for logs and
// metrics. The name of a method value ends in "-fm", which is cut off.
func functionName(fn any) string {
	v := reflect.ValueOf(fn)
	if v.IsNil() {
		return "timer"
	}
	name := strings.TrimSuffix(runtime.FuncForPC(v.Pointer()).Name(), "-fm")
	name = strings.TrimSuffix(name, "[...]") // of a generic function
	return name[strings.LastIndexByte(name, '.')+1:]
}

// run ticks until stop is closed, then waits for the running tick.
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
		case <-stop: // both channels were ready
			return
		default:
		}
		tick()
		due = due.Add(t.interval)
	}
}
