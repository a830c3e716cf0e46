// Package loopback decides whether a request is meant for a server that only
// this machine can reach. A web page can give a name of its own the address
// 127.0.0.1 (DNS rebinding). To the browser, that page then belongs to the
// server. The header Host gives it away.
package loopback

import (
	"net"
	"net/http"
	"net/netip"
	"strings"
)

// Hosts are names under which a server is asked for. Nil are all names.
type Hosts struct {
	names []string // lower case; "*." before one stands for everything below it
}

// HostsOf returns the names for a server that listens on address: nil unless
// it is a loopback address, else those of this machine and the given ones
// ("api.example.com", "*.example.com", "*").
func HostsOf(address net.Addr, names ...string) *Hosts {
	tcp, ok := address.(*net.TCPAddr)
	if !ok || !tcp.IP.IsLoopback() {
		return nil
	}
	h := &Hosts{names: []string{"localhost", "*.localhost"}}
	for _, name := range names {
		if name == "*" {
			return nil
		}
		h.names = append(h.names, canonical(name))
	}
	return h
}

// Has reports whether a request's Host is one of the names, or an address of
// this machine. A request without one is of no browser.
func (h *Hosts) Has(host string) bool {
	if h == nil || host == "" {
		return true
	}
	host = canonical(host)
	if address, err := netip.ParseAddr(host); err == nil && address.Unmap().IsLoopback() {
		return true
	}
	for _, name := range h.names {
		below, tree := strings.CutPrefix(name, "*")
		if host == name || tree && strings.HasSuffix(host, below) && host != below {
			return true
		}
	}
	return false
}

// canonical returns a host without its port, brackets and final dot.
func canonical(host string) string {
	if name, _, err := net.SplitHostPort(host); err == nil {
		host = name
	}
	host = strings.TrimSuffix(strings.TrimPrefix(host, "["), "]")
	return strings.ToLower(strings.TrimSuffix(host, "."))
}

// Refusal says in words for people why a request was refused.
func Refusal(r *http.Request) string {
	return "this server is not " + canonical(r.Host) + "; it listens on a loopback address and answers to the names of this machine only"
}
