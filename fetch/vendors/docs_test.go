package vendors_test

import (
	"os"
	"strings"
	"testing"

	"github.com/barkeepdb/barkeep/fetch/vendors"
)

// TestDocumented: docs/providers.md has a row for every provider.
func TestDocumented(t *testing.T) {
	text, err := os.ReadFile("../../docs/providers.md")
	if err != nil {
		t.Fatal(err)
	}
	for _, p := range vendors.All() {
		if row := "| `" + p.Info().Name + "` | " + p.Info().Title + " |"; !strings.Contains(string(text), row) {
			t.Errorf("docs/providers.md has no row %s", row)
		}
	}
}
