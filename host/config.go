package host

import (
	"cmp"
	"errors"
	"fmt"
	"net"
	"strings"
	"time"

	"github.com/enoki-go/enoki"
	"github.com/enoki-go/enoki/broker/amqp"
	"github.com/enoki-go/enoki/internal/brokerdir"
	"github.com/enoki-go/enoki/serializer"
	"github.com/enoki-go/enoki/telemetry"
)

// config is what a process of services can be told.
type config struct {
	broker, http, admin string
	httpHosts, memory   string
	workers, tracked    int
	timeout, grace      time.Duration
	drainDelay          time.Duration
	logLevel, logFormat string
	storeDir            string

	serializer, accept              string
	cloudEvents                     bool
	breakers, retries               bool
	isolated                        bool
	natsCreds                       string
	natsReplicas                    int
	natsEvents, natsDead, natsLater int64
	rpcExchange                     string
	heartbeat                       time.Duration
	loginMethod                     string
	queueType                       string
	autoDeleteEvents                bool
	declareEvents                   bool
	tlsCA, tlsCert, tlsKey          string
	tlsName                         string

	tls     bool     // AMQP_SSL asks for it whatever the URL says
	ignored []string // Nameko's keys that mean nothing here, and why
	foreign []string // keys of a file of Nameko's, and variables, that name no setting
}

// defaultAdmin is the port that OpenTelemetry's exporters offer Prometheus.
// When it is taken, as by a second process of services, any free one is used.
const defaultAdmin = "127.0.0.1:9464"

// noAdmin switches the admin address off.
const noAdmin = "off"

func defaultConfig() *config {
	return &config{
		http: "127.0.0.1:8000", admin: defaultAdmin, workers: 100, tracked: 10,
		timeout: 10 * time.Second, grace: 25 * time.Second,
		logLevel: "info", logFormat: string(telemetry.Auto),
		storeDir: defaultStoreDir(), serializer: "json", rpcExchange: "nameko-rpc", heartbeat: time.Minute,
		loginMethod: "PLAIN", declareEvents: true, breakers: true, retries: true,
	}
}

