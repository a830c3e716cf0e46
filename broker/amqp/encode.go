package amqp

import (
	"encoding/binary"
	"fmt"
	"math"
	"reflect"
	"time"

	"github.com/rabbitmq/amqp091-go"

	"github.com/enoki-go/enoki/internal/contextdata"
)

// This file writes what is sent for each message: basic.publish with its
// properties and body, and what settles a delivery. AMQP 0-9-1 has the layout
// in 2.3.5 and 4.2; the types of fields are those of RabbitMQ.

const (
	frameMethod = 1
	frameBody   = 3
	frameEnd    = 0xce

	classBasic    = 60
	methodPublish = 40
	methodReturn  = 50
	methodDeliver = 60
	methodAck     = 80
	methodReject  = 90
	methodNack    = 120
)

// Further flags of a content header, beside those in frames.go.
const (
	flagDeliveryMode  = 0x1000
	flagPriority      = 0x0800
	flagCorrelationID = 0x0400
	flagReplyTo       = 0x0200
	flagExpiration    = 0x0100
	flagMessageID     = 0x0080
	flagTimestamp     = 0x0040
	flagType          = 0x0020
	flagUserID        = 0x0010
	flagAppID         = 0x0008
)

// beginFrame appends the head of a frame whose size endFrame fills in.
func beginFrame(b []byte, kind byte, channel uint16) ([]byte, int) {
	b = append(b, kind, byte(channel>>8), byte(channel), 0, 0, 0, 0)
	return b, len(b)
}

func endFrame(b []byte, from int) []byte {
	binary.BigEndian.PutUint32(b[from-4:], uint32(len(b)-from))
	return append(b, frameEnd)
}

func appendShort(b []byte, s string) []byte {
	return append(append(b, byte(len(s))), s...)
}

// appendPublish appends all frames of o, none larger than most bytes. check has
// found o fit for that.
func appendPublish(b []byte, channel uint16, o *outgoing, most int) []byte {
	b, from := beginFrame(b, frameMethod, channel)
	b = append(b, 0, classBasic, 0, methodPublish, 0, 0) // the last two are reserved
	b = appendShort(b, o.exchange)
	b = appendShort(b, o.key)
	b = append(b, bit(o.mandatory))
	b = endFrame(b, from)

	b, from = beginFrame(b, frameHeader, channel)
	b = append(b, 0, classBasic, 0, 0)
	b = binary.BigEndian.AppendUint64(b, uint64(len(o.msg.Body)))
	b = appendProperties(b, &o.msg, o.headers)
	b = endFrame(b, from)

	most -= frameHead + 1
	for body := o.msg.Body; len(body) > 0; {
		n := min(len(body), most)
		b, from = beginFrame(b, frameBody, channel)
		b = endFrame(append(b, body[:n]...), from)
		body = body[n:]
	}
	return b
}

func bit(is bool) byte {
	if is {
		return 1
	}
	return 0
}

// appendProperties appends the flags and the properties that are not empty.
func appendProperties(b []byte, m *amqp091.Publishing, headers []byte) []byte {
	at := len(b)
	b = append(b, 0, 0)
	var flags uint16
	text := func(flag uint16, s string) {
		if s != "" {
			flags |= flag
			b = appendShort(b, s)
		}
	}
	text(flagContentType, m.ContentType)
	text(flagContentEncoding, m.ContentEncoding)
	if len(headers) > 0 {
		flags |= flagHeaders
		b = binary.BigEndian.AppendUint32(b, uint32(len(headers)))
		b = append(b, headers...)
	}
	if m.DeliveryMode > 0 {
		flags |= flagDeliveryMode
		b = append(b, m.DeliveryMode)
	}
	if m.Priority > 0 {
		flags |= flagPriority
		b = append(b, m.Priority)
	}
	text(flagCorrelationID, m.CorrelationId)
	text(flagReplyTo, m.ReplyTo)
	text(flagExpiration, m.Expiration)
	text(flagMessageID, m.MessageId)
	if !m.Timestamp.IsZero() {
		flags |= flagTimestamp
		b = binary.BigEndian.AppendUint64(b, uint64(m.Timestamp.Unix()))
	}
	text(flagType, m.Type)
	text(flagUserID, m.UserId)
	text(flagAppID, m.AppId)
	binary.BigEndian.PutUint16(b[at:], flags)
	return b
}

