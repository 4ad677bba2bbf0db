package main

import (
	"context"
	"crypto/ecdsa"
	"crypto/elliptic"
	"crypto/rand"
	"crypto/tls"
	"crypto/x509"
	"crypto/x509/pkix"
	"encoding/pem"
	"io"
	"math/big"
	"net"
	"net/http"
	"os"
	"path/filepath"
	"regexp"
	"strings"
	"testing"
	"time"
)

// writeCertificate writes a certificate of 127.0.0.1 that vouches for itself.
func writeCertificate(t *testing.T, dir string, serial int64) (cert, key string, pool *x509.CertPool) {
	t.Helper()
	private, err := ecdsa.GenerateKey(elliptic.P256(), rand.Reader)
	if err != nil {
		t.Fatal(err)
	}
	tmpl := &x509.Certificate{
		SerialNumber: big.NewInt(serial), Subject: pkix.Name{CommonName: "test"}, IPAddresses: []net.IP{net.IPv4(127, 0, 0, 1)},
		NotBefore: time.Now().Add(-time.Hour), NotAfter: time.Now().Add(time.Hour), IsCA: true, BasicConstraintsValid: true,
	}
	der, err := x509.CreateCertificate(rand.Reader, tmpl, tmpl, &private.PublicKey, private)
	if err != nil {
		t.Fatal(err)
	}
	keyDER, err := x509.MarshalPKCS8PrivateKey(private)
	if err != nil {
		t.Fatal(err)
	}
	cert, key = filepath.Join(dir, "cert.pem"), filepath.Join(dir, "key.pem")
	for path, b := range map[string]*pem.Block{cert: {Type: "CERTIFICATE", Bytes: der}, key: {Type: "PRIVATE KEY", Bytes: keyDER}} {
		if err := os.WriteFile(path, pem.EncodeToMemory(b), 0o600); err != nil {
			t.Fatal(err)
		}
		// Two writes of one test may fall into one tick of the file system.
		if at := time.Unix(1_700_000_000+serial, 0); os.Chtimes(path, at, at) != nil {
			t.Fatal("no times on", path)
		}
	}
	pool = x509.NewCertPool()
	parsed, err := x509.ParseCertificate(der)
	if err != nil {
		t.Fatal(err)
	}
	pool.AddCert(parsed)
	return cert, key, pool
}

// TestTLS serves with a certificate on an address that others can reach: plain
// HTTP and old TLS get nothing.
func TestTLS(t *testing.T) {
	dir := t.TempDir()
	cert, key, pool := writeCertificate(t, dir, 1)
	t.Setenv("BARKEEP_SERVER_TLS_CERT", cert)
	t.Setenv("BARKEEP_SERVER_TLS_KEY", key)
	pr, pw := io.Pipe()
	ctx, stop := context.WithCancel(t.Context())
	done := make(chan int, 1)
	go func() {
		a := &app{stdin: strings.NewReader(""), stdout: pw, stderr: io.Discard, grace: time.Second}
		done <- a.run(ctx, []string{"serve", "--data", dir, "--listen", "0.0.0.0:0"})
		_ = pw.Close() // never fails
	}()
	defer func() {
		stop()
		if code := <-done; code != exitDone {
			t.Error(code)
		}
	}()
	var text strings.Builder
	found := regexp.MustCompile(`https://\S+:(\d+)\n`)
	for buf := make([]byte, 100); !found.MatchString(text.String()); {
		n, err := pr.Read(buf)
		if err != nil {
			t.Fatal(err, text.String())
		}
		text.Write(buf[:n])
	}
	go io.Copy(io.Discard, pr) //nolint:errcheck // it ends with the server
	host := "127.0.0.1:" + found.FindStringSubmatch(text.String())[1]
	get := func(scheme string, conf *tls.Config) (int, error) {
		c := &http.Client{Transport: &http.Transport{TLSClientConfig: conf, DisableKeepAlives: true}}
		r, err := http.NewRequestWithContext(t.Context(), http.MethodGet, scheme+"://"+host+"/v1/series", nil)
		if err != nil {
			t.Fatal(err)
		}
		resp, err := c.Do(r)
		if err != nil {
			return 0, err
		}
		return resp.StatusCode, resp.Body.Close()
	}
	if code, err := get("https", &tls.Config{RootCAs: pool}); err != nil || code != 200 {
		t.Error(code, err)
	}
	if code, err := get("https", &tls.Config{RootCAs: pool, MaxVersion: tls.VersionTLS11, MinVersion: tls.VersionTLS10}); err == nil { // what must be refused
		t.Error("TLS 1.1:", code)
	}
	if code, err := get("http", nil); err == nil && code != http.StatusBadRequest {
		t.Error("plain HTTP:", code)
	}
}

// TestRenewal: files that were replaced are read, and half-replaced ones do no
// harm.
func TestRenewal(t *testing.T) {
	dir := t.TempDir()
	cert, key, _ := writeCertificate(t, dir, 1)
	c, err := newCertificates(cert, key)
	if err != nil {
		t.Fatal(err)
	}
	serial := func() int64 {
		c.looked = time.Time{}
		p, err := c.get(nil)
		if err != nil {
			t.Fatal(err)
		}
		leaf, err := x509.ParseCertificate(p.Certificate[0])
		if err != nil {
			t.Fatal(err)
		}
		return leaf.SerialNumber.Int64()
	}
	if n := serial(); n != 1 {
		t.Error(n)
	}
	old, err := os.ReadFile(key)
	if err != nil {
		t.Fatal(err)
	}
	writeCertificate(t, dir, 2)
	fresh, err := os.ReadFile(key)
	if err != nil {
		t.Fatal(err)
	}
	if err := os.WriteFile(key, old, 0o600); err != nil {
		t.Fatal(err)
	}
	if n := serial(); n != 1 {
		t.Error("a certificate without its key:", n)
	}
	if err := os.WriteFile(key, fresh, 0o600); err != nil {
		t.Fatal(err)
	}
	if n := serial(); n != 2 {
		t.Error("not renewed:", n)
	}
	if _, err := newCertificates(cert, filepath.Join(dir, "none.pem")); err == nil {
		t.Error("no key, and no error")
	}
}
