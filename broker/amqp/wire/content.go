package wire

// Delivery is a message from the broker: one that was delivered, that was got,
// or that has come back because no queue took it.
type Delivery struct {
	Message
	Exchange    string
	RoutingKey  string
	Tag         uint64 // by which it is settled; 0 of one that has come back
	Redelivered bool

	// Size is how large the body is, in bytes. Body is nil where that is more
	// than the BodyMax of the connection.
	Size uint64

	channel *Channel
}

// maxAllocated is how much is allocated for a body before it has come, in
// bytes.
const maxAllocated = 1 << 20

// content is the message that is being read on a channel.
type content struct {
	kind     method // how it has come; 0 when there is none
	began    bool   // its header has come
	delivery Delivery
	left     uint64 // bytes of its body that are still to come
	dropped  bool   // its body is too large
	queued   int    // left in the queue that it was got from
}

func (ch *Channel) beginContent(m method, arguments []byte) error {
	d := decoder{b: arguments, names: &ch.conn.names}
	c := &ch.content
	c.kind, c.delivery.channel = m, ch
	switch m {
	case basicDeliver:
		d.take(int(d.uint8())) // the consumer's tag: a channel has one consumer
		fallthrough
	case basicGetOK:
		c.delivery.Tag = d.uint64()
		c.delivery.Redelivered = d.uint8() != 0
	case basicReturn:
		d.uint16() // code
		d.take(int(d.uint8()))
	}
	c.delivery.Exchange, c.delivery.RoutingKey = d.name(), d.name()
	if m == basicGetOK {
		c.queued = int(d.uint32())
	}
	if d.broken {
		return malformed("%s can't be read", m)
	}
	return nil
}

// takeContent takes a frame of a message.
func (ch *Channel) takeContent(f frame) error {
	c := &ch.content
	switch {
	case c.kind == 0, c.began != (f.kind == frameBody):
		return malformed("a frame of kind %d came at the wrong time on channel %d", f.kind, ch.id)
	case f.kind == frameHeader:
		return ch.takeHeader(f)
	case uint64(f.size) > c.left:
		return malformed("a message has more bytes than it says, on channel %d", ch.id)
	}
	var err error
	if c.dropped {
		err = ch.conn.reader.skip(f)
	} else {
		c.delivery.Body, err = ch.conn.reader.body(c.delivery.Body, f)
	}
	if err != nil {
		return err
	}
	c.left -= uint64(f.size)
	return ch.completed()
}

func (ch *Channel) takeHeader(f frame) error {
	payload, err := ch.conn.reader.payload(f)
	if err != nil {
		return err
	}
	if len(payload) < 14 { // class, weight, size of the body, flags
		return malformed("a content header has %d bytes", len(payload))
	}
	c := &ch.content
	d := decoder{b: payload, names: &ch.conn.names}
	size, whole := d.properties(&c.delivery.Message)
	if !whole {
		ch.conn.config.Log.Warn("the headers of a message can't be decoded and are left out",
			"exchange", c.delivery.Exchange, "routing key", c.delivery.RoutingKey)
	}
	c.began, c.left, c.delivery.Size = true, size, size
	if most := ch.conn.config.BodyMax; most > 0 && size > uint64(most) {
		c.dropped = true
	} else {
		c.delivery.Body = make([]byte, 0, min(size, maxAllocated))
	}
	return ch.completed()
}

// completed hands over a message that is complete.
func (ch *Channel) completed() error {
	if ch.content.left > 0 {
		return nil
	}
	defer func() { ch.content = content{} }()
	d := &ch.content.delivery
	switch ch.content.kind {
	case basicGetOK:
		got := *d
		return ch.answered(basicGetOK, answer{delivery: &got, queued: ch.content.queued})
	case basicReturn:
		if bounce := ch.bounce.Load(); !ch.confirms.returned(d) && bounce != nil {
			(*bounce)(d)
		}
		return nil
	}
	deliver := ch.deliver.Load()
	if deliver == nil {
		return malformed("a message came on channel %d, which has no consumer", ch.id)
	}
	(*deliver)(d)
	return nil
}
