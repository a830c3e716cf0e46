package wire

import (
	"cmp"
	"errors"
	"fmt"
	"maps"
	"math"
	"slices"
	"strings"
	"time"
)

// Login is one way to say who we are: a SASL mechanism and what it sends.
type Login struct{ mechanism, response string }

// Mechanism returns the name, such as PLAIN.
func (l Login) Mechanism() string { return l.mechanism }

// Plain logs in with a name and a password (RFC 4616).
func Plain(user, password string) Login {
	return Login{mechanism: "PLAIN", response: "\x00" + user + "\x00" + password}
}

// AMQPlain is Plain in the form of AMQP 0-8, a table without its length.
func AMQPlain(user, password string) Login {
	b, _ := AppendField(AppendShort(nil, "LOGIN"), user, 0) // a string can travel
	b, _ = AppendField(AppendShort(b, "PASSWORD"), password, 0)
	return Login{mechanism: "AMQPLAIN", response: string(b)}
}

// External leaves it to TLS: the certificate says who we are.
func External() Login { return Login{mechanism: "EXTERNAL"} }

// capabilities are what RabbitMQ does only for who says that he knows it.
func capabilities() Table {
	return Table{"authentication_failure_close": true, "basic.nack": true, "connection.blocked": true,
		"consumer_cancel_notify": true, "publisher_confirms": true}
}

// handshake opens the connection (AMQP 0-9-1, 2.2.4). Nothing else reads or
// writes yet.
func (c *Conn) handshake() error {
	if _, err := c.socket.Write([]byte(protocolHeader)); err != nil {
		return err
	}
	start, err := c.expect(connectionStart)
	if err != nil {
		return err
	}
	if err := c.logIn(start); err != nil {
		return err
	}
	tune, err := c.expect(connectionTune)
	if err != nil {
		return err
	}
	if err := c.agree(tune); err != nil {
		return err
	}
	if err := c.say(argumentsOf(connectionOpen).short("vhost", c.config.VHost).short("", "").bits(false)); err != nil {
		return err
	}
	if _, err = c.expect(connectionOpenOK); err != nil {
		return err
	}
	c.reader.patience = c.config.Heartbeat * 3 / 2
	return nil
}

// logIn answers the broker's first word.
func (c *Conn) logIn(start decoder) error {
	if major, minor := start.uint8(), start.uint8(); major != 0 || minor != 9 {
		return malformed("the broker speaks version %d-%d", major, minor)
	}
	start.long() // what the broker is
	offered := strings.Fields(string(start.long()))
	start.long() // locales, of which every broker has en_US
	if start.broken {
		return malformed("%s can't be read", connectionStart)
	}
	i := slices.IndexFunc(c.config.Logins, func(l Login) bool { return slices.Contains(offered, l.mechanism) })
	if i < 0 {
		return fmt.Errorf("%w: it has %s", ErrSASL, strings.Join(offered, ", "))
	}
	login := c.config.Logins[i]
	properties := maps.Clone(c.config.Properties)
	if properties == nil {
		properties = Table{}
	}
	properties["capabilities"] = capabilities()
	return c.say(argumentsOf(connectionStartOK).table(properties).
		short("mechanism", login.mechanism).long(login.response).short("locale", "en_US"))
}

// agree takes the smaller of what both sides want, where 0 wants nothing.
func (c *Conn) agree(tune decoder) error {
	channels, frame, heartbeat := int(tune.uint16()), int(tune.uint32()), int(tune.uint16())
	if tune.broken {
		return malformed("%s can't be read", connectionTune)
	}
	c.config.ChannelMax = uint16(cmp.Or(smaller(int(c.config.ChannelMax), channels), math.MaxUint16))
	c.config.FrameMax = max(smaller(c.config.FrameMax, frame), minFrame)
	seconds := smaller(min(int(c.config.Heartbeat/time.Second), math.MaxUint16), heartbeat)
	c.config.Heartbeat = time.Duration(seconds) * time.Second
	c.reader.most = c.config.FrameMax
	return c.say(argumentsOf(connectionTuneOK).uint16(int(c.config.ChannelMax)).uint32(uint32(c.config.FrameMax)).uint16(seconds))
}

// smaller leaves it to the other where one is 0.
func smaller(a, b int) int {
	if a == 0 || b == 0 {
		return max(a, b)
	}
	return min(a, b)
}

// say writes a method of the handshake.
func (c *Conn) say(a *arguments) error {
	if err := a.check(c.config.FrameMax); err != nil {
		return err
	}
	_, err := c.socket.Write(a.append(nil, 0))
	return err
}

// expect reads a method of the handshake. The error is an *Error if the broker
// refuses instead.
func (c *Conn) expect(want method) (decoder, error) {
	f, err := c.reader.head()
	for err == nil && f.kind == frameBeat {
		if err = c.reader.skip(f); err == nil {
			f, err = c.reader.head()
		}
	}
	if err != nil {
		return decoder{}, err
	}
	if f.kind != frameMethod || f.channel != 0 {
		return decoder{}, malformed("a frame of kind %d came in the handshake", f.kind)
	}
	payload, err := c.reader.payload(f)
	if err != nil {
		return decoder{}, err
	}
	got, arguments, err := methodOf(payload)
	switch {
	case err != nil:
		return decoder{}, err
	case got == want:
		return decoder{b: arguments}, nil
	case got == connectionClose:
		return decoder{}, c.refused(arguments)
	}
	return decoder{}, malformed("got %s in the handshake, want %s", got, want)
}

func (c *Conn) refused(arguments []byte) error {
	why, err := closing(arguments)
	if err != nil {
		return err
	}
	_ = c.say(argumentsOf(connectionCloseOK)) // the refusal counts, not whether it was heard
	return why
}

// complaint is what the broker is told about a mistake of its own.
func (c *Conn) complaint(err error) []byte {
	if !errors.Is(err, ErrMalformed) {
		return nil
	}
	return closeArguments(connectionClose, codeFrameError, err.Error()).append(nil, 0)
}
