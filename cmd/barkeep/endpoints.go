package main

import (
	"cmp"
	"errors"
	"fmt"
	"net/url"
	"os"
	"path/filepath"
	"reflect"
	"slices"
	"strings"
	"time"

	"github.com/go-viper/mapstructure/v2"

	"github.com/barkeepdb/barkeep/fetch"
	"github.com/barkeepdb/barkeep/fetch/barkeep"
	"github.com/barkeepdb/barkeep/fetch/files"
	"github.com/barkeepdb/barkeep/fetch/generic"
	"github.com/barkeepdb/barkeep/fetch/vendors"
)

// endpointConfig is an endpoint in the configuration, in a group under
// endpoints.
type endpointConfig struct {
	Name     string `yaml:"name"`
	URL      string `yaml:"url"`
	Type     string `yaml:"endpoint_type"` // market_data
	Provider string `yaml:"provider"`      // by default whose address url is
	Priority int    `yaml:"priority"`
	Weight   int    `yaml:"weight"`
	Grade    string `yaml:"grade"`
	Venue    string `yaml:"venue"` // of files and other instances, where the trades took place

	Requests      int    `yaml:"rate_limit_requests"`
	WindowSeconds int    `yaml:"rate_limit_window_seconds"`
	HealthCheck   string `yaml:"health_check_endpoint"`
	TimeoutSecs   int    `yaml:"timeout_seconds"`

	// Names of environment variables; the values themselves do not belong into
	// a file.
	KeyEnv        string `yaml:"api_key_env"`
	SecretEnv     string `yaml:"api_secret_env"`
	PassphraseEnv string `yaml:"api_passphrase_env"`

	AllowPrivate bool            `yaml:"allow_private"`
	Enabled      *bool           `yaml:"enabled"`
	Generic      *generic.Config `yaml:"generic"` // a source that needs no code
}

// Providers of endpoints that are no vendor: folders, and other instances.
const (
	filesProvider   = "files"
	barkeepProvider = "barkeep"
)

// endpointsKey is the part of the configuration that is not a single setting.
const endpointsKey = "endpoints"

// readEndpoints reads the groups of endpoints of a configuration file. Each
// fault names the key it is about.
func readEndpoints(groups any) (out []fetch.Endpoint, errs []error) {
	m, ok := groups.(map[string]any)
	if !ok {
		return nil, []error{fmt.Errorf("%s: give groups of endpoints: {crypto: [{name: ..., url: ...}]}", endpointsKey)}
	}
	names := map[string]string{}
	for _, group := range sortedKeys(m) {
		list, ok := m[group].([]any)
		if !ok {
			errs = append(errs, fmt.Errorf("%s.%s: give a list of endpoints", endpointsKey, group))
			continue
		}
		for i, x := range list {
			at := fmt.Sprintf("%s.%s[%d]", endpointsKey, group, i)
			e, on, bad := readEndpoint(at, group, x)
			if len(bad) > 0 {
				errs = append(errs, bad...)
				continue
			}
			if other, taken := names[e.Name]; taken {
				errs = append(errs, fmt.Errorf("%s.name: %s has the name %q already", at, other, e.Name))
			}
			if names[e.Name] = at; on {
				out = append(out, e)
			}
		}
	}
	return out, errs
}

func sortedKeys(m map[string]any) []string {
	keys := make([]string, 0, len(m))
	for k := range m {
		keys = append(keys, k)
	}
	slices.Sort(keys)
	return keys
}

