package main

import (
	"bytes"
	"context"
	"io"
	"net/http"
	"slices"
	"strings"
	"testing"
	"time"

	"github.com/modelcontextprotocol/go-sdk/mcp"
)

// assistant speaks to barkeep mcp over its standard input and output.
func assistant(t *testing.T, environ map[string]string, args ...string) *mcp.ClientSession {
	t.Helper()
	for k, v := range environ {
		t.Setenv(k, v)
	}
	inR, inW := io.Pipe()
	outR, outW := io.Pipe()
	done := make(chan int, 1)
	var errs bytes.Buffer
	go func() {
		code := Run(context.Background(), append([]string{"mcp"}, args...), inR, outW, &errs)
		_ = outW.Close() // never fails
		done <- code
	}()
	c := mcp.NewClient(&mcp.Implementation{Name: "test", Version: "1"}, nil)
	s, err := c.Connect(t.Context(), &mcp.IOTransport{Reader: outR, Writer: inW}, nil)
	if err != nil {
		t.Fatal(err, errs.String())
	}
	t.Cleanup(func() {
		_ = s.Close() // the code says whether it ended well
		if code := <-done; code != exitDone {
			t.Errorf("mcp ended with %d: %s", code, &errs)
		}
	})
	return s
}

func callTool(t *testing.T, s *mcp.ClientSession, name string, args map[string]any) (text string, failed bool) {
	t.Helper()
	r, err := s.CallTool(t.Context(), &mcp.CallToolParams{Name: name, Arguments: args})
	if err != nil {
		t.Fatal(name, err)
	}
	return r.Content[0].(*mcp.TextContent).Text, r.IsError
}

func toolNames(t *testing.T, s *mcp.ClientSession) (out []string) {
	t.Helper()
	list, err := s.ListTools(t.Context(), nil)
	if err != nil {
		t.Fatal(err)
	}
	for _, x := range list.Tools {
		out = append(out, x.Name)
	}
	return out
}

var oneSeries = map[string]any{"symbol": "X", "interval": "1m"}

// TestMCP: each tool answers as the API does, over a directory and over a
// server, and a repair needs a token with the role.
func TestMCP(t *testing.T) {
	dir := t.TempDir()
	if code, _, errs := run(t, rows, "import", "-", "--symbol", "X", "--interval", "1m", "--data", dir); code != exitDone {
		t.Fatal(errs)
	}
	look := func(t *testing.T, s *mcp.ClientSession) {
		for _, c := range []struct {
			tool string
			args map[string]any
			want string
		}{
			{"list_series", nil, `"symbol":"X"`},
			{"get_bars", map[string]any{"symbol": "X", "interval": "1m", "order": "desc", "limit": 1}, `"close":106`},
			{"list_gaps", oneSeries, `"missing":2`},
			{"get_coverage", oneSeries, `"completeness"`},
			{"get_quality", oneSeries, `"completeness"`},
			{"explain_slot", map[string]any{"symbol": "X", "interval": "1m", "at": "2024-01-01T09:02:00Z"}, `"missing"`},
			{"plan_repair", oneSeries, `"status":"planned"`},
		} {
			if text, failed := callTool(t, s, c.tool, c.args); failed || !strings.Contains(text, c.want) {
				t.Errorf("%s: %v %s", c.tool, failed, text)
			}
		}
		for tool, args := range map[string]map[string]any{
			"get_bars":     {"symbol": "NOPE", "interval": "1m"},
			"list_gaps":    {"symbol": "X", "interval": "7m"},
			"explain_slot": {"symbol": "X", "interval": "1m", "at": "yesterday"},
		} {
			if text, failed := callTool(t, s, tool, args); !failed || text == "" {
				t.Errorf("%s: %v %q", tool, failed, text)
			}
		}
		if text, failed := callTool(t, s, "get_bars", map[string]any{"symbol": "X", "interval": "1m", "limit": 100000}); !failed || !strings.Contains(text, "between 1 and 1000") {
			t.Error(text)
		}
	}
	t.Run("directory", func(t *testing.T) {
		s := assistant(t, nil, "--data", dir)
		look(t, s)
		if names := toolNames(t, s); slices.Contains(names, "run_repair") {
			t.Error("a repair without a server:", names)
		}
	})
	srv := startServer(t, dir, time.Second)
	// An endpoint would be asked by a repair; without a token none begins.
	t.Run("no token", func(t *testing.T) {
		s := assistant(t, nil, "--url", srv.url, "--data", dir)
		look(t, s)
		if text, failed := callTool(t, s, "run_repair", oneSeries); !failed || !strings.Contains(text, "token") {
			t.Error("a repair without a token:", text)
		}
	})
	for role, may := range map[string]bool{"reader": false, "operator": true} {
		t.Run(role, func(t *testing.T) {
			code, token, errs := run(t, "", "token", "create", "--name", role, "--role", role, "--url", srv.url, "--data", dir)
			if code != exitDone {
				t.Fatal(errs)
			}
			s := assistant(t, map[string]string{"BARKEEP_TOKEN": strings.TrimSpace(token)}, "--url", srv.url)
			// Nothing can be fetched here, so the interpolation of a hole that is not
			// there stands for a repair.
			text, failed := callTool(t, s, "run_repair", map[string]any{"symbol": "X", "interval": "1m", "repair_type": "interpolate", "from": "2024-01-01T09:00:00Z", "to": "2024-01-01T09:01:00Z"})
			if failed == may {
				t.Errorf("may %v: %s", may, text)
			}
		})
	}
}

