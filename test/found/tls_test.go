package found

import (
	"crypto/x509"
	"fmt"
	"net"
	"net/url"
	"path/filepath"
	"strings"
	"testing"
	"time"

	"github.com/enoki-go/enoki/internal/testserver"
)

// tlsSite is a directory with the certificates of both ends.
type tlsSite struct {
	dir, ca        string
	server, client testserver.Pair
}

func newTLSSite(t *testing.T) *tlsSite {
	s := &tlsSite{dir: t.TempDir()}
	s.rotate(t)
	return s
}

// rotate puts the certificates of a new authority into the same files.
func (s *tlsSite) rotate(t *testing.T) {
	a := testserver.NewAuthority(t)
	s.ca = a.Write(filepath.Join(s.dir, "ca.pem"))
	s.server = a.Sign(s.dir, "server", func(c *x509.Certificate) { c.ExtKeyUsage = []x509.ExtKeyUsage{x509.ExtKeyUsageServerAuth} })
	s.client = a.Sign(s.dir, "client", func(c *x509.Certificate) { c.ExtKeyUsage = []x509.ExtKeyUsage{x509.ExtKeyUsageClientAuth} })
}

func (s *tlsSite) flags() []string {
	return []string{"--tls-ca", s.ca, "--tls-cert", s.client.Cert, "--tls-key", s.client.Key}
}

func natsTLS(t *testing.T, pair testserver.Pair, ca string) (server *testserver.Server, url string) {
	config := fmt.Sprintf("tls { cert_file: %q, key_file: %q }", pair.Cert, pair.Key)
	if ca != "" {
		config = fmt.Sprintf("tls { cert_file: %q, key_file: %q, ca_file: %q, verify: true }", pair.Cert, pair.Key, ca)
	}
	s := testserver.NATSWith(t, config)
	return s, strings.Replace(s.URL(), "nats://", "tls://", 1)
}

func rabbitTLS(t *testing.T, pair testserver.Pair, ca string) (server *testserver.Server, address string) {
	address = testserver.Address(t)
	lines := []string{"listeners.ssl.1 = " + address, "ssl_options.certfile = " + pair.Cert, "ssl_options.keyfile = " + pair.Key}
	if ca != "" {
		lines = append(lines, "ssl_options.cacertfile = "+ca, "ssl_options.verify = verify_peer", "ssl_options.fail_if_no_peer_cert = true")
	}
	s := testserver.RabbitMQWith(t, testserver.RabbitMQSettings{Config: lines})
	u, err := url.Parse(s.URL())
	if err != nil {
		t.Fatal(err)
	}
	u.Scheme, u.Host = "amqps", address
	return s, u.String()
}

// TestTLSFilesAreReadOnce rotates everything under running services: they get
// their links back.
func TestTLSFilesAreReadOnce(t *testing.T) {
	for name, serve := range map[string]func(*testing.T, testserver.Pair, string) (*testserver.Server, string){"nats": natsTLS, "amqp": rabbitTLS} {
		t.Run(name, func(t *testing.T) {
			site := newTLSSite(t)
			server, url := serve(t, site.server, site.ca)
			a := startApp(t, greeter(), append(site.flags(), "--broker", url)...)
			admin := a.ready(t)
			server.Kill()
			a.awaitReadyz(t, admin, 503, "broker")
			site.rotate(t)
			if err := server.Start(); err != nil {
				t.Fatal(err)
			}
			a.awaitReadyz(t, admin, 200, "ok")
		})
	}
}

// TestTLSRefusalIsSilentOnNATS: what no waiting cures is an error that says
// why, as on RabbitMQ.
func TestTLSRefusalIsSilentOnNATS(t *testing.T) {
	dir := t.TempDir()
	authority := testserver.NewAuthority(t)
	ca := authority.Write(filepath.Join(dir, "ca.pem"))
	other := testserver.NewAuthority(t).Write(filepath.Join(dir, "other.pem"))
	good := authority.Sign(dir, "good", nil)
	expired := authority.Sign(dir, "expired", func(c *x509.Certificate) { c.NotAfter = time.Now().Add(-time.Hour) })
	elsewhere := authority.Sign(dir, "elsewhere", func(c *x509.Certificate) {
		c.IPAddresses, c.DNSNames = []net.IP{net.IPv4(192, 0, 2, 1)}, []string{"elsewhere.example.org"}
	})
	for name, c := range map[string]struct {
		shown testserver.Pair
		ca    string
		asks  bool // the server wants a certificate of us
		want  string
	}{
		"expired":           {shown: expired, ca: ca, want: "expired"},
		"wrong host":        {shown: elsewhere, ca: ca, want: "192.0.2.1"},
		"unknown authority": {shown: good, ca: other, want: "unknown authority"},
		"no certificate":    {shown: good, ca: ca, asks: true, want: "certificate that we show"},
	} {
		t.Run(name, func(t *testing.T) {
			wanted := ""
			if c.asks {
				wanted = c.ca
			}
			_, url := natsTLS(t, c.shown, wanted)
			a := startApp(t, greeter(), "--broker", url, "--tls-ca", c.ca)
			if code := a.end(t); code != 7 || !strings.Contains(a.log(), c.want) {
				t.Errorf("it ends with %d, want 7 and %q:\n%s", code, c.want, a.log())
			}
		})
	}
}

// TestUnreachableBrokerGivesNoReason: the log and /readyz say why.
func TestUnreachableBrokerGivesNoReason(t *testing.T) {
	for _, scheme := range []string{"nats", "amqp"} {
		t.Run(scheme, func(t *testing.T) {
			address := testserver.Address(t)
			a := startApp(t, greeter(), "--broker", scheme+"://u:hush@"+address)
			line, _ := a.await(t, "waiting for the broker", 0)
			admin := fmt.Sprint(line["admin"])
			a.awaitReadyz(t, admin, 503, "connection refused")
			if !strings.Contains(a.log(), "connection refused") || strings.Contains(a.log(), "hush") {
				t.Errorf("the log says\n%s", a.log())
			}
			if _, body := get(t, admin+"/readyz"); strings.Contains(body, "hush") {
				t.Errorf("/readyz shows the password: %s", body)
			}
			a.stop()
			if code := a.end(t); code != 0 {
				t.Errorf("it ends with %d", code)
			}
		})
	}
}

// TestLostLinkGivesNoReason: a link that does not come back says why, too,
// also where the socket opens.
func TestLostLinkGivesNoReason(t *testing.T) {
	site := newTLSSite(t)
	server, url := natsTLS(t, site.server, "")
	a := startApp(t, greeter(), append(site.flags(), "--broker", url)...)
	admin := a.ready(t)
	server.Kill()
	testserver.NewAuthority(t).Sign(site.dir, "server", nil) // of an authority that we don't trust
	if err := server.Start(); err != nil {
		t.Fatal(err)
	}
	a.awaitReadyz(t, admin, 503, "unknown authority")
	if line, _ := a.await(t, "NATS can't be reached", 0); line["error"] == nil {
		t.Errorf("the log says %v", line)
	}
}
