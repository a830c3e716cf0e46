package nats

import (
	"crypto/tls"
	"crypto/x509"
	"errors"
	"fmt"
	"log/slog"
	"net"
	"net/url"
	"strings"
	"time"

	natsgo "github.com/nats-io/nats.go"
)

// Config says which NATS server to use, and how. The zero value uses the local
// server on the default port.
type Config struct {
	// URL is the URL of the server, or the URLs of several servers of one cluster,
	// separated by commas. It may contain a user and a password. Default:
	// nats://127.0.0.1:4222.
	URL string

	// InProcess is a server in this process, such as an *embedded.Server. It makes
	// the connections in place of URL. Default: none.
	InProcess natsgo.InProcessConnProvider

	Name        string       // the name in the server's tools; default "enoki"
	Logger      *slog.Logger // default slog.Default()
	TLS         *tls.Config  // for tls:// and wss:// URLs; default the system's
	Credentials string       // the path of a .creds file with token and key; it is read at each connect

	// RootCAs returns the certificate authorities; it is called at each connect.
	// Default: nil, which leaves them to TLS.
	RootCAs func() (*x509.CertPool, error)

	// OnUnreachable gets the reason when an attempt to connect fails, in Dial or
	// later. It must not block. Default: none.
	OnUnreachable func(error)

	// Replicas is how many servers of a cluster keep each event. It is used when a
	// stream is created. Default: 3 on a cluster, otherwise 1.
	Replicas int

	// EventBytes is the most bytes that the events of one source may take. Each
	// source has a stream of its own. It is used when a stream is created. Default:
	// 256 MiB, or less if the server has no room for 16 streams of that size.
	EventBytes int64

	// DeadBytes is the most bytes that dead letters may take. It is used when their
	// stream is created. Default: 128 MiB, or less if there is little room.
	DeadBytes int64

	// LaterBytes is the most bytes that delayed events may take. It is used when
	// their stream is created. Default: 512 MiB, or less if there is little room.
	LaterBytes int64

	// AckWait is how long the broker waits for a sign of life from an instance that
	// has an event. Then it gives the event to another instance. It is used when a
	// consumer is created. Default: 15 s.
	AckWait time.Duration

	// requestAge is how long a request for events stays open on the broker.
	requestAge time.Duration

	// noSchedules treats the server as one without schedules.
	noSchedules bool

	// noPins treats the server as one that can't pin an instance.
	noPins bool
}

func (c Config) withDefaults() Config {
	if own, ok := c.InProcess.(interface{ URL() string }); ok && c.URL == "" {
		c.URL = own.URL() // with the password
	}
	if c.URL == "" {
		c.URL = natsgo.DefaultURL
	}
	if c.Name == "" {
		c.Name = "enoki"
	}
	if c.Logger == nil {
		c.Logger = slog.Default()
	}
	if c.DeadBytes == 0 {
		c.DeadBytes = defaultDeadBytes
	}
	if c.LaterBytes == 0 {
		c.LaterBytes = defaultLaterBytes
	}
	if c.AckWait == 0 {
		c.AckWait = 15 * time.Second
	}
	if c.OnUnreachable == nil {
		c.OnUnreachable = func(error) {}
	}
	if c.requestAge == 0 {
		c.requestAge = time.Minute
	}
	return c
}

func (c Config) check() error {
	switch {
	case c.Replicas < 0 || c.Replicas > 5:
		return errors.New("nats: Config.Replicas must be 1 to 5, or 0 for the default")
	case c.EventBytes != 0 && c.EventBytes < minEventBytes:
		return errors.New("nats: Config.EventBytes must be at least 1 MiB, or 0 for the default")
	case c.DeadBytes < minEventBytes:
		return errors.New("nats: Config.DeadBytes must be at least 1 MiB, or 0 for the default")
	case c.LaterBytes < minEventBytes:
		return errors.New("nats: Config.LaterBytes must be at least 1 MiB, or 0 for the default")
	case c.AckWait < time.Second:
		return errors.New("nats: Config.AckWait must be at least 1 s, or 0 for the default")
	case c.Credentials != "":
		if _, err := (&credentials{file: c.Credentials}).read(); err != nil {
			return fmt.Errorf("nats: credentials: %w", err)
		}
	}
	return nil
}

func (c Config) options() []natsgo.Option {
	opts := []natsgo.Option{natsgo.Name(c.Name)}
	if c.InProcess != nil {
		opts = append(opts, natsgo.InProcessServer(inProcess{c.InProcess}))
	}
	if c.TLS != nil {
		opts = append(opts, natsgo.Secure(c.TLS))
	}
	if c.RootCAs != nil {
		opts = append(opts, func(o *natsgo.Options) error { o.RootCAsCB = c.RootCAs; return nil })
	}
	if c.Credentials != "" {
		opts = append(opts, (&credentials{file: c.Credentials, log: c.Logger}).option)
	}
	return opts
}

// address returns the servers' address without passwords, for people.
func (c Config) address() string {
	if c.InProcess != nil {
		return "the server in this process"
	}
	servers := strings.Split(c.URL, ",")
	for i, server := range servers {
		servers[i] = redact(strings.TrimSpace(server))
	}
	return strings.Join(servers, ",")
}

// whereFrom says where to get the password of a server on this machine, which
// may run inside an Enoki program.
func (c Config) whereFrom(err error) string {
	u, parseErr := url.Parse(c.URL)
	if parseErr != nil || !errors.Is(err, natsgo.ErrAuthorization) {
		return ""
	}
	if ip := net.ParseIP(u.Hostname()); u.Hostname() != "localhost" && (ip == nil || !ip.IsLoopback()) {
		return ""
	}
	return "; the broker of an Enoki program of yours is found without a URL in the directory of its project, and `enoki broker list` prints the URL with its password"
}

func redact(server string) string {
	u, err := url.Parse(server)
	if err == nil && u.User != nil {
		if _, has := u.User.Password(); !has { // then the name is a token
			u.User = url.User("xxxxx")
		}
	}
	if err == nil {
		return u.Redacted()
	}
	if at := strings.LastIndexByte(server, '@'); at >= 0 {
		return "…" + server[at:]
	}
	return server
}

// clean removes URLs with a password from an error.
func (c Config) clean(err error) error {
	var parse *url.Error
	if errors.As(err, &parse) {
		return &url.Error{Op: parse.Op, URL: redact(parse.URL), Err: parse.Err}
	}
	return err
}
