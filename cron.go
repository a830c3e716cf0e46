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
// schedule has the five fields of cron, minute, hour, day of the month, month
// and day of the week ("0 3 * * *" is every day at 3), or is @yearly, @monthly,
// @weekly, @daily, @hourly, or "@every 90s" for the multiples of a duration.
// Its time zone is UTC unless TimeZone or CRON_TZ=Zone before it says
// otherwise.
//
// The instances hold a lock on the broker in turn, known by the names of the
// service and of the function, which should stay the same over releases; a
// function literal needs a TimerName. The one that has it takes a time off the
// list before it runs fn, so each time is run at most once, whatever dies
// meanwhile. Times that have passed while no instance was there, or while fn
// still ran, are made up for by running fn once. When the holder dies, the next
// one has its turn within 5 seconds.
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

// TimeZone says in which time zone the schedule of a Cron is meant, such as
// Europe/Berlin. Where clocks are put forward, what is due in the hour that is
// left out runs once at its end; where they are put back, what is due in the
// hour that comes twice runs the first time only, unless the schedule is for
// every hour.
func TimeZone(name string) TimerOption { return func(t *timer) { t.zone = name } }

// TimerName gives a timer another name than that of its function.
func TimerName(name string) TimerOption { return func(t *timer) { t.name = name } }

// literal is the name that Go gives to a function without one. It changes when
// another one is written above it.
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
	// cronLook is how often the wall clock is looked at, which may jump while
	// timers go on evenly, or stand still with the machine.
	cronLook = time.Second

	// cronSave bounds taking a time off the list; cronPause is the pause after
	// it failed.
	cronSave  = 5 * time.Second
	cronPause = time.Second

	// cronAhead is how far ahead of our clock the last run may be. More means
	// that a clock was wrong then, and must not stop the cron until that day.
	cronAhead = 24 * time.Hour
)

// turns is a cron of an instance.
type turns struct {
	timer  *timer
	broker broker.Broker
	lock   string
	log    *slog.Logger
	life   context.Context // of what has begun
	tick   func()
	tried  []byte // what we don't know whether it was saved; its run is ours
}

func (i *instance) turns(t *timer) *turns {
	return &turns{
		timer: t, broker: i.process.broker, lock: "cron." + i.service.name + "." + t.name,
		log: i.log.With("method", t.name), life: i.life, tick: func() { i.tick(t) },
	}
}

// run takes turns until stop is closed and waits for the tick that is running.
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

// turn waits for the lock and ticks for as long as it has it.
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

// begin returns the time up to which all was run, by whoever had the lock.
func (c *turns) begin(lock broker.Lock) (time.Time, error) {
	state := lock.State()
	if c.tried != nil && bytes.Equal(state, c.tried) {
		c.ours()
	}
	var last time.Time
	err := last.UnmarshalText(state)
	switch {
	case state == nil:
	case err != nil: // of a stranger
		c.log.Warn("the lock does not say when the last run was; going on from now", "lock", c.lock, "error", err)
	case time.Until(last) < cronAhead:
		return last, nil
	default:
		c.log.Warn("the last run is said to be far ahead of the clock of this machine; going on from now", "last", last)
	}
	last = now() // never run before: nothing is to be made up for
	return last, c.save(lock, stamp(last))
}

// take takes all that is due until now off the list and ticks.
func (c *turns) take(lock broker.Lock, now time.Time) error {
	c.tried = stamp(now)
	if err := c.save(lock, c.tried); err != nil {
		return err
	}
	c.ours()
	return nil
}

// ours ticks for what was saved.
func (c *turns) ours() {
	c.tried = nil
	c.tick()
}

// save goes on when the instance is to stop: what is saved is run, too.
func (c *turns) save(lock broker.Lock, state []byte) error {
	ctx, cancel := context.WithTimeout(c.life, cronSave)
	defer cancel()
	return lock.Save(ctx, state)
}

// now is the time of the wall clock alone.
func now() time.Time { return time.Now().Round(0) }

func stamp(t time.Time) []byte { return []byte(t.UTC().Format(time.RFC3339Nano)) }

// await waits until the wall clock shows due. It returns false when ctx or lost
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

// pause waits for d or the end of ctx.
func pause(ctx context.Context, d time.Duration) {
	timer := time.NewTimer(d)
	defer timer.Stop()
	select {
	case <-timer.C:
	case <-ctx.Done():
	}
}
