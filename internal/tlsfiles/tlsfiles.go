// Package tlsfiles reads certificates, keys and authorities from files. It
// reads them again for each connection, because they may be replaced while a
// process runs.
package tlsfiles

import (
	"bytes"
	"crypto/tls"
	"crypto/x509"
	"fmt"
	"log/slog"
	"os"
	"sync"
)

// Files are those of one end of connections, in PEM. Paths may be empty. Its
// methods may be called concurrently.
type Files struct {
	CA        string       // authorities that vouch for the peer
	Cert, Key string       // what is shown to the peer
	Log       *slog.Logger // of warnings; must be set

	mu     sync.Mutex // guards what follows
	ca     []byte     // that roots were made of
	roots  *x509.CertPool
	shown  *tls.Certificate
	warned string // last, so that each reconnection says it only once
}

// Roots returns the authorities that the file has now, or nil without a file.
// Once it has been read, what can't be read later is a warning, and those of
// before go on.
func (f *Files) Roots() (*x509.CertPool, error) {
	if f.CA == "" {
		return nil, nil //nolint:nilnil // the standard library's word for the system's
	}
	f.mu.Lock()
	defer f.mu.Unlock()
	pem, err := os.ReadFile(f.CA)
	if err == nil && f.roots != nil && bytes.Equal(pem, f.ca) {
		return f.roots, nil
	}
	roots := x509.NewCertPool()
	if err == nil && !roots.AppendCertsFromPEM(pem) {
		err = fmt.Errorf("no certificate (PEM) in %s", f.CA)
	}
	if err != nil {
		return f.roots, f.excuse(err, f.roots != nil)
	}
	f.ca, f.roots, f.warned = pem, roots, ""
	return roots, nil
}

// Certificate returns what the files have now, or nil without files, as Roots
// does.
func (f *Files) Certificate() (*tls.Certificate, error) {
	if f.Cert == "" && f.Key == "" {
		return nil, nil //nolint:nilnil // nothing is shown
	}
	f.mu.Lock()
	defer f.mu.Unlock()
	pair, err := tls.LoadX509KeyPair(f.Cert, f.Key)
	if err != nil { // as between the writing of one file and the other
		return f.shown, f.excuse(err, f.shown != nil)
	}
	f.shown, f.warned = &pair, ""
	return f.shown, nil
}

// excuse makes a warning of an error where there is something to go on with,
// once for each error.
func (f *Files) excuse(err error, goesOn bool) error {
	if !goesOn {
		return err
	}
	if f.warned != err.Error() {
		f.warned = err.Error()
		f.Log.Warn("TLS files can't be read; what they held before goes on", "error", err)
	}
	return nil
}

// Client returns the configuration of connections that show the certificate of
// the moment. The authorities are those of Roots, which a connection is to be
// given, because this package does not know when one is made.
func (f *Files) Client() *tls.Config {
	c := &tls.Config{MinVersion: tls.VersionTLS12}
	if f.Cert != "" || f.Key != "" {
		c.GetClientCertificate = func(*tls.CertificateRequestInfo) (*tls.Certificate, error) { return f.Certificate() }
	}
	return c
}
