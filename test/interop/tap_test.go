package interop_test

import (
	"fmt"
	"net"
	"slices"
	"strings"
	"sync"
	"testing"
	"time"
)

// tap is a TCP proxy between one peer and the broker. It hears what is said
// in AMQP, and breaks connections in the ways that networks do.
type tap struct {
	broker   string
	listener net.Listener
	wg       sync.WaitGroup

	mu      sync.Mutex
	down    bool
	lines   map[*line]struct{}
	count   int
	heard   []*said
	changed chan struct{} // closed when heard or lines change
}

// line is one connection through the tap.
type line struct {
	client, broker net.Conn
	number         int

	mu   sync.Mutex
	lost [2]bool // towards the broker, towards the client: bytes vanish
}

const (
	toBroker = 0
	toClient = 1
)

func newTap(t testing.TB, broker string) *tap {
	t.Helper()
	l, err := net.Listen("tcp", "127.0.0.1:0")
	if err != nil {
		t.Fatal(err)
	}
	p := &tap{broker: broker, listener: l, lines: map[*line]struct{}{}, changed: make(chan struct{})}
	p.wg.Go(p.accept)
	t.Cleanup(p.close)
	return p
}

// address is where the peer connects instead of the broker.
func (p *tap) address() string { return p.listener.Addr().String() }

func (p *tap) accept() {
	for {
		client, err := p.listener.Accept()
		if err != nil {
			return // closed
		}
		p.wg.Go(func() { p.connect(client) })
	}
}

func (p *tap) connect(client net.Conn) {
	defer client.Close()
	server, err := net.Dial("tcp", p.broker)
	if err != nil {
		return
	}
	defer server.Close()
	l := &line{client: client, broker: server}
	if !p.add(l) {
		breakAll([]*line{l})
		return
	}
	defer p.remove(l)
	var both sync.WaitGroup
	both.Go(func() { p.pump(l, toBroker) })
	both.Go(func() { p.pump(l, toClient) })
	both.Wait()
}

// add takes a line into the tap, unless that is cut.
func (p *tap) add(l *line) bool {
	p.mu.Lock()
	defer p.mu.Unlock()
	if p.down {
		return false
	}
	p.count++
	l.number = p.count
	p.lines[l] = struct{}{}
	p.signal()
	return true
}

func (p *tap) remove(l *line) {
	p.mu.Lock()
	defer p.mu.Unlock()
	delete(p.lines, l)
	p.signal()
}

// pump carries one direction and ends the whole line when it ends.
func (p *tap) pump(l *line, direction int) {
	from, to := l.client, l.broker
	if direction == toClient {
		from, to = l.broker, l.client
	}
	defer to.Close()
	defer from.Close()
	d := newDialogue(l.number, direction == toBroker, p.hear)
	buffer := make([]byte, 64<<10)
	for {
		k, err := from.Read(buffer)
		if err != nil {
			return
		}
		l.mu.Lock()
		lost := l.lost[direction]
		l.mu.Unlock()
		if lost {
			continue
		}
		if err := d.read(buffer[:k]); err != nil {
			panic(fmt.Sprintf("tap can't read AMQP: %v", err)) // the tests would be deaf
		}
		if _, err := to.Write(buffer[:k]); err != nil {
			return
		}
	}
}

func (p *tap) hear(s *said) {
	p.mu.Lock()
	defer p.mu.Unlock()
	p.heard = append(p.heard, s)
	p.signal()
}

// signal is called with mu held.
func (p *tap) signal() {
	close(p.changed)
	p.changed = make(chan struct{})
}

func abort(c net.Conn) {
	if tcp, ok := c.(*net.TCPConn); ok {
		_ = tcp.SetLinger(0) // RST instead of FIN; what fails is closed anyway
	}
	_ = c.Close()
}

func (p *tap) current() []*line {
	p.mu.Lock()
	defer p.mu.Unlock()
	var lines []*line
	for l := range p.lines {
		lines = append(lines, l)
	}
	return lines
}

// reset breaks every connection there is, on both sides.
func (p *tap) reset() { breakAll(p.current()) }

func breakAll(lines []*line) {
	for _, l := range lines {
		abort(l.client)
		abort(l.broker)
	}
}

