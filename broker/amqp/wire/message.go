package wire

import (
	"encoding/binary"
	"fmt"
	"time"
)

// Message is a message with its properties, of which the zero value is left
// out (AMQP 0-9-1, 1.8.1).
type Message struct {
	ContentType     string
	ContentEncoding string
	Headers         Table
	DeliveryMode    uint8 // Transient or Persistent
	Priority        uint8
	CorrelationID   string
	ReplyTo         string
	Expiration      string // in ms
	MessageID       string
	Timestamp       time.Time // in seconds
	Type            string
	UserID          string
	AppID           string

	Body []byte
}

// The delivery modes.
const (
	Transient  uint8 = 1
	Persistent uint8 = 2
)

// Flags of the properties, in their order in a content header (AMQP 0-9-1,
// 4.2.6.1).
const (
	flagContentType     = 0x8000
	flagContentEncoding = 0x4000
	flagHeaders         = 0x2000
	flagDeliveryMode    = 0x1000
	flagPriority        = 0x0800
	flagCorrelationID   = 0x0400
	flagReplyTo         = 0x0200
	flagExpiration      = 0x0100
	flagMessageID       = 0x0080
	flagTimestamp       = 0x0040
	flagType            = 0x0020
	flagUserID          = 0x0010
	flagAppID           = 0x0008
)

// Publishing is a message on its way to an exchange.
type Publishing struct {
	Exchange   string // empty leads to the queue that RoutingKey names
	RoutingKey string
	Mandatory  bool // to be returned when no queue takes it

	Message *Message
	Headers []byte // the message's, by AppendTable; those in Message are not read
}

// Check returns why a connection with frames of the given size can't carry p.
func (p *Publishing) Check(frame int) error {
	m := p.Message
	for _, property := range [...]struct{ name, text string }{
		{"exchange", p.Exchange}, {"routing key", p.RoutingKey}, {"correlation id", m.CorrelationID},
		{"reply_to", m.ReplyTo}, {"message id", m.MessageID}, {"content type", m.ContentType},
		{"content encoding", m.ContentEncoding}, {"type", m.Type}, {"user id", m.UserID}, {"app id", m.AppID}, {"expiration", m.Expiration},
	} {
		if len(property.text) > MaxShort {
			return checkShort(property.name, property.text)
		}
	}
	return p.CheckHeaders(frame)
}

// CheckHeaders returns an error if the headers do not fit into a frame with the
// other properties.
func (p *Publishing) CheckHeaders(frame int) error {
	if n, most := len(p.Headers), frame-propertiesSize(p.Message); n > most {
		return fmt.Errorf("the headers have %d bytes, more than %d", n, most)
	}
	return nil
}

// propertiesSize returns how many bytes of a frame all but the headers takes,
// or a few more.
func propertiesSize(m *Message) int {
	const fixed = frameExtra + 14 + 4 + 10 + 1 + 1 + 8 // class and size, the length of headers, a byte for each text, mode, priority, timestamp
	return fixed + len(m.ContentType) + len(m.ContentEncoding) + len(m.CorrelationID) + len(m.ReplyTo) + len(m.Expiration) +
		len(m.MessageID) + len(m.Type) + len(m.UserID) + len(m.AppID)
}

// append appends all frames of p, none larger than most bytes.
func (p *Publishing) append(b []byte, channel uint16, most int) []byte {
	b, from := beginFrame(b, frameMethod, channel)
	b = append(b, 0, classBasic, 0, byte(basicPublish&0xff), 0, 0) // the last two are reserved
	b = AppendShort(b, p.Exchange)
	b = AppendShort(b, p.RoutingKey)
	b = append(b, bit(p.Mandatory))
	b = endFrame(b, from)

	b, from = beginFrame(b, frameHeader, channel)
	b = append(b, 0, classBasic, 0, 0)
	b = binary.BigEndian.AppendUint64(b, uint64(len(p.Message.Body)))
	b = p.Message.appendProperties(b, p.Headers)
	b = endFrame(b, from)

	most -= frameExtra
	for body := p.Message.Body; len(body) > 0; {
		n := min(len(body), most)
		b, from = beginFrame(b, frameBody, channel)
		b = endFrame(append(b, body[:n]...), from)
		body = body[n:]
	}
	return b
}

// appendProperties appends the flags and the properties that are not empty.
func (m *Message) appendProperties(b, headers []byte) []byte {
	at := len(b)
	b = append(b, 0, 0)
	var flags uint16
	text := func(flag uint16, s string) {
		if s != "" {
			flags |= flag
			b = AppendShort(b, s)
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
	text(flagCorrelationID, m.CorrelationID)
	text(flagReplyTo, m.ReplyTo)
	text(flagExpiration, m.Expiration)
	text(flagMessageID, m.MessageID)
	if !m.Timestamp.IsZero() {
		flags |= flagTimestamp
		b = binary.BigEndian.AppendUint64(b, uint64(m.Timestamp.Unix()))
	}
	text(flagType, m.Type)
	text(flagUserID, m.UserID)
	text(flagAppID, m.AppID)
	binary.BigEndian.PutUint16(b[at:], flags)
	return b
}

// properties reads a content header and returns the size of the body. Headers
// that can't be decoded are left out as a whole, and then whole is false: one
// message of a stranger must not end a connection, for it would come again on
// the next one.
func (d *decoder) properties(m *Message) (size uint64, whole bool) {
	d.take(4) // class and weight
	size = d.uint64()
	flags := d.uint16()
	has := func(flag uint16) bool { return flags&flag != 0 }
	whole = true
	if has(flagContentType) {
		m.ContentType = d.name()
	}
	if has(flagContentEncoding) {
		m.ContentEncoding = d.name()
	}
	if has(flagHeaders) {
		fields := decoder{b: d.long(), names: d.names}
		m.Headers = fields.table(0)
		if whole = !fields.broken; !whole {
			m.Headers = nil
		}
	}
	if has(flagDeliveryMode) {
		m.DeliveryMode = d.uint8()
	}
	if has(flagPriority) {
		m.Priority = d.uint8()
	}
	if has(flagCorrelationID) {
		m.CorrelationID = d.short()
	}
	if has(flagReplyTo) {
		m.ReplyTo = d.short()
	}
	if has(flagExpiration) {
		m.Expiration = d.short()
	}
	if has(flagMessageID) {
		m.MessageID = d.short()
	}
	if has(flagTimestamp) {
		m.Timestamp = time.Unix(int64(d.uint64()), 0)
	}
	if has(flagType) {
		m.Type = d.name()
	}
	if has(flagUserID) {
		m.UserID = d.name()
	}
	if has(flagAppID) {
		m.AppID = d.name()
	}
	return size, whole && !d.broken
}
