package wire

import (
	"context"
	"encoding/binary"
	"errors"
	"io"
	"net"
	"os"
	"strings"
	"testing"
	"time"
)

// peer is a broker that does as the test says, over a pipe.
type peer struct {
	t    *testing.T
	conn net.Conn
	read *frameReader
}

// begun is what came of Open.
type begun struct {
	conn *Conn
	err  error
}

// newPeer returns a peer that somebody opens a connection to.
func newPeer(t *testing.T, c Config) (*peer, <-chan begun) {
	t.Helper()
	noLeaks(t)
	ours, theirs := net.Pipe()
	_ = theirs.SetDeadline(time.Now().Add(patience))
	t.Cleanup(func() { _ = theirs.Close() })
	p := &peer{t: t, conn: theirs, read: newFrameReader(theirs, 1<<20)}
	opened := make(chan begun, 1)
	go func() {
		conn, err := Open(within(t), ours, guest(c))
		opened <- begun{conn, err}
	}()
	header := make([]byte, len(protocolHeader))
	if _, err := io.ReadFull(theirs, header); err != nil || string(header) != protocolHeader {
		t.Fatalf("a connection begins with %q, error %v", header, err)
	}
	return p, opened
}

func (p *peer) send(b []byte) {
	p.t.Helper()
	if _, err := p.conn.Write(b); err != nil && !errors.Is(err, io.ErrClosedPipe) { // it may have left already
		p.t.Error(err)
	}
}

func (p *peer) say(channel uint16, a *arguments) {
	p.t.Helper()
	p.send(a.append(nil, channel))
}

// expect reads frames until there is a method, which it wants to be this one.
func (p *peer) expect(channel uint16, want method) decoder {
	p.t.Helper()
	for {
		f, err := p.read.head()
		must(p.t, err)
		payload, err := p.read.payload(f)
		must(p.t, err)
		if f.kind != frameMethod {
			continue
		}
		m, arguments, err := methodOf(payload)
		must(p.t, err)
		if m != want || f.channel != channel {
			p.t.Fatalf("got %s on channel %d, want %s on %d", m, f.channel, want, channel)
		}
		return decoder{b: append([]byte(nil), arguments...)}
	}
}

func started() *arguments {
	return argumentsOf(connectionStart).bits(false).bits(true, false, false, true).table(Table{"product": "peer"}).long("PLAIN EXTERNAL").long("en_US")
}

func tuned(channels int, frame uint32, heartbeat int) *arguments {
	return argumentsOf(connectionTune).uint16(channels).uint32(frame).uint16(heartbeat)
}

// opened is a connection with a peer that has done the handshake.
func opened(t *testing.T, c Config, heartbeat int) (*peer, *Conn) {
	t.Helper()
	p, begun := newPeer(t, c)
	p.say(0, started())
	p.expect(0, connectionStartOK)
	p.say(0, tuned(10, 0, heartbeat))
	p.expect(0, connectionTuneOK)
	p.expect(0, connectionOpen)
	p.say(0, argumentsOf(connectionOpenOK).short("", ""))
	b := next(t, "the connection", begun)
	must(t, b.err)
	t.Cleanup(func() { // whatever the test has done with it
		ctx, cancel := context.WithCancel(context.Background())
		cancel()
		_ = p.conn.Close()
		b.conn.Close(ctx)
	})
	return p, b.conn
}

func (p *peer) channel(c *Conn, id uint16) *Channel {
	p.t.Helper()
	got := make(chan *Channel, 1)
	go func() {
		ch, err := c.Channel(within(p.t))
		if err != nil {
			p.t.Error(err)
		}
		got <- ch
	}()
	p.expect(id, channelOpen)
	p.say(id, argumentsOf(channelOpenOK).long(""))
	return next(p.t, "the channel", got)
}

// do does something with the connection while the peer answers.
func do(t *testing.T, f func() error) <-chan error {
	done := make(chan error, 1)
	go func() { done <- f() }()
	return done
}

