package interop_test

import (
	"crypto/ecdsa"
	"crypto/elliptic"
	"crypto/rand"
	"crypto/tls"
	"crypto/x509"
	"crypto/x509/pkix"
	"encoding/pem"
	"math/big"
	"net"
	"net/url"
	"os"
	"path/filepath"
	"testing"
	"time"

	"github.com/enoki-go/enoki/internal/testserver"
)

// loginBehaviours are the ways to a broker that is no open door.
func loginBehaviours() []*behaviour {
	return []*behaviour{
		{id: "C74", title: "TLS, with a password and by certificate (EXTERNAL): RPC, events, publish", alone: true, run: loggingIn},
	}
}

// secure is the door of the broker that speaks TLS and takes certificates for
// a login.
type secure struct {
	address string // host and port
	dir     string // of the files
}

// The user who has a certificate, and one who has a password and may declare
// exchanges and await replies to a standalone client, but neither send nor
// serve. Peers with the certificate give the other's password too: on its
// connections for no more than that Nameko forgets LOGIN_METHOD.
const (
	certified = "guest"
	declarer  = "declarer"
	password  = "declares"
)

// newSecure makes the certificates, and chooses the address.
func newSecure(t *testing.T) *secure {
	t.Helper()
	s := &secure{address: testserver.Address(t), dir: t.TempDir()}
	authority := s.sign(t, "authority", nil, &x509.Certificate{IsCA: true, BasicConstraintsValid: true, KeyUsage: x509.KeyUsageCertSign})
	s.sign(t, "broker", authority, &x509.Certificate{IPAddresses: []net.IP{net.IPv4(127, 0, 0, 1)}, ExtKeyUsage: []x509.ExtKeyUsage{x509.ExtKeyUsageServerAuth}})
	s.sign(t, certified, authority, &x509.Certificate{ExtKeyUsage: []x509.ExtKeyUsage{x509.ExtKeyUsageClientAuth}})
	return s
}

// sign makes a certificate and writes it, with its key, to files of its name.
// Without a parent it is signed by itself.
func (s *secure) sign(t *testing.T, name string, parent *tls.Certificate, c *x509.Certificate) *tls.Certificate {
	t.Helper()
	must := func(err error) {
		t.Helper()
		if err != nil {
			t.Fatal(err)
		}
	}
	key, err := ecdsa.GenerateKey(elliptic.P256(), rand.Reader)
	must(err)
	c.Subject, c.SerialNumber = pkix.Name{CommonName: name}, big.NewInt(time.Now().UnixNano())
	c.NotBefore, c.NotAfter = time.Now().Add(-time.Hour), time.Now().Add(24*time.Hour)
	if parent == nil {
		parent = &tls.Certificate{Leaf: c, PrivateKey: key}
	}
	der, err := x509.CreateCertificate(rand.Reader, c, parent.Leaf, &key.PublicKey, parent.PrivateKey)
	must(err)
	keyDER, err := x509.MarshalECPrivateKey(key)
	must(err)
	certPEM := pem.EncodeToMemory(&pem.Block{Type: "CERTIFICATE", Bytes: der})
	keyPEM := pem.EncodeToMemory(&pem.Block{Type: "EC PRIVATE KEY", Bytes: keyDER})
	must(os.WriteFile(s.file(name+".pem"), certPEM, 0o600))
	must(os.WriteFile(s.file(name+".key"), keyPEM, 0o600))
	pair, err := tls.X509KeyPair(certPEM, keyPEM)
	must(err)
	return &pair
}

func (s *secure) file(name string) string { return filepath.Join(s.dir, name) }

// settings are what the broker needs for it.
func (s *secure) settings() testserver.RabbitMQSettings {
	return testserver.RabbitMQSettings{
		Plugins: []string{"rabbitmq_auth_mechanism_ssl"},
		Config: []string{
			"listeners.ssl.1 = " + s.address,
			"ssl_options.cacertfile = " + s.file("authority.pem"),
			"ssl_options.certfile = " + s.file("broker.pem"),
			"ssl_options.keyfile = " + s.file("broker.key"),
			"ssl_options.verify = verify_peer",
			"ssl_options.fail_if_no_peer_cert = false",
			"auth_mechanisms.1 = PLAIN", "auth_mechanisms.2 = AMQPLAIN", "auth_mechanisms.3 = EXTERNAL",
			"ssl_cert_login_from = common_name",
		},
	}
}

