package testserver

import (
	"fmt"
	"strings"
	"testing"
)

// NATSCluster starts private NATS servers that are one cluster with JetStream.
// They live until the test ends.
func NATSCluster(t testing.TB, servers int) []*Server {
	t.Helper()
	routes := make([]port, servers)
	urls := make([]string, servers)
	for i := range routes {
		p, err := holdPort()
		if err != nil {
			t.Fatal(err)
		}
		t.Cleanup(p.release)
		routes[i], urls[i] = p, fmt.Sprintf("%q", "nats-route://"+loopback(p.number))
	}
	path, err := natsProgram()
	if err != nil {
		t.Fatalf("build nats-server: %v", err)
	}
	all := make([]*Server, servers)
	for i, route := range routes {
		cluster := fmt.Sprintf("server_name: n%d\ncluster { name: test, listen: %q, routes: [%s] }\n", i+1, loopback(route.number), strings.Join(urls, ", "))
		s, err := start("nats", nats{path, "always", cluster}, func(port int) string { return "nats://" + loopback(port) })
		all[i] = forTest(t, s, err)
	}
	return all
}
