package main

import (
	"crypto/rand"
	"encoding/base64"
	"errors"
	"fmt"
	"io/fs"
	"os"
	"path/filepath"
	"strings"
)

// tokenFile holds the admin token, in the data directory.
const tokenFile = "token"

// adminToken reads the token of the store in dir, or makes one at the first
// start; made says which.
func adminToken(dir string) (token string, made bool, err error) {
	path := filepath.Join(dir, tokenFile)
	text, err := os.ReadFile(path)
	if err == nil {
		if token = strings.TrimSpace(string(text)); len(token) < 16 {
			return "", false, fmt.Errorf("%s holds no token: remove the file to get a new one at the next start", path)
		}
		return token, false, nil
	}
	if !errors.Is(err, fs.ErrNotExist) {
		return "", false, err
	}
	var b [32]byte
	_, _ = rand.Read(b[:]) // never fails
	// The prefix lets scanners recognise a token that went astray.
	token = "barkeep_" + base64.RawURLEncoding.EncodeToString(b[:])
	f, err := os.OpenFile(path, os.O_WRONLY|os.O_CREATE|os.O_EXCL, 0o600)
	if err != nil {
		return "", false, err
	}
	_, err = f.WriteString(token + "\n")
	return token, true, errors.Join(err, f.Sync(), f.Close())
}
