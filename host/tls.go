package host

import (
	"crypto/tls"
	"crypto/x509"
	"fmt"
	"log/slog"

	"github.com/enoki-go/enoki/internal/tlsfiles"
)

// tlsConfig returns what the tls settings say, or nil when they say nothing,
// and where the authorities are asked for at each connection.
func (c *config) tlsConfig(log *slog.Logger) (*tls.Config, func() (*x509.CertPool, error), error) {
	if c.tlsCA == "" && c.tlsCert == "" && c.tlsName == "" {
		return nil, nil, nil
	}
	files := &tlsfiles.Files{CA: c.tlsCA, Cert: c.tlsCert, Key: c.tlsKey, Log: log}
	if _, err := files.Roots(); err != nil {
		return nil, nil, fmt.Errorf("tls-ca: %w", err)
	}
	if _, err := files.Certificate(); err != nil {
		return nil, nil, fmt.Errorf("tls-cert and tls-key: %w", err)
	}
	out := files.Client()
	out.ServerName = c.tlsName
	return out, files.Roots, nil
}
