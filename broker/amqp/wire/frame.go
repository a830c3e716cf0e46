package wire

import (
	"bufio"
	"encoding/binary"
	"errors"
	"fmt"
	"io"
	"net"
	"os"
	"slices"
	"time"
)

// Kinds of frames and their parts (AMQP 0-9-1, 2.3.5 and 4.2.3).
const (
	frameMethod = 1
	frameHeader = 2 // the properties of a message
	frameBody   = 3
	frameBeat   = 8

	frameHead  = 7 // bytes: kind, channel, size
	frameEnd   = 0xce
	frameExtra = frameHead + 1 // bytes of a frame beside its payload

	minFrame = 4096 // bytes that every peer takes

	protocolHeader = "AMQP\x00\x00\x09\x01"
)

const readBuffer = 64 << 10 // bytes

// frame is the head of a frame.
type frame struct {
	kind    byte
	channel uint16
	size    int // of the payload
}

// frameReader reads frames: head, and then payload, body or skip. It is for one
// goroutine.
type frameReader struct {
	socket   net.Conn
	in       *bufio.Reader
	most     int           // bytes of the largest frame
	patience time.Duration // how long nothing may come; 0 is for ever

	used   int       // bytes of the payload that was handed out and is still in in
	large  []byte    // a payload that in can't hold
	looked time.Time // when the deadline was set last
}

func newFrameReader(socket net.Conn, most int) *frameReader {
	r := &frameReader{socket: socket, most: most}
	r.in = bufio.NewReaderSize(r, readBuffer)
	return r
}

// Read reads from the socket, for in.
func (r *frameReader) Read(p []byte) (int, error) {
	r.extendDeadline()
	return r.socket.Read(p)
}

// head reads the head of the next frame.
func (r *frameReader) head() (frame, error) {
	if err := r.release(); err != nil {
		return frame{}, err
	}
	b, err := r.in.Peek(frameHead)
	if err != nil {
		return frame{}, r.explain(err)
	}
	f := frame{kind: b[0], channel: binary.BigEndian.Uint16(b[1:])}
	size := binary.BigEndian.Uint32(b[3:])
	switch f.kind {
	case frameMethod, frameHeader, frameBody, frameBeat:
	case protocolHeader[0]:
		return f, malformed("the peer speaks another version of it: %q", b)
	default:
		return f, malformed("a frame has the unknown kind %d", f.kind)
	}
	if int64(size) > int64(r.most-frameExtra) {
		return f, malformed("a frame of %d bytes is larger than the agreed %d", int64(size)+frameExtra, r.most)
	}
	f.size = int(size)
	_, err = r.in.Discard(frameHead)
	return f, err
}

func (r *frameReader) release() error {
	_, err := r.in.Discard(r.used)
	r.used = 0
	return err
}

// payload reads the rest of a frame. It is valid until head is called again.
func (r *frameReader) payload(f frame) ([]byte, error) {
	b, err := r.rest(f.size + 1)
	if err != nil {
		return nil, r.explain(err)
	}
	if b[f.size] != frameEnd {
		return nil, errNoEnd
	}
	return b[:f.size], nil
}

func (r *frameReader) rest(n int) ([]byte, error) {
	if n <= r.in.Size() {
		b, err := r.in.Peek(n)
		r.used = len(b)
		return b, err
	}
	r.large = slices.Grow(r.large[:0], n)[:n]
	_, err := io.ReadFull(r.in, r.large)
	return r.large, err
}

// body appends the rest of a frame to b, without another copy.
func (r *frameReader) body(b []byte, f frame) ([]byte, error) {
	from := len(b)
	b = slices.Grow(b, f.size)[:from+f.size]
	if _, err := io.ReadFull(r.in, b[from:]); err != nil {
		return nil, r.explain(err)
	}
	return b, r.end()
}

// skip reads over the rest of a frame.
func (r *frameReader) skip(f frame) error {
	if _, err := r.in.Discard(f.size); err != nil {
		return r.explain(err)
	}
	return r.end()
}

var errNoEnd = malformed("a frame does not end where it should")

func (r *frameReader) end() error {
	b, err := r.in.ReadByte()
	if err != nil {
		return r.explain(err)
	}
	if b != frameEnd {
		return errNoEnd
	}
	return nil
}

// extendDeadline sets the deadline anew, now and then: that is not for nothing.
func (r *frameReader) extendDeadline() {
	if r.patience <= 0 {
		return
	}
	if now := time.Now(); now.Sub(r.looked) > r.patience/16 {
		r.looked = now
		_ = r.socket.SetReadDeadline(now.Add(r.patience)) // on a closed connection Read fails
	}
}

func (r *frameReader) explain(err error) error {
	switch {
	case errors.Is(err, os.ErrDeadlineExceeded):
		return fmt.Errorf("%w: %w", ErrSilent, err)
	case errors.Is(err, io.EOF), errors.Is(err, io.ErrUnexpectedEOF):
		return fmt.Errorf("the broker has closed the connection without a word: %w", io.ErrUnexpectedEOF)
	}
	return err
}

// beginFrame appends the head of a frame whose size endFrame fills in.
func beginFrame(b []byte, kind byte, channel uint16) ([]byte, int) {
	b = append(b, kind, byte(channel>>8), byte(channel), 0, 0, 0, 0)
	return b, len(b)
}

func endFrame(b []byte, from int) []byte {
	binary.BigEndian.PutUint32(b[from-4:], uint32(len(b)-from))
	return append(b, frameEnd)
}

func appendBeat(b []byte) []byte {
	b, from := beginFrame(b, frameBeat, 0)
	return endFrame(b, from)
}
