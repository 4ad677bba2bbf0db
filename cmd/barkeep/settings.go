package main

import (
	"fmt"
	"log/slog"
	"net"
	"net/netip"
	"net/url"
	"slices"
	"strconv"
	"strings"
)

// Config is what flags, environment and file say together. Packages below cmd
// never see it; they get Options.
type Config struct {
	Data   string
	URL    string
	Output string
	Token  string

	Listen    string
	Hosts     []string
	OpenReads bool
	MaxBody   int64

	Cache        int64
	DecodedCache int64

	LogLevel  slog.Level
	LogFormat string
}

// setting is one row of the table from which defaults, checks, the commented
// file of `config init` and the listing of `config show` are made.
type setting struct {
	key    string
	def    string
	secret bool
	doc    string
	set    func(c *Config, v string) error
}

// settings are all settings, in the order of the file.
var settings = []setting{
	{
		key: "data", def: "./data",
		doc: "Directory of the store.",
		set: func(c *Config, v string) error { c.Data = v; return notEmpty(v) },
	},
	{
		key: "url", def: "",
		doc: "Address of a running server to speak to instead of opening the store,\nsuch as http://127.0.0.1:8080.",
		set: setURL,
	},
	{
		key: "output", def: "table",
		doc: "How rows are printed: table, json or csv.",
		set: func(c *Config, v string) error { c.Output = v; return oneOf(v, "table", "json", "csv") },
	},
	{
		key: "token", def: "", secret: true,
		doc: "Token that is sent to the server of url. Better kept out of this file, in\nBARKEEP_TOKEN; without either the token file of the data directory is used.",
		set: func(c *Config, v string) error { c.Token = v; return nil },
	},
	{
		key: "server.listen", def: "127.0.0.1:8080",
		doc: "Address of the HTTP API. Loopback only in this version.",
		set: func(c *Config, v string) error { c.Listen = v; return checkListen(v) },
	},
	{
		key: "server.hosts", def: "",
		doc: "Names beside localhost, 127.0.0.1 and [::1] under which browsers and clients\nreach the server, for instance through a reverse proxy: a list.",
		set: setHosts,
	},
	{
		key: "server.open_reads", def: "true",
		doc: "Whether reads need no token. Writes always need one.",
		set: func(c *Config, v string) (err error) { c.OpenReads, err = parseBool(v); return },
	},
	{
		key: "server.max_body", def: "64MiB",
		doc: "Largest body of a request.",
		set: func(c *Config, v string) (err error) { c.MaxBody, err = parseSize(v); return },
	},
	{
		key: "store.cache", def: "64MiB",
		doc: "Memory for blocks as they are on the disk.",
		set: func(c *Config, v string) (err error) { c.Cache, err = parseSize(v); return },
	},
	{
		key: "store.decoded_cache", def: "64MiB",
		doc: "Memory for decoded blocks.",
		set: func(c *Config, v string) (err error) { c.DecodedCache, err = parseSize(v); return },
	},
	{
		key: "log.level", def: "info",
		doc: "What is logged to standard error: debug, info, warn or error.",
		set: func(c *Config, v string) error {
			if err := oneOf(v, "debug", "info", "warn", "error"); err != nil {
				return err
			}
			return c.LogLevel.UnmarshalText([]byte(v))
		},
	},
	{
		key: "log.format", def: "text",
		doc: "text or json.",
		set: func(c *Config, v string) error { c.LogFormat = v; return oneOf(v, "text", "json") },
	},
}

// env is the environment variable of the setting.
func (s setting) env() string {
	return envPrefix + strings.ToUpper(strings.ReplaceAll(s.key, ".", "_"))
}

func notEmpty(v string) error {
	if v == "" {
		return fmt.Errorf("is empty")
	}
	return nil
}

func oneOf(v string, names ...string) error {
	if slices.Contains(names, v) {
		return nil
	}
	return fmt.Errorf("%q is not one of %s", v, strings.Join(names, ", "))
}

func parseBool(v string) (bool, error) {
	switch v {
	case "true", "yes", "on", "1":
		return true, nil
	case "false", "no", "off", "0":
		return false, nil
	}
	return false, fmt.Errorf("%q is not true or false", v)
}

// parseSize reads a number of bytes such as 64MiB, 500MB or 1048576.
func parseSize(v string) (int64, error) {
	s, unit := strings.TrimSpace(v), int64(1)
	for _, u := range []struct {
		name  string
		bytes int64
	}{{"KiB", 1 << 10}, {"MiB", 1 << 20}, {"GiB", 1 << 30}, {"KB", 1e3}, {"MB", 1e6}, {"GB", 1e9}, {"B", 1}} {
		if rest, ok := strings.CutSuffix(s, u.name); ok {
			s, unit = strings.TrimSpace(rest), u.bytes
			break
		}
	}
	n, err := strconv.ParseInt(s, 10, 64)
	if err != nil || n <= 0 || n > (1<<62)/unit {
		return 0, fmt.Errorf("%q is not a size: give a number above 0 with KiB, MiB or GiB", v)
	}
	return n * unit, nil
}

func setURL(c *Config, v string) error {
	c.URL = strings.TrimRight(v, "/")
	if v == "" {
		return nil
	}
	u, err := url.Parse(v)
	if err != nil || u.Host == "" || u.Scheme != "http" && u.Scheme != "https" {
		return fmt.Errorf("%q is not an address: give http://host:port", v)
	}
	return nil
}

func setHosts(c *Config, v string) error {
	c.Hosts = nil
	for h := range strings.SplitSeq(v, ",") {
		if h = strings.TrimSpace(h); h == "" {
			continue
		}
		if strings.ContainsAny(h, "/* ") {
			return fmt.Errorf("%q is not a host name: give names without scheme, path or wildcard", h)
		}
		c.Hosts = append(c.Hosts, h)
	}
	return nil
}

// checkListen refuses what others could reach: without TLS a token would
// travel in the clear.
func checkListen(v string) error {
	host, port, err := net.SplitHostPort(v)
	if err != nil {
		return fmt.Errorf("%q is not an address: give host:port, such as 127.0.0.1:8080", v)
	}
	if n, err := strconv.ParseUint(port, 10, 16); err != nil || n > 65535 {
		return fmt.Errorf("port %q of %q is not a number from 0 to 65535", port, v)
	}
	if host == "localhost" {
		return nil
	}
	if addr, err := netip.ParseAddr(host); err == nil && addr.Unmap().IsLoopback() {
		return nil
	}
	return fmt.Errorf("%q can be reached from other machines, which this version does not protect: listen on 127.0.0.1, [::1] or localhost, and put a proxy with TLS in front to share it", v)
}
