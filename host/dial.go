package host

import (
	"context"
	"crypto/tls"
	"crypto/x509"
	"errors"
	"fmt"
	"log/slog"
	"net/url"
	"strconv"
	"strings"
	"time"

	"github.com/enoki-go/enoki"
	"github.com/enoki-go/enoki/broker"
	"github.com/enoki-go/enoki/broker/amqp"
	"github.com/enoki-go/enoki/broker/memory"
	"github.com/enoki-go/enoki/broker/nats"
	"github.com/enoki-go/enoki/entrypoint"
)

// Dialer connects to the broker that a URL names. The zero value is useful. The
// comment of each field ends with its default. A Dialer may be used
// concurrently.
type Dialer struct {
	Logger *slog.Logger // default slog.Default()

	// Name is the name in the broker's own tools. On RabbitMQ it is also part of
	// the name of the reply queue. Default: the driver's.
	Name string

	// StoreDir is the directory for the files of the embedded broker. Default:
	// StoreDir().
	StoreDir string

	TLS         *tls.Config   // for URLs that ask for TLS. Default: the system's authorities
	Credentials string        // NATS: the path of a .creds file. Default: none
	Replicas    int           // NATS: see nats.Config. Default: 3 on a cluster, otherwise 1
	EventBytes  int64         // NATS: see nats.Config. Default: 256 MiB for each source
	DeadBytes   int64         // NATS: see nats.Config. Default: 128 MiB
	LaterBytes  int64         // NATS: see nats.Config. Default: 512 MiB
	RPCExchange string        // RabbitMQ: see amqp.Config. Default: nameko-rpc
	Heartbeat   time.Duration // RabbitMQ: see amqp.Config. Default: 60 s
	LoginMethod string        // RabbitMQ: see amqp.Config. Default: PLAIN
	QueueType   string        // RabbitMQ: see amqp.Config. Default: the vhost's

	Memory *entrypoint.Memory // RabbitMQ: see amqp.Config. Default: no bound

	AutoDeleteEvents, EventsUndeclared bool // RabbitMQ: see amqp.Config. Default: false

	// RootCAs returns the certificate authorities; it is called at each connect.
	// Default: those of TLS.
	RootCAs func() (*x509.CertPool, error)

	// OnUnreachable gets the reason when an attempt to connect fails, in Dial or
	// later. It must not block. Default: none.
	OnUnreachable func(error)

	race time.Duration // see raceTimeout, the default
}

// Dial connects with a Dialer that only has a logger. If log is nil, it is
// slog.Default().
func Dial(ctx context.Context, url string, log *slog.Logger) (broker.Broker, error) {
	return (&Dialer{Logger: log}).Dial(ctx, url)
}

// Dial connects to the broker that the URL names, by its scheme:
//
//	nats, tls            NATS; several servers of a cluster with commas between
//	ws, wss              NATS over WebSockets, for where only HTTP gets through
//	amqp, amqps, pyamqp  RabbitMQ; several hosts of a cluster with commas between
//	embedded             a NATS server in this process; embedded:?dir=DIR&port=N
//	                     says where it keeps its files and listens on 127.0.0.1;
//	                     an error in a program built with -tags noembedded
//	memory               a broker in this process that nobody else can reach
//	no URL               the embedded broker of this project (see StoreDir). If
//	                     another process runs it already, this one connects to
//	                     it, and takes over when that process ends, unless a
//	                     third one is faster. Otherwise this process runs it
//
// It blocks until the broker accepts the link or ctx ends. A refusal is an
// error at once. If the URL is wrong, the error has the code invalid_argument.
// No error contains a password. To close the broker also shuts the embedded
// server down, as the last step.
func (d *Dialer) Dial(ctx context.Context, brokerURL string) (broker.Broker, error) {
	scheme, err := checkURL(brokerURL)
	if err != nil {
		return nil, enoki.Errorf(enoki.InvalidArgument, "%w", err)
	}
	switch scheme {
	case "":
		return d.dialLocal(ctx)
	case "embedded":
		return d.dialEmbedded(ctx, brokerURL)
	case "memory":
		return memory.New(), nil
	case "nats", "tls", "ws", "wss":
		return asBroker(nats.Dial(ctx, d.nats(brokerURL)))
	default: // amqp, amqps, pyamqp
		return asBroker(amqp.Dial(ctx, amqp.Config{URL: brokerURL, Logger: d.logger(), TLS: d.TLS, RootCAs: d.RootCAs, OnUnreachable: d.OnUnreachable,
			Owner: d.Name, RPCExchange: d.RPCExchange, Heartbeat: d.Heartbeat, LoginMethod: d.LoginMethod, QueueType: d.QueueType,
			AutoDeleteEvents: d.AutoDeleteEvents, EventsUndeclared: d.EventsUndeclared, Memory: d.Memory}))
	}
}

