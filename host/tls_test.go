package host

import (
	"path/filepath"
	"testing"

	"github.com/enoki-go/enoki/internal/testserver"
)

func TestTLSConfig(t *testing.T) {
	authority, dir := testserver.NewAuthority(t), t.TempDir()
	pair := authority.Sign(dir, "client", nil)
	c := config{tlsCA: authority.Write(filepath.Join(dir, "ca.pem")), tlsName: "mq.example.org", tlsCert: pair.Cert, tlsKey: pair.Key}
	got, roots, err := c.tlsConfig(silent)
	if err != nil {
		t.Fatal(err)
	}
	if got.ServerName != "mq.example.org" || got.InsecureSkipVerify {
		t.Errorf("got %+v", got)
	}
	if shown, err := got.GetClientCertificate(nil); err != nil || len(shown.Certificate) != 1 {
		t.Errorf("the certificate is %v, %v", shown, err)
	}
	if pool, err := roots(); err != nil || pool == nil {
		t.Errorf("the authorities are %v, %v", pool, err)
	}
	c.tlsKey = c.tlsCert
	if _, _, err := c.tlsConfig(silent); err == nil {
		t.Error("a certificate for a key is taken")
	}
	if none, roots, err := (&config{}).tlsConfig(silent); none != nil || roots != nil || err != nil {
		t.Errorf("without settings: %v, %v", none, err)
	}
}
