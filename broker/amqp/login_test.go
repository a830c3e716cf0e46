package amqp

import (
	"context"
	"crypto/ecdsa"
	"crypto/elliptic"
	"crypto/rand"
	"crypto/tls"
	"crypto/x509"
	"crypto/x509/pkix"
	"encoding/pem"
	"errors"
	"fmt"
	"io"
	"math/big"
	"net"
	"net/url"
	"os"
	"path/filepath"
	"strings"
	"testing"
	"time"

	"github.com/enoki-go/enoki/broker"
	"github.com/enoki-go/enoki/internal/testserver"
)

// authority signs certificates for a test and keeps them in files.
type authority struct {
	t    testing.TB
	dir  string
	cert *x509.Certificate
	key  *ecdsa.PrivateKey
}

func newAuthority(t testing.TB) *authority {
	t.Helper()
	a := &authority{t: t, dir: t.TempDir()}
	a.cert, a.key = a.sign("authority", &x509.Certificate{IsCA: true, BasicConstraintsValid: true, KeyUsage: x509.KeyUsageCertSign})
	return a
}

// sign makes a certificate for commonName and writes it, with its key, to
// files of that name.
func (a *authority) sign(commonName string, c *x509.Certificate) (*x509.Certificate, *ecdsa.PrivateKey) {
	a.t.Helper()
	must := func(err error) {
		a.t.Helper()
		if err != nil {
			a.t.Fatal(err)
		}
	}
	key, err := ecdsa.GenerateKey(elliptic.P256(), rand.Reader)
	must(err)
	c.Subject, c.SerialNumber = pkix.Name{CommonName: commonName}, big.NewInt(time.Now().UnixNano())
	c.NotBefore, c.NotAfter = time.Now().Add(-time.Hour), time.Now().Add(time.Hour)
	parent, parentKey := a.cert, a.key
	if parent == nil {
		parent, parentKey = c, key
	}
	der, err := x509.CreateCertificate(rand.Reader, c, parent, &key.PublicKey, parentKey)
	must(err)
	keyDER, err := x509.MarshalECPrivateKey(key)
	must(err)
	must(os.WriteFile(a.file(commonName+".pem"), pem.EncodeToMemory(&pem.Block{Type: "CERTIFICATE", Bytes: der}), 0o600))
	must(os.WriteFile(a.file(commonName+".key"), pem.EncodeToMemory(&pem.Block{Type: "EC PRIVATE KEY", Bytes: keyDER}), 0o600))
	signed, err := x509.ParseCertificate(der)
	must(err)
	return signed, key
}

func (a *authority) file(name string) string { return filepath.Join(a.dir, name) }

// client is what a client with the certificate of commonName has; without a
// name it has none.
func (a *authority) client(commonName string) *tls.Config {
	a.t.Helper()
	roots := x509.NewCertPool()
	roots.AddCert(a.cert)
	config := &tls.Config{RootCAs: roots}
	if commonName != "" {
		pair, err := tls.LoadX509KeyPair(a.file(commonName+".pem"), a.file(commonName+".key"))
		if err != nil {
			a.t.Fatal(err)
		}
		config.Certificates = []tls.Certificate{pair}
	}
	return config
}

// newTLSNode starts a RabbitMQ that takes certificates for a login, and
// returns the address of its TLS port. The user "service" has a certificate
// and no password, "stranger" a certificate only.
func newTLSNode(t *testing.T, a *authority) (*testserver.Server, string) {
	t.Helper()
	a.sign("localhost", &x509.Certificate{IPAddresses: []net.IP{net.IPv4(127, 0, 0, 1)}, ExtKeyUsage: []x509.ExtKeyUsage{x509.ExtKeyUsageServerAuth}})
	for _, name := range []string{"service", "stranger"} {
		a.sign(name, &x509.Certificate{ExtKeyUsage: []x509.ExtKeyUsage{x509.ExtKeyUsageClientAuth}})
	}
	address := testserver.Address(t)
	s := testserver.RabbitMQWith(t, testserver.RabbitMQSettings{
		Plugins: []string{"rabbitmq_auth_mechanism_ssl"},
		Config: []string{
			"listeners.ssl.1 = " + address,
			"ssl_options.cacertfile = " + a.file("authority.pem"),
			"ssl_options.certfile = " + a.file("localhost.pem"),
			"ssl_options.keyfile = " + a.file("localhost.key"),
			"ssl_options.verify = verify_peer",
			"ssl_options.fail_if_no_peer_cert = false",
			"auth_mechanisms.1 = PLAIN", "auth_mechanisms.2 = AMQPLAIN", "auth_mechanisms.3 = EXTERNAL",
			"ssl_cert_login_from = common_name",
		},
	})
	for _, args := range [][]string{
		{"await_startup"}, // of the second listener, too
		{"add_user", "service", "unused"}, {"clear_password", "service"}, {"set_permissions", "service", ".*", ".*", ".*"},
	} {
		if _, err := s.Ctl(args...); err != nil {
			t.Fatal(err)
		}
	}
	return s, address
}

