package nats

import (
	"log/slog"
	"os"
	"sync"

	natsgo "github.com/nats-io/nats.go"
)

// credentials are the credentials of a file, which is read again at each
// connect. If it can't be read, the old credentials stay in use.
type credentials struct {
	file string
	log  *slog.Logger

	mu   sync.Mutex // guards kept
	kept natsgo.Options
}

// option is a natsgo.Option.
func (c *credentials) option(o *natsgo.Options) error {
	o.UserJWT = func() (string, error) {
		now, err := c.now()
		if err != nil {
			return "", err
		}
		return now.UserJWT()
	}
	o.SignatureCB = func(nonce []byte) ([]byte, error) {
		now, err := c.now()
		if err != nil {
			return nil, err
		}
		return now.SignatureCB(nonce)
	}
	return nil
}

func (c *credentials) now() (natsgo.Options, error) {
	c.mu.Lock()
	defer c.mu.Unlock()
	read, err := c.read()
	switch {
	case err == nil:
		c.kept = read
	case c.kept.UserJWT == nil:
		return read, err
	default:
		c.log.Warn("the file of NATS credentials can't be read; what it held before goes on", "file", c.file, "error", err)
	}
	return c.kept, nil
}

// read returns the credentials in the file as the client's options.
func (c *credentials) read() (natsgo.Options, error) {
	var o natsgo.Options
	text, err := os.ReadFile(c.file)
	if err == nil {
		err = natsgo.UserCredentialBytes(text)(&o)
	}
	if err == nil {
		_, err = o.UserJWT()
	}
	if err == nil { // the client takes any text for a token
		_, err = o.SignatureCB([]byte("nonce"))
	}
	return o, err
}