// propertiesSize returns how many bytes of a frame all but the headers takes,
// or a few more.
func propertiesSize(m *amqp091.Publishing) int {
	const fixed = frameHead + 1 + 14 + 4 + 10 + 1 + 1 + 8 // class and size, the length of headers, a byte for each text, mode, priority, timestamp
	return fixed + len(m.ContentType) + len(m.ContentEncoding) + len(m.CorrelationId) + len(m.ReplyTo) + len(m.Expiration) +
		len(m.MessageId) + len(m.Type) + len(m.UserId) + len(m.AppId)
}

// appendSettle appends basic.ack, basic.nack or basic.reject.
func appendSettle(b []byte, channel uint16, method byte, tag uint64, bits byte) []byte {
	b, from := beginFrame(b, frameMethod, channel)
	b = append(b, 0, classBasic, 0, method)
	b = binary.BigEndian.AppendUint64(b, tag)
	return endFrame(append(b, bits), from)
}

// appendTable appends the fields of a table, without their length.
func appendTable(b []byte, t map[string]any, depth int) ([]byte, error) {
	if len(t) > maxElements {
		return nil, fmt.Errorf("the headers have a table of %d elements, more than %d", len(t), maxElements)
	}
	var err error
	for k, v := range t {
		if len(k) > maxShortString {
			return nil, fmt.Errorf("the header %.40q... has a name of %d bytes, more than %d", k, len(k), maxShortString)
		}
		if b, err = appendField(appendShort(b, k), v, depth); err != nil {
			return nil, err
		}
	}
	return b, nil
}

// appendList appends the elements of a list, without their length.
func appendList(b []byte, list []any, depth int) ([]byte, error) {
	if len(list) > maxElements {
		return nil, fmt.Errorf("the headers have a list of %d elements, more than %d", len(list), maxElements)
	}
	var err error
	for _, v := range list {
		if b, err = appendField(b, v, depth); err != nil {
			return nil, err
		}
	}
	return b, nil
}

// appendField appends a value with its type, as py-amqp does: an int takes 32
// bits if they suffice and else 64. The types that RabbitMQ's clients know
// beyond those of context data come from messages that are sent on.
func appendField(b []byte, v any, depth int) ([]byte, error) {
	if depth > maxDepth {
		return nil, fmt.Errorf("more than %d lists and maps in each other can't travel", maxDepth)
	}
	switch v := v.(type) {
	case nil:
		return append(b, 'V'), nil
	case bool:
		return append(b, 't', bit(v)), nil
	case string:
		b = binary.BigEndian.AppendUint32(append(b, 'S'), uint32(len(v)))
		return append(b, v...), nil
	case []byte:
		b = binary.BigEndian.AppendUint32(append(b, 'x'), uint32(len(v)))
		return append(b, v...), nil
	case int64:
		return appendInt(b, v), nil
	case float64:
		if err := checkFloat(v); err != nil {
			return nil, err
		}
		return binary.BigEndian.AppendUint64(append(b, 'd'), math.Float64bits(v)), nil
	case float32:
		if err := checkFloat(float64(v)); err != nil {
			return nil, err
		}
		return binary.BigEndian.AppendUint32(append(b, 'f'), math.Float32bits(v)), nil
	case time.Time:
		return binary.BigEndian.AppendUint64(append(b, 'T'), uint64(v.Unix())), nil
	case amqp091.Decimal:
		return binary.BigEndian.AppendUint32(append(b, 'D', v.Scale), uint32(v.Value)), nil
	case []any:
		b = append(b, 'A', 0, 0, 0, 0)
		from := len(b)
		b, err := appendList(b, v, depth+1)
		return withLength(b, from, err)
	case map[string]any:
		b = append(b, 'F', 0, 0, 0, 0)
		from := len(b)
		b, err := appendTable(b, v, depth+1)
		return withLength(b, from, err)
	case amqp091.Table:
		return appendField(b, map[string]any(v), depth)
	}
	switch v := reflect.ValueOf(v); v.Kind() {
	case reflect.Int, reflect.Int8, reflect.Int16, reflect.Int32:
		return appendInt(b, v.Int()), nil
	case reflect.Uint, reflect.Uint8, reflect.Uint16, reflect.Uint32, reflect.Uint64:
		if v.Uint() <= math.MaxInt64 {
			return appendInt(b, int64(v.Uint())), nil
		}
	}
	return nil, fmt.Errorf("a value of type %T can't travel; use bool, an integer of up to 64 bits with sign, float64, string, time.Time, []any or map[string]any", v)
}

