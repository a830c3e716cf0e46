package amqp

import (
	"bytes"
	"compress/bzip2"
	"compress/zlib"
	"fmt"
	"io"

	"github.com/enoki-go/enoki/broker/amqp/wire"
	"github.com/enoki-go/enoki/internal/budget"
)

// kombu compresses bodies under names of its own and says so in a header. Its
// gzip is no file of that format but a zlib stream.
const (
	headerCompression = "compression"
	zlibType          = "application/x-gzip"
	bzip2Type         = "application/x-bz2"
)

// maxInflated is the most that a compressed body becomes, in bytes: what it may
// have without compression.
const maxInflated = maxMessage

// isDeflate tells whether name is one of kombu's for deflate.
func isDeflate(name string) bool { return name == "gzip" || name == "zlib" || name == zlibType }

func deflate(body []byte) []byte {
	var out bytes.Buffer
	w := zlib.NewWriter(&out)
	_, _ = w.Write(body) // a Buffer takes everything
	_ = w.Close()
	return out.Bytes()
}

// inflated returns the content type and the body of d as they were before its
// sender compressed them. A body that can't be read is left as it is, under
// the type of its compression, which no service accepts.
func inflated(d *wire.Delivery) (contentType string, body []byte) {
	compression, _ := d.Headers[headerCompression].(string)
	body, err := inflate(compression, d.Body)
	if err != nil {
		return compression, d.Body
	}
	return d.ContentType, body
}

// inflatedCost is how much memory it takes to handle a compressed d, about;
// 0 when it is not compressed, or refused. It inflates the body once without
// keeping it, since a small one may become any size.
func inflatedCost(d *wire.Delivery) int64 {
	compression, _ := d.Headers[headerCompression].(string)
	if compression == "" {
		return 0
	}
	r, err := inflating(compression, d.Body)
	if err != nil {
		return 0
	}
	n, err := io.Copy(io.Discard, r)
	if err != nil || n > maxInflated {
		return 0
	}
	return n * budget.Decoding
}

// inflating returns a reader of a body as it was before it was compressed, and
// of no more than shows that it is too large.
func inflating(compression string, body []byte) (io.Reader, error) {
	var r io.Reader = bytes.NewReader(body)
	switch compression {
	case zlibType:
		z, err := zlib.NewReader(r)
		if err != nil {
			return nil, err
		}
		r = z
	case bzip2Type:
		r = bzip2.NewReader(r)
	default:
		return nil, fmt.Errorf("compression is %q, want %s or %s", compression, zlibType, bzip2Type)
	}
	return io.LimitReader(r, maxInflated+1), nil
}

func inflate(compression string, body []byte) ([]byte, error) {
	if compression == "" {
		return body, nil
	}
	r, err := inflating(compression, body)
	if err != nil {
		return nil, err
	}
	n, err := io.Copy(io.Discard, r)
	switch {
	case err != nil:
		return nil, err
	case n > maxInflated:
		return nil, fmt.Errorf("the body has more than %d bytes", maxInflated)
	}
	if r, err = inflating(compression, body); err != nil {
		return nil, err
	}
	out := make([]byte, n)
	_, err = io.ReadFull(r, out)
	return out, err
}
