package amqp

import (
	"cmp"
	"context"
	"crypto/tls"
	"crypto/x509"
	"errors"
	"fmt"
	"net"
	"net/url"
	"strconv"
	"strings"
	"time"

	"github.com/rabbitmq/amqp091-go"

	"github.com/enoki-go/enoki/internal/tlsfiles"
)

// address is where and as whom to connect.
type address struct {
	masked    string // the URL without the password, for people
	host      string // with the port
	who       string // as whom, for people
	vhost     string
	sasl      []amqp091.Authentication
	heartbeat time.Duration // 0 when the URL does not say
	channels  uint16        // the most on one connection; 0 is the broker's default
	tls       *tls.Config   // nil without TLS

	roots func() (*x509.CertPool, error) // of each connection; nil leaves them to tls
}

// address reads the URL and what belongs to it. The URL's query parameters are
// RabbitMQ's: heartbeat, channel_max, auth_mechanism, cacertfile, certfile,
// keyfile and server_name_indication.
func (c Config) address() (address, error) {
	raw := c.URL
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
		masked: u.Redacted(), vhost: uri.Vhost, channels: uri.ChannelMax,
		host: net.JoinHostPort(uri.Host, strconv.Itoa(uri.Port)),
	}
	if s, err := strconv.Atoi(u.Query().Get("heartbeat")); err == nil { // ParseURI has refused what is no number
		a.heartbeat = time.Duration(s) * time.Second
	}
	if u.Scheme == "amqps" {
		err = a.secure(c, uri)
	}
	if err == nil {
		err = a.logIn(uri, c.LoginMethod)
	}
	if err != nil {
		return address{}, fmt.Errorf("broker URL %s: %w", a.masked, err)
	}
	return a, nil
}

// logIn sets how to log in: as the URL says, the preferred first, or else by
// method.
func (a *address) logIn(uri amqp091.URI, method string) error {
	methods := uri.AuthMechanism
	if len(methods) == 0 {
		methods = []string{cmp.Or(method, "PLAIN")}
	}
	a.who = fmt.Sprintf("user %q", uri.Username)
	for _, m := range methods {
		switch strings.ToUpper(m) {
		case "PLAIN":
			a.sasl = append(a.sasl, uri.PlainAuth())
		case "AMQPLAIN":
			a.sasl = append(a.sasl, uri.AMQPlainAuth())
		case "EXTERNAL":
			a.sasl = append(a.sasl, &amqp091.ExternalAuth{})
		default:
			return fmt.Errorf("login method is %q, want PLAIN, AMQPLAIN or EXTERNAL", m)
		}
	}
	if strings.EqualFold(methods[0], "EXTERNAL") {
		if a.tls == nil || len(a.tls.Certificates) == 0 && a.tls.GetClientCertificate == nil {
			return errors.New("login method EXTERNAL shows a certificate: use the scheme amqps and give a certificate with its key")
		}
		a.who = "the user of the certificate"
	}
	return nil
}

// secure sets the TLS settings: those given, or else those of the URL.
func (a *address) secure(c Config, uri amqp091.URI) error {
	a.tls, a.roots = c.TLS, c.RootCAs
	if c.TLS == nil && c.RootCAs == nil {
		files := &tlsfiles.Files{CA: uri.CACertFile, Cert: uri.CertFile, Key: uri.KeyFile, Log: c.Logger}
		if _, err := files.Roots(); err != nil {
			return fmt.Errorf("cacertfile: %w", err)
		}
		if _, err := files.Certificate(); err != nil {
			return fmt.Errorf("certfile and keyfile: %w", err)
		}
		a.tls, a.roots = files.Client(), files.Roots
		a.tls.ServerName = uri.ServerName
	}
	if a.tls == nil {
		a.tls = &tls.Config{MinVersion: tls.VersionTLS12}
	}
	a.tls = a.tls.Clone()
	if a.tls.ServerName == "" {
		a.tls.ServerName = uri.Host
	}
	return nil
}

// tlsNow returns the TLS settings of a connection that is made now.
func (a *address) tlsNow() (*tls.Config, error) {
	if a.roots == nil {
		return a.tls, nil
	}
	roots, err := a.roots()
	if err != nil {
		return nil, err
	}
	config := a.tls.Clone()
	config.RootCAs = roots
	return config, nil
}

// connect makes the TCP connection and its TLS handshake.
func (a *address) connect(ctx context.Context) (net.Conn, error) {
	var dialer net.Dialer
	conn, err := dialer.DialContext(ctx, "tcp", a.host)
	if err != nil || a.tls == nil {
		return conn, err
	}
	config, err := a.tlsNow()
	if err != nil {
		_ = conn.Close()
		return nil, err
	}
	secure := tls.Client(conn, config)
	if err := secure.HandshakeContext(ctx); err != nil {
		_ = conn.Close()
		return nil, fmt.Errorf("TLS with %s: %w", a.host, err)
	}
	return secure, nil
}
