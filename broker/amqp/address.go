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
	"slices"
	"strconv"
	"strings"
	"time"

	"github.com/enoki-go/enoki/broker/amqp/wire"
	"github.com/enoki-go/enoki/internal/tlsfiles"
)

// address is where and as whom to connect.
type address struct {
	masked    string   // the URL without the password, for people
	hosts     []string // of one cluster, each with its port
	who       string   // as whom, for people
	vhost     string
	logins    []wire.Login  // the preferred first
	heartbeat time.Duration // 0 when the URL does not say
	channels  uint16        // the most on one connection; 0 is the broker's default
	tls       *tls.Config   // nil without TLS

	roots func() (*x509.CertPool, error) // of each connection; nil leaves them to tls
}

// address reads the URL and what belongs to it. The URL's query parameters are
// RabbitMQ's: heartbeat, channel_max, auth_mechanism, cacertfile, certfile,
// keyfile and server_name_indication.
func (c Config) address() (address, error) {
	urls := urlsOf(c.URL)
	first, a, err := c.readURL(urls[0])
	if err != nil || len(urls) == 1 {
		return a, err
	}
	hosts := []string{first.Host}
	for _, text := range urls[1:] {
		u, one, err := c.readURL(text)
		if err != nil {
			return address{}, err
		}
		hosts, a.hosts = append(hosts, u.Host), append(a.hosts, one.hosts...)
		if u.Host = first.Host; u.String() != first.String() {
			return address{}, fmt.Errorf("broker URL %s: it differs from that of %s in more than the host: "+
				"give all hosts of a cluster the same scheme, user, password, vhost and parameters", one.masked, a.hosts[0])
		}
	}
	if slices.Contains(hosts, "") {
		return address{}, fmt.Errorf("broker URL %s: one of its hosts has no name", a.masked)
	}
	first.Host = strings.Join(hosts, ",")
	a.masked = first.Redacted()
	return a, nil
}

// urlsOf returns a URL for each host: of amqp://user@a:1,b:2/vhost, or of kombu's
// form, whole URLs with semicolons between.
func urlsOf(text string) []string {
	var urls []string
	for one := range strings.SplitSeq(text, ";") {
		scheme, rest, found := strings.Cut(strings.TrimSpace(one), "://")
		if !found {
			urls = append(urls, one)
			continue
		}
		if scheme == "pyamqp" {
			scheme = "amqp"
		}
		end := len(rest)
		if i := strings.IndexAny(rest, "/?#"); i >= 0 {
			end = i
		}
		at := strings.LastIndexByte(rest[:end], '@') + 1
		for host := range strings.SplitSeq(rest[at:end], ",") {
			urls = append(urls, scheme+"://"+rest[:at]+strings.TrimSpace(host)+rest[end:])
		}
	}
	return urls
}

// readURL reads the URL of one host.
func (c Config) readURL(raw string) (*url.URL, address, error) {
	u, err := url.Parse(raw)
	if err != nil {
		// The text of a url.Error repeats the URL, and so the password.
		if parse, ok := errors.AsType[*url.Error](err); ok {
			err = parse.Err
		}
		return nil, address{}, fmt.Errorf("broker URL can't be read: %w (reserved characters of user and password must be percent-encoded)", err)
	}
	if u.Scheme != "amqp" && u.Scheme != "amqps" {
		return nil, address{}, fmt.Errorf("broker URL %s: scheme is %q, want amqp, amqps or pyamqp", u.Redacted(), u.Scheme)
	}
	port := "5672"
	if u.Scheme == "amqps" {
		port = "5671"
	}
	a := address{
		masked: u.Redacted(), vhost: cmp.Or(strings.TrimPrefix(u.Path, "/"), "/"),
		hosts: []string{net.JoinHostPort(cmp.Or(u.Hostname(), "localhost"), cmp.Or(u.Port(), port))},
	}
	params := u.Query()
	err = a.bound(params)
	if err == nil && u.Scheme == "amqps" {
		err = a.secure(c, params)
	}
	if err == nil {
		err = a.logIn(u.User, cmp.Or(strings.Join(params["auth_mechanism"], " "), c.LoginMethod, "PLAIN"))
	}
	if err != nil {
		return nil, address{}, fmt.Errorf("broker URL %s: %w", a.masked, err)
	}
	return u, a, nil
}