func TestLoginMethods(t *testing.T) {
	rabbit(t) // skips when there is none
	a := newAuthority(t)
	s, address := newTLSNode(t, a)
	files := url.Values{"cacertfile": {a.file("authority.pem")}, "certfile": {a.file("service.pem")}, "keyfile": {a.file("service.key")}, "auth_mechanism": {"external"}}
	for what, test := range map[string]struct {
		config Config
		want   string // of list_connections
	}{
		"default":             {Config{URL: "amqps://guest:guest@" + address, TLS: a.client("")}, "guest PLAIN true"},
		"amqplain":            {Config{URL: "amqps://guest:guest@" + address, TLS: a.client(""), LoginMethod: "AMQPLAIN"}, "guest AMQPLAIN true"},
		"external":            {Config{URL: "amqps://" + address, TLS: a.client("service"), LoginMethod: "EXTERNAL"}, "service EXTERNAL true"},
		"external by URL":     {Config{URL: "amqps://" + address + "?" + files.Encode(), LoginMethod: "PLAIN"}, "service EXTERNAL true"},
		"amqplain, no TLS":    {Config{URL: s.URL(), LoginMethod: "AMQPLAIN"}, "guest AMQPLAIN false"},
		"plain, certificates": {Config{URL: "amqps://guest:guest@" + address, TLS: a.client("service"), LoginMethod: "plain"}, "guest PLAIN true"},
	} {
		t.Run(what, func(t *testing.T) {
			test.config.Owner = name("login")
			works(t, dial(t, test.config))
			out, err := s.Ctl("list_connections", "--no-table-headers", "user", "auth_mechanism", "ssl", "client_properties")
			if err != nil {
				t.Fatal(err)
			}
			n := 0
			for line := range strings.Lines(out) {
				if strings.Contains(line, test.config.Owner) && strings.HasPrefix(strings.Join(strings.Fields(line), " "), test.want) {
					n++
				}
			}
			if n != 2 {
				t.Errorf("%d connections are %q, want 2:\n%s", n, test.want, out)
			}
		})
	}
}

// works proves calls, events and publishing.
func works(t *testing.T, d *Driver) {
	t.Helper()
	svc, events := name("svc"), make(chan string, 1)
	join(t, d, broker.Service{Instance: broker.Instance{Name: svc}, Serve: echo, Subscriptions: []broker.Subscription{
		{Source: svc, Event: "e", Handler: "h", Handle: func(_ context.Context, m *broker.Message) broker.Settlement {
			events <- string(m.Body)
			return broker.Settlement{}
		}}}})
	reply, err := d.Call(within(t, patience), svc, "m", text("hello"))
	if err != nil || string(reply.Body) != "hello" {
		t.Fatalf("Call: %v, %v", reply, err)
	}
	if err := d.Emit(within(t, patience), svc, "e", text("event")); err != nil {
		t.Fatal(err)
	}
	if got := next(t, "the event", events); got != "event" {
		t.Errorf("got event %q", got)
	}
	q := Queue{Name: name("queue")}
	if err := d.Publish(within(t, patience), &Publishing{RoutingKey: q.Name, Declare: []Declaration{q}, Mandatory: true, Message: text("1")}); err != nil {
		t.Error(err)
	}
}

func TestLoginRefused(t *testing.T) {
	rabbit(t)
	a := newAuthority(t)
	_, address := newTLSNode(t, a)
	for what, test := range map[string]struct {
		config Config
		want   string
	}{
		"user unknown":     {Config{URL: "amqps://" + address, TLS: a.client("stranger"), LoginMethod: "EXTERNAL"}, `refused the user of the certificate on vhost "/"`},
		"no TLS":           {Config{URL: node.URL(), LoginMethod: "EXTERNAL"}, "use the scheme amqps and give a certificate"},
		"no certificate":   {Config{URL: "amqps://" + address, TLS: a.client(""), LoginMethod: "EXTERNAL"}, "give a certificate"},
		"no such method":   {Config{URL: node.URL(), LoginMethod: "KERBEROS"}, `login method is "KERBEROS", want PLAIN, AMQPLAIN or EXTERNAL`},
		"not by this node": {Config{URL: "amqps://guest:guest@" + address + "?auth_mechanism=kerberos"}, `login method is "kerberos"`},
	} {
		_, err := Dial(within(t, patience), test.config)
		if !strings.Contains(fmt.Sprint(err), test.want) || errors.Is(err, context.DeadlineExceeded) {
			t.Errorf("%s: got %v, want at once one that says %q", what, err, test.want)
		}
	}
}

// TestPortForTLS: a server that wants TLS answers with an alert, which is no
// AMQP, and the error says so.
func TestPortForTLS(t *testing.T) {
	l, err := net.Listen("tcp", "127.0.0.1:0")
	if err != nil {
		t.Fatal(err)
	}
	defer l.Close()
	go func() {
		for {
			conn, err := l.Accept()
			if err != nil {
				return
			}
			_, _ = io.ReadFull(conn, make([]byte, 8))
			_, _ = conn.Write([]byte("\x15\x03\x01\x00\x02\x02\x46"))
			_ = conn.Close()
		}
	}()
	ctx, cancel := context.WithTimeout(t.Context(), time.Second)
	defer cancel()
	_, err = Dial(ctx, Config{URL: "amqp://guest:guest@" + l.Addr().String() + "/"})
	wantText(t, err, "use amqps://")
}
