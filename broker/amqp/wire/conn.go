package wire

import (
	"context"
	"fmt"
	"log/slog"
	"maps"
	"net"
	"slices"
	"sync"
	"time"
)

// Config is what a connection is opened with.
type Config struct {
	Logins []Login // in the order of preference
	VHost  string

	// Heartbeat is how often each side shows that it lives, in whole seconds;
	// the broker may want it more often. A peer that was silent for one and a
	// half times as long is taken for dead. 0 leaves it to the broker.
	Heartbeat time.Duration

	// FrameMax is the size of the largest frame, in bytes; the broker may want
	// less. Default 128 KiB, RabbitMQ's.
	FrameMax int

	// ChannelMax is how many channels may be open; the broker may want less. 0
	// leaves it to the broker.
	ChannelMax uint16

	// BodyMax is the largest body that is gathered, in bytes. The body of a
	// larger one is read and dropped; see Delivery.Size. 0 is no bound.
	BodyMax int

	Properties Table        // of this client, for people
	Log        *slog.Logger // of messages that can't be read whole; nil drops it

	// Blocked is called when the broker takes no messages for a while, with the
	// reason, and with an empty one when it does again. It must not block.
	Blocked func(reason string)
}

const defaultFrameMax = 128 << 10 // bytes

func (c Config) withDefaults() Config {
	if c.FrameMax <= 0 {
		c.FrameMax = defaultFrameMax
	}
	if c.Log == nil {
		c.Log = slog.New(slog.DiscardHandler)
	}
	if c.Blocked == nil {
		c.Blocked = func(string) {}
	}
	return c
}

// Conn is a connection to the broker. All its methods may be called
// concurrently.
type Conn struct {
	socket net.Conn
	config Config // with what both sides have agreed on

	reader *frameReader // of the one goroutine that reads, with names
	names  names

	writer  writer
	written chan struct{} // closed when the goroutine that writes has ended
	done    chan struct{} // closed when both have

	registry sync.RWMutex // guards what follows
	channels map[uint16]*Channel
	newest   uint16 // the number that was taken last
	highest  uint16 // the highest that was ever taken
}

// Open does the handshake over a socket, which is the connection's from then
// on. It is closed when there is an error, or when ctx ends first.
func Open(ctx context.Context, socket net.Conn, config Config) (*Conn, error) {
	config = config.withDefaults()
	c := &Conn{socket: socket, config: config, reader: newFrameReader(socket, config.FrameMax),
		written: make(chan struct{}), done: make(chan struct{}), channels: map[uint16]*Channel{}}
	c.writer.init()
	stop := context.AfterFunc(ctx, func() { _ = socket.Close() })
	err := c.handshake()
	if !stop() { // the socket was closed under the handshake, whatever that says
		err = fmt.Errorf("handshake: %w", context.Cause(ctx))
	}
	if err != nil {
		_ = socket.Close()
		return nil, err
	}
	go c.write()
	go c.read()
	return c, nil
}

// FrameMax returns the size of the largest frame, in bytes.
func (c *Conn) FrameMax() int { return c.config.FrameMax }

// Done returns a channel that is closed when the connection has ended.
func (c *Conn) Done() <-chan struct{} { return c.done }

// Err returns why the connection has ended, or is about to: ErrClosed, an *Error
// of the broker's, or what the network says. It is nil before.
func (c *Conn) Err() error { return c.writer.failure() }

// Close writes what is left, says goodbye, and returns when the connection has
// ended. It waits for the broker's answer until ctx ends.
func (c *Conn) Close(ctx context.Context) {
	if c.writer.close(closeArguments(connectionClose, codeSuccess, "goodbye").append(nil, 0)) {
		select {
		case <-c.done:
		case <-ctx.Done():
		}
	}
	c.end(ErrClosed, nil)
	<-c.done
}

// end ends the connection for a reason, of which the first stays. The last word,
// if there is one, is written before.
func (c *Conn) end(why error, last []byte) {
	left, why, first := c.writer.fail(why)
	if !first {
		return
	}
	if last != nil {
		_ = c.socket.SetWriteDeadline(time.Now().Add(lastWord))
		_, _ = c.socket.Write(append(left, last...)) // after what is being written
	}
	_ = c.socket.Close()
	c.registry.RLock()
	channels := slices.Collect(maps.Values(c.channels))
	c.registry.RUnlock()
	for _, ch := range channels {
		ch.end(why)
	}
}

