package fetch

import "log/slog"

// Secret is a value that is never shown: it prints, logs and marshals as
// "***". Only [Secret.Reveal] gives it out, to sign or to send.
type Secret struct{ value string }

// NewSecret wraps a value.
func NewSecret(value string) Secret { return Secret{value} }

// Reveal returns the value.
func (s Secret) Reveal() string { return s.value }

// Empty reports whether there is no value.
func (s Secret) Empty() bool { return s.value == "" }

const hidden = "***"

// String returns "***".
func (Secret) String() string { return hidden }

// GoString returns "***", so that %#v hides it too.
func (Secret) GoString() string { return hidden }

// LogValue returns "***".
func (Secret) LogValue() slog.Value { return slog.StringValue(hidden) }

// MarshalText returns "***".
func (Secret) MarshalText() ([]byte, error) { return []byte(hidden), nil }

// UnmarshalText takes the value over from a configuration.
func (s *Secret) UnmarshalText(b []byte) error {
	s.value = string(b)
	return nil
}

// Credentials are what a vendor knows a caller by.
type Credentials struct {
	Key        Secret
	Secret     Secret
	Passphrase Secret // Coinbase Exchange, OKX, KuCoin
}