func readEndpoint(at, group string, x any) (e fetch.Endpoint, on bool, errs []error) {
	fail := func(key, format string, args ...any) {
		errs = append(errs, fmt.Errorf("%s.%s: "+format, append([]any{at, key}, args...)...))
	}
	var c endpointConfig
	var meta mapstructure.Metadata
	d, err := mapstructure.NewDecoder(&mapstructure.DecoderConfig{Result: &c, TagName: "yaml", Metadata: &meta, DecodeHook: mapstructure.TextUnmarshallerHookFunc()})
	if err == nil {
		err = d.Decode(x)
	}
	if err != nil {
		return e, false, []error{fmt.Errorf("%s: %w", at, err)}
	}
	for _, key := range meta.Unused {
		last := key[strings.LastIndexByte(key, '.')+1:]
		known := yamlKeys(reflect.TypeFor[endpointConfig]())
		if strings.Contains(strings.ToLower(key), "generic.") {
			known = yamlKeys(reflect.TypeFor[generic.Config]())
		}
		fail(key, "is unknown%s", nearest(last, known))
	}
	if c.Name == "" {
		fail("name", "is missing")
	}
	if t := cmp.Or(c.Type, fetch.MarketData); t != fetch.MarketData {
		fail("endpoint_type", "%q is not market_data, which is all that bars are fetched from", t)
	}
	u, uerr := url.Parse(c.URL)
	folder := uerr == nil && u.Scheme == "file"
	if folder {
		if c.Provider = cmp.Or(c.Provider, filesProvider); c.Provider != filesProvider || u.Host != "" || len(u.Path) < 2 {
			fail("url", "%q is not a folder: give file:///FOLDER, from the root, and no provider but files", c.URL)
		} else if st, err := os.Stat(filepath.FromSlash(u.Path)); err != nil {
			fail("url", "%v", err)
		} else if !st.IsDir() {
			fail("url", "%s is not a folder: name the one that holds it", u.Path)
		}
	} else if c.Provider == filesProvider {
		fail("url", "%q is not a folder: give file:///FOLDER, from the root", c.URL)
	} else if c.URL == "" || uerr != nil || u.Host == "" || u.Scheme != "http" && u.Scheme != "https" {
		fail("url", "%s is not an address: give https://host", quoteAddress(c.URL))
	}
	if c.Requests < 0 || c.WindowSeconds < 0 || (c.Requests > 0) != (c.WindowSeconds > 0) {
		fail("rate_limit_requests", "%d in rate_limit_window_seconds %d is not a limit: give both above 0, or none", c.Requests, c.WindowSeconds)
	}
	if c.TimeoutSecs < 0 || c.Weight < 0 {
		fail("timeout_seconds", "a timeout of %d or a weight of %d is below 0", c.TimeoutSecs, c.Weight)
	}
	var grade fetch.Grade
	if err := grade.UnmarshalText([]byte(cmp.Or(c.Grade, "auto"))); err != nil {
		fail("grade", "%v", err)
	}
	for _, env := range [...]struct{ key, name string }{{"api_key_env", c.KeyEnv}, {"api_secret_env", c.SecretEnv}, {"api_passphrase_env", c.PassphraseEnv}} {
		if env.name != "" && os.Getenv(env.name) == "" { // not shown: some give the key itself
			fail(env.key, "the environment variable of this name is not set: give its name, not what is in it")
		}
	}
	e = fetch.Endpoint{
		Name: c.Name, Group: group, URL: strings.TrimRight(c.URL, "/"), Priority: c.Priority, Weight: c.Weight, Grade: grade,
		HealthCheck: c.HealthCheck, Timeout: time.Duration(c.TimeoutSecs) * time.Second, AllowPrivate: c.AllowPrivate,
		Limit: fetch.Limit{Cost: c.Requests, Window: time.Duration(c.WindowSeconds) * time.Second},
	}
	switch {
	case c.Generic != nil && c.Provider != "":
		fail("provider", "an endpoint has a provider or a generic part, not both")
	case c.Generic != nil:
		g := *c.Generic
		g.Name, g.URL = cmp.Or(g.Name, c.Name), cmp.Or(g.URL, c.URL)
		if e.Provider, err = generic.New(g); err != nil {
			for line := range strings.SplitSeq(err.Error(), "\n") {
				errs = append(errs, fmt.Errorf("%s.generic.%s", at, line))
			}
		}
	case c.Provider == barkeepProvider:
		e.Provider = barkeep.Provider(c.Name, c.Venue)
	case c.Provider == filesProvider:
		e.Provider = files.Provider(c.Name, c.Venue)
	case c.Provider != "":
		if e.Provider = vendors.ByName(c.Provider); e.Provider == nil {
			fail("provider", "%s is unknown%s", c.Provider, nearest(c.Provider, vendorNames()))
		}
	case u != nil && u.Host != "":
		if e.Provider = vendorAt(u.Host, c.Name); e.Provider == nil {
			fail("provider", "no vendor is known at %s: name one of %s, or describe the answers under generic", u.Host, strings.Join(vendorNames(), ", "))
		}
	}
	own := c.KeyEnv != "" || c.SecretEnv != ""
	e.Credentials = fetch.Credentials{Key: fetch.NewSecret(os.Getenv(c.KeyEnv)), Secret: fetch.NewSecret(os.Getenv(c.SecretEnv)), Passphrase: fetch.NewSecret(os.Getenv(c.PassphraseEnv))}
	if e.Provider != nil && !own {
		e.Credentials = credentials(e.Provider.Info().Name)
	}
	return e, c.Enabled == nil || *c.Enabled, errs
}

