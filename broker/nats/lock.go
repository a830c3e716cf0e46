package nats

import (
	"bytes"
	"context"
	"errors"
	"fmt"
	"strconv"
	"sync"
	"time"

	natsgo "github.com/nats-io/nats.go"
	"github.com/nats-io/nats.go/jetstream"

	"github.com/enoki-go/enoki/broker"
	"github.com/enoki-go/enoki/internal/uuid"
)

// A lock is the last message of a subject. Its body is the state, and a header
// names the holder. The holder writes it again every second. Every write names
// the sequence of the write before, so JetStream refuses the write of a client
// that has missed one. Waiting clients listen to the same subject.
const (
	holderHeader   = "Enoki-Holder"
	releasedHeader = "Enoki-Released"
	afterHeader    = "Enoki-After" // the sequence of the write before, which tells writes apart

	// leaseTime is how long a lock is held after its holder's last write. The
	// holder counts from before it sent that write, and waiting clients from when
	// they got it, each by its own clock.
	leaseTime   = 3 * time.Second
	renewPause  = time.Second
	lockRetry   = 100 * time.Millisecond
	releaseTime = 2 * time.Second // how long Release waits for the broker

	// wrongSequence is JetStream's code for a write that does not name the last
	// sequence.
	wrongSequence jetstream.ErrorCode = 10071
)

// lease implements broker.Lock.
type lease struct {
	driver          *Driver
	subject, holder string
	lost            chan struct{} // closed by lose

	writing sync.Mutex // held from before a write until its outcome is known

	mu       sync.Mutex // guards the fields below
	sequence uint64     // of the last message
	state    []byte
	until    time.Time // when the lease ends
	isLost   bool
}

// claim is the last message of a lock as a client finds it.
type claim struct {
	sequence uint64 // 0 if there is none
	holder   string // empty if nobody holds it
	after    string // the value of afterHeader
	state    []byte
}

// Lock implements broker.Broker.
func (d *Driver) Lock(ctx context.Context, name string) (broker.Lock, error) {
	if err := broker.CheckLock(name); err != nil {
		return nil, err
	}
	l := &lease{driver: d, subject: lockPrefix + token(name), holder: uuid.New(), lost: make(chan struct{})}
	for {
		if err := d.link.await(ctx, d.closed); err != nil {
			return nil, err
		}
		if err := d.usable(ctx); err != nil {
			return nil, err
		}
		err := l.contend(ctx)
		if err == nil {
			break
		}
		if denial := d.link.denial(l.subject); denial != nil {
			return nil, fmt.Errorf("nats: lock %s: %w", name, denial)
		}
		if errors.Is(err, natsgo.ErrNoResponders) || errors.Is(err, jetstream.ErrStreamNotFound) {
			d.link.repair()
		}
		_ = sleep(ctx, lockRetry)
	}
	if !d.holdLock(l) {
		l.lose()
		return nil, errClosed
	}
	return l, nil
}

// contend waits until nobody else holds the lock, and takes it. It returns at
// the first error.
func (l *lease) contend(ctx context.Context) error {
	// The subscription comes first, so that nothing after the look is missed.
	news, err := l.driver.link.nc.SubscribeSync(l.subject)
	if err != nil {
		return err
	}
	defer news.Unsubscribe()
	var before claim
	silent := false
	for {
		last, err := l.look(ctx)
		if err != nil {
			return err
		}
		if last.holder == "" || silent && last.holder == before.holder && last.after == before.after {
			if err := l.take(ctx, last); !isWrongSequence(err) {
				return err
			}
			continue // another client was faster
		}
		before = last
		if silent, err = before.silence(ctx, news); err != nil {
			return err
		}
	}
}