// asBroker keeps a nil driver from becoming a non-nil broker.
func asBroker[D broker.Broker](driver D, err error) (broker.Broker, error) {
	if err != nil {
		return nil, err
	}
	return driver, nil
}

// checkURL returns the scheme of a broker's URL, or "" for no URL. Its error
// says what is wrong with the URL and contains nothing that may be a password.
func checkURL(brokerURL string) (string, error) {
	if brokerURL == "" {
		return "", nil
	}
	scheme, _, found := strings.Cut(brokerURL, ":")
	if !found {
		return "", errors.New("the broker's URL has no scheme; write it as nats://host:4222 or amqp://user:password@host/vhost")
	}
	scheme = strings.ToLower(scheme)
	switch scheme {
	case "embedded", "memory":
		return scheme, nil
	case "nats", "tls", "ws", "wss":
		return scheme, checkHosts(strings.Split(brokerURL, ","))
	case "amqp", "amqps", "pyamqp":
		return scheme, checkRabbitMQ(brokerURL)
	}
	return "", fmt.Errorf("no driver for the broker scheme %q; have nats, tls, ws, wss, amqp, amqps, pyamqp, embedded, memory", scheme)
}

// checkRabbitMQ checks a URL with one or several hosts.
func checkRabbitMQ(brokerURL string) error {
	for one := range strings.SplitSeq(brokerURL, ";") {
		scheme, rest, found := strings.Cut(one, "://")
		if !found {
			return checkHosts([]string{one})
		}
		authority, path, _ := strings.Cut(rest, "/")
		at := strings.LastIndexByte(authority, '@') + 1
		for host := range strings.SplitSeq(authority[at:], ",") {
			if err := checkHosts([]string{scheme + "://" + authority[:at] + host + "/" + path}); err != nil {
				return err
			}
		}
	}
	return nil
}

// checkHosts finds mistakes that the drivers would find too. Some of their
// errors would quote the URL.
func checkHosts(urls []string) error {
	for i, text := range urls {
		bare := !strings.Contains(text, "://")
		if bare && i == 0 {
			return errors.New("the broker's URL names no host; write it as scheme://user:password@host:port")
		}
		if bare { // a further server of a cluster, host:port
			continue
		}
		if _, err := url.Parse(strings.TrimSpace(text)); err != nil {
			return errors.New("the broker's URL can't be read; write special characters of user and password as %XX, a slash as %2F")
		}
	}
	return nil
}

func (d *Dialer) logger() *slog.Logger {
	if d.Logger == nil {
		return slog.Default()
	}
	return d.Logger
}

func (d *Dialer) nats(serverURL string) nats.Config {
	return nats.Config{URL: serverURL, Name: d.Name, Logger: d.logger(), TLS: d.TLS, Credentials: d.Credentials,
		RootCAs: d.RootCAs, OnUnreachable: d.OnUnreachable,
		Replicas: d.Replicas, EventBytes: d.EventBytes, DeadBytes: d.DeadBytes, LaterBytes: d.LaterBytes}
}

func (d *Dialer) dialEmbedded(ctx context.Context, brokerURL string) (broker.Broker, error) {
	options, err := d.readEmbedded(brokerURL)
	if err != nil {
		return nil, err
	}
	return d.startEmbedded(ctx, options)
}

// readEmbedded reads embedded:?dir=DIR&port=N.
func (d *Dialer) readEmbedded(brokerURL string) (embeddedOptions, error) {
	o := embeddedOptions{Dir: d.StoreDir, Logger: d.logger()}
	u, err := url.Parse(brokerURL)
	if err != nil || u.Host != "" || strings.Trim(u.Path+u.Opaque, "/") != "" {
		return o, errors.New("the URL of the embedded broker is embedded:?dir=DIRECTORY&port=NUMBER, both optional")
	}
	for key, values := range u.Query() {
		switch value := values[len(values)-1]; key {
		case "dir":
			o.Dir = value
		case "port":
			port, err := strconv.ParseUint(value, 10, 16)
			if err != nil {
				return o, fmt.Errorf("embedded: port %q is no port; want 0 (a free one) to 65535", value)
			}
			if o.Port = int(port); port == 0 {
				o.Port = -1 // it means a free port to the server
			}
		default:
			return o, fmt.Errorf("embedded: unknown parameter %q; have dir, port", key)
		}
	}
	if o.Dir == "" {
		o.Dir, err = StoreDir()
	}
	return o, err
}
