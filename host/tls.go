package host

import (
	"crypto/tls"
	"crypto/x509"
	"fmt"
	"os"
)

// tlsConfig returns what the tls settings say, or nil when they say nothing.
func (c *config) tlsConfig() (*tls.Config, error) {
	if c.tlsCA == "" && c.tlsCert == "" && c.tlsName == "" {
		return nil, nil //nolint:nilnil // nil is the standard library's word for the defaults
	}
	out := &tls.Config{MinVersion: tls.VersionTLS12, ServerName: c.tlsName}
	if c.tlsCA != "" {
		pem, err := os.ReadFile(c.tlsCA)
		if err != nil {
			return nil, fmt.Errorf("tls-ca: %w", err)
		}
		out.RootCAs = x509.NewCertPool()
		if !out.RootCAs.AppendCertsFromPEM(pem) {
			return nil, fmt.Errorf("tls-ca: no certificate (PEM) in %s", c.tlsCA)
		}
	}
	if c.tlsCert != "" {
		pair, err := tls.LoadX509KeyPair(c.tlsCert, c.tlsKey)
		if err != nil {
			return nil, fmt.Errorf("tls-cert and tls-key: %w", err)
		}
		out.Certificates = []tls.Certificate{pair}
	}
	return out, nil
}