// silence waits until the holder has written nothing for the length of a lease.
// It keeps the last write in c. It returns false if it gets any other message.
func (c *claim) silence(ctx context.Context, news *natsgo.Subscription) (bool, error) {
	for {
		lease, cancel := context.WithTimeout(ctx, leaseTime)
		msg, err := news.NextMsgWithContext(lease)
		cancel()
		switch {
		case ctx.Err() != nil:
			return false, ctx.Err()
		case errors.Is(err, context.DeadlineExceeded):
			return true, nil
		case err != nil:
			return false, err
		case msg.Header.Get(holderHeader) != c.holder || msg.Header.Get(releasedHeader) != "":
			return false, nil
		}
		c.after = msg.Header.Get(afterHeader)
	}
}

// look reads the last message of the lock.
func (l *lease) look(ctx context.Context) (last claim, err error) {
	defer l.driver.guard("a lock", l.subject, &err)
	ctx, cancel := context.WithTimeout(ctx, apiTimeout)
	defer cancel()
	raw, err := l.driver.streams.handle(lockStream).GetLastMsgForSubject(ctx, l.subject)
	if errors.Is(err, jetstream.ErrMsgNotFound) {
		return claim{}, nil
	}
	if err != nil {
		return claim{}, err
	}
	return readClaim(raw), nil
}

func readClaim(raw *jetstream.RawStreamMsg) claim {
	c := claim{sequence: raw.Sequence, holder: raw.Header.Get(holderHeader), after: raw.Header.Get(afterHeader)}
	if raw.Header.Get(releasedHeader) != "" {
		c.holder = ""
	}
	if len(raw.Data) > 0 {
		c.state = raw.Data
	}
	return c
}

// take writes the first message of the lease, after last.
func (l *lease) take(ctx context.Context, last claim) error {
	ctx, cancel := context.WithTimeout(ctx, leaseTime)
	defer cancel()
	begun := time.Now()
	sequence, err := l.publish(ctx, last.sequence, last.state, false)
	if err != nil {
		return err
	}
	l.sequence, l.state, l.until = sequence, last.state, begun.Add(leaseTime)
	return nil
}

// publish writes the lock after the message with that sequence. It returns the
// new sequence.
func (l *lease) publish(ctx context.Context, after uint64, state []byte, release bool) (uint64, error) {
	msg := &natsgo.Msg{Subject: l.subject, Data: state, Header: natsgo.Header{
		holderHeader: {l.holder}, afterHeader: {strconv.FormatUint(after, 10)},
	}}
	if release {
		msg.Header.Set(releasedHeader, "true")
	}
	ack, err := l.driver.js.PublishMsg(ctx, msg, jetstream.WithExpectLastSequencePerSubject(after))
	if err != nil {
		return 0, err
	}
	return ack.Sequence, nil
}

func isWrongSequence(err error) bool {
	var api *jetstream.APIError
	return errors.As(err, &api) && api.ErrorCode == wrongSequence
}

// holdLock keeps the lease alive. It returns false if the driver is closed.
func (d *Driver) holdLock(l *lease) bool {
	d.mu.Lock()
	defer d.mu.Unlock()
	if d.closing {
		return false
	}
	d.leases[l] = struct{}{}
	d.tasks.Go(l.keep)
	return true
}

// keep renews the lease until it is lost.
func (l *lease) keep() {
	defer l.forget()
	pause := time.NewTimer(renewPause)
	defer pause.Stop()
	for {
		select {
		case <-l.lost:
			return
		case <-pause.C:
		}
		switch err := l.write(context.Background(), l.State); {
		case err == nil:
			pause.Reset(renewPause)
		case errors.Is(err, broker.ErrLockLost):
			l.driver.log.Warn("a lock is lost", "lock", l.subject)
			return
		default:
			pause.Reset(lockRetry)
		}
	}
}

func (l *lease) forget() {
	l.driver.mu.Lock()
	defer l.driver.mu.Unlock()
	delete(l.driver.leases, l)
}

