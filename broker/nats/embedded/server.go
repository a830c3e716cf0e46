package embedded

import (
	"errors"
	"fmt"
	"log/slog"
	"net"
	"net/url"
	"os"
	"strconv"
	"sync"
	"syscall"

	natsserver "github.com/nats-io/nats-server/v2/server"

	"github.com/enoki-go/enoki/internal/brokerdir"
)

// DefaultPort is the port that NATS clients expect a server on.
const DefaultPort = 4222

// ErrPortInUse says that somebody else listens on the port: most likely a NATS
// server that could be used instead.
var ErrPortInUse = errors.New("port is in use")

// ErrLocked says that another process has its embedded server in the
// directory.
var ErrLocked = brokerdir.ErrLocked

// Options say where the server keeps its files and where it listens. Dir must
// be given; the rest has useful zeros.
type Options struct {
	Dir      string       // for the server's files; created when missing
	Host     string       // address to listen on; default 127.0.0.1
	Port     int          // default that which the directory had before, else DefaultPort, else a free one; -1 takes a free one
	MaxStore int64        // most bytes to store; default 4 GiB, or half of the free space when that is less
	Open     bool         // let everybody in who reaches the port, without the password
	Fast     bool         // confirm before the disk has it: a power cut loses up to two minutes of confirmed messages
	Logger   *slog.Logger // for the server's warnings and errors; default slog.Default()

	password string // empty for Open
}

// Server is a running server. Its methods may be called concurrently.
type Server struct {
	options  Options // with the port that it has
	lock     *brokerdir.Lock
	url      string
	maxStore int64
	log      *logger
	lost     map[string]uint64 // see Lost

	shutdown sync.Once
	closing  chan struct{}  // closed when it has to end
	healing  sync.WaitGroup // and what keeps records
	down     chan struct{}  // closed once everything has ended

	mu     sync.Mutex // guards what follows
	server *natsserver.Server
	sick   error // why it stores nothing; nil when it is well
}

// Start starts a server and returns when it takes connections, a few
// milliseconds later; recovering a large store takes longer. The error is one
// line that names the directory or the port, and satisfies errors.Is with
// ErrPortInUse or ErrLocked when that was the reason.
func Start(o Options) (*Server, error) {
	o = o.withDefaults()
	if err := o.check(); err != nil {
		return nil, err
	}
	lock, err := brokerdir.Take(o.Dir)
	if err != nil {
		return nil, fmt.Errorf("embedded NATS: %w", err)
	}
	s, err := startLocked(o)
	if err != nil {
		lock.Release()
		return nil, err
	}
	s.lock = lock
	s.findLost()
	s.healing.Go(s.heal)
	s.healing.Go(s.keepRecords)
	return s, nil
}

// startLocked starts a server in a directory that is ours.
func startLocked(o Options) (*Server, error) {
	last, password, err := brokerdir.Last(o.Dir)
	if err != nil {
		return nil, fmt.Errorf("embedded NATS: can't use directory %s: %w", o.Dir, err)
	}
	if !o.Open {
		o.password = password
	}
	s, err := startOnPort(o, last)
	if err != nil {
		return nil, err
	}
	if err := brokerdir.Publish(o.Dir, s.url); err != nil {
		s.server.Shutdown()
		s.server.WaitForShutdown()
		return nil, fmt.Errorf("embedded NATS: can't use directory %s: %w", o.Dir, err)
	}
	return s, nil
}

// startOnPort tries the ports that there are when none was asked for.
func startOnPort(o Options, last int) (*Server, error) {
	if o.Port != 0 {
		return start(o)
	}
	for _, port := range []int{last, DefaultPort} {
		if o.Port = port; port == 0 || o.checkPort() != nil {
			continue
		}
		s, err := start(o)
		if err == nil || !errors.Is(err, ErrPortInUse) {
			return s, err
		}
	}
	o.Port = natsserver.RANDOM_PORT
	return start(o)
}

func (o Options) withDefaults() Options {
	if o.Host == "" {
		o.Host = "127.0.0.1"
	}
	if o.Logger == nil {
		o.Logger = slog.Default()
	}
	return o
}

func (o Options) address() string {
	return net.JoinHostPort(o.Host, strconv.Itoa(o.Port))
}

// check finds a port in use before the directory is touched, so that a second
// process on the machine hears of the server it can use rather than of a lock.
func (o Options) check() error {
	if o.Dir == "" {
		return errors.New("embedded NATS: Options.Dir is empty: name a directory for its files")
	}
	if o.MaxStore < 0 {
		return fmt.Errorf("embedded NATS: Options.MaxStore is %d: give a number of bytes, or 0 for the default", o.MaxStore)
	}
	if o.Port == natsserver.RANDOM_PORT || o.Port == 0 {
		return nil
	}
	return o.checkPort()
}

