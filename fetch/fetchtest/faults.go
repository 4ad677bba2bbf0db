package fetchtest

import (
	"bytes"
	"fmt"
	"maps"
	"net/http"
	"net/http/httptest"
	"sync/atomic"
	"time"
)

// Fault is one way in which a vendor fails. next is the vendor as it works.
type Fault struct {
	Name  string
	Serve func(w http.ResponseWriter, r *http.Request, next http.Handler)
}

// Scripted fails as plan says: it is asked for the fault of the n-th request,
// from 0; nil lets the request through. It may serve many requests at a time.
func Scripted(next http.Handler, plan func(n int64) *Fault) http.Handler {
	var n atomic.Int64
	return http.HandlerFunc(func(w http.ResponseWriter, r *http.Request) {
		if f := plan(n.Add(1) - 1); f != nil {
			f.Serve(w, r, next)
			return
		}
		next.ServeHTTP(w, r)
	})
}

// Faults lists the ways to fail, each as vendors were seen to.
func Faults() []Fault {
	status := func(name string, code int, kind, body string, head ...string) Fault {
		return Fault{name, func(w http.ResponseWriter, _ *http.Request, _ http.Handler) {
			w.Header().Set("Content-Type", kind)
			for i := 0; i+1 < len(head); i += 2 {
				w.Header().Set(head[i], head[i+1])
			}
			reply(w, code, body)
		}}
	}
	// spoil changes the good answer.
	spoil := func(name string, change func(body []byte) []byte) Fault {
		return Fault{name, func(w http.ResponseWriter, r *http.Request, next http.Handler) {
			rec := httptest.NewRecorder()
			next.ServeHTTP(rec, r)
			maps.Copy(w.Header(), rec.Header())
			w.Header().Del("Content-Length")
			w.WriteHeader(rec.Code)
			_, _ = w.Write(change(rec.Body.Bytes())) // who asked may have gone
		}}
	}
	const page = "<html><head><title>Just a moment...</title></head><body>Checking your browser</body></html>"
	return []Fault{
		status("429 with Retry-After", 429, "application/json", `{"msg":"too many"}`, "Retry-After", "1"),
		status("429 without a word", 429, "text/plain", ""),
		status("500", 500, "application/json", `{"msg":"internal"}`),
		status("502 as a page", 502, "text/html", "<html><body>502 Bad Gateway</body></html>"),
		status("503 with Retry-After", 503, "text/plain", "down", "Retry-After", "1"),
		status("504", 504, "text/html", "<html></html>"),
		status("200 with a page", 200, "text/html", page),
		status("200 with a page that says it is JSON", 200, "application/json", page),
		status("200 without a body", 200, "application/json", ""),
		status("200 with null", 200, "application/json", "null"),
		spoil("cut in the middle", func(b []byte) []byte { return b[:len(b)/2] }),
		spoil("zeros at the end", func(b []byte) []byte { return append(b[:len(b)*3/4:len(b)*3/4], make([]byte, len(b)/4)...) }),
		spoil("rubbish behind it", func(b []byte) []byte { return append(bytes.Clone(b), "<!-- cached -->"...) }),
		{"the connection breaks", func(w http.ResponseWriter, r *http.Request, next http.Handler) {
			w.Header().Set("Content-Length", "100000")
			w.WriteHeader(http.StatusOK)
			_, _ = w.Write([]byte("[[")) // who asked may have gone
			panic(http.ErrAbortHandler)
		}},
		{"the connection is closed at once", func(http.ResponseWriter, *http.Request, http.Handler) { panic(http.ErrAbortHandler) }},
		{"it answers late", func(w http.ResponseWriter, r *http.Request, next http.Handler) {
			t := time.NewTimer(50 * time.Millisecond)
			defer t.Stop()
			select {
			case <-t.C:
				next.ServeHTTP(w, r)
			case <-r.Context().Done():
			}
		}},
		{"it redirects to another host", func(w http.ResponseWriter, r *http.Request, _ http.Handler) {
			http.Redirect(w, r, fmt.Sprintf("https://elsewhere.example%s", r.URL.Path), http.StatusFound)
		}},
	}
}