// Whatever a broker says in the handshake, Open ends, with the reason.
func TestHandshakeFails(t *testing.T) {
	method := func(a *arguments) string { return string(a.append(nil, 0)) }
	cut := func(a *arguments, n int) string {
		a.b = a.b[:n]
		return method(a)
	}
	for what, test := range map[string]struct {
		first, second string // what it says, and what after start-ok
		want          func(error) bool
	}{
		"another version":      {first: "AMQP\x00\x01\x00\x00", want: isMalformed},
		"TLS":                  {first: "\x15\x03\x01\x00\x02\x02\x16\x15\x03", want: isMalformed},
		"HTTP":                 {first: "HTTP/1.1 400 Bad Request\r\n\r\n", want: isMalformed},
		"nothing":              {want: isEOF},
		"half a frame":         {first: "\x01\x00\x00\x00\x00\x01\x00half", want: isEOF},
		"an endless frame":     {first: "\x01\x00\x00\xff\xff\xff\xff\x00", want: isMalformed},
		"no end mark":          {first: strings.TrimSuffix(method(started()), "\xce") + "\xcf", want: isMalformed},
		"AMQP 0-8":             {first: method(argumentsOf(connectionStart).bits(false).bits(false, false, false, true).table(nil).long("PLAIN").long("")), want: isMalformed},
		"half a start":         {first: cut(started(), 12), want: isMalformed},
		"an empty method":      {first: "\x01\x00\x00\x00\x00\x00\x00\xce", want: isMalformed},
		"a body":               {first: "\x03\x00\x00\x00\x00\x00\x00\xce", want: isMalformed},
		"tune instead":         {first: method(tuned(0, 0, 0)), want: isMalformed},
		"no mechanism":         {first: method(argumentsOf(connectionStart).bits(false).bits(true, false, false, true).table(nil).long("GSSAPI").long("")), want: func(err error) bool { return errors.Is(err, ErrSASL) }},
		"a refusal":            {first: method(started()), second: method(closeArguments(connectionClose, AccessRefused, "not you")), want: func(err error) bool { return codeOf(err) == AccessRefused }},
		"a refusal cut":        {first: method(started()), second: cut(closeArguments(connectionClose, AccessRefused, "not you"), 5), want: isMalformed},
		"half a tune":          {first: method(started()), second: cut(tuned(1, 1, 1), 7), want: isMalformed},
		"secure":               {first: method(started()), second: method(argumentsOf(10<<16 | 20).long("x")), want: isMalformed},
		"the end after login":  {first: method(started()), second: "-", want: isEOF},
		"a beat, then a close": {first: string(appendBeat(nil)) + method(started()), second: method(closeArguments(connectionClose, NotAllowed, "no")), want: func(err error) bool { return codeOf(err) == NotAllowed }},
	} {
		t.Run(what, func(t *testing.T) {
			p, begun := newPeer(t, Config{})
			go func() { _, _ = io.Copy(io.Discard, p.conn) }()
			p.send([]byte(test.first))
			if test.second != "" && test.second != "-" {
				p.send([]byte(test.second))
			}
			if test.want(io.ErrUnexpectedEOF) {
				must(t, p.conn.Close())
			}
			if b := next(t, "the end", begun); !test.want(b.err) || b.conn != nil {
				t.Errorf("got %v", b.err)
			}
		})
	}
}

func isMalformed(err error) bool { return errors.Is(err, ErrMalformed) }
func isEOF(err error) bool {
	return errors.Is(err, io.ErrUnexpectedEOF) || errors.Is(err, io.ErrClosedPipe) // the latter by a write
}

// A broker that says nothing does not hold up Open beyond its ctx.
func TestHandshakeEndsWithContext(t *testing.T) {
	noLeaks(t)
	ours, theirs := net.Pipe()
	defer theirs.Close()
	ctx, cancel := context.WithCancel(t.Context())
	done := do(t, func() error { _, err := Open(ctx, ours, guest(Config{})); return err })
	_, err := io.ReadFull(theirs, make([]byte, len(protocolHeader)))
	must(t, err)
	cancel()
	if err := next(t, "the end", done); !errors.Is(err, context.Canceled) {
		t.Errorf("got %v, want the reason of ctx", err)
	}
}

