package found

import (
	"context"
	"fmt"
	"path/filepath"
	"testing"

	"github.com/enoki-go/enoki/host"
	"github.com/enoki-go/enoki/internal/testserver"
)

// TestWebSocketURLOfABroker: NATS where only HTTP gets through.
func TestWebSocketURLOfABroker(t *testing.T) {
	dir := t.TempDir()
	authority := testserver.NewAuthority(t)
	pair, ca := authority.Sign(dir, "server", nil), authority.Write(filepath.Join(dir, "ca.pem"))
	for scheme, tls := range map[string]string{
		"ws":  "no_tls: true",
		"wss": fmt.Sprintf("tls { cert_file: %q, key_file: %q }", pair.Cert, pair.Key),
	} {
		t.Run(scheme, func(t *testing.T) {
			address := testserver.Address(t)
			server := testserver.NATSWith(t, fmt.Sprintf("websocket { listen: %q, %s }", address, tls))
			args := []string{"--broker", scheme + "://" + address}
			if scheme == "wss" {
				args = append(args, "--tls-ca", ca)
			}
			a := startApp(t, greeter(), args...)
			admin := a.ready(t)
			ctx, cancel := context.WithTimeout(t.Context(), patience)
			defer cancel()
			b, err := host.Dial(ctx, server.URL(), quiet) // by TCP
			client := client(t, linked(t, b, err))
			said, err := client.Call(ctx, "greeter", "hello", nil, map[string]any{"name": "Ada"})
			if string(said) != `"Hello, Ada"` || err != nil {
				t.Errorf("it answers %s, %v", said, err)
			}
			server.Kill()
			a.awaitReadyz(t, admin, 503, "broker")
			if err := server.Start(); err != nil {
				t.Fatal(err)
			}
			a.awaitReadyz(t, admin, 200, "ok")
		})
	}
}
