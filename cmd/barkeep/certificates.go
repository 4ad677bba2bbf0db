package main

import (
	"crypto/tls"
	"fmt"
	"os"
	"sync"
	"time"
)

// certificates hands out the certificate of the server, and reads it again
// when its files have changed: certificates are renewed every few weeks, and
// that must not take a restart.
type certificates struct {
	cert, key string

	mu      sync.Mutex
	current *tls.Certificate
	changed time.Time // of the newer file
	looked  time.Time
}

// certificatesEvery is how often the files are looked at, at most.
const certificatesEvery = 10 * time.Second

func newCertificates(cert, key string) (*certificates, error) {
	c := &certificates{cert: cert, key: key}
	if err := c.read(); err != nil {
		return nil, fmt.Errorf("server.tls_cert and server.tls_key: %w", err)
	}
	return c, nil
}

// read reads the files if they have changed.
func (c *certificates) read() error {
	var changed time.Time
	for _, path := range []string{c.cert, c.key} {
		info, err := os.Stat(path)
		if err != nil {
			return err
		}
		if info.ModTime().After(changed) {
			changed = info.ModTime()
		}
	}
	if c.current != nil && changed.Equal(c.changed) {
		return nil
	}
	pair, err := tls.LoadX509KeyPair(c.cert, c.key)
	if err != nil {
		return err
	}
	c.current, c.changed = &pair, changed
	return nil
}

// get is for tls.Config. Files that are being replaced, and do not fit each
// other for a moment, leave the certificate as it is.
func (c *certificates) get(*tls.ClientHelloInfo) (*tls.Certificate, error) {
	c.mu.Lock()
	defer c.mu.Unlock()
	if now := time.Now(); now.Sub(c.looked) > certificatesEvery {
		c.looked = now
		_ = c.read() // the old one goes on
	}
	return c.current, nil
}

func (c *certificates) config() *tls.Config {
	return &tls.Config{MinVersion: tls.VersionTLS12, GetCertificate: c.get, NextProtos: []string{"http/1.1"}}
}