// Both sides agree on the smaller of what they want.
func TestTune(t *testing.T) {
	for _, test := range []struct {
		ours     Config
		channels int
		frame    uint32
		beat     int
		want     Config
	}{
		{Config{}, 0, 0, 0, Config{ChannelMax: 65535, FrameMax: 128 << 10}},
		{Config{}, 2047, 131072, 60, Config{ChannelMax: 2047, FrameMax: 128 << 10, Heartbeat: time.Minute}},
		{Config{ChannelMax: 5, FrameMax: 8192, Heartbeat: 2500 * time.Millisecond}, 2047, 131072, 60, Config{ChannelMax: 5, FrameMax: 8192, Heartbeat: 2 * time.Second}},
		{Config{Heartbeat: time.Hour * 24 * 365}, 0, 1 << 30, 30, Config{ChannelMax: 65535, FrameMax: 128 << 10, Heartbeat: 30 * time.Second}},
		{Config{Heartbeat: time.Minute}, 0, 100, 0, Config{ChannelMax: 65535, FrameMax: minFrame, Heartbeat: time.Minute}},
	} {
		p, begun := newPeer(t, test.ours)
		p.say(0, started())
		ok := p.expect(0, connectionStartOK)
		properties, err := DecodeTable(ok.long())
		must(t, err)
		if has, _ := properties["capabilities"].(Table); has["consumer_cancel_notify"] != true {
			t.Errorf("the client says of itself %v", properties)
		}
		if m, response := ok.short(), string(ok.long()); m != "PLAIN" || response != "\x00guest\x00guest" {
			t.Errorf("login by %s with %q", m, response)
		}
		p.say(0, tuned(test.channels, test.frame, test.beat))
		tune := p.expect(0, connectionTuneOK)
		got := Config{ChannelMax: tune.uint16(), FrameMax: int(tune.uint32()), Heartbeat: time.Duration(tune.uint16()) * time.Second}
		if got.ChannelMax != test.want.ChannelMax || got.FrameMax != test.want.FrameMax || got.Heartbeat != test.want.Heartbeat {
			t.Errorf("%+v with %d, %d, %d: agreed on %+v, want %+v", test.ours, test.channels, test.frame, test.beat, got, test.want)
		}
		if open := p.expect(0, connectionOpen); open.short() != "/" {
			t.Error("opened another vhost")
		}
		must(t, p.conn.Close())
		if b := next(t, "the end", begun); !isEOF(b.err) {
			t.Error(b.err)
		}
	}
}

// A broker that breaks the rules is told so, and the connection ends.
func TestMalformedFrames(t *testing.T) {
	frameOf := func(kind byte, channel uint16, payload string) []byte {
		b, from := beginFrame(nil, kind, channel)
		return endFrame(append(b, payload...), from)
	}
	header := string([]byte{0, 60, 0, 0, 0, 0, 0, 0, 0, 0, 0, 5, 0, 0}) // a body of 5 bytes
	deliver := argumentsOf(basicDeliver).short("", "tag").uint64(1).bits(false).short("", "e").short("", "k")
	for what, said := range map[string][]byte{
		"an unknown kind":              frameOf(9, 1, ""),
		"a channel never opened":       frameOf(frameMethod, 7, "abcd"),
		"an unknown method":            argumentsOf(99<<16|1).append(nil, 1),
		"an unknown method on 0":       argumentsOf(99<<16|1).append(nil, 0),
		"a body on 0":                  frameOf(frameBody, 0, ""),
		"a method cut":                 frameOf(frameMethod, 1, "abc"),
		"an answer that nobody wants":  argumentsOf(queueBindOK).append(nil, 1),
		"a close-ok that nobody wants": argumentsOf(channelCloseOK).append(nil, 1),
		"a header without a method":    frameOf(frameHeader, 1, header),
		"a body without a method":      frameOf(frameBody, 1, "x"),
		"a body without a header":      append(deliver.append(nil, 1), frameOf(frameBody, 1, "x")...),
		"two headers":                  append(deliver.append(nil, 1), append(frameOf(frameHeader, 1, header), frameOf(frameHeader, 1, header)...)...),
		"a short header":               append(deliver.append(nil, 1), frameOf(frameHeader, 1, "short")...),
		"more than the body":           append(deliver.append(nil, 1), append(frameOf(frameHeader, 1, header), frameOf(frameBody, 1, "abcdef")...)...),
		"a method in a message":        append(deliver.append(nil, 1), deliver.append(nil, 1)...),
		"a delivery cut":               argumentsOf(basicDeliver).short("", "tag").append(nil, 1),
		"a confirm without confirms":   argumentsOf(basicAck).uint64(1).bits(false).append(nil, 1),
		"a confirm cut":                argumentsOf(basicAck).uint16(1).append(nil, 1),
		"a cancel cut":                 argumentsOf(basicCancel).append(nil, 1),
		"a close cut":                  argumentsOf(channelClose).append(nil, 1),
		"a close of all cut":           argumentsOf(connectionClose).append(nil, 0),
		"no end mark":                  []byte("\x08\x00\x00\x00\x00\x00\x00\x00"),
	} {
		t.Run(what, func(t *testing.T) {
			p, c := opened(t, Config{}, 0)
			ch := p.channel(c, 1)
			p.send(said)
			p.expect(0, connectionClose)
			next(t, "the end", c.Done())
			if !isMalformed(c.Err()) || !isMalformed(ch.Err()) {
				t.Errorf("the connection has ended with %v, the channel with %v", c.Err(), ch.Err())
			}
		})
	}
}