// settings returns the settings that write to c, in the order of --help.
func (c *config) settings() []*setting {
	return []*setting{
		{name: "broker", value: textValue{&c.broker}, check: c.checkBroker, filled: true,
			usage: "`URL` of the broker: nats://, tls://, ws://, wss://, amqp://, amqps://, pyamqp://, embedded: or memory:; without one, that of this project, which the first of its programs runs"},
		{name: "http", value: textValue{&c.http}, check: func() error { return checkAddress(c.http) },
			usage: "`host:port` of HTTP entrypoints that name no address of their own; :8000 is every network"},
		{name: "http-hosts", value: wordsValue{textValue{&c.httpHosts}},
			usage: "`names`, with commas between, under which HTTP entrypoints and --admin on a loopback address are asked for beside those of this machine, such as by a proxy; *.example.com is every name below, * every name"},
		{name: "admin", value: textValue{&c.admin}, check: c.checkAdmin,
			usage: "`host:port` of /livez, /readyz and /metrics, or off; the default takes any free port when it is in use"},
		{name: "workers", value: intValue{&c.workers}, check: func() error { return atLeast(c.workers, 1) },
			usage: "how many handlers one service runs at once"},
		{name: "memory", value: textValue{&c.memory}, check: func() error { _, err := parseMemory(c.memory); return err },
			usage: "`size`, such as 256MiB, of what arrives and is not done yet: bodies of HTTP, frames of WebSockets, compressed messages; default a quarter of GOMEMLIMIT or of the control group's limit, at most 256MiB"},
		{name: "timeout", value: durationValue{&c.timeout}, check: func() error { return positive(c.timeout) },
			usage: "how long a call may take that has no deadline of its own"},
		{name: "grace", value: durationValue{&c.grace}, check: func() error { return positive(c.grace) },
			usage: "how long handlers may go on once the process has to stop"},
		{name: "drain-delay", value: durationValue{&c.drainDelay},
			usage: "how long to go on taking work after /readyz says that it stops; 5s suits Kubernetes"},
		{name: "log-level", value: textValue{&c.logLevel}, check: func() error { _, err := telemetry.ParseLevel(c.logLevel); return err },
			usage: "least `level` to log: debug, info, warn or error"},
		{name: "log-format", value: textValue{&c.logFormat}, check: func() error { _, err := telemetry.ParseFormat(c.logFormat); return err },
			usage: "`format` of the log: pretty, json, or auto for pretty on a terminal"},
		{name: "store-dir", value: textValue{&c.storeDir},
			usage: "`directory` of the embedded broker's files"},
		{name: "calls-tracked", value: intValue{&c.tracked}, check: func() error { return atLeast(c.tracked, 1) },
			usage: "how many callers the call stack of a handler shows"},
		{name: "serializer", value: textValue{&c.serializer}, check: func() error { _, err := form(c.serializer); return err },
			usage: "`form` of the bodies that are sent: json, msgpack or yaml"},
		{name: "accept", value: wordsValue{textValue{&c.accept}}, check: func() error { _, err := c.accepted(); return err },
			usage: "`forms` of bodies that are read beside json and serializer, with commas between"},
		{name: "cloudevents", value: boolValue{&c.cloudEvents},
			usage: "put events into the JSON envelope of CloudEvents 1.0; both forms are read"},
		{name: "breakers", value: boolValue{&c.breakers},
			usage: "refuse calls to a method for some seconds while most calls to it fail"},
		{name: "retries", value: boolValue{&c.retries},
			usage: "send calls again that surely did not run or are marked idempotent"},
		{name: "isolated", value: boolValue{&c.isolated},
			usage: "do without what only RabbitMQ has (package nameko) instead of refusing to start; for trials"},
		{name: "nats-creds", value: textValue{&c.natsCreds},
			usage: "NATS: `file` with the token and key of a user"},
		{name: "nats-replicas", value: intValue{&c.natsReplicas}, check: c.checkReplicas,
			usage: "NATS: how many servers of a cluster keep each stream that is made; 0 is 3 on a cluster and 1 otherwise"},
		{name: "nats-event-bytes", value: sizeValue{&c.natsEvents}, check: func() error { return atLeastAMiB(c.natsEvents) },
			usage: "NATS: `size` of the stream that the events of each source get when it is made; 0 is 256MiB, or less where there is little room"},
		{name: "nats-dead-bytes", value: sizeValue{&c.natsDead}, check: func() error { return atLeastAMiB(c.natsDead) },
			usage: "NATS: `size` of the stream of dead letters when it is made; 0 is 128MiB, or less where there is little room"},
		{name: "nats-later-bytes", value: sizeValue{&c.natsLater}, check: func() error { return atLeastAMiB(c.natsLater) },
			usage: "NATS: `size` that all events may take which are due later, set when their stream is made; 0 is 512MiB, or less where there is little room"},
		{name: "rpc-exchange", value: textValue{&c.rpcExchange},
			usage: "RabbitMQ: `name` of the exchange of requests and replies"},
		{name: "heartbeat", value: durationValue{&c.heartbeat}, check: func() error { return atLeastASecond(c.heartbeat) },
			usage: "RabbitMQ: how often each side shows that it lives"},
		{name: "login-method", value: textValue{&c.loginMethod}, check: c.checkLoginMethod,
			usage: "RabbitMQ: `how` to log in: PLAIN, AMQPLAIN, or EXTERNAL by tls-cert"},
		{name: "queue-type", value: textValue{&c.queueType}, check: func() error { return amqp.CheckQueueType(c.queueType) },
			usage: "RabbitMQ: `type` of the queues that last: quorum in a cluster; default the vhost's"},
		{name: "auto-delete-event-exchanges", value: boolValue{&c.autoDeleteEvents},
			usage: "RabbitMQ: event exchanges go when nobody subscribes any more; all services must agree"},
		{name: "declare-event-exchanges", value: boolValue{&c.declareEvents},
			usage: "RabbitMQ: declare event exchanges; false when somebody else has"},
		{name: "tls-ca", value: textValue{&c.tlsCA},
			usage: "`file` of the authorities (PEM) that vouch for the broker; default those of the system"},
		{name: "tls-cert", value: textValue{&c.tlsCert}, check: c.checkCertificate,
			usage: "`file` of the certificate (PEM) to show to the broker"},
		{name: "tls-key", value: textValue{&c.tlsKey},
			usage: "`file` of that certificate's key (PEM)"},
		{name: "tls-name", value: textValue{&c.tlsName},
			usage: "`host` that the broker's certificate is for, when it is not the URL's"},
	}
}

