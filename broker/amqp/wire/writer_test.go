package wire

import (
	"bytes"
	"net"
	"testing"
	"time"
)

// offline is a connection that nobody reads or writes, with a channel.
func offline(socket net.Conn) (*Conn, *Channel) {
	c := &Conn{socket: socket, config: Config{}.withDefaults(), reader: newFrameReader(socket, defaultFrameMax),
		written: make(chan struct{}), done: make(chan struct{}), channels: map[uint16]*Channel{}}
	c.config.ChannelMax = 10
	c.writer.init()
	ch, err := c.newChannel()
	if err != nil {
		panic(err) // never: ten may be open
	}
	return c, ch
}

// writes is a socket on which a write takes until the test has taken its bytes.
type writes struct {
	net.Conn
	written chan []byte
}

func (w writes) Write(b []byte) (int, error) {
	w.written <- bytes.Clone(b)
	return len(b), nil
}

func (w writes) Close() error                     { return nil }
func (w writes) SetWriteDeadline(time.Time) error { return nil }

// What is acked while a write is under way goes with the next one: together as
// far as nothing is missing between, else one by one.
func TestAcksAreJoined(t *testing.T) {
	noLeaks(t)
	w := writes{written: make(chan []byte)}
	c, ch := offline(w)
	go c.write()
	defer func() { c.end(ErrClosed, nil); <-c.written }()
	ack := func(tags ...uint64) {
		for _, tag := range tags {
			must(t, ch.Ack(tag))
		}
	}
	one := func(tag uint64) string { return string(appendSettle(nil, 1, basicAck, tag, 0)) }
	upTo := func(tag uint64) string { return string(appendSettle(nil, 1, basicAck, tag, 1)) }
	batch := func(tags ...uint64) string {
		c.writer.mu.Lock()
		defer c.writer.mu.Unlock()
		ch.settling.acks = append(ch.settling.acks, tags...)
		ch.settleAll()
		b := string(c.writer.out)
		c.writer.out = nil
		return b
	}
	ack(1)
	if got := string(<-w.written); got != one(1) {
		t.Errorf("the first ack: got %q, want %q", got, one(1))
	}
	for _, step := range []struct {
		tags []uint64
		want string
	}{
		{[]uint64{4, 2, 3}, upTo(4)},
		{[]uint64{7, 6}, one(6) + one(7)}, // 5 is missing
		{[]uint64{5}, one(5)},             // 6 and 7 have been acked
		{[]uint64{9, 8, 11}, upTo(9) + one(11)},
	} {
		if got := batch(step.tags...); got != step.want {
			t.Errorf("acks of %d: got %q, want %q", step.tags, got, step.want)
		}
	}
	must(t, ch.settle(basicNack, 10, 2))
	if got, want := string(<-w.written), string(appendSettle(nil, 1, basicNack, 10, 2)); got != want {
		t.Errorf("nack: got %q, want %q", got, want)
	}
	if got := batch(12, 13); got != upTo(13) {
		t.Errorf("acks after a nack: got %q, want %q", got, upTo(13))
	}
}

// A write of several messages has the next ones wait for others to join; one
// message alone never waits.
func TestCrowdedBySeveral(t *testing.T) {
	c, ch := offline(writes{}) // here we are the goroutine that writes
	tag := uint64(0)
	write := func(acks int) {
		for range acks {
			tag++
			must(t, ch.Ack(tag))
		}
		c.writer.gather()
	}
	for _, step := range []struct{ acks, times, crowded int }{
		{1, 3, 0},
		{2, 1, crowdLasts},
		{0, 1, crowdLasts}, // nothing was written
		{1, 1, crowdLasts - 1},
		{3, 1, crowdLasts},
		{1, crowdLasts + 1, 0},
	} {
		for range step.times {
			write(step.acks)
		}
		if c.writer.crowded != step.crowded {
			t.Errorf("after %d writes of %d acks: crowded for %d more, want %d", step.times, step.acks, c.writer.crowded, step.crowded)
		}
	}
}

// A channel that is being closed takes nothing more, and what was acked before
// goes out before.
func TestChannelEndsInOrder(t *testing.T) {
	c, ch := offline(writes{})
	must(t, ch.Ack(1))
	must(t, ch.Ack(2))
	if _, err := ch.startClosing(); err != nil {
		t.Fatal(err)
	}
	want := string(appendSettle(nil, 1, basicAck, 2, 1)) + string(closeArguments(channelClose, codeSuccess, "").append(nil, 1))
	if got := string(c.writer.gather()); got != want {
		t.Errorf("got %q, want %q", got, want)
	}
	d := Delivery{Tag: 3, channel: ch}
	if ch.Publish(&Publishing{Message: &Message{}}, nil) || !isClosed(d.Ack()) || !isClosed(d.Nack(true)) || !isClosed(d.Reject(true)) {
		t.Error("a channel that is being closed has taken something")
	}
}

func BenchmarkPublish(b *testing.B) {
	c, ch := offline(writes{})
	p := to(b, "queue", sample())
	b.ReportAllocs()
	for b.Loop() {
		ch.Publish(p, nil)
		c.writer.reuse(c.writer.gather())
	}
}
