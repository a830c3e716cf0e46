package enoki

import (
	"bytes"
	"context"
	"errors"
	"fmt"
	"log/slog"
	"regexp"
	"time"

	"github.com/enoki-go/enoki/broker"
	"github.com/enoki-go/enoki/internal/contract"
	"github.com/enoki-go/enoki/internal/cron"
)

// Cron runs fn by the clock, once for all instances of the service. The
// schedule has cron's five fields: minute, hour, day of the month, month and
// day of the week. "0 3 * * *" is every day at 3. It may also be @yearly,
// @monthly, @weekly, @daily, @hourly, or "@every 90s" for the multiples of a
// duration. Its time zone is UTC, unless TimeZone names another one or the
// schedule begins with CRON_TZ=Zone.
//
// One instance at a time holds a lock on the broker and runs fn. The lock's
// name is made of the names of the service and of the function, so both should
// stay the same over releases. A function literal needs a TimerName. The holder
// stores that a time is taken before it runs fn. Each time therefore runs at
// most once, even if instances die. Times may pass while no instance runs or
// while fn still runs; then fn runs once for all of them. When the holder dies,
// another instance takes over within 5 seconds.
//
// An error is logged and stops nothing.
func Cron(schedule string, fn func(ctx context.Context) error, options ...TimerOption) Part {
	t := &timer{name: functionName(fn), fn: fn, zone: "UTC"}
	mistake := t.apply(options)
	return partFunc(func(s *Service) error {
		if mistake != nil {
			return fmt.Errorf("timer %s: %w", t.name, mistake)
		}
		if err := t.plan(schedule); err != nil {
			return fmt.Errorf("cron %s: %w", t.name, err)
		}
		for _, other := range s.timers {
			if other.schedule != nil && other.name == t.name {
				return fmt.Errorf("two crons are named %s; name one with enoki.TimerName", t.name)
			}
		}
		s.timers = append(s.timers, t)
		return nil
	})
}

// TimeZone sets the time zone of a Cron's schedule, such as Europe/Berlin. When
// clocks are put forward, a time in the hour that is left out runs once, at the
// end of that hour. When clocks are put back, a time in the hour that comes
// twice runs only the first time, unless the schedule is for every hour.
func TimeZone(name string) TimerOption { return func(t *timer) { t.zone = name } }

// TimerName gives a timer a name. The default is the name of its function.
func TimerName(name string) TimerOption { return func(t *timer) { t.name = name } }

// literal matches the name that Go gives to a function literal. That name
// changes when another literal is written above it.
var literal = regexp.MustCompile(`^(func)?[0-9]+$`)

// plan checks a cron and reads its schedule.
func (t *timer) plan(schedule string) error {
	switch {
	case t.fn == nil:
		return errors.New("it has no function")
	case t.eager:
		return errors.New("it runs by the clock, not at start; drop enoki.Eager")
	case literal.MatchString(t.name):
		return errors.New("a function literal has no name that stays the same over releases; give it one with enoki.TimerName")
	}
	if err := contract.CheckName("timer", t.name); err != nil {
		return err
	}
	zone, err := cron.Zone(t.zone)
	if err != nil {
		return err
	}
	t.schedule, err = cron.Parse(schedule, zone)
	return err
}

const (
	// cronLook is how often a cron looks at the wall clock. The clock may jump
	// while timers go on evenly, or stop while the machine sleeps.
	cronLook = time.Second

	// cronSave bounds the time for storing that a time is taken. cronPause is the
	// pause after that has failed.
	cronSave  = 5 * time.Second
	cronPause = time.Second

	// cronAhead is how far the last run may lie ahead of our clock. If it is
	// further ahead, a clock was wrong then; the cron must not wait for that day.
	cronAhead = 24 * time.Hour
)

// turns is a cron of one instance, which takes its turns with the others.
type turns struct {
	timer  *timer
	broker broker.Broker
	lock   string
	log    *slog.Logger
	life   context.Context // the context of runs
	tick   func()
	tried  []byte // a state that may or may not be stored; if it is, its run is ours
}

func (i *instance) turns(t *timer) *turns {
	return &turns{
		timer: t, broker: i.process.broker, lock: "cron." + i.service.name + "." + t.name,
		log: i.log.With("method", t.name), life: i.life, tick: func() { i.tick(t) },
	}
}

// run takes turns until stop is closed, then waits for the running tick.
func (c *turns) run(stop <-chan struct{}) {
	ctx, cancel := context.WithCancel(c.life)
	defer cancel()
	go func() { // ends with run
		select {
		case <-stop:
			cancel()
		case <-ctx.Done():
		}
	}()
	for ctx.Err() == nil {
		err := c.turn(ctx)
		if err == nil || ctx.Err() != nil {
			continue
		}
		c.log.WarnContext(ctx, "cron waits for its turn again", "error", err)
		pause(ctx, cronPause)
	}
}

// turn waits for the lock, then ticks for as long as it holds it.
func (c *turns) turn(ctx context.Context) error {
	lock, err := c.broker.Lock(ctx, c.lock)
	if err != nil {
		return err
	}
	defer lock.Release()
	last, err := c.begin(lock)
	for err == nil {
		if !await(ctx, lock.Lost(), c.timer.schedule.Next(last)) {
			return nil
		}
		last = now()
		err = c.take(lock, last)
	}
	return err
}

// begin returns the time up to which everything has run, on any instance.
func (c *turns) begin(lock broker.Lock) (time.Time, error) {
	state := lock.State()
	if c.tried != nil && bytes.Equal(state, c.tried) {
		c.ours()
	}
	var last time.Time
	err := last.UnmarshalText(state)
	switch {
	case state == nil:
	case err != nil: // another program wrote this state
		c.log.Warn("the lock does not say when the last run was; going on from now", "lock", c.lock, "error", err)
	case time.Until(last) < cronAhead:
		return last, nil
	default:
		c.log.Warn("the last run is said to be far ahead of the clock of this machine; going on from now", "last", last)
	}
	last = now() // no usable time is stored, so nothing counts as missed
	return last, c.save(lock, stamp(last))
}

// take stores that all times up to now are taken, and ticks.
func (c *turns) take(lock broker.Lock, now time.Time) error {
	c.tried = stamp(now)
	if err := c.save(lock, c.tried); err != nil {
		return err
	}
	c.ours()
	return nil
}

// ours runs the tick of a state that turned out to be stored.
func (c *turns) ours() {
	c.tried = nil
	c.tick()
}

// save goes on when the instance stops: a stored time must run.
func (c *turns) save(lock broker.Lock, state []byte) error {
	ctx, cancel := context.WithTimeout(c.life, cronSave)
	defer cancel()
	return lock.Save(ctx, state)
}

// now returns the time of the wall clock without the monotonic one.
func now() time.Time { return time.Now().Round(0) }

func stamp(t time.Time) []byte { return []byte(t.UTC().Format(time.RFC3339Nano)) }

// await waits until the wall clock shows due. It returns false if ctx or lost
// ends first.
func await(ctx context.Context, lost <-chan struct{}, due time.Time) bool {
	for {
		left := due.Sub(now())
		look := time.NewTimer(min(max(left, 0), cronLook))
		select {
		case <-look.C:
		case <-lost:
			look.Stop()
			return false
		case <-ctx.Done():
			look.Stop()
			return false
		}
		if !now().Before(due) {
			return ctx.Err() == nil
		}
	}
}

// pause waits for d or until ctx ends.
func pause(ctx context.Context, d time.Duration) {
	timer := time.NewTimer(d)
	defer timer.Stop()
	select {
	case <-timer.C:
	case <-ctx.Done():
	}
}