// write writes what state returns. It calls state once no other write is under
// way. The error is ErrLockLost if nothing was written and nothing will be.
func (l *lease) write(ctx context.Context, state func() []byte) error {
	l.writing.Lock()
	defer l.writing.Unlock()
	if l.gone() {
		return broker.ErrLockLost
	}
	end := l.end()
	if !time.Now().Before(end) {
		l.lose()
		return broker.ErrLockLost
	}
	ctx, cancel := context.WithDeadline(ctx, end)
	defer cancel()
	return l.replace(ctx, state(), false)
}

// replace writes content after the last message, which must be ours. writing
// must be held.
func (l *lease) replace(ctx context.Context, content []byte, release bool) error {
	for {
		begun := time.Now()
		sequence, err := l.publish(ctx, l.last(), content, release)
		var api *jetstream.APIError
		switch {
		case err == nil:
			l.written(sequence, content, begun.Add(leaseTime))
			return nil
		case errors.As(err, &api) && !isWrongSequence(err):
			return fmt.Errorf("%w: JetStream refuses it: %w", broker.ErrNotDelivered, err)
		case !isWrongSequence(err):
			return fmt.Errorf("%w: %w", broker.ErrUnknownOutcome, err)
		}
		last, err := l.look(ctx)
		if err != nil {
			return fmt.Errorf("%w: %w", broker.ErrUnknownOutcome, err)
		}
		if last.holder != l.holder {
			l.lose()
			return broker.ErrLockLost
		}
		l.written(last.sequence, last.state, time.Time{}) // one of ours, whose confirmation did not come
	}
}

func (l *lease) last() uint64 {
	l.mu.Lock()
	defer l.mu.Unlock()
	return l.sequence
}

func (l *lease) end() time.Time {
	l.mu.Lock()
	defer l.mu.Unlock()
	return l.until
}

// written notes what the last message is.
func (l *lease) written(sequence uint64, state []byte, until time.Time) {
	l.mu.Lock()
	defer l.mu.Unlock()
	l.sequence, l.state = sequence, state
	if until.After(l.until) {
		l.until = until
	}
}

func (l *lease) gone() bool {
	l.mu.Lock()
	defer l.mu.Unlock()
	return l.isLost
}

// lose returns false if the lock was lost before.
func (l *lease) lose() bool {
	l.mu.Lock()
	defer l.mu.Unlock()
	if l.isLost {
		return false
	}
	l.isLost = true
	close(l.lost)
	return true
}

// State implements broker.Lock.
func (l *lease) State() []byte {
	l.mu.Lock()
	defer l.mu.Unlock()
	return bytes.Clone(l.state)
}

// Save implements broker.Lock.
func (l *lease) Save(ctx context.Context, state []byte) error {
	if err := broker.CheckLockState(state); err != nil {
		return fmt.Errorf("nats: %w", err)
	}
	own := bytes.Clone(state)
	if err := l.write(ctx, func() []byte { return own }); err != nil {
		return fmt.Errorf("nats: save lock %s: %w", l.subject, err)
	}
	return nil
}

// Lost implements broker.Lock.
func (l *lease) Lost() <-chan struct{} { return l.lost }

// Release implements broker.Lock.
func (l *lease) Release() {
	if !l.lose() || !l.driver.link.nc.IsConnected() {
		return // without a link the lease ends by itself
	}
	ctx, cancel := context.WithTimeout(context.Background(), releaseTime)
	defer cancel()
	l.writing.Lock()
	defer l.writing.Unlock()
	_ = l.replace(ctx, l.State(), true) // if it fails, the lease ends by itself
}

// releaseAll gives up the locks of this link.
func (d *Driver) releaseAll() {
	d.mu.Lock()
	var leases []*lease
	for l := range d.leases {
		leases = append(leases, l)
	}
	d.mu.Unlock()
	var all sync.WaitGroup
	for _, l := range leases {
		all.Go(l.Release)
	}
	all.Wait()
}
