package amqp

import (
	"regexp"
	"strconv"
	"sync"
	"sync/atomic"
	"time"
)

// A message that comes again was lost by somebody: by a process that has ended,
// or by one that lives and has lost its link. Only the first is held against the
// message. So a process remembers the suspects that it had; see headerStart for
// how it knows them.

// mostTaken is how many are remembered, at least.
const mostTaken = 1000

// recent are the suspects that this process had last.
type recent struct {
	mu          sync.Mutex
	new, former map[string]*taken // by headerStart
}

// taken is a suspect that a process had.
type taken struct {
	attachment *attachment
	begun      atomic.Int64 // when its handler was started, in ns; 0 when there is an outcome, or it was not
}

// take remembers t, and returns what was taken by its name before.
func (m *recent) take(name string, t *taken) (before *taken) {
	m.mu.Lock()
	defer m.mu.Unlock()
	if len(m.new) >= mostTaken || m.new == nil {
		m.new, m.former = map[string]*taken{}, m.new
	}
	if before = m.new[name]; before == nil {
		before = m.former[name]
	}
	m.new[name] = t
	return before
}

// arrived notes a delivery. One that has come again is charged with it unless
// this process had it before, and lives.
func (d *Driver) arrived(dv *delivery) {
	dv.charged = dv.Redelivered
	name, suspect := dv.Headers[headerStart].(string)
	if !suspect {
		return
	}
	dv.taken = &taken{attachment: dv.attachment}
	if before := d.recent.take(name, dv.taken); before != nil {
		if dv.charged = before.heldTooLong(); dv.charged {
			d.log.Error("a handler held a message for longer than RabbitMQ's consumer_timeout and lost it; it comes again, and is a dead letter in the end",
				"routing key", dv.RoutingKey)
		}
	}
}

func (t *taken) begin() {
	if t != nil {
		t.begun.Store(time.Now().UnixNano())
	}
}

// end notes an outcome, if it could be told to the broker.
func (t *taken) end() {
	if t != nil && !t.attachment.isOver() {
		t.begun.Store(0)
	}
}

// heldTooLong tells whether the broker took a message back because its handler
// did not come to an end, once it has come again.
func (t *taken) heldTooLong() bool {
	begun := t.begun.Load()
	switch a := t.attachment; {
	case begun == 0:
		return false
	case a.isOver():
		limit := a.heldTooLong()
		return limit > 0 && a.over.Sub(time.Unix(0, begun)) > limit/2 // it may have waited for a worker before
	default: // RabbitMQ 4.3 ends the consumer alone
		return a.session.Err() == nil
	}
}

// tooLong reads RabbitMQ's text about a consumer_timeout.
var tooLong = regexp.MustCompile(`acknowledgement on channel \d+ timed out\. Timeout value used: (\d+) ms`)

// heldTooLong returns how long a message could be held without an ack, if that
// is why the channel has ended, and otherwise 0. Read it after ended.
func (a *attachment) heldTooLong() time.Duration {
	err := a.ch.Err()
	if err == nil {
		return 0
	}
	found := tooLong.FindStringSubmatch(err.Error())
	if found == nil {
		return 0
	}
	ms, _ := strconv.ParseInt(found[1], 10, 64)
	return time.Duration(ms) * time.Millisecond
}
