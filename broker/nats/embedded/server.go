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

// DefaultPort is the port on which NATS clients expect a server.
const DefaultPort = 4222

// ErrPortInUse says that another program listens on the port. It is most likely
// a NATS server that could be used instead.
var ErrPortInUse = errors.New("port is in use")

// ErrLocked says that another process has its embedded server in the directory.
var ErrLocked = brokerdir.ErrLocked

// Options say where the server keeps its files and where it listens. Dir must
// be set; all other fields have useful zero values.
type Options struct {
	Dir      string       // the server's files; created if missing
	Host     string       // address to listen on; default 127.0.0.1
	Port     int          // default: the directory's last port, else DefaultPort, else a free one; -1 means a free one
	MaxStore int64        // the most bytes to store; default 4 GiB, or half of the free space if that is less
	Open     bool         // let in every client that reaches the port, without the password; default false
	Fast     bool         // confirm before the disk has the message: a power cut loses up to two minutes of confirmed messages; default false
	Logger   *slog.Logger // gets the server's warnings and errors; default slog.Default()

	password string // empty if Open
}

// Server is a running server. Its methods may be called concurrently.
type Server struct {
	options  Options // with the actual port
	lock     *brokerdir.Lock
	url      string
	maxStore int64
	log      *logger
	lost     map[string]uint64 // see Lost

	shutdown sync.Once
	closing  chan struct{}  // closed when the server has to end
	healing  sync.WaitGroup // waits for heal and keepRecords
	down     chan struct{}  // closed once everything has ended

	mu     sync.Mutex // guards the fields below
	server *natsserver.Server
	sick   error // why it stores nothing; nil while it does
}

// Start starts a server. It blocks until the server takes connections, which is
// a few milliseconds, or longer if it recovers a large store. The error is one
// line that names the directory or the port. Use errors.Is to compare it with
// ErrPortInUse and ErrLocked.
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

// startLocked starts a server in a directory that this process has locked.
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

// startOnPort tries the possible ports if none was asked for.
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

// check finds a used port before it touches the directory. A second process on
// the machine thus learns of the server that it can use, and not of a lock.
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
	// 10048 is the same error on Windows; package syscall does not map it.
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

// run starts a NATS server and returns when it takes connections.
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

// startError says why the server did not start. The port may have been taken
// since check, or the directory can't be used.
func (o Options) startError(said string) error {
	if l, err := net.Listen("tcp", o.address()); o.Port != natsserver.RANDOM_PORT && err != nil {
		return o.listenError(err)
	} else if err == nil {
		l.Close()
	}
	return fmt.Errorf("embedded NATS: can't start in %s: %s", o.Dir, said)
}

// URL returns the URL for other processes of this machine. It contains the
// password, unless the server is open.
func (s *Server) URL() string { return s.url }

// MaxStore returns the most bytes that the server will store.
func (s *Server) MaxStore() int64 { return s.maxStore }

// InProcessConn opens a connection to the server for this process. It makes
// *Server a nats.InProcessConnProvider.
//
// The connection is a socket. The server's own function returns a net.Pipe,
// which has no buffer: each write holds the client's lock until the server has
// read it, and the workers of a service wait meanwhile to send their replies.
func (s *Server) InProcessConn() (net.Conn, error) {
	address := s.running().Addr()
	if address == nil {
		return nil, errors.New("embedded NATS: the server was shut down: start another one")
	}
	return net.Dial(address.Network(), address.String())
}

// Shutdown ends the server. It blocks until its files are closed and its
// directory is free. It may be called twice; the second call waits like the
// first.
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