func (o Options) checkPort() error {
	l, err := net.Listen("tcp", o.address())
	if err != nil {
		return o.listenError(err)
	}
	return l.Close()
}

func (o Options) listenError(err error) error {
	// 10048 is Windows' word for it, which package syscall does not map.
	if errors.Is(err, syscall.EADDRINUSE) || errors.Is(err, syscall.Errno(10048)) {
		return fmt.Errorf("embedded NATS: %w: %s", ErrPortInUse, o.address())
	}
	return fmt.Errorf("embedded NATS: can't listen on %s: %w", o.address(), err)
}

func start(o Options) (*Server, error) {
	limit, err := storeLimit(o.Dir, o.MaxStore)
	if err != nil {
		return nil, err
	}
	log := newLogger(o.Logger)
	server, err := o.run(limit, log)
	if err != nil {
		return nil, err
	}
	if o.Fast {
		o.Logger.Warn("embedded NATS confirms before the disk has it: a power cut loses confirmed messages", "dir", o.Dir)
	}
	o.Port = server.Addr().(*net.TCPAddr).Port
	return &Server{
		options: o, server: server, url: o.urlOf(server), maxStore: limit, log: log,
		closing: make(chan struct{}), down: make(chan struct{}),
	}, nil
}

// run starts a server of NATS and returns when it takes connections.
func (o Options) run(limit int64, log *logger) (*natsserver.Server, error) {
	server, err := natsserver.NewServer(o.serverOptions(limit))
	if err != nil {
		return nil, fmt.Errorf("embedded NATS: %w", err)
	}
	server.SetLoggerV2(log, false, false, false)
	server.Start()
	if server.Addr() == nil || !server.JetStreamEnabled() {
		server.Shutdown()
		server.WaitForShutdown()
		return nil, o.startError(log.fatal())
	}
	return server, nil
}

// urlOf returns the URL with the password.
func (o Options) urlOf(server *natsserver.Server) string {
	u, err := url.Parse(server.ClientURL())
	if err != nil || o.Open {
		return server.ClientURL()
	}
	u.User = url.UserPassword(brokerdir.User, o.password)
	return u.String()
}

func (o Options) serverOptions(limit int64) *natsserver.Options {
	user := ""
	if !o.Open {
		user = brokerdir.User
	}
	return &natsserver.Options{
		Username:               user,
		Password:               o.password,
		ServerName:             "enoki-" + strconv.Itoa(os.Getpid()),
		Host:                   o.Host,
		Port:                   o.Port,
		NoLog:                  true, // SetLoggerV2 takes its place
		NoSigs:                 true, // signals belong to the host
		DisableJetStreamBanner: true,
		JetStream:              true,
		StoreDir:               o.Dir,
		SyncAlways:             !o.Fast,
		JetStreamMaxStore:      limit,
		JetStreamMaxMemory:     maxMemory,
	}
}

// maxMemory bounds memory streams, in bytes. Enoki makes none; a tool of the
// operator might.
const maxMemory = 64 << 20

// startError says why the server did not come up: the port may have been taken
// since check, or the directory can't be used.
func (o Options) startError(said string) error {
	if l, err := net.Listen("tcp", o.address()); o.Port != natsserver.RANDOM_PORT && err != nil {
		return o.listenError(err)
	} else if err == nil {
		l.Close()
	}
	return fmt.Errorf("embedded NATS: can't start in %s: %s", o.Dir, said)
}

// URL is where other processes of this machine connect to. It has the password,
// unless the server is open.
func (s *Server) URL() string { return s.url }

// MaxStore is the most bytes that the server will store.
func (s *Server) MaxStore() int64 { return s.maxStore }

// InProcessConn opens a connection to the server for this process. It makes
// *Server a nats.InProcessConnProvider.
//
// It is a socket. What the server itself offers is a net.Pipe, which has no
// buffer: each write holds the client's lock until the server has read it,
// while the workers of a service wait to send their replies.
func (s *Server) InProcessConn() (net.Conn, error) {
	address := s.running().Addr()
	if address == nil {
		return nil, errors.New("embedded NATS: the server was shut down: start another one")
	}
	return net.Dial(address.Network(), address.String())
}

// Shutdown ends the server and waits until its files are closed and its
// directory is free. Calling it again waits like the first call.
func (s *Server) Shutdown() {
	s.shutdown.Do(func() {
		close(s.closing)
		s.healing.Wait()
		s.running().Shutdown()
		s.running().WaitForShutdown()
		s.lock.Release()
		close(s.down)
	})
	<-s.down
}
