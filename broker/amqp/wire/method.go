package wire

import (
	"encoding/binary"
	"fmt"
)

// method is a class and a method of it, as both stand at the begin of a frame:
// two bytes each (AMQP 0-9-1, 1.3 and 2.3.5.2).
type method uint32

const (
	connectionStart     method = 10<<16 | 10
	connectionStartOK   method = 10<<16 | 11
	connectionTune      method = 10<<16 | 30
	connectionTuneOK    method = 10<<16 | 31
	connectionOpen      method = 10<<16 | 40
	connectionOpenOK    method = 10<<16 | 41
	connectionClose     method = 10<<16 | 50
	connectionCloseOK   method = 10<<16 | 51
	connectionBlocked   method = 10<<16 | 60 // RabbitMQ's
	connectionUnblocked method = 10<<16 | 61 // RabbitMQ's

	channelOpen    method = 20<<16 | 10
	channelOpenOK  method = 20<<16 | 11
	channelClose   method = 20<<16 | 40
	channelCloseOK method = 20<<16 | 41

	exchangeDeclare   method = 40<<16 | 10
	exchangeDeclareOK method = 40<<16 | 11
	exchangeBind      method = 40<<16 | 30 // RabbitMQ's
	exchangeBindOK    method = 40<<16 | 31 // RabbitMQ's

	queueDeclare   method = 50<<16 | 10
	queueDeclareOK method = 50<<16 | 11
	queueBind      method = 50<<16 | 20
	queueBindOK    method = 50<<16 | 21
	queueDelete    method = 50<<16 | 40
	queueDeleteOK  method = 50<<16 | 41

	basicQos       method = 60<<16 | 10
	basicQosOK     method = 60<<16 | 11
	basicConsume   method = 60<<16 | 20
	basicConsumeOK method = 60<<16 | 21
	basicCancel    method = 60<<16 | 30 // from the broker, too: RabbitMQ's
	basicCancelOK  method = 60<<16 | 31
	basicPublish   method = 60<<16 | 40
	basicReturn    method = 60<<16 | 50
	basicDeliver   method = 60<<16 | 60
	basicGet       method = 60<<16 | 70
	basicGetOK     method = 60<<16 | 71
	basicGetEmpty  method = 60<<16 | 72
	basicAck       method = 60<<16 | 80 // from the broker, too: RabbitMQ's
	basicReject    method = 60<<16 | 90
	basicNack      method = 60<<16 | 120 // RabbitMQ's

	confirmSelect   method = 85<<16 | 10 // RabbitMQ's
	confirmSelectOK method = 85<<16 | 11
)

const classBasic = 60

func (m method) String() string { return fmt.Sprintf("method %d of class %d", m&0xffff, m>>16) }

// arguments are those of a method that is to be sent. The first mistake stays.
type arguments struct {
	method method
	b      []byte
	err    error
}

func argumentsOf(m method) *arguments { return &arguments{method: m} }

func (a *arguments) uint16(n int) *arguments {
	if n < 0 || n > 0xffff {
		a.fail(fmt.Errorf("%d does not fit into 16 bits", n))
	}
	a.b = binary.BigEndian.AppendUint16(a.b, uint16(n))
	return a
}

func (a *arguments) uint32(n uint32) *arguments {
	a.b = binary.BigEndian.AppendUint32(a.b, n)
	return a
}

func (a *arguments) uint64(n uint64) *arguments {
	a.b = binary.BigEndian.AppendUint64(a.b, n)
	return a
}

func (a *arguments) short(what, s string) *arguments {
	if err := checkShort(what, s); err != nil {
		a.fail(err)
		return a
	}
	a.b = AppendShort(a.b, s)
	return a
}

func (a *arguments) long(s string) *arguments {
	a.b = append(binary.BigEndian.AppendUint32(a.b, uint32(len(s))), s...)
	return a
}

func (a *arguments) table(t Table) *arguments {
	b, from := begin(a.b)
	b, err := AppendTable(b, t)
	if err != nil {
		a.fail(err)
		return a
	}
	a.b = end(b, from)
	return a
}

// bits appends up to eight flags, the first as the lowest bit.
func (a *arguments) bits(flags ...bool) *arguments {
	var b byte
	for i, is := range flags {
		b |= bit(is) << i
	}
	a.b = append(a.b, b)
	return a
}

func (a *arguments) fail(err error) {
	if a.err == nil {
		a.err = err
	}
}

// check returns why the method can't be sent in a frame of the given size.
func (a *arguments) check(most int) error {
	if n := len(a.b) + 4 + frameExtra; a.err == nil && n > most {
		return fmt.Errorf("%s takes a frame of %d bytes, more than %d", a.method, n, most)
	}
	return a.err
}

func (a *arguments) append(b []byte, channel uint16) []byte {
	b, from := beginFrame(b, frameMethod, channel)
	b = binary.BigEndian.AppendUint32(b, uint32(a.method))
	return endFrame(append(b, a.b...), from)
}

// methodOf splits the payload of a method frame.
func methodOf(payload []byte) (method, []byte, error) {
	if len(payload) < 4 {
		return 0, nil, malformed("a method has %d bytes", len(payload))
	}
	return method(binary.BigEndian.Uint32(payload)), payload[4:], nil
}

// closing reads why the peer closes a channel or the connection.
func closing(arguments []byte) (*Error, error) {
	d := decoder{b: arguments}
	e := &Error{Code: int(d.uint16()), Reason: d.short()}
	d.uint32() // the method that was the cause
	if d.broken {
		return nil, malformed("a reason for closing can't be read")
	}
	return e, nil
}

func closeArguments(m method, code int, text string) *arguments {
	return argumentsOf(m).uint16(code).short("reason", text[:min(len(text), MaxShort)]).uint32(0)
}

func checkShort(what, s string) error {
	if len(s) > MaxShort {
		return fmt.Errorf("the %s has %d bytes, more than %d: %.40q", what, len(s), MaxShort, s)
	}
	return nil
}

func bit(is bool) byte {
	if is {
		return 1
	}
	return 0
}
