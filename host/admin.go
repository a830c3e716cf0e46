package host

import (
	"context"
	"errors"
	"fmt"
	"log/slog"
	"net"
	"net/http"
	"strings"
	"syscall"
	"time"

	"github.com/enoki-go/enoki/internal/loopback"
	"github.com/enoki-go/enoki/telemetry"
)

// admin serves what the operator's tools ask a process: whether it lives,
// whether it is ready, and its metrics.
type admin struct {
	url    string
	server *http.Server
	served chan error // what Serve returned
}

// startAdmin listens on an address. When it is the default one and in use,
// most likely by another process of services, any free port will do. On a
// loopback address it answers to the names of this machine and to hosts.
func startAdmin(address string, hosts []string, r *readiness, s *survey, m *telemetry.Metrics, log *slog.Logger) (*admin, error) {
	listener, err := net.Listen("tcp", address)
	if err != nil && address == defaultAdmin && isAddressInUse(err) {
		listener, err = net.Listen("tcp", "127.0.0.1:0")
	}
	if err != nil {
		return nil, fmt.Errorf("cannot listen for health checks and metrics: %w; choose another --admin address, or off", err)
	}
	a := &admin{
		url: "http://" + listener.Addr().String(),
		server: &http.Server{
			Handler:           forHosts(loopback.HostsOf(listener.Addr(), hosts...), adminHandler(r, s, m)),
			ReadHeaderTimeout: 5 * time.Second,
			ReadTimeout:       10 * time.Second,
			WriteTimeout:      30 * time.Second, // longer than Prometheus waits by default
			IdleTimeout:       2 * time.Minute,
			MaxHeaderBytes:    16 << 10,
			ErrorLog:          slog.NewLogLogger(log.Handler(), slog.LevelWarn),
		},
		served: make(chan error, 1),
	}
	go func() { a.served <- a.server.Serve(listener) }()
	return a, nil
}

func isAddressInUse(err error) bool {
	// 10048 is Windows' word for it, which package syscall does not map.
	return errors.Is(err, syscall.EADDRINUSE) || errors.Is(err, syscall.Errno(10048))
}

// stop lets running requests end, for at most a second.
func (a *admin) stop() {
	ctx, cancel := context.WithTimeout(context.Background(), time.Second)
	defer cancel()
	if a.server.Shutdown(ctx) != nil {
		_ = a.server.Close() // a client that does not read its answer
	}
	<-a.served // http.ErrServerClosed, or the error that ended it earlier
}

// forHosts refuses requests that are for another server.
func forHosts(hosts *loopback.Hosts, next http.Handler) http.Handler {
	return http.HandlerFunc(func(w http.ResponseWriter, r *http.Request) {
		if !hosts.Has(r.Host) {
			answerText(w, http.StatusMisdirectedRequest, loopback.Refusal(r)+"; --http-hosts has others\n")
			return
		}
		next.ServeHTTP(w, r)
	})
}

func adminHandler(r *readiness, s *survey, m *telemetry.Metrics) http.Handler {
	mux := http.NewServeMux()
	mux.HandleFunc("GET /livez", answerLive)
	mux.HandleFunc("GET /healthz", answerLive) // the older name; it must be safe to restart on
	mux.HandleFunc("GET /readyz", func(w http.ResponseWriter, req *http.Request) { answerReady(w, req, r, s) })
	mux.Handle("GET /metrics", m.Handler())
	return mux
}

// answerLive never looks at anything: what a process depends on is not cured
// by starting the process again.
func answerLive(w http.ResponseWriter, _ *http.Request) {
	answerText(w, http.StatusOK, "ok\n")
}

// answerReady looks at every check. A verbose answer has what waits as well,
// how much room there is, as the metrics have it, and why the broker takes no
// messages: that makes nobody unready, for handlers run on.
func answerReady(w http.ResponseWriter, req *http.Request, r *readiness, s *survey) {
	verbose := req.URL.Query().Has("verbose")
	status, lines := http.StatusOK, ""
	for _, c := range r.checks() {
		if c.err != nil {
			status = http.StatusServiceUnavailable
			lines += "[-] " + c.name + ": " + shown(c.err) + "\n"
		} else if verbose {
			lines += "[+] " + c.name + ": ok\n"
		}
	}
	if verbose {
		readings, blocked, err := s.read()
		for _, reading := range readings {
			lines += "[=] " + reading.String() + "\n"
		}
		if blocked != "" {
			lines += "[!] the broker takes no messages: " + oneLine(blocked) + "\n"
		}
		if err != nil {
			lines += "[?] " + shown(err) + "\n"
		}
	}
	switch {
	case status != http.StatusOK:
		lines += "not ready\n"
	case lines != "":
		lines += "ready\n"
	default:
		lines = "ok\n"
	}
	answerText(w, status, lines)
}

// shown is an error on one line, without passwords.
func shown(err error) string { return oneLine(telemetry.RedactURL(err.Error())) }

func oneLine(s string) string { return strings.Join(strings.Fields(s), " ") }

func answerText(w http.ResponseWriter, status int, text string) {
	w.Header().Set("Content-Type", "text/plain; charset=utf-8")
	w.Header().Set("Cache-Control", "no-store")
	w.Header().Set("X-Content-Type-Options", "nosniff")
	w.WriteHeader(status)
	_, _ = w.Write([]byte(text)) // the client has gone
}