// A delivery to a channel that has no consumer is against the rules, too.
func TestDeliveryWithoutConsumer(t *testing.T) {
	p, c := opened(t, Config{}, 0)
	p.channel(c, 1)
	m := &Publishing{Message: &Message{}}
	sent := m.append(nil, 1, minFrame)
	d := argumentsOf(basicDeliver).short("", "tag").uint64(1).bits(false).short("", "").short("", "").append(nil, 1)
	p.send(append(d, sent[frameHead+int(binary.BigEndian.Uint32(sent[3:]))+1:]...))
	p.expect(0, connectionClose)
	next(t, "the end", c.Done())
}

// Every way in which a connection ends.
func TestConnectionEnds(t *testing.T) {
	silent := func() context.Context {
		ctx, cancel := context.WithCancel(context.Background())
		cancel()
		return ctx
	}
	for what, test := range map[string]struct {
		end  func(*peer, *Conn)
		want func(error) bool
	}{
		"the peer hangs up": {func(p *peer, _ *Conn) { _ = p.conn.Close() }, isEOF},
		"the peer says why": {func(p *peer, _ *Conn) {
			p.say(0, closeArguments(connectionClose, 320, "maintenance"))
			p.expect(0, connectionCloseOK)
		}, func(err error) bool { return codeOf(err) == 320 }},
		"we say goodbye": {func(p *peer, c *Conn) {
			done := do(t, func() error { c.Close(within(t)); return nil })
			p.expect(0, connectionClose)
			p.say(0, argumentsOf(connectionCloseOK))
			next(t, "the end of Close", done)
		}, isClosed},
		"both say goodbye": {func(p *peer, c *Conn) {
			done := do(t, func() error { c.Close(within(t)); return nil })
			p.expect(0, connectionClose)
			p.say(0, closeArguments(connectionClose, 320, "maintenance"))
			next(t, "the end of Close", done)
		}, isClosed},
		"we say goodbye to nobody": {func(p *peer, c *Conn) { c.Close(silent()) }, isClosed},
		"the peer hangs up on our goodbye": {func(p *peer, c *Conn) {
			done := do(t, func() error { c.Close(within(t)); return nil })
			p.expect(0, connectionClose)
			_ = p.conn.Close()
			next(t, "the end of Close", done)
		}, isClosed},
	} {
		t.Run(what, func(t *testing.T) {
			p, c := opened(t, Config{}, 0)
			ch := p.channel(c, 1)
			waits := do(t, func() error { return ch.FindExchange(within(t), Exchange{Name: "e"}) })
			p.expect(1, exchangeDeclare)
			test.end(p, c)
			next(t, "the end", c.Done())
			for of, err := range map[string]error{"connection": c.Err(), "channel": ch.Err(), "call": next(t, "the call", waits),
				"later call": ch.Qos(within(t), 1), "ack": ch.Ack(1)} {
				if !test.want(err) {
					t.Errorf("%s: %v", of, err)
				}
			}
			if _, err := c.Channel(within(t)); !test.want(err) {
				t.Errorf("another channel: %v", err)
			}
			if ch.Publish(&Publishing{Message: &Message{}}, nil) || ch.Await() {
				t.Error("published on a connection that has ended")
			}
			c.Close(within(t)) // twice is no mistake
		})
	}
}

func isClosed(err error) bool { return errors.Is(err, ErrClosed) }