// cut breaks every connection and lets none be made until mend.
func (p *tap) cut() {
	p.mu.Lock()
	p.down = true
	p.mu.Unlock()
	p.reset()
}

func (p *tap) mend() {
	p.mu.Lock()
	defer p.mu.Unlock()
	p.down = false
}

// consuming returns the connections that have consumers.
func (p *tap) consuming() []*line {
	p.mu.Lock()
	has := map[int]bool{}
	for _, s := range p.heard {
		if s.method == "basic.consume" {
			has[s.conn] = true
		}
	}
	p.mu.Unlock()
	return slices.DeleteFunc(p.current(), func(l *line) bool { return !has[l.number] })
}

// lose makes what is sent in one direction of the connections that consume
// vanish, and returns these. Later connections work.
func (p *tap) lose(direction int) []*line {
	lines := p.consuming()
	for _, l := range lines {
		l.mu.Lock()
		l.lost[direction] = true
		l.mu.Unlock()
	}
	return lines
}

// close ends the tap, and everything that goes through it.
func (p *tap) close() {
	_ = p.listener.Close()
	p.cut()
	p.wg.Wait()
}

// mark is a place in what was heard, to look only at what comes after it.
func (p *tap) mark() int {
	p.mu.Lock()
	defer p.mu.Unlock()
	return len(p.heard)
}

// since returns what was heard after mark of a method, as far as it fits.
func (p *tap) since(mark int, method string, fits func(*said) bool) []*said {
	p.mu.Lock()
	defer p.mu.Unlock()
	var found []*said
	for _, s := range p.heard[mark:] {
		if s.method == method && (fits == nil || fits(s)) {
			found = append(found, s)
		}
	}
	return found
}

// await returns the first of what fits, and nil when it does not come within
// patience.
func (p *tap) await(mark int, method string, fits func(*said) bool) *said {
	deadline := time.NewTimer(patience)
	defer deadline.Stop()
	for {
		p.mu.Lock()
		changed := p.changed
		p.mu.Unlock()
		if found := p.since(mark, method, fits); len(found) > 0 {
			return found[0]
		}
		select {
		case <-changed:
		case <-deadline.C:
			return nil
		}
	}
}

// gone returns false when one of lines is still there after within.
func (p *tap) gone(lines []*line, within time.Duration) bool {
	deadline := time.NewTimer(within)
	defer deadline.Stop()
	for {
		p.mu.Lock()
		changed := p.changed
		left := slices.ContainsFunc(lines, func(l *line) bool { _, still := p.lines[l]; return still })
		p.mu.Unlock()
		if !left {
			return true
		}
		select {
		case <-changed:
		case <-deadline.C:
			return false
		}
	}
}

// declares fits declarations of a queue or exchange by name, or by what its
// name begins with when that ends in "*".
func declares(name string) func(*said) bool {
	return func(s *said) bool {
		got, _ := s.args[strings.Split(s.method, ".")[0]].(string)
		if prefix, open := strings.CutSuffix(name, "*"); open {
			return strings.HasPrefix(got, prefix)
		}
		return got == name
	}
}

// acks fits the ack of a delivery.
func acks(d *said) func(*said) bool {
	return func(s *said) bool {
		return s.fromClient && s.conn == d.conn && s.channel == d.channel && s.args["delivery-tag"] == d.args["delivery-tag"]
	}
}

// carries fits a message by its routing key.
func carries(key string) func(*said) bool {
	return func(s *said) bool { return s.args["routing-key"] == key }
}

// confirms fits the broker's confirm of a message: its tag, or a later one, on
// the same channel. Those of messages before may come after it was sent.
func (p *tap) confirms(message *said) func(*said) bool {
	same := func(s *said) bool { return s.conn == message.conn && s.channel == message.channel }
	sent := p.since(0, "basic.publish", same)
	tag := int64(slices.Index(sent, message) + 1)
	return func(s *said) bool {
		acked, _ := s.args["delivery-tag"].(int64)
		return !s.fromClient && same(s) && acked >= tag
	}
}

// inOrder tells whether all of these were heard after mark, one after another.
func (p *tap) inOrder(mark int, all ...*said) bool {
	p.mu.Lock()
	defer p.mu.Unlock()
	for _, s := range p.heard[mark:] {
		if len(all) > 0 && s == all[0] {
			all = all[1:]
		}
	}
	return len(all) == 0
}
