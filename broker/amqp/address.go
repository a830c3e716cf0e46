package amqp

import (
	"context"
	"crypto/tls"
	"crypto/x509"
	"errors"
	"fmt"
	"net"
	"net/url"
	"os"
	"strconv"
	"strings"
	"time"

	"github.com/rabbitmq/amqp091-go"
)

// address is where and as whom to connect.
type address struct {
	masked    string // the URL without the password, for people
	host      string // with the port
	user      string
	vhost     string
	sasl      []amqp091.Authentication
	heartbeat time.Duration // 0 when the URL does not say
	channels  uint16        // the most on one connection; 0 is the broker's default
	tls       *tls.Config   // nil without TLS
}

// parseAddress reads the URL. Its query parameters are RabbitMQ's: heartbeat,
// channel_max, auth_mechanism, cacertfile, certfile, keyfile and
// server_name_indication.
func parseAddress(raw string) (address, error) {
	if rest, ok := strings.CutPrefix(raw, "pyamqp://"); ok {
		raw = "amqp://" + rest
	}
	u, err := url.Parse(raw)
	if err != nil {
		// The text of a url.Error repeats the URL, and so the password.
		if parse, ok := errors.AsType[*url.Error](err); ok {
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
	a := address{
		masked: u.Redacted(), user: uri.Username, vhost: uri.Vhost, channels: uri.ChannelMax,
		host: net.JoinHostPort(uri.Host, strconv.Itoa(uri.Port)),
	}
	if s, err := strconv.Atoi(u.Query().Get("heartbeat")); err == nil { // ParseURI has refused what is no number
		a.heartbeat = time.Duration(s) * time.Second
	}
	if a.sasl, err = mechanisms(uri); err == nil && u.Scheme == "amqps" {
		a.tls, err = tlsOf(uri)
	}
	if err != nil {
		return address{}, fmt.Errorf("broker URL %s: %w", a.masked, err)
	}
	return a, nil
}

// mechanisms returns how to log in, the preferred first.
func mechanisms(uri amqp091.URI) ([]amqp091.Authentication, error) {
	if len(uri.AuthMechanism) == 0 {
		return []amqp091.Authentication{uri.PlainAuth()}, nil
	}
	var all []amqp091.Authentication
	for _, m := range uri.AuthMechanism {
		switch strings.ToUpper(m) {
		case "PLAIN":
			all = append(all, uri.PlainAuth())
		case "AMQPLAIN":
			all = append(all, uri.AMQPlainAuth())
		case "EXTERNAL":
			all = append(all, &amqp091.ExternalAuth{})
		default:
			return nil, fmt.Errorf("auth_mechanism is %q, want PLAIN, AMQPLAIN or EXTERNAL", m)
		}
	}
	return all, nil
}

// tlsOf returns the TLS settings of the URL.
func tlsOf(uri amqp091.URI) (*tls.Config, error) {
	c := &tls.Config{MinVersion: tls.VersionTLS12, ServerName: uri.ServerName}
	if uri.CACertFile != "" {
		pem, err := os.ReadFile(uri.CACertFile)
		if err != nil {
			return nil, fmt.Errorf("cacertfile: %w", err)
		}
		c.RootCAs = x509.NewCertPool()
		if !c.RootCAs.AppendCertsFromPEM(pem) {
			return nil, fmt.Errorf("cacertfile: no certificate in %s", uri.CACertFile)
		}
	}
	if uri.CertFile != "" || uri.KeyFile != "" {
		pair, err := tls.LoadX509KeyPair(uri.CertFile, uri.KeyFile)
		if err != nil {
			return nil, fmt.Errorf("certfile and keyfile: %w", err)
		}
		c.Certificates = []tls.Certificate{pair}
	}
	return c, nil
}

// connect makes the TCP connection and its TLS handshake; given goes before
// the TLS settings of the URL.
func (a *address) connect(ctx context.Context, given *tls.Config) (net.Conn, error) {
	var dialer net.Dialer
	conn, err := dialer.DialContext(ctx, "tcp", a.host)
	if err != nil || a.tls == nil {
		return conn, err
	}
	config := a.tls
	if given != nil {
		config = given
	}
	config = config.Clone()
	if config.ServerName == "" {
		config.ServerName, _, _ = net.SplitHostPort(a.host) // joined above
	}
	secure := tls.Client(conn, config)
	if err := secure.HandshakeContext(ctx); err != nil {
		_ = conn.Close()
		return nil, fmt.Errorf("TLS with %s: %w", a.host, err)
	}
	return secure, nil
}
