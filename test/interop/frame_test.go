package interop_test

import (
	"bytes"
	"encoding/binary"
	"errors"
	"fmt"
	"math"
	"time"
)

// said is one AMQP method as it went over a connection, with its content if
// it has one.
type said struct {
	conn       int // number of the connection
	channel    int
	fromClient bool
	method     string // such as "basic.publish"
	args       map[string]any
	props      map[string]any // only those that are present; the table is "headers"
	body       []byte
}

// grammar names the arguments of the methods that the tests look at: s is a
// short string, w, l and q are integers of 2, 4 and 8 bytes, t is a table, and
// a list of names in [] are bits of one octet.
var grammar = map[[2]uint16]struct {
	name string
	args []string
}{
	{10, 31}:  {"connection.tune-ok", []string{"w channel-max", "l frame-max", "w heartbeat"}},
	{10, 40}:  {"connection.open", []string{"s vhost"}},
	{40, 10}:  {"exchange.declare", []string{"w", "s exchange", "s type", "[passive durable auto-delete internal no-wait]", "t arguments"}},
	{50, 10}:  {"queue.declare", []string{"w", "s queue", "[passive durable exclusive auto-delete no-wait]", "t arguments"}},
	{50, 20}:  {"queue.bind", []string{"w", "s queue", "s exchange", "s routing-key", "[no-wait]", "t arguments"}},
	{60, 10}:  {"basic.qos", []string{"l prefetch-size", "w prefetch-count", "[global]"}},
	{60, 20}:  {"basic.consume", []string{"w", "s queue", "s consumer-tag", "[no-local no-ack exclusive no-wait]", "t arguments"}},
	{60, 21}:  {"basic.consume-ok", []string{"s consumer-tag"}},
	{60, 40}:  {"basic.publish", []string{"w", "s exchange", "s routing-key", "[mandatory immediate]"}},
	{60, 50}:  {"basic.return", []string{"w reply-code", "s reply-text", "s exchange", "s routing-key"}},
	{60, 60}:  {"basic.deliver", []string{"s consumer-tag", "q delivery-tag", "[redelivered]", "s exchange", "s routing-key"}},
	{60, 80}:  {"basic.ack", []string{"q delivery-tag", "[multiple]"}},
	{60, 90}:  {"basic.reject", []string{"q delivery-tag", "[requeue]"}},
	{60, 120}: {"basic.nack", []string{"q delivery-tag", "[multiple requeue]"}},
	{85, 10}:  {"confirm.select", []string{"[no-wait]"}},
}

// properties of a content header, in the order of their flags from bit 15 on.
var properties = []string{
	"s content_type", "s content_encoding", "t headers", "o delivery_mode", "o priority", "s correlation_id",
	"s reply_to", "s expiration", "s message_id", "q timestamp", "s type", "s user_id", "s app_id", "s cluster_id",
}

// dialogue puts the frames of one direction of a connection together.
type dialogue struct {
	conn       int
	fromClient bool
	buffer     []byte
	greeted    bool
	open       map[uint16]*said // waits for its content, by channel
	missing    map[uint16]uint64
	tell       func(*said)
}

func newDialogue(conn int, fromClient bool, tell func(*said)) *dialogue {
	return &dialogue{conn: conn, fromClient: fromClient, greeted: !fromClient,
		open: map[uint16]*said{}, missing: map[uint16]uint64{}, tell: tell}
}

const protocolHeader = 8 // bytes, "AMQP" and the version, the client's first words

// read takes the next bytes of the direction.
func (d *dialogue) read(p []byte) error {
	d.buffer = append(d.buffer, p...)
	if !d.greeted {
		if len(d.buffer) < protocolHeader {
			return nil
		}
		d.greeted, d.buffer = true, d.buffer[protocolHeader:]
	}
	for len(d.buffer) >= 7 {
		size := int(binary.BigEndian.Uint32(d.buffer[3:7]))
		if len(d.buffer) < 7+size+1 {
			return nil
		}
		if err := d.frame(d.buffer[0], binary.BigEndian.Uint16(d.buffer[1:3]), d.buffer[7:7+size]); err != nil {
			return err
		}
		d.buffer = d.buffer[7+size+1:]
	}
	return nil
}

func (d *dialogue) frame(kind byte, channel uint16, payload []byte) error {
	switch kind {
	case 1:
		return d.method(channel, payload)
	case 2:
		return d.header(channel, payload)
	case 3:
		d.content(channel, payload)
	}
	return nil // heartbeats
}