func yamlKeys(t reflect.Type) (out []string) {
	for f := range t.Fields() {
		out = append(out, f.Tag.Get("yaml"))
	}
	return out
}

func vendorNames() (out []string) {
	out = append(out, filesProvider, barkeepProvider)
	for _, p := range vendors.All() {
		out = append(out, p.Info().Name)
	}
	return out
}

// vendorAt finds the vendor whose address a host is; where several share it,
// the one whose name begins as the endpoint's does.
func vendorAt(host, name string) fetch.Provider {
	var found fetch.Provider
	for _, p := range vendors.All() {
		for _, h := range p.Info().Hosts {
			if u, err := url.Parse(h); err == nil && u.Host == host && (found == nil || strings.HasPrefix(name, p.Info().Name)) {
				found = p
			}
		}
	}
	return found
}

// keyless are the vendors that are asked where the configuration names no
// endpoints: those that need no key, in the order in which they are asked.
var keyless = []string{"binance-spot", "coinbase-exchange", "kraken", "okx", "bybit", "bitstamp", "bitfinex", "kucoin", "gateio", "gemini", "hyperliquid"}

func builtinEndpoints() []fetch.Endpoint {
	var out []fetch.Endpoint
	for i, name := range keyless {
		p := vendors.ByName(name)
		if p == nil {
			continue
		}
		for k, h := range p.Info().Hosts {
			e := fetch.Endpoint{Name: name, Group: "builtin", URL: h, Provider: p, Priority: 10*i + k, Credentials: credentials(name)}
			if k > 0 {
				e.Name = fmt.Sprintf("%s-%d", name, k+1)
			}
			out = append(out, e)
		}
	}
	return out
}

// openPool makes the endpoints of the configuration, or those that are built
// in. state keeps bans over restarts; empty keeps none.
func (a *app) openPool(state string) (*fetch.Pool, error) {
	list := a.cfg.endpoints
	if list == nil {
		list = builtinEndpoints()
	}
	transport := fetch.NewTransport(fetch.TransportOptions{})
	transport.RegisterProtocol("file", a.disk())
	p, err := fetch.New(fetch.Options{
		Transport: transport, Endpoints: list, Balance: a.cfg.Balance, State: state, PerHost: a.cfg.PerHost, Hedge: a.cfg.Hedge,
		ProbeEvery: a.cfg.ProbeEvery, Logger: a.logger(),
	})
	if err != nil {
		return nil, errors.Join(errors.New("the endpoints of the configuration cannot be used"), err)
	}
	return p, nil
}