func (c *config) checkBroker() error {
	scheme, err := checkURL(c.broker)
	if err == nil && scheme == "embedded" {
		_, err = (&Dialer{StoreDir: c.storeDir}).readEmbedded(c.broker)
	}
	return err
}

// form returns the serializer of a name, which its error does not repeat: in
// a file a variable may have put a secret there.
func form(name string) (*enoki.Serializer, error) {
	s, err := serializer.ByName(name)
	if err != nil && name != "pickle" {
		return nil, errors.New("want json, msgpack or yaml")
	}
	return s, err
}

// words returns the words of a list with commas between.
func words(list string) []string {
	var out []string
	for word := range strings.SplitSeq(list, ",") {
		if word = strings.TrimSpace(word); word != "" {
			out = append(out, word)
		}
	}
	return out
}

// accepted returns the serializers that accept names.
func (c *config) accepted() ([]enoki.Serializer, error) {
	var list []enoki.Serializer
	for _, name := range words(c.accept) {
		s, err := form(name)
		if err != nil {
			return nil, err
		}
		if s != nil { // json is read always
			list = append(list, *s)
		}
	}
	return list, nil
}

// brokerName is the broker as people are told of it.
func (c *config) brokerName() string {
	if c.broker == "" {
		return telemetry.RedactURL(cmp.Or(brokerdir.URL(c.storeDir), "of this project"))
	}
	return telemetry.RedactURL(c.broker)
}

func (c *config) checkAdmin() error {
	if c.admin == noAdmin {
		return nil
	}
	return checkAddress(c.admin)
}

func (c *config) checkCertificate() error {
	if (c.tlsCert == "") != (c.tlsKey == "") {
		return errors.New("tls-cert and tls-key go together; give both")
	}
	return nil
}

func (c *config) checkLoginMethod() error {
	switch strings.ToUpper(c.loginMethod) {
	case "PLAIN", "AMQPLAIN", "EXTERNAL":
		return nil
	}
	return errors.New("want PLAIN, AMQPLAIN or EXTERNAL")
}

func (c *config) checkReplicas() error {
	if c.natsReplicas < 0 || c.natsReplicas > 5 {
		return fmt.Errorf("want 1 to 5, or 0 for the default, have %d", c.natsReplicas)
	}
	return nil
}

// atLeastAMiB: a NATS message may be as large as that.
func atLeastAMiB(size int64) error {
	if size != 0 && size < 1<<20 {
		return fmt.Errorf("want 1MiB or more, or 0 for the default, have %d bytes", size)
	}
	return nil
}

func checkAddress(address string) error {
	_, port, err := net.SplitHostPort(address)
	if err == nil {
		_, err = net.LookupPort("tcp", port)
	}
	if err != nil || strings.ContainsAny(address, "/ ") {
		return fmt.Errorf("no address %q; want host:port, such as 127.0.0.1:8000 or :8000", telemetry.RedactURL(address))
	}
	return nil
}

func atLeast(n, least int) error {
	if n < least {
		return fmt.Errorf("want %d or more, have %d", least, n)
	}
	return nil
}

func positive(d time.Duration) error {
	if d <= 0 {
		return fmt.Errorf("want more than 0, have %v", d)
	}
	return nil
}

// atLeastASecond is AMQP's unit for heartbeats.
func atLeastASecond(d time.Duration) error {
	if d < time.Second {
		return fmt.Errorf("want 1s or more, have %v", d)
	}
	return nil
}