func (d *dialogue) method(channel uint16, payload []byte) error {
	r := &fields{rest: payload}
	id := [2]uint16{r.uint16(), r.uint16()}
	rule, known := grammar[id]
	if !known {
		return r.err
	}
	s := &said{conn: d.conn, channel: int(channel), fromClient: d.fromClient, method: rule.name, args: map[string]any{}}
	for _, arg := range rule.args {
		r.argument(arg, s.args)
	}
	switch rule.name {
	case "basic.publish", "basic.deliver", "basic.return":
		d.open[channel] = s
	default:
		d.tell(s)
	}
	return r.err
}

func (d *dialogue) header(channel uint16, payload []byte) error {
	s := d.open[channel]
	if s == nil {
		return nil // of a basic.get, which nobody uses here
	}
	r := &fields{rest: payload}
	r.take(4) // class and weight
	size := r.uint64()
	flags := r.uint16()
	s.props = map[string]any{}
	for i, p := range properties {
		if flags&(1<<(15-i)) != 0 {
			r.argument(p, s.props)
		}
	}
	d.missing[channel] = size
	d.content(channel, nil)
	return r.err
}

func (d *dialogue) content(channel uint16, payload []byte) {
	s := d.open[channel]
	if s == nil {
		return
	}
	s.body = append(s.body, payload...)
	if uint64(len(s.body)) >= d.missing[channel] {
		delete(d.open, channel)
		d.tell(s)
	}
}

// fields reads AMQP's types from bytes; after an error it reads zeros.
type fields struct {
	rest []byte
	err  error
}

var errShort = errors.New("frame ends too early")

func (r *fields) take(n int) []byte {
	if n < 0 || n > len(r.rest) {
		r.err = errShort
		r.rest = nil
		return make([]byte, max(0, min(n, 1<<16)))
	}
	p := r.rest[:n]
	r.rest = r.rest[n:]
	return p
}

func (r *fields) uint16() uint16 { return binary.BigEndian.Uint16(r.take(2)) }
func (r *fields) uint32() uint32 { return binary.BigEndian.Uint32(r.take(4)) }
func (r *fields) uint64() uint64 { return binary.BigEndian.Uint64(r.take(8)) }
func (r *fields) short() string  { return string(r.take(int(r.take(1)[0]))) }
func (r *fields) long() string   { return string(r.take(int(r.uint32()))) }

// argument reads one argument of the grammar into args.
func (r *fields) argument(rule string, args map[string]any) {
	if names, bits := bytes.CutPrefix([]byte(rule), []byte("[")); bits {
		octet := r.take(1)[0]
		for i, name := range bytes.Fields(bytes.TrimSuffix(names, []byte("]"))) {
			args[string(name)] = octet&(1<<i) != 0
		}
		return
	}
	var value any
	switch rule[0] {
	case 's':
		value = r.short()
	case 'o':
		value = int64(r.take(1)[0])
	case 'w':
		value = int64(r.uint16())
	case 'l', 'L': // py-amqp writes the second, since RabbitMQ reads both alike
		value = int64(r.uint32())
	case 'q':
		value = int64(r.uint64())
	case 't':
		value = r.table()
	}
	if len(rule) > 2 {
		args[rule[2:]] = value
	}
}

func (r *fields) table() map[string]any {
	inner := &fields{rest: r.take(int(r.uint32()))}
	table := map[string]any{}
	for len(inner.rest) > 0 && inner.err == nil {
		key := inner.short()
		table[key] = inner.value()
	}
	if r.err == nil {
		r.err = inner.err
	}
	return table
}

// value reads a field of a table in RabbitMQ's dialect. Its Go type tells the
// type on the wire: int32 is I, int64 is l.
func (r *fields) value() any {
	switch kind := r.take(1)[0]; kind {
	case 't':
		return r.take(1)[0] != 0
	case 'b':
		return int8(r.take(1)[0])
	case 's':
		return int16(r.uint16())
	case 'I':
		return int32(r.uint32())
	case 'l', 'L': // py-amqp writes the second, since RabbitMQ reads both alike
		return int64(r.uint64())
	case 'f':
		return math.Float32frombits(r.uint32())
	case 'd':
		return math.Float64frombits(r.uint64())
	case 'S', 'x':
		return r.long()
	case 'T':
		return time.Unix(int64(r.uint64()), 0).UTC()
	case 'F':
		return r.table()
	case 'A':
		inner := &fields{rest: r.take(int(r.uint32()))}
		list := []any{}
		for len(inner.rest) > 0 && inner.err == nil {
			list = append(list, inner.value())
		}
		return list
	case 'V':
		return nil
	default:
		r.err = fmt.Errorf("field of type %q", kind)
		return nil
	}
}
