package api_test

import (
	"fmt"
	"io"
	"log"
	"net/http"
	"net/http/httptest"

	"github.com/cockroachdb/pebble/v2/vfs"

	"github.com/barkeepdb/barkeep/api"
	"github.com/barkeepdb/barkeep/storage"
)

// A host program mounts the API beside its own handlers, and adds a route of
// its own to it, which only an operator may ask.
func ExampleServer_Handle() {
	store, err := storage.Open("data", storage.Options{FS: vfs.NewMem()})
	if err != nil {
		log.Fatal(err)
	}
	defer store.Close()
	server := api.New(api.Options{Store: store, Token: "secret"})
	server.Handle(http.MethodPost, "/desk/halt", api.Operator, http.HandlerFunc(func(w http.ResponseWriter, _ *http.Request) {
		fmt.Fprint(w, "halted")
	}))

	mux := http.NewServeMux()
	mux.HandleFunc("/hello", func(w http.ResponseWriter, _ *http.Request) { fmt.Fprint(w, "the host's own") })
	mux.Handle("/", server)
	host := httptest.NewServer(mux)
	defer host.Close()

	ask := func(method, path, token string) {
		r, err := http.NewRequest(method, host.URL+path, http.NoBody)
		if err != nil {
			log.Fatal(err)
		}
		if token != "" {
			r.Header.Set("Authorization", "Bearer "+token)
		}
		answer, err := http.DefaultClient.Do(r)
		if err != nil {
			log.Fatal(err)
		}
		defer answer.Body.Close()
		body, err := io.ReadAll(io.LimitReader(answer.Body, 14))
		if err != nil {
			log.Fatal(err)
		}
		if answer.StatusCode != http.StatusOK {
			body = nil
		}
		fmt.Printf("%s %s %d %q\n", method, path, answer.StatusCode, body)
	}
	ask("GET", "/hello", "")
	ask("GET", "/v1/calendars", "")
	ask("POST", "/desk/halt", "")
	ask("POST", "/desk/halt", "secret")
	// Output:
	// GET /hello 200 "the host's own"
	// GET /v1/calendars 200 "{\"calendars\":["
	// POST /desk/halt 401 ""
	// POST /desk/halt 200 "halted"
}
