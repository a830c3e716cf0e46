package host

import (
	"crypto/ecdsa"
	"crypto/elliptic"
	"crypto/rand"
	"crypto/x509"
	"encoding/pem"
	"math/big"
	"os"
	"path/filepath"
	"testing"
)

func TestTLSConfig(t *testing.T) {
	key, err := ecdsa.GenerateKey(elliptic.P256(), rand.Reader)
	if err != nil {
		t.Fatal(err)
	}
	template := &x509.Certificate{SerialNumber: big.NewInt(1)}
	cert, err := x509.CreateCertificate(rand.Reader, template, template, &key.PublicKey, key)
	if err != nil {
		t.Fatal(err)
	}
	keyBytes, err := x509.MarshalPKCS8PrivateKey(key)
	if err != nil {
		t.Fatal(err)
	}
	dir := t.TempDir()
	write := func(name, kind string, content []byte) string {
		path := filepath.Join(dir, name)
		if err := os.WriteFile(path, pem.EncodeToMemory(&pem.Block{Type: kind, Bytes: content}), 0o600); err != nil {
			t.Fatal(err)
		}
		return path
	}
	c := config{tlsCA: write("cert", "CERTIFICATE", cert), tlsName: "mq.example.org"}
	c.tlsCert, c.tlsKey = c.tlsCA, write("key", "PRIVATE KEY", keyBytes)

	got, err := c.tlsConfig()
	if err != nil {
		t.Fatal(err)
	}
	if got.RootCAs == nil || len(got.Certificates) != 1 || got.ServerName != "mq.example.org" || got.InsecureSkipVerify {
		t.Errorf("got %+v", got)
	}
	c.tlsKey = c.tlsCert
	if _, err := c.tlsConfig(); err == nil {
		t.Error("a certificate for a key is taken")
	}
	if none, err := (&config{}).tlsConfig(); none != nil || err != nil {
		t.Errorf("without settings: %v, %v", none, err)
	}
}