// lastWord is how long it may take to write what is left at the end.
const lastWord = time.Second

// read reads until the connection ends.
func (c *Conn) read() {
	defer close(c.done)
	last, why := c.readFrames()
	c.end(why, last)
	<-c.written
}

// readFrames returns what is still to be said, and why it reads no more.
func (c *Conn) readFrames() (last []byte, why error) {
	for {
		f, err := c.reader.head()
		if err == nil {
			err = c.take(f)
		}
		switch err := err.(type) {
		case nil:
			continue
		case *Error: // the broker's
			return argumentsOf(connectionCloseOK).append(nil, 0), err
		}
		return c.complaint(err), err
	}
}

// take takes a frame.
func (c *Conn) take(f frame) error {
	switch {
	case f.kind == frameBeat:
		return c.reader.skip(f)
	case f.channel == 0:
		return c.takeOwn(f)
	}
	c.registry.RLock()
	ch, was := c.channels[f.channel], f.channel <= c.highest
	c.registry.RUnlock()
	switch {
	case ch != nil:
		return ch.take(f)
	case was:
		return c.takeLate(f)
	}
	return malformed("a frame is for channel %d, which was never open", f.channel)
}

// takeLate drops a frame of a channel that has ended. In RabbitMQ a channel has
// a process that writes and another one closes it, so what was being delivered
// may come after the close (seen with consumer_timeout). That numbers are used
// in turn keeps it from the next channel that has this one.
func (c *Conn) takeLate(f frame) error {
	if f.kind != frameMethod {
		return c.reader.skip(f)
	}
	payload, err := c.reader.payload(f)
	if err != nil {
		return err
	}
	if m, _, err := methodOf(payload); m != channelClose {
		return err
	}
	c.writer.mu.Lock()
	defer c.writer.mu.Unlock()
	c.writer.out = argumentsOf(channelCloseOK).append(c.writer.out, f.channel)
	c.writer.signal()
	return nil
}

// takeOwn takes a frame that is about the connection.
func (c *Conn) takeOwn(f frame) error {
	if f.kind != frameMethod {
		return malformed("a frame of kind %d belongs to no channel", f.kind)
	}
	payload, err := c.reader.payload(f)
	if err != nil {
		return err
	}
	m, arguments, err := methodOf(payload)
	if err != nil {
		return err
	}
	d := decoder{b: arguments}
	switch m {
	case connectionClose:
		why, err := closing(arguments)
		if err != nil {
			return err
		}
		return why
	case connectionCloseOK:
		return ErrClosed
	case connectionBlocked:
		reason := d.short()
		if reason == "" {
			reason = "no reason given"
		}
		c.config.Blocked(reason)
	case connectionUnblocked:
		c.config.Blocked("")
	default:
		return malformed("%s is unexpected on channel 0", m)
	}
	return nil
}

// Channel opens a channel.
func (c *Conn) Channel(ctx context.Context) (*Channel, error) {
	ch, err := c.newChannel()
	if err != nil {
		return nil, err
	}
	_, err = ch.call(ctx, argumentsOf(channelOpen).short("", ""), channelOpenOK)
	if err == nil {
		return ch, nil
	}
	if ctx.Err() != nil { // it is opened later, and closed then
		_, _ = ch.startClosing()
	}
	return nil, fmt.Errorf("open a channel: %w", err)
}

// newChannel takes a number that is free.
func (c *Conn) newChannel() (*Channel, error) {
	c.registry.Lock()
	defer c.registry.Unlock()
	if len(c.channels) >= int(c.config.ChannelMax) {
		return nil, fmt.Errorf("open a channel: %d are open on this connection, and no more are allowed", len(c.channels))
	}
	for {
		c.newest++
		if c.newest == 0 || c.newest > c.config.ChannelMax {
			c.newest = 1
		}
		if c.channels[c.newest] == nil {
			break
		}
	}
	c.highest = max(c.highest, c.newest)
	ch := newChannel(c, c.newest)
	c.channels[c.newest] = ch
	if err := c.Err(); err != nil { // end may have gone through the others already
		delete(c.channels, ch.id)
		return nil, err
	}
	return ch, nil
}

// forget makes the number of a channel free again.
func (c *Conn) forget(ch *Channel) {
	c.registry.Lock()
	defer c.registry.Unlock()
	delete(c.channels, ch.id)
}
