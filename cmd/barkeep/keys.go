package main

import (
	"os"
	"strings"

	"github.com/barkeepdb/barkeep/fetch"
)

// The variables that hold what a vendor knows us by; the name of the vendor
// follows.
const (
	envKey        = envPrefix + "KEY_"
	envSecret     = envPrefix + "SECRET_"
	envPassphrase = envPrefix + "PASSPHRASE_"
)

// isKey reports whether a variable holds a key, which is no setting.
func isKey(name string) bool {
	return strings.HasPrefix(name, envKey) || strings.HasPrefix(name, envSecret) || strings.HasPrefix(name, envPassphrase)
}

// credentials are what the environment holds for a provider.
func credentials(provider string) fetch.Credentials {
	name := strings.ToUpper(strings.ReplaceAll(provider, "-", "_"))
	return fetch.Credentials{
		Key: fetch.NewSecret(os.Getenv(envKey + name)), Secret: fetch.NewSecret(os.Getenv(envSecret + name)),
		Passphrase: fetch.NewSecret(os.Getenv(envPassphrase + name)),
	}
}
