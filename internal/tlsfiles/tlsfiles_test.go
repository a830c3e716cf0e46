package tlsfiles

import (
	"bytes"
	"crypto/ecdsa"
	"crypto/elliptic"
	"crypto/rand"
	"crypto/x509"
	"encoding/pem"
	"log/slog"
	"math/big"
	"os"
	"path/filepath"
	"strings"
	"testing"
)

func TestFilesAreReadAgain(t *testing.T) {
	dir := t.TempDir()
	var log bytes.Buffer
	f := &Files{CA: filepath.Join(dir, "ca.pem"), Cert: filepath.Join(dir, "cert.pem"), Key: filepath.Join(dir, "key.pem"), Log: slog.New(slog.NewTextHandler(&log, nil))}
	renew(t, f)
	roots, err := f.Roots()
	shown, err2 := f.Certificate()
	if err != nil || err2 != nil {
		t.Fatal(err, err2)
	}
	if again, _ := f.Roots(); again != roots {
		t.Error("the same file gives another pool")
	}

	renew(t, f)
	newRoots, err := f.Roots()
	newShown, err2 := f.Certificate()
	if err != nil || err2 != nil || newRoots.Equal(roots) || bytes.Equal(newShown.Certificate[0], shown.Certificate[0]) {
		t.Error("what was replaced is not read:", err, err2)
	}
	if log.Len() > 0 {
		t.Errorf("the log says %s", log.String())
	}

	for _, text := range []string{"", "no PEM"} { // half written
		for _, file := range []string{f.CA, f.Key} {
			if err := os.WriteFile(file, []byte(text), 0o600); err != nil {
				t.Fatal(err)
			}
		}
		keptRoots, err := f.Roots()
		keptShown, err2 := f.Certificate()
		if err != nil || err2 != nil || keptRoots != newRoots || keptShown != newShown {
			t.Errorf("with files that hold %q the old ones do not go on: %v, %v", text, err, err2)
		}
	}
	if said := log.String(); !strings.Contains(said, "WARN") || !strings.Contains(said, f.CA) {
		t.Errorf("the log says %q", said)
	}
}

// renew writes a new certificate, which is its own authority.
func renew(t *testing.T, f *Files) {
	t.Helper()
	key, err := ecdsa.GenerateKey(elliptic.P256(), rand.Reader)
	if err != nil {
		t.Fatal(err)
	}
	template := &x509.Certificate{SerialNumber: big.NewInt(1)}
	cert, err := x509.CreateCertificate(rand.Reader, template, template, &key.PublicKey, key)
	if err != nil {
		t.Fatal(err)
	}
	der, err := x509.MarshalPKCS8PrivateKey(key)
	if err != nil {
		t.Fatal(err)
	}
	for file, block := range map[string]*pem.Block{
		f.CA: {Type: "CERTIFICATE", Bytes: cert}, f.Cert: {Type: "CERTIFICATE", Bytes: cert}, f.Key: {Type: "PRIVATE KEY", Bytes: der},
	} {
		if err := os.WriteFile(file, pem.EncodeToMemory(block), 0o600); err != nil {
			t.Fatal(err)
		}
	}
}

func TestFilesThatNeverCouldBeRead(t *testing.T) {
	f := &Files{CA: "/not/there", Cert: "/not/there", Key: "/nor/there", Log: slog.New(slog.DiscardHandler)}
	if _, err := f.Roots(); err == nil {
		t.Error("no error for the authorities")
	}
	if _, err := f.Certificate(); err == nil {
		t.Error("no error for the certificate")
	}
}
