package api

import (
	"mime"
	"net/http"
	"strings"

	"github.com/klauspost/compress/gzhttp"
	"github.com/klauspost/compress/gzip"
)

// compressFrom is how long an answer must be to be worth compressing, in bytes.
const compressFrom = 1024

// compressed answers in gzip or zstd where the client takes it; where it takes
// both, in zstd, which costs less time. Levels are the fastest ones: most
// clients are on the same machine.
func compressed(h http.Handler) http.Handler {
	wrap, err := gzhttp.NewWrapper(
		gzhttp.MinSize(compressFrom),
		gzhttp.CompressionLevel(gzip.BestSpeed),
		gzhttp.ContentTypeFilter(compressible),
		gzhttp.SetContentType(false),
	)
	if err != nil {
		panic(err) // the options do not fit together
	}
	packed := wrap(h)
	return http.HandlerFunc(func(w http.ResponseWriter, r *http.Request) {
		// Ranges are of the answer as it is, and so is the length that HEAD tells.
		if r.Method == http.MethodHead || r.Header.Get("Range") != "" {
			h.ServeHTTP(w, r)
			return
		}
		packed(w, r)
	})
}

// compressible reports whether answers of a media type become smaller. Parquet
// and Arrow files are compressed inside, and events go out one at a time.
func compressible(contentType string) bool {
	media, _, err := mime.ParseMediaType(contentType)
	if err != nil {
		return false
	}
	switch media {
	case "application/json", "application/x-ndjson", "application/javascript", "application/openmetrics-text",
		"application/vnd.oai.openapi+json", "image/svg+xml":
		return true
	case "text/event-stream":
		return false
	}
	return strings.HasPrefix(media, "text/")
}
