package loopback_test

import (
	"net"
	"testing"

	"github.com/enoki-go/enoki/internal/loopback"
)

func TestHosts(t *testing.T) {
	t.Parallel()
	local := &net.TCPAddr{IP: net.IPv4(127, 0, 0, 1), Port: 80}
	hosts := loopback.HostsOf(local, "Site.example", "*.Below.example", "bracket.example:80")
	for host, want := range map[string]bool{
		"":                       true,
		"127.0.0.1":              true,
		"127.0.0.1:8000":         true,
		"127.9.9.9:1":            true,
		"[::1]:8000":             true,
		"::1":                    true,
		"[::ffff:127.0.0.1]:80":  true,
		"localhost":              true,
		"LOCALHOST:8000":         true,
		"localhost.":             true,
		"app.localhost:8000":     true,
		"site.example:8000":      true,
		"a.below.example":        true,
		"a.b.below.example:1":    true,
		"bracket.example":        true,
		"below.example":          false,
		".below.example":         false,
		"evil.example":           false,
		"evil.example:8000":      false,
		"site.example.evil":      false,
		"localhost.evil.example": false,
		"127.0.0.1.evil.example": false,
		"notlocalhost":           false,
		"10.0.0.1":               false,
		"0.0.0.0:8000":           false,
		"[::]:8000":              false,
	} {
		if got := hosts.Has(host); got != want {
			t.Errorf("%q: %v", host, got)
		}
	}
	for _, open := range []*loopback.Hosts{
		nil,
		loopback.HostsOf(&net.TCPAddr{IP: net.IPv4zero, Port: 80}),
		loopback.HostsOf(&net.TCPAddr{IP: net.IPv4(10, 0, 0, 1), Port: 80}),
		loopback.HostsOf(&net.UnixAddr{Name: "/socket"}),
		loopback.HostsOf(local, "*"),
	} {
		if !open.Has("evil.example") {
			t.Errorf("%v asks for names", open)
		}
	}
	if v6 := loopback.HostsOf(&net.TCPAddr{IP: net.IPv6loopback, Port: 80}); v6.Has("evil.example") {
		t.Error("a listener on ::1 takes every name")
	}
}
