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

// Config says which NATS to use, and how. The zero value uses the one on the
// local default port.
type Config struct {
	// URL of the server, or of several of one cluster, separated by commas;
	// may contain user and password. Default nats://127.0.0.1:4222.
	URL string

	// InProcess is a server in this process, for example an
	// *embedded.Server, that makes the connections instead of URL.
	InProcess natsgo.InProcessConnProvider

	Name        string       // shown by the server's tools; default "enoki"
	Logger      *slog.Logger // default slog.Default()
	TLS         *tls.Config  // for tls:// and wss:// URLs; default the system's
	Credentials string       // path of a .creds file with token and key, read at each connect

	// RootCAs is asked for the authorities at each connect; nil leaves them
	// to TLS.
	RootCAs func() (*x509.CertPool, error)

	// OnUnreachable is told why an attempt of Dial or of a later connect
	// failed. It must not block. Default: nobody is told.
	OnUnreachable func(error)

	// Replicas is how many servers of a cluster keep each event. Default 3 on
	// a cluster, otherwise 1. It is used when the streams are created.
	Replicas int

	// EventBytes is the most that the events of one source may take, which have
	// a stream of their own. Used when a stream is created. Default 256 MiB, or
	// less where the server has not room for 16 of that size.
	EventBytes int64

	// DeadBytes is the most that dead letters may take. Used when their stream
	// is created. Default 128 MiB, or less where there is little room.
	DeadBytes int64

	// LaterBytes is the most that events which are due later may take. Default
	// 512 MiB, or less where there is little room. What was set when their
	// stream was made counts for all.
	LaterBytes int64

	// AckWait is how long the broker waits for a sign of life from an
	// instance that has an event, before it gives the event to another one.
	// Used when a consumer is created. Default 15 s.
	AckWait time.Duration

	// requestAge is how long a request for events stays open on the broker.
	requestAge time.Duration

	// noSchedules makes do as with a server that has no schedules.
	noSchedules bool

	// noPins makes do as with a server that can't pin an instance.
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

// address is where we connect to, fit to be shown: without passwords.
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

// whereFrom tells of where the password of a server on this machine is to be
// had, which may be one inside an Enoki program.
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

// clean takes out of an error what it quotes of a URL with a password.
func (c Config) clean(err error) error {
	var parse *url.Error
	if errors.As(err, &parse) {
		return &url.Error{Op: parse.Op, URL: redact(parse.URL), Err: parse.Err}
	}
	return err
}