// A peer that says nothing is taken for dead, and one that sends heartbeats is
// not.
func TestSilence(t *testing.T) {
	p, c := opened(t, Config{}, 1)
	go func() { _, _ = io.Copy(io.Discard, p.conn) }()
	for range 20 {
		p.send(appendBeat(nil))
		time.Sleep(100 * time.Millisecond) // the peer's way to send beats, no wait for anything
	}
	if c.Err() != nil {
		t.Fatalf("the connection has ended while beats came: %v", c.Err())
	}
	next(t, "the end", c.Done())
	if err := c.Err(); !errors.Is(err, ErrSilent) || !errors.Is(err, os.ErrDeadlineExceeded) {
		t.Errorf("got %v, want ErrSilent", err)
	}
}

// We send heartbeats ourselves.
func TestBeats(t *testing.T) {
	p, _ := opened(t, Config{}, 1)
	for range 3 {
		f, err := p.read.head()
		must(t, err)
		if f.kind != frameBeat || f.channel != 0 || f.size != 0 {
			t.Fatalf("got %+v, want a heartbeat", f)
		}
		must(t, p.read.skip(f))
		p.send(appendBeat(nil))
	}
}

// A call that ctx has ended is answered later, and the next one gets its own
// answer.
func TestCallsThatAreGivenUp(t *testing.T) {
	p, c := opened(t, Config{}, 0)
	ch := p.channel(c, 1)
	ctx, cancel := context.WithCancel(t.Context())
	first := do(t, func() error { return ch.Qos(ctx, 1) })
	p.expect(1, basicQos)
	cancel()
	if err := next(t, "the end of the first", first); !errors.Is(err, context.Canceled) {
		t.Error(err)
	}
	second := do(t, func() error { _, err := ch.FindQueue(within(t), Queue{Name: "q"}); return err })
	p.expect(1, queueDeclare)
	p.say(1, argumentsOf(basicQosOK))
	p.say(1, argumentsOf(queueDeclareOK).short("", "q").uint32(1).uint32(2))
	if err := next(t, "the second", second); err != nil {
		t.Error(err)
	}
	ctx, cancel = context.WithCancel(t.Context())
	third := do(t, func() error { _, err := c.Channel(ctx); return err })
	p.expect(2, channelOpen)
	cancel()
	if err := next(t, "the end of the third", third); !errors.Is(err, context.Canceled) {
		t.Error(err)
	}
	p.expect(2, channelClose) // it is opened and closed
	p.say(2, argumentsOf(channelOpenOK).long(""))
	p.say(2, argumentsOf(channelCloseOK))
	third = do(t, func() error { return ch.Close(within(t)) })
	p.expect(1, channelClose)
	p.say(1, argumentsOf(channelCloseOK))
	if err := next(t, "the end of the channel", third); err != nil {
		t.Error(err)
	}
	c.registry.RLock()
	defer c.registry.RUnlock()
	if len(c.channels) > 0 {
		t.Errorf("%d channels are left", len(c.channels))
	}
}

// Both sides close a channel at the same time: the broker's reason is kept, and
// its answer to our close does not end the channel that gets the number next.
func TestClosesThatCross(t *testing.T) {
	alarms := make(chan string, 1)
	p, c := opened(t, Config{ChannelMax: 1, Blocked: func(reason string) { alarms <- reason }}, 0)
	ch := p.channel(c, 1)
	done := do(t, func() error { return ch.Close(within(t)) })
	p.expect(1, channelClose)
	p.say(1, closeArguments(channelClose, NotFound, "no exchange"))
	p.expect(1, channelCloseOK)
	if err := next(t, "the end", done); codeOf(err) != NotFound {
		t.Errorf("got %v, want the broker's reason", err)
	}
	if _, err := c.Channel(within(t)); err == nil {
		t.Fatal("the number was used again before the broker has let it go")
	}
	p.say(1, argumentsOf(channelCloseOK))
	p.say(0, argumentsOf(connectionBlocked).short("", "")) // it is read after that
	next(t, "the alarm", alarms)
	p.channel(c, 1)
}

