package amqp

import (
	"errors"
	"fmt"
	"net/url"
	"strings"

	"github.com/rabbitmq/amqp091-go"
)

// address is where and as whom to connect.
type address struct {
	url    string // with the password: for the client library only
	masked string // for people
	user   string
	vhost  string
}

func parseAddress(raw string) (address, error) {
	if rest, ok := strings.CutPrefix(raw, "pyamqp://"); ok {
		raw = "amqp://" + rest
	}
	u, err := url.Parse(raw)
	if err != nil {
		// The text of a url.Error repeats the URL, and so the password.
		var parse *url.Error
		if errors.As(err, &parse) {
			err = parse.Err
		}
		return address{}, fmt.Errorf("broker URL can't be read: %w (reserved characters of user and password must be percent-encoded)", err)
	}
	if u.Scheme != "amqp" && u.Scheme != "amqps" {
		return address{}, fmt.Errorf("broker URL %s: scheme is %q, want amqp, amqps or pyamqp", u.Redacted(), u.Scheme)
	}
	uri, err := amqp091.ParseURI(raw)
	if err != nil {
		return address{}, fmt.Errorf("broker URL %s: %w", u.Redacted(), err)
	}
	return address{url: raw, masked: u.Redacted(), user: uri.Username, vhost: uri.Vhost}, nil
}
