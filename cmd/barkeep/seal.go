package main

import (
	"bytes"
	"encoding/base64"
	"errors"
	"fmt"
	"io"
	"io/fs"
	"os"
	"path/filepath"
	"strings"

	"filippo.io/age"
	"github.com/spf13/cobra"
)

// A sealed secret is one that only this store's key opens, so that the file of
// the configuration can be kept and copied without it.
const (
	sealedPrefix = "sealed:"
	keyFile      = "key" // in the data directory, mode 0600
)

// sealKey reads the key of a data directory; with make it is made at the first
// use.
func sealKey(dir string, create bool) (*age.X25519Identity, error) {
	path := filepath.Join(dir, keyFile)
	text, err := os.ReadFile(path)
	if errors.Is(err, fs.ErrNotExist) && create {
		id, err := age.GenerateX25519Identity()
		if err != nil {
			return nil, err
		}
		if err := os.MkdirAll(dir, 0o700); err != nil {
			return nil, err
		}
		f, err := os.OpenFile(path, os.O_WRONLY|os.O_CREATE|os.O_EXCL, 0o600)
		if err != nil {
			return nil, err
		}
		_, err = f.WriteString(id.String() + "\n")
		return id, errors.Join(err, f.Sync(), f.Close())
	}
	if err != nil {
		return nil, err
	}
	return age.ParseX25519Identity(strings.TrimSpace(string(text)))
}

// seal encrypts a secret with the key of a data directory.
func seal(dir, secret string) (string, error) {
	id, err := sealKey(dir, true)
	if err != nil {
		return "", err
	}
	var b bytes.Buffer
	w, err := age.Encrypt(&b, id.Recipient())
	if err != nil {
		return "", err
	}
	if _, err := io.WriteString(w, secret); err != nil {
		return "", err
	}
	if err := w.Close(); err != nil {
		return "", err
	}
	return sealedPrefix + base64.RawStdEncoding.EncodeToString(b.Bytes()), nil
}

// unseal opens a sealed secret; what is not sealed is returned as it is.
func unseal(dir, text string) (string, error) {
	body, sealed := strings.CutPrefix(text, sealedPrefix)
	if !sealed {
		return text, nil
	}
	b, err := base64.RawStdEncoding.DecodeString(body)
	if err != nil {
		return "", errors.New("the sealed secret is cut or changed: seal it anew with barkeep config seal")
	}
	id, err := sealKey(dir, false)
	if err != nil {
		return "", fmt.Errorf("the secret is sealed, and its key %s cannot be read: %w", filepath.Join(dir, keyFile), err)
	}
	r, err := age.Decrypt(bytes.NewReader(b), id)
	if err != nil {
		return "", fmt.Errorf("the secret was sealed with another key than %s: seal it anew with barkeep config seal", filepath.Join(dir, keyFile))
	}
	out, err := io.ReadAll(r)
	return string(out), err
}

func (a *app) sealCommand() *cobra.Command {
	return &cobra.Command{
		Use:   "seal",
		Short: "Encrypt a secret for the configuration",
		Long: "Read a secret from standard input and print it sealed, for the file of the configuration\n" +
			"or for an environment variable. Only the key of the data directory opens it, which is\n" +
			"made at the first use; backups do not hold it.",
		Example: "  printf %s \"$SECRET\" | barkeep config seal",
		Args:    cobra.NoArgs,
		RunE: func(*cobra.Command, []string) error {
			secret, err := io.ReadAll(io.LimitReader(a.stdin, 64<<10))
			if err != nil {
				return err
			}
			text := strings.TrimRight(string(secret), "\r\n")
			if text == "" {
				return usagef("standard input holds no secret")
			}
			out, err := seal(a.cfg.Data, text)
			if err != nil {
				return err
			}
			a.printf("%s\n", out)
			return nil
		},
	}
}