// withLength fills in the length of what stands at from and later.
func withLength(b []byte, from int, err error) ([]byte, error) {
	if err == nil {
		binary.BigEndian.PutUint32(b[from-4:], uint32(len(b)-from))
	}
	return b, err
}

func appendInt(b []byte, n int64) []byte {
	if math.MinInt32 <= n && n <= math.MaxInt32 {
		return binary.BigEndian.AppendUint32(append(b, 'I'), uint32(n))
	}
	return binary.BigEndian.AppendUint64(append(b, 'l'), uint64(n))
}

// checkFloat refuses what RabbitMQ can't read: it would end the connection.
func checkFloat(v float64) error {
	if math.IsNaN(v) || math.IsInf(v, 0) {
		return fmt.Errorf("%v can't travel in a header", v)
	}
	return nil
}

// appendContext appends context data as headers: each key gets Nameko's
// prefix, a nil value is left out.
func appendContext(b []byte, context map[string]any) ([]byte, error) {
	if err := contextdata.CheckNesting(len(context), 0); err != nil {
		return nil, fmt.Errorf("context data %w", err)
	}
	var err error
	for k, v := range context {
		if v == nil {
			continue
		}
		k = contextdata.Text(k)
		if err := contextdata.CheckKey(k); err != nil {
			return nil, fmt.Errorf("context data: %w", err)
		}
		b = append(append(append(b, byte(len(contextPrefix)+len(k))), contextPrefix...), k...)
		if b, err = appendContextValue(b, v, 0); err != nil {
			return nil, fmt.Errorf("context data %q: %w", k, err)
		}
	}
	return b, nil
}

// appendContextValue appends a value of context data, which is the same on all
// brokers.
func appendContextValue(b []byte, v any, depth int) ([]byte, error) {
	switch v := v.(type) {
	case []any:
		return appendContextList(b, v, depth+1)
	case map[string]any:
		if !contextdata.IsAmbiguous(v) {
			return appendContextMap(b, v, depth+1)
		}
		b = append(b, 'F', 0, 0, 0, 0)
		from := len(b)
		b, err := appendContextMap(appendShort(b, contextdata.MapKey), v, depth+2)
		return withLength(b, from, err)
	}
	v, err := contextdata.Scalar(v)
	if err != nil {
		return nil, err
	}
	if special, ok := contextdata.Special(v); ok {
		v = special
	}
	return appendField(b, v, depth)
}

func appendContextList(b []byte, list []any, depth int) ([]byte, error) {
	err := contextdata.CheckNesting(len(list), depth)
	b = append(b, 'A', 0, 0, 0, 0)
	from := len(b)
	for _, v := range list {
		if err == nil {
			b, err = appendContextValue(b, v, depth)
		}
	}
	return withLength(b, from, err)
}

func appendContextMap(b []byte, m map[string]any, depth int) ([]byte, error) {
	err := contextdata.CheckNesting(len(m), depth)
	b = append(b, 'F', 0, 0, 0, 0)
	from := len(b)
	for k, v := range m {
		if v == nil {
			continue
		}
		k = contextdata.Text(k)
		if err == nil {
			err = contextdata.CheckKey(k)
		}
		if err == nil {
			b, err = appendContextValue(appendShort(b, k), v, depth)
		}
	}
	return withLength(b, from, err)
}