// TestMCPOverHTTP: callers bring their own token; pages of other origins and
// other names get nothing.
func TestMCPOverHTTP(t *testing.T) {
	dir := t.TempDir()
	if code, _, errs := run(t, rows, "import", "-", "--symbol", "X", "--interval", "1m", "--data", dir); code != exitDone {
		t.Fatal(errs)
	}
	srv := startServer(t, dir, time.Second)
	_, token, _ := run(t, "", "token", "create", "--name", "op", "--role", "operator", "--url", srv.url, "--data", dir)
	pr, pw := io.Pipe()
	ctx, stop := context.WithCancel(t.Context())
	done := make(chan int, 1)
	go func() {
		done <- Run(ctx, []string{"mcp", "--url", srv.url, "--data", dir, "--listen", "127.0.0.1:0"}, strings.NewReader(""), io.Discard, pw)
	}()
	buf := make([]byte, 200)
	n, err := pr.Read(buf)
	if err != nil {
		t.Fatal(err)
	}
	go io.Copy(io.Discard, pr) //nolint:errcheck // it ends with the test
	url := address.FindString(string(buf[:n]))
	defer func() {
		stop()
		if code := <-done; code != exitDone {
			t.Error(code)
		}
	}()
	for _, c := range []struct {
		token string
		may   bool
	}{{"", false}, {"barkeep_nobody", false}, {strings.TrimSpace(token), true}} {
		client := mcp.NewClient(&mcp.Implementation{Name: "test", Version: "1"}, nil)
		s, err := client.Connect(t.Context(), &mcp.StreamableClientTransport{Endpoint: url, HTTPClient: &http.Client{Transport: bearer(c.token)}, DisableStandaloneSSE: true}, nil)
		if err != nil {
			t.Fatal(err)
		}
		if text, failed := callTool(t, s, "list_gaps", oneSeries); failed {
			t.Error(text)
		}
		if text, failed := callTool(t, s, "run_repair", map[string]any{"symbol": "X", "interval": "1m", "repair_type": "interpolate", "from": "2024-01-01T09:00:00Z", "to": "2024-01-01T09:01:00Z"}); failed == c.may {
			t.Errorf("%q: %s", c.token, text)
		}
		_ = s.Close() // only asked
	}
	for name, change := range map[string]func(*http.Request){
		"host":   func(r *http.Request) { r.Host = "evil.example" },
		"origin": func(r *http.Request) { r.Header.Set("Origin", "http://evil.example") },
	} {
		r, err := http.NewRequestWithContext(t.Context(), http.MethodPost, url, strings.NewReader(`{"jsonrpc":"2.0","id":1,"method":"tools/list"}`))
		if err != nil {
			t.Fatal(err)
		}
		r.Header.Set("Content-Type", "application/json")
		r.Header.Set("Accept", "application/json, text/event-stream")
		change(r)
		resp, err := http.DefaultClient.Do(r)
		if err != nil {
			t.Fatal(err)
		}
		_ = resp.Body.Close() // not read
		if resp.StatusCode != http.StatusForbidden {
			t.Errorf("%s: %d", name, resp.StatusCode)
		}
	}
}

// bearer sends a token with every request; empty sends none.
type bearer string

func (b bearer) RoundTrip(r *http.Request) (*http.Response, error) {
	if b != "" {
		r = r.Clone(r.Context())
		r.Header.Set("Authorization", "Bearer "+string(b))
	}
	return http.DefaultTransport.RoundTrip(r)
}