// bound reads the parameters that are numbers of 16 bits.
func (a *address) bound(params url.Values) error {
	var heartbeat, channels uint16
	for name, to := range map[string]*uint16{"heartbeat": &heartbeat, "channel_max": &channels} {
		if text := params.Get(name); params.Has(name) {
			n, err := strconv.ParseUint(text, 10, 16)
			if err != nil {
				return fmt.Errorf("%s is %q, want a number up to 65535", name, text)
			}
			*to = uint16(n)
		}
	}
	a.heartbeat, a.channels = time.Duration(heartbeat)*time.Second, channels
	return nil
}

// logIn sets how to log in: by methods, the preferred first, with spaces
// between. RabbitMQ has a user guest with that password where nothing else is
// set up.
func (a *address) logIn(who *url.Userinfo, methods string) error {
	user, password := "guest", "guest"
	if who != nil {
		user = who.Username()
		if given, ok := who.Password(); ok {
			password = given
		}
	}
	a.who = fmt.Sprintf("user %q", user)
	for _, m := range strings.Fields(methods) {
		switch strings.ToUpper(m) {
		case "PLAIN":
			a.logins = append(a.logins, wire.Plain(user, password))
		case "AMQPLAIN":
			a.logins = append(a.logins, wire.AMQPlain(user, password))
		case "EXTERNAL":
			a.logins = append(a.logins, wire.External())
		default:
			return fmt.Errorf("login method is %q, want PLAIN, AMQPLAIN or EXTERNAL", m)
		}
	}
	if a.logins[0].Mechanism() == "EXTERNAL" {
		if a.tls == nil || len(a.tls.Certificates) == 0 && a.tls.GetClientCertificate == nil {
			return errors.New("login method EXTERNAL shows a certificate: use the scheme amqps and give a certificate with its key")
		}
		a.who = "the user of the certificate"
	}
	return nil
}

// secure sets the TLS settings: those given, or else those of the URL.
func (a *address) secure(c Config, params url.Values) error {
	a.tls, a.roots = c.TLS, c.RootCAs
	if c.TLS == nil && c.RootCAs == nil {
		files := &tlsfiles.Files{CA: params.Get("cacertfile"), Cert: params.Get("certfile"), Key: params.Get("keyfile"), Log: c.Logger}
		if _, err := files.Roots(); err != nil {
			return fmt.Errorf("cacertfile: %w", err)
		}
		if _, err := files.Certificate(); err != nil {
			return fmt.Errorf("certfile and keyfile: %w", err)
		}
		a.tls, a.roots = files.Client(), files.Roots
		a.tls.ServerName = params.Get("server_name_indication")
	}
	if a.tls == nil {
		a.tls = &tls.Config{MinVersion: tls.VersionTLS12}
	}
	a.tls = a.tls.Clone()
	return nil
}

// tlsNow returns the TLS settings of a connection that is made to a host now.
func (a *address) tlsNow(host string) (*tls.Config, error) {
	config := a.tls.Clone()
	if config.ServerName == "" {
		config.ServerName, _, _ = net.SplitHostPort(host)
	}
	if a.roots == nil {
		return config, nil
	}
	var err error
	config.RootCAs, err = a.roots()
	return config, err
}

// connect makes the TCP connection to a host, and its TLS handshake.
func (a *address) connect(ctx context.Context, host string) (net.Conn, error) {
	var dialer net.Dialer
	conn, err := dialer.DialContext(ctx, "tcp", host)
	if err != nil || a.tls == nil {
		return conn, err
	}
	config, err := a.tlsNow(host)
	if err != nil {
		_ = conn.Close()
		return nil, err
	}
	secure := tls.Client(conn, config)
	if err := secure.HandshakeContext(ctx); err != nil {
		_ = conn.Close()
		return nil, fmt.Errorf("TLS with %s: %w", host, err)
	}
	return secure, nil
}