// addDeclarer has the broker know the user who may only declare.
func (s *secure) addDeclarer(t *testing.T, server *testserver.Server) {
	t.Helper()
	for _, args := range [][]string{{"add_user", declarer, password}, {"set_permissions", declarer, ".*", `^rpc\.reply-`, `^(nameko-rpc$|rpc\.reply-standalone)`}} {
		if _, err := server.Ctl(args...); err != nil {
			t.Fatal(err)
		}
	}
}

// login is how a peer comes to the broker by TLS, past its tap.
type login struct {
	at       *secure
	external bool   // by the certificate
	user     string // name:password
}

// goURL is the URL for Enoki.
func (l *login) goURL() string {
	with := url.Values{"cacertfile": {l.at.file("authority.pem")}}
	if l.external {
		with.Set("auth_mechanism", "external")
		with.Set("certfile", l.at.file(certified+".pem"))
		with.Set("keyfile", l.at.file(certified+".key"))
	}
	return "amqps://" + l.user + "@" + l.at.address + "/?" + with.Encode()
}

// config is the configuration for Nameko.
func (l *login) config() map[string]any {
	ssl := map[string]any{"ca_certs": l.at.file("authority.pem"), "server_hostname": "127.0.0.1",
		"cert_reqs": 2} // ssl.CERT_REQUIRED
	config := map[string]any{"AMQP_URI": "pyamqp://" + l.user + "@" + l.at.address + "/", "AMQP_SSL": ssl}
	if l.external {
		config["LOGIN_METHOD"] = "EXTERNAL"
		ssl["certfile"], ssl["keyfile"] = l.at.file(certified+".pem"), l.at.file(certified+".key")
	}
	return config
}

func loggingIn(x *trial) {
	x.worksBy(&login{at: x.secure, user: "guest:guest"})
	x.worksBy(&login{at: x.secure, user: declarer + ":" + password, external: true})
}

// worksBy ends the trial unless RPC, events and publishing work for peers that
// log in as said.
func (x *trial) worksBy(l *login) {
	x.Helper()
	service, other := x.ownService(peerSpec{login: l}), x.ownClient(peerSpec{login: l})
	name, poster, exchange := x.name("svc"), x.name("svc"), x.name("ex")
	x.serve(service, serviceSpec{Name: name,
		Handlers:  []handlerSpec{{Name: "on_sent", Source: poster, Event: "sent"}},
		Consumers: []consumerSpec{{Name: "take", Queue: x.name("queue"), Exchange: exchange, Key: "key"}}})
	x.serve(other, serviceSpec{Name: poster, Publisher: &publisherSpec{Exchange: exchange}})

	for _, kind := range []string{standalone, inService} {
		caller := x.caller(other, clientSpec{Kind: kind})
		x.returns(caller.call(name, "echo", kind), kind)
		x.returns(caller.call(poster, "emit", "sent", kind), nil)
		x.handles(service, name, "on_sent", `"`+kind+`"`)
		x.returns(caller.call(poster, "post", kind, publishOptions{RoutingKey: "key"}), nil)
		x.handles(service, name, "take", `"`+kind+`"`)
	}
	if err := other.emit(emitSpec{Source: poster, Event: "sent", Payload: "by itself"}); err != nil {
		x.Fatalf("emit: %v", err)
	}
	x.handles(service, name, "on_sent", `"by itself"`)
}

// handles ends the trial unless the next thing that a service sees is this.
func (x *trial) handles(p peer, service, handler, payload string) {
	x.Helper()
	if n := x.noted(p, service); n.Name != handler || string(n.Payload) != payload {
		x.Fatalf("%s got %s, want %s with %s", n.Name, n.Payload, handler, payload)
	}
}