// What RabbitMQ still delivers on a channel that it has closed is dropped.
func TestFramesAfterTheClose(t *testing.T) {
	p, c := opened(t, Config{}, 0)
	ch := p.channel(c, 1)
	timeout := closeArguments(channelClose, PreconditionFailed, "delivery acknowledgement on channel 1 timed out")
	p.say(1, timeout)
	p.expect(1, channelCloseOK)
	next(t, "the end of the channel", ch.Done())
	p.say(1, argumentsOf(basicDeliver).short("", "tag").uint64(1).bits(false).short("", "e").short("", "k"))
	sent := (&Publishing{Message: &Message{Body: []byte("late")}}).append(nil, 1, minFrame)
	p.send(sent[frameExtra+int(binary.BigEndian.Uint32(sent[3:])):])
	p.say(1, argumentsOf(basicCancel).short("", "tag").bits(true))
	p.say(1, timeout)
	p.expect(1, channelCloseOK)
	p.channel(c, 2) // the connection goes on
}

// The broker wants an answer when it cancels a consumer and says so.
func TestCancelWithAnswer(t *testing.T) {
	p, c := opened(t, Config{}, 0)
	ch := p.channel(c, 1)
	done := do(t, func() error { return ch.Consume(within(t), Consumption{Queue: "q", Tag: "tag"}, func(*Delivery) {}) })
	p.expect(1, basicConsume)
	p.say(1, argumentsOf(basicConsumeOK).short("", "tag"))
	must(t, next(t, "the consumer", done))
	p.say(1, argumentsOf(basicCancel).short("", "tag").bits(false))
	if ok := p.expect(1, basicCancelOK); ok.short() != "tag" {
		t.Error("another consumer was cancelled")
	}
	next(t, "the end of the consumer", ch.Cancelled())
}

// Confirms of several, of all, of one twice, and of none.
func TestConfirmsInBatches(t *testing.T) {
	p, c := opened(t, Config{}, 0)
	ch := p.channel(c, 1)
	done := do(t, func() error { return ch.Confirm(within(t)) })
	p.expect(1, confirmSelect)
	p.say(1, argumentsOf(confirmSelectOK))
	must(t, next(t, "confirms", done))
	var receipts []*receipt
	for i := range 8 {
		r := newReceipt(string(rune('a' + i)))
		receipts = append(receipts, r)
		go ch.Publish(&Publishing{RoutingKey: r.id, Message: &Message{MessageID: r.id, Body: []byte("x")}}, r)
		p.expect(1, basicPublish)
	}
	confirm := func(tag uint64, multiple, ack bool) {
		m := basicNack
		if ack {
			m = basicAck
		}
		p.say(1, argumentsOf(m).uint64(tag).bits(multiple))
	}
	hear := func(from, to int, ack bool) {
		t.Helper()
		for _, r := range receipts[from:to] {
			if got := next(t, "a confirm", r.acks); got != ack {
				t.Errorf("%s: got %v, want %v", r.id, got, ack)
			}
		}
	}
	confirm(2, false, true)
	hear(1, 2, true)
	confirm(3, true, false)
	hear(0, 1, false)
	hear(2, 3, false)
	confirm(3, true, true) // again
	confirm(5, false, true)
	hear(4, 5, true)
	confirm(0, true, true)
	hear(3, 4, true)
	hear(5, 8, true)
	if n, size := ch.Pending(); n != 0 || size != 0 {
		t.Errorf("%d of %d bytes are pending", n, size)
	}
	for _, r := range receipts {
		if len(r.acks) > 0 {
			t.Errorf("%s was confirmed twice", r.id)
		}
	}
	confirm(9, true, true) // was never sent
	p.expect(0, connectionClose)
	next(t, "the end", c.Done())
}

// Publish never waits; who has to, waits in Await until the peer has read or is
// gone.
func TestPublishDoesNotWait(t *testing.T) {
	p, c := opened(t, Config{}, 0)
	ch := p.channel(c, 1)
	body := make([]byte, writeBuffer)
	m := &Publishing{Message: &Message{Body: body}}
	n := 0
	for ; ch.Publish(m, nil); n++ {
	}
	if n < 1 || n > 3 {
		t.Errorf("%d messages of 1 MB were taken, want 2", n)
	}
	waits := do(t, func() error {
		if !ch.Await() {
			return ch.Err()
		}
		return nil
	})
	go func() { _, _ = io.Copy(io.Discard, p.conn) }()
	must(t, next(t, "room", waits))
	c.Close(func() context.Context { ctx, cancel := context.WithCancel(context.Background()); cancel(); return ctx }())
	if ch.Await() {
		t.Error("there is room on a closed connection")
	}
}
