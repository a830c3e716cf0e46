package web

import (
	"cmp"
	"context"
	"errors"
	"fmt"
	"log/slog"
	"net"
	"net/http"
	"slices"
	"sync"

	"github.com/enoki-go/enoki"
	"github.com/enoki-go/enoki/entrypoint"
	"github.com/enoki-go/enoki/internal/loopback"
)

// Serve declares the HTTP routes of a service. It listens when the service
// starts. When the service stops, it takes no more connections. Running
// requests may then finish for as long as the service may take. Several Serves
// of one process need different addresses.
//
// It also serves /openapi.json, /openapi.yaml and /apidocs/. It replies to HEAD
// wherever there is a GET, and to OPTIONS.
func Serve(o *Options, routes ...Route) enoki.Part {
	h, err := newHandler(o, routes)
	return enoki.Extend(&server{options: h.options, routes: routes, about: h.routes, mistakes: err})
}

// server is the extension that Serve declares.
type server struct {
	options  Options
	routes   []Route
	about    []entrypoint.Description // of the routes
	mistakes error                    // of the routes

	mu     sync.Mutex // guards the fields below
	http   *http.Server
	handle *handler      // the handler of http
	served chan struct{} // closed when http.Serve has returned
}

// Check returns the mistakes in the routes.
func (s *server) Check() error { return s.mistakes }

// Describe describes the routes and the documentation.
func (s *server) Describe() []entrypoint.Description {
	all := slices.Clone(s.about)
	if !s.options.NoDocs {
		docs := Route{method: http.MethodGet, path: "/apidocs/"}
		all = append(all, docs.describe())
	}
	return all
}

// Start listens and serves.
func (s *server) Start(ctx context.Context, scope *entrypoint.Scope) error {
	if s.mistakes != nil {
		return s.mistakes
	}
	s.mu.Lock()
	defer s.mu.Unlock()
	if s.http != nil {
		return fmt.Errorf("web: the HTTP routes of service %q are being served already", scope.Service)
	}
	h, err := newHandler(&s.options, s.routes)
	if err := errors.Join(err, h.bind(scope)); err != nil {
		return err
	}
	listener, err := s.listen(ctx, scope)
	if err != nil {
		return err
	}
	h.guard.hosts = s.hosts(listener.Addr(), scope)
	server, served := newHTTPServer(ctx, h), make(chan struct{})
	s.http, s.handle, s.served = server, h, served
	go func() {
		defer close(served)
		if err := server.Serve(bounded(listener, h.options.MaxConnections)); !errors.Is(err, http.ErrServerClosed) {
			scope.Logger.Error("http stopped listening", "address", listener.Addr().String(), "error", err)
		}
	}()
	s.report(scope.Logger, "http://"+listener.Addr().String())
	return nil
}

// report logs the address, for people.
func (s *server) report(log *slog.Logger, url string) {
	if !s.options.NoDocs {
		log = log.With("docs", url+"/apidocs/")
	}
	log.Info("http listening", "address", url)
}

// newHTTPServer returns a server whose requests' contexts come from ctx.
func newHTTPServer(ctx context.Context, h *handler) *http.Server {
	o := &h.options
	return &http.Server{
		Handler:           h,
		ReadHeaderTimeout: o.ReadHeaderTimeout,
		ReadTimeout:       o.ReadTimeout,
		IdleTimeout:       o.IdleTimeout,
		MaxHeaderBytes:    o.MaxHeader,
		BaseContext:       func(net.Listener) context.Context { return ctx },
		ErrorLog:          slog.NewLogLogger(h.scope.Logger.Handler(), slog.LevelWarn),
	}
}

func (s *server) listen(ctx context.Context, scope *entrypoint.Scope) (net.Listener, error) {
	if s.options.Listener != nil {
		return s.options.Listener, nil
	}
	addr := s.address(scope)
	var config net.ListenConfig
	listener, err := config.Listen(ctx, "tcp", addr)
	if err != nil {
		return nil, fmt.Errorf("web: service %q can't serve HTTP on %s: %w; stop the program that uses it, or set another address in web.Options.Addr or enoki.Options.HTTPAddress", scope.Service, addr, err)
	}
	return listener, nil
}

// hosts returns the host names that the service accepts.
func (s *server) hosts(listening net.Addr, scope *entrypoint.Scope) *loopback.Hosts {
	names := s.options.Hosts
	if names == nil {
		names = scope.HTTPHosts
	}
	if host, _, err := net.SplitHostPort(s.address(scope)); err == nil && host != "" && net.ParseIP(host) == nil {
		names = append(slices.Clip(names), host)
	}
	return loopback.HostsOf(listening, names...)
}

func (s *server) address(scope *entrypoint.Scope) string {
	return cmp.Or(s.options.Addr, scope.HTTPAddress, DefaultAddr)
}

// Stop stops listening and waits for running requests until ctx ends.
func (s *server) Stop(ctx context.Context) error {
	s.mu.Lock()
	defer s.mu.Unlock()
	if s.http == nil {
		return nil
	}
	sockets := make(chan error, 1)
	go func() { sockets <- s.handle.closeSockets(ctx) }()
	err := s.http.Shutdown(ctx)
	if err != nil {
		err = errors.Join(fmt.Errorf("web: requests were cut off: %w", err), s.http.Close())
	}
	err = errors.Join(err, <-sockets)
	<-s.served
	s.http = nil
	return err
}
