package series

import "fmt"

// Key names a series: the bars of one symbol at one interval.
type Key struct {
	Symbol   string   `json:"symbol"`
	Interval Interval `json:"interval"`
}

// MaxSymbol is the length of the longest symbol, in bytes.
const MaxSymbol = 64

// Check returns an error that says what is wrong with the key, if anything is.
func (k Key) Check() error {
	if err := CheckSymbol(k.Symbol); err != nil {
		return err
	}
	if !k.Interval.Valid() {
		return fmt.Errorf("interval %d is unknown", uint8(k.Interval))
	}
	return nil
}

// CheckSymbol returns an error unless s is 1 to 64 characters out of A-Z a-z
// 0-9 . _ - : / ^ =. Case is kept: btc and BTC are two symbols.
func CheckSymbol(s string) error {
	if s == "" || len(s) > MaxSymbol {
		return fmt.Errorf("symbol %.80q has %d characters: give 1 to %d", s, len(s), MaxSymbol)
	}
	for i := 0; i < len(s); i++ {
		switch c := s[i]; {
		case c >= 'A' && c <= 'Z', c >= 'a' && c <= 'z', c >= '0' && c <= '9':
		case c == '.', c == '_', c == '-', c == ':', c == '/', c == '^', c == '=':
		default:
			return fmt.Errorf("symbol %q has %q at character %d: use A-Z a-z 0-9 . _ - : / ^ =", s, c, i+1)
		}
	}
	return nil
}

// String writes the key as symbol and interval: "BTCUSDT 1m".
func (k Key) String() string { return k.Symbol + " " + k.Interval.String() }
