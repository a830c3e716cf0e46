package nats

import (
	"encoding/binary"
	"fmt"
	"log/slog"

	natsgo "github.com/nats-io/nats.go"

	"github.com/enoki-go/enoki/broker"
	"github.com/enoki-go/enoki/internal/contextdata"
)

// A frame is a call or reply without NATS headers. What they would say stands
// before the body. Headers cost the client, the server and the service more
// than everything else that Enoki adds to a call.
//
// A frame is frameMark, then id, content type and context data, each after its
// length as a uvarint, then the body. Neither UTF-8 text nor MessagePack begins
// with the byte frameMark.
const frameMark = 0xC1

func appendFrame(b []byte, m *broker.Message) ([]byte, error) {
	b = append(b, frameMark)
	b = appendPart(b, m.ID)
	b = appendPart(b, m.ContentType)
	if len(m.Context) == 0 {
		b = append(b, 0)
		return append(b, m.Body...), nil
	}
	var room [256]byte
	text, err := contextdata.Append(room[:0], m.Context)
	if err != nil {
		return b, fmt.Errorf("%w: context data %w", broker.ErrInvalid, err)
	}
	b = appendPart(b, text)
	return append(b, m.Body...), nil
}

func appendPart[T string | []byte](b []byte, part T) []byte {
	b = binary.AppendUvarint(b, uint64(len(part)))
	return append(b, part...)
}

// readFrame reads a frame. It returns nil if msg is something else.
func readFrame(msg *natsgo.Msg, log *slog.Logger) *broker.Message {
	if !isFrame(msg) {
		return nil
	}
	var parts [3][2]int // begin and end of each part in msg.Data
	at := 1
	for i := range parts {
		size, n := binary.Uvarint(msg.Data[at:])
		if n <= 0 || size > uint64(len(msg.Data)-at-n) {
			return nil
		}
		parts[i] = [2]int{at + n, at + n + int(size)}
		at = parts[i][1]
	}
	head := string(msg.Data[:at]) // one copy for all parts
	part := func(i int) string { return head[parts[i][0]:parts[i][1]] }
	m := &broker.Message{ID: part(0), ContentType: part(1), Body: msg.Data[at:], Attempt: 1}
	m.Context = readContext(msg, part(2), log)
	return m
}

func isFrame(msg *natsgo.Msg) bool { return len(msg.Data) > 0 && msg.Data[0] == frameMark }

// takesFrame reports whether the sender of a request wants a frame as its
// reply.
func takesFrame(request *natsgo.Msg) bool {
	return isFrame(request) || headerOf(request, frameHeader) != ""
}

// maxSpareBuffer is the largest buffer that is kept for the next frame.
const maxSpareBuffer = 64 << 10

// buffer returns a buffer for a frame.
func (d *Driver) buffer() *[]byte { return d.buffers.Get().(*[]byte) }

// free takes back a buffer that nobody reads any more. NATS's client copies
// what it publishes.
func (d *Driver) free(b *[]byte) {
	if cap(*b) <= maxSpareBuffer {
		*b = (*b)[:0]
		d.buffers.Put(b)
	}
}
