package amqp

import (
	"bytes"
	"compress/bzip2"
	"compress/zlib"
	"fmt"
	"io"

	"github.com/rabbitmq/amqp091-go"
)

// kombu compresses bodies under names of its own and says so in a header. Its
// gzip is no file of that format but a zlib stream.
const (
	headerCompression = "compression"
	zlibType          = "application/x-gzip"
	bzip2Type         = "application/x-bz2"
)

// maxInflated is the most that a compressed body becomes, in bytes: a small
// one could fill the memory otherwise.
const maxInflated = 4 * maxMessage

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
func inflated(d *amqp091.Delivery) (contentType string, body []byte) {
	compression, _ := d.Headers[headerCompression].(string)
	body, err := inflate(compression, d.Body)
	if err != nil {
		return compression, d.Body
	}
	return d.ContentType, body
}

func inflate(compression string, body []byte) ([]byte, error) {
	var r io.Reader = bytes.NewReader(body)
	switch compression {
	case "":
		return body, nil
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
	out, err := io.ReadAll(io.LimitReader(r, maxInflated+1))
	if err == nil && len(out) > maxInflated {
		err = fmt.Errorf("the body has more than %d bytes", maxInflated)
	}
	return out, err
}
