package web

import (
	"bufio"
	"bytes"
	"context"
	"encoding/json"
	"errors"
	"fmt"
	"io"
	"net"
	"strconv"
	"strings"

	"github.com/enoki-go/enoki/bench/document"
	"github.com/enoki-go/enoki/bench/harness"
)

// connections is how many clients post at once, each on a connection that is
// kept.
const connections = 64

const path = "/users/7434029/documents"

// dial returns the operation that posts a document and looks whether it came
// back.
func dial(_ context.Context, w *harness.Work) (harness.Operation, error) {
	d, err := document.New(w.Size)
	if err != nil {
		return nil, err
	}
	body, err := json.Marshal(d)
	if err != nil {
		return nil, err
	}
	c := NewClient(strings.TrimPrefix(w.Address, "http://"))
	request := Request("POST", path, body)
	return func(context.Context) error {
		return c.Do(request, func(status int, answer []byte) error {
			if status != 201 || !bytes.Equal(bytes.TrimSpace(answer), body) {
				return fmt.Errorf("answered with %d %s", status, answer)
			}
			return nil
		})
	}, nil
}

// Request returns the bytes of a request; body may be nil.
func Request(method, path string, body []byte) []byte {
	head := fmt.Sprintf("%s %s HTTP/1.1\r\nHost: bench\r\nAccept: application/json\r\n", method, path)
	if body != nil {
		head += fmt.Sprintf("Content-Type: application/json\r\nContent-Length: %d\r\n", len(body))
	}
	return append([]byte(head+"\r\n"), body...)
}

// Client sends requests whose bytes are ready and reads answers that have a
// length or come in chunks, no more: what it costs would hide what services
// cost. It may be used concurrently.
type Client struct {
	address string
	idle    chan *conn
}

// NewClient returns a client of the service that listens there.
func NewClient(address string) *Client {
	return &Client{address: address, idle: make(chan *conn, 1024)}
}

type conn struct {
	net.Conn
	in   *bufio.Reader
	body []byte
}

// Do sends a request and has check look at its answer, whose body is valid
// until check returns.
func (c *Client) Do(request []byte, check func(status int, body []byte) error) error {
	conn, err := c.take()
	if err != nil {
		return err
	}
	status, err := conn.exchange(request)
	if err != nil {
		return errors.Join(err, conn.Close())
	}
	err = check(status, conn.body)
	c.idle <- conn
	return err
}

func (c *Client) take() (*conn, error) {
	select {
	case conn := <-c.idle:
		return conn, nil
	default:
	}
	link, err := net.Dial("tcp", c.address)
	if err != nil {
		return nil, err
	}
	return &conn{Conn: link, in: bufio.NewReader(link)}, nil
}

func (c *conn) exchange(request []byte) (status int, err error) {
	if _, err := c.Write(request); err != nil {
		return 0, err
	}
	line, err := c.in.ReadSlice('\n')
	if err != nil {
		return 0, err
	}
	if len(line) < len("HTTP/1.1 201") {
		return 0, fmt.Errorf("an answer began with %q", line)
	}
	if status, err = strconv.Atoi(string(line[9:12])); err != nil {
		return 0, err
	}
	length, err := c.header()
	if err != nil {
		return 0, err
	}
	c.body = c.body[:0]
	if length >= 0 {
		return status, c.read(length)
	}
	return status, c.chunks()
}

var contentLength = []byte("content-length:")

// header returns the length of the body, or -1 when it comes in chunks.
func (c *conn) header() (length int, err error) {
	length = -1
	for {
		line, err := c.in.ReadSlice('\n')
		if err != nil {
			return 0, err
		}
		if len(line) <= len("\r\n") {
			return length, nil
		}
		if n := len(contentLength); len(line) > n && bytes.EqualFold(line[:n], contentLength) {
			if length, err = strconv.Atoi(string(bytes.TrimSpace(line[n:]))); err != nil {
				return 0, err
			}
		}
	}
}

func (c *conn) chunks() error {
	for {
		line, err := c.in.ReadSlice('\n')
		if err != nil {
			return err
		}
		n, err := strconv.ParseUint(string(bytes.TrimSpace(line)), 16, 31)
		if err != nil {
			return err
		}
		if err := c.read(int(n)); err != nil {
			return err
		}
		if _, err := c.in.Discard(len("\r\n")); n == 0 || err != nil {
			return err
		}
	}
}

// read appends n bytes to the body.
func (c *conn) read(n int) error {
	have := len(c.body)
	c.body = append(c.body, make([]byte, n)...)
	_, err := io.ReadFull(c.in, c.body[have:])
	return err
}
