package main

import (
	"errors"
	"fmt"
	"log/slog"
	"net"
	"net/netip"
	"net/url"
	"slices"
	"strconv"
	"strings"
	"time"

	"github.com/barkeepdb/barkeep/fetch"
	"github.com/barkeepdb/barkeep/heal"
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
	Insecure  bool
	TLSCert   string
	TLSKey    string
	Allow     []netip.Prefix // nil is everybody
	Rate      float64        // requests a second of one token; 0 has no limit
	MaxBody   int64
	Running   int
	Compress  bool

	Calendars string // directory; empty is the one inside Data

	Cache         int64
	DecodedCache  int64
	SpaceLow      int64 // these as in storage.Options: 0 is its default, negative is off
	SpaceReadOnly int64
	Ballast       int64
	ScrubRate     int64
	WriteTimeout  time.Duration

	AutoRepair bool
	Healing    heal.Policy
	Proxies    bool
	Radar      bool

	ProbeEvery time.Duration
	Balance    fetch.Balance
	Hedge      time.Duration
	PerHost    int

	ReportEvery time.Duration
	AlertEvery  time.Duration
	AlertScore  float64
	AlertBehind int64
	AlertMemory int64

	AlertWebhook, AlertSecret, AlertSlack, AlertDiscord string
	AlertTelegram, AlertTelegramChat, Alertmanager      string
	AlertMailServer, AlertMailUser, AlertMailPassword   string
	AlertMailFrom                                       string
	AlertMailTo                                         []string
	Heartbeat                                           string
	AlertPrivate                                        bool

	Keep       []keeping
	DiskBudget int64 // bytes; 0 is none

	BackupDir   string
	BackupEvery time.Duration // 0 is never
	BackupKeep  int
	BackupCopy  bool

	DebugListen string // empty is none

	LogLevel  slog.Level
	LogFormat string
	LogFile   string
	LogSize   int64
	LogKeep   int
}

// setting is one row of the table from which defaults, checks, the commented
// file of `config init` and the listing of `config show` are made.
type setting struct {
	key    string
	def    string
	secret bool
	doc    string
	form   form
	set    func(c *Config, v string) error
}

// settings are all settings, in the order of the file.
var settings = []setting{
	{
		key: "data", def: "./data",
		doc:  "Directory of the store.",
		form: formText,
		set:  func(c *Config, v string) error { c.Data = v; return notEmpty(v) },
	},
	{
		key: "url", def: "",
		doc:  "Address of a running server to speak to instead of opening the store,\nsuch as http://127.0.0.1:8080.",
		form: formText,
		set:  setURL,
	},
	{
		key: "output", def: "table",
		doc:  "How rows are printed: table, json or csv.",
		form: choice("table", "json", "csv"),
		set:  func(c *Config, v string) error { c.Output = v; return oneOf(v, "table", "json", "csv") },
	},
	{
		key: "token", def: "", secret: true,
		doc:  "Token that is sent to the server of url. Better kept out of this file, in\nBARKEEP_TOKEN; without either the token file of the data directory is used.",
		form: formText,
		set:  func(c *Config, v string) error { c.Token = v; return nil },
	},
	{
		key: "calendars", def: "",
		doc:  "Directory of calendar files of your own, see docs/calendars.md. Without it the\ndirectory calendars inside the data directory is read, if there is one.",
		form: formText,
		set:  func(c *Config, v string) error { c.Calendars = v; return nil },
	},
	{
		key: "server.listen", def: "127.0.0.1:8080",
		doc:  "Address of the HTTP API. One that other machines can reach needs server.tls_cert\nand server.tls_key; they need a token for reads, too.",
		form: formText,
		set:  func(c *Config, v string) error { c.Listen = v; return checkListen(v) },
	},
	{
		key: "server.hosts", def: "",
		doc:  "Names beside localhost, 127.0.0.1 and [::1] under which browsers and clients\nreach the server, for instance through a reverse proxy: a list.",
		form: formList,
		set:  setHosts,
	},
	{
		key: "server.open_reads", def: "true",
		doc:  "Whether reads need no token. Writes always need one.",
		form: formBool,
		set:  func(c *Config, v string) (err error) { c.OpenReads, err = parseBool(v); return },
	},
	{
		key: "server.tls_cert", def: "",
		doc:  "File with the certificate of the server and those that vouch for it, PEM. With it\nand server.tls_key the server speaks HTTPS. Both are read again when they change.",
		form: formText,
		set:  func(c *Config, v string) error { c.TLSCert = v; return nil },
	},
	{
		key: "server.tls_key", def: "",
		doc:  "File with the private key of the certificate, PEM.",
		form: formText,
		set:  func(c *Config, v string) error { c.TLSKey = v; return nil },
	},
	{
		key: "server.insecure", def: "false",
		doc:  "Whether the server may listen without TLS where other machines can reach it.\nTokens and bars then travel in the clear.",
		form: formBool,
		set:  func(c *Config, v string) (err error) { c.Insecure, err = parseBool(v); return },
	},
	{
		key: "server.allow", def: "",
		doc:  "Addresses and networks that may connect, such as 192.168.1.0/24: a list. Without it\neverybody who can reach the server may. It counts who connects, not what a proxy says.",
		form: formList,
		set:  setAllow,
	},
	{
		key: "server.rate", def: "0",
		doc:  "Requests a second that one token may make; more are answered with 429. 0 sets no\nlimit.",
		form: formRate,
		set:  setRate,
	},
	{
		key: "server.max_body", def: "64MiB",
		doc:  "Largest body of a request.",
		form: formSize,
		set:  func(c *Config, v string) (err error) { c.MaxBody, err = parseSize(v); return },
	},
	{
		key: "server.compress", def: "true",
		doc:  "Whether answers of 1 KiB and more are compressed for clients that take gzip or zstd.",
		form: formBool,
		set:  func(c *Config, v string) (err error) { c.Compress, err = parseBool(v); return },
	},
	{
		key: "server.max_running", def: "auto",
		doc:  "How many requests that read data are answered at a time; four times as many may\nwrite. auto is 2 for each CPU. A few more wait, the rest is refused with 503, so that\nwhat is accepted stays fast. Those that take longer than a quarter of a second are\nnot counted.",
		form: formCount.or("auto"),
		set: func(c *Config, v string) (err error) {
			if c.Running = 0; v == "auto" {
				return nil
			}
			c.Running, err = parseCount(v)
			return err
		},
	},
	{
		key: "store.cache", def: "64MiB",
		doc:  "Memory for blocks as they are on the disk.",
		form: formSize,
		set:  func(c *Config, v string) (err error) { c.Cache, err = parseSize(v); return },
	},
	{
		key: "store.decoded_cache", def: "64MiB",
		doc:  "Memory for decoded blocks.",
		form: formSize,
		set:  func(c *Config, v string) (err error) { c.DecodedCache, err = parseSize(v); return },
	},
	{
		key: "store.space_low", def: "auto",
		doc:  "Free space of the disk below which /health warns. auto is a tenth of the disk, at\nmost 2 GiB; off never warns.",
		form: formSpace,
		set:  func(c *Config, v string) (err error) { c.SpaceLow, err = parseSpace(v); return },
	},
	{
		key: "store.space_read_only", def: "auto",
		doc:  "Free space below which no more is written, while reads go on. auto is a twentieth\nof the disk, at most 1 GiB; off writes until the disk is full.",
		form: formSpace,
		set:  func(c *Config, v string) (err error) { c.SpaceReadOnly, err = parseSpace(v); return },
	},
	{
		key: "store.ballast", def: "auto",
		doc:  "Size of a file that is given up when the disk is full, so that what is under way\ncan end. auto is a hundredth of the disk, at most 64 MiB; off keeps none.",
		form: formSpace,
		set:  func(c *Config, v string) (err error) { c.Ballast, err = parseSpace(v); return },
	},
	{
		key: "store.scrub_rate", def: "4MiB",
		doc:  "How much a second is read in the background to find damage before a reader does,\nor off.",
		form: formSpeed,
		set: func(c *Config, v string) (err error) {
			c.ScrubRate, err = parseSpace(strings.TrimSuffix(v, "/s"))
			return
		},
	},
	{
		key: "store.write_timeout", def: "30s",
		doc:  "How long a write waits for a slow disk before it is told so, or off. On a full\ndisk it is told within a second.",
		form: formDuration,
		set: func(c *Config, v string) (err error) {
			if c.WriteTimeout, err = parseDuration(v, time.Second); c.WriteTimeout == 0 {
				c.WriteTimeout = -1
			}
			return
		},
	},
	{
		key: "data_healing.auto_repair_enabled", def: "true",
		doc:  "Whether serve looks for holes by itself and asks sources for them.",
		form: formBool,
		set:  func(c *Config, v string) (err error) { c.AutoRepair, err = parseBool(v); return },
	},
	{
		key: "data_healing.gap_detection_window_hours", def: "24",
		doc:  "How far back it looks, in hours; all looks at everything. A repair that is asked\nfor looks at the span that it is given.",
		form: formCount.or("all"),
		set: func(c *Config, v string) error {
			if v == "all" {
				c.Healing.Window = -1
				return nil
			}
			n, err := parseCount(v)
			c.Healing.Window = time.Duration(n) * time.Hour
			return err
		},
	},
	{
		key: "data_healing.check_every", def: "1m",
		doc:  "How often it looks.",
		form: formDuration,
		set:  func(c *Config, v string) (err error) { c.Healing.Every, err = parseDuration(v, time.Second); return },
	},
	{
		key: "data_healing.max_gap_fill_attempts", def: "3",
		doc:  "How often a hole is asked for at short intervals, an hour and more. Then it is\nasked for once a week.",
		form: formCount,
		set:  func(c *Config, v string) (err error) { c.Healing.MaxAttempts, err = parseCount(v); return },
	},
	{
		key: "data_healing.strategy", def: "sources_first",
		doc:  "sources_first asks sources for every hole, and fills small and medium ones that\nnobody has; by_size fills small and medium ones without asking; sources_only never\nfills. Filled bars are computed while reading, say synthetic, and give way to real ones.",
		form: choice("sources_first", "by_size", "sources_only"),
		set: func(c *Config, v string) error {
			c.Healing.Strategy = heal.Strategy(v)
			return oneOf(v, "sources_first", "by_size", "sources_only")
		},
	},
	{
		key: "data_healing.small_gap_bars", def: "5",
		doc:  "Holes of up to so many bars are small: filled with the price before.",
		form: formInt,
		set:  func(c *Config, v string) (err error) { c.Healing.SmallGap, err = parseInt(v); return },
	},
	{
		key: "data_healing.medium_gap_bars", def: "30",
		doc:  "Holes of up to so many bars are medium: filled along a line.",
		form: formInt,
		set:  func(c *Config, v string) (err error) { c.Healing.MediumGap, err = parseInt(v); return },
	},
	{
		key: "data_healing.max_bars_per_run", def: "10000",
		doc:  "A repair that would write or invent more bars is not begun.",
		form: formInt,
		set:  func(c *Config, v string) (err error) { c.Healing.MaxBars, err = parseInt(v); return },
	},
	{
		key: "data_healing.max_share_per_run", def: "0.01",
		doc:  "Nor one that would write or invent more than this share of a series; 100 bars are\nalways allowed.",
		form: formShare,
		set:  func(c *Config, v string) (err error) { c.Healing.MaxShare, err = parseShare(v); return },
	},
	{
		key: "data_healing.witnesses", def: "2",
		doc:  "How many sources must say the same before a stretch of bars is taken out of another\nunit, or adjusted for a split; what fewer say waits for a repair with approve.",
		form: formInt,
		set: func(c *Config, v string) error {
			n, err := parseInt(v)
			if err == nil && n < 1 {
				err = fmt.Errorf("%d is not at least 1", n)
			}
			c.Healing.Witnesses = int(n)
			return err
		},
	},
	{
		key: "data_healing.radar", def: "true",
		doc:  "Whether a few new bars an hour are read again when they are a minute, an hour, a day\nand a week old, to learn how often each source revises what it said.",
		form: formBool,
		set:  func(c *Config, v string) (err error) { c.Radar, err = parseBool(v); return },
	},
	{
		key: "data_healing.allow_other_venues", def: "false",
		doc:  "Whether bars of another venue may stand in for those of a series.",
		form: formBool,
		set:  func(c *Config, v string) (err error) { c.Proxies, err = parseBool(v); return },
	},
	{
		key: "endpoint_healing.probe_every", def: "1m",
		doc:  "How often endpoints are probed that nothing else was asked of, or off.",
		form: formDuration,
		set:  func(c *Config, v string) (err error) { c.ProbeEvery, err = parseDuration(v, time.Second); return },
	},
	{
		key: "endpoint_healing.balance", def: "priority",
		doc:  "How one is chosen among the endpoints that can answer: priority, weighted,\nleast_latency or p2c, the less loaded of two.",
		form: choice("priority", "weighted", "least_latency", "p2c"),
		set:  func(c *Config, v string) error { return c.Balance.UnmarshalText([]byte(v)) },
	},
	{
		key: "endpoint_healing.hedge", def: "off",
		doc:  "How long an answer may take before a second endpoint is asked too, or off.",
		form: formDuration,
		set:  func(c *Config, v string) (err error) { c.Hedge, err = parseDuration(v, time.Millisecond); return },
	},
	{
		key: "endpoint_healing.requests_per_host", def: "4",
		doc:  "How many requests a host has at a time.",
		form: formCount,
		set:  func(c *Config, v string) (err error) { c.PerHost, err = parseCount(v); return },
	},
	{
		key: "monitoring.report_every", def: "5m",
		doc:  "How often data_health_report.json is written into the data directory, or off.",
		form: formDuration,
		set:  func(c *Config, v string) (err error) { c.ReportEvery, err = parseDuration(v, time.Second); return },
	},
	{
		key: "monitoring.check_every", def: "30s",
		doc:  "How often everything is looked at that may raise an alert.",
		form: formDuration,
		set:  func(c *Config, v string) (err error) { c.AlertEvery, err = parseDuration(v, time.Second); return },
	},
	{
		key: "monitoring.min_score", def: "0.8",
		doc:  "A series with a lower score raises an alert.",
		form: formShare,
		set:  func(c *Config, v string) (err error) { c.AlertScore, err = parseShare(v); return },
	},
	{
		key: "monitoring.max_bars_behind", def: "10",
		doc:  "A series for which more bars are due raises an alert, if it has sources or had a\nbar within a week. Bars are due while its market is open.",
		form: formCount,
		set: func(c *Config, v string) error {
			n, err := parseCount(v)
			c.AlertBehind = int64(n)
			return err
		},
	},
	{
		key: "monitoring.max_memory", def: "1GiB",
		doc:  "A process that holds more memory raises an alert.",
		form: formSize,
		set:  func(c *Config, v string) (err error) { c.AlertMemory, err = parseSize(v); return },
	},
	{
		key: "alerts.webhook_url", def: "", secret: true,
		doc:  "Address that gets notices as JSON.",
		form: formText,
		set:  setAddress(func(c *Config) *string { return &c.AlertWebhook }),
	},
	{
		key: "alerts.webhook_secret", def: "", secret: true,
		doc:  "Secret that signs them, see docs/alerts.md.",
		form: formText,
		set:  func(c *Config, v string) error { c.AlertSecret = v; return nil },
	},
	{
		key: "alerts.slack_url", def: "", secret: true,
		doc:  "Incoming webhook of Slack.",
		form: formText,
		set:  setAddress(func(c *Config) *string { return &c.AlertSlack }),
	},
	{
		key: "alerts.discord_url", def: "", secret: true,
		doc:  "Webhook of Discord.",
		form: formText,
		set:  setAddress(func(c *Config) *string { return &c.AlertDiscord }),
	},
	{
		key: "alerts.telegram_token", def: "", secret: true,
		doc:  "Token of a bot of Telegram.",
		form: formText,
		set:  func(c *Config, v string) error { c.AlertTelegram = v; return nil },
	},
	{
		key: "alerts.telegram_chat", def: "",
		doc:  "Chat that it writes to.",
		form: formText,
		set:  func(c *Config, v string) error { c.AlertTelegramChat = v; return nil },
	},
	{
		key: "alerts.alertmanager_url", def: "", secret: true,
		doc:  "Address of an Alertmanager, such as http://127.0.0.1:9093.",
		form: formText,
		set:  setAddress(func(c *Config) *string { return &c.Alertmanager }),
	},
	{
		key: "alerts.mail_server", def: "",
		doc:  "Mail server for notices, host:port.",
		form: formText,
		set:  func(c *Config, v string) error { c.AlertMailServer = v; return nil },
	},
	{
		key: "alerts.mail_user", def: "",
		doc:  "User of the mail server.",
		form: formText,
		set:  func(c *Config, v string) error { c.AlertMailUser = v; return nil },
	},
	{
		key: "alerts.mail_password", def: "", secret: true,
		doc:  "Password of the user.",
		form: formText,
		set:  func(c *Config, v string) error { c.AlertMailPassword = v; return nil },
	},
	{
		key: "alerts.mail_from", def: "",
		doc:  "Sender of the mails.",
		form: formText,
		set:  func(c *Config, v string) error { c.AlertMailFrom = v; return nil },
	},
	{
		key: "alerts.mail_to", def: "",
		doc:  "Receivers of the mails: a list.",
		form: formList,
		set: func(c *Config, v string) error {
			c.AlertMailTo = nil
			for to := range strings.SplitSeq(v, ",") {
				if to = strings.TrimSpace(to); to != "" {
					c.AlertMailTo = append(c.AlertMailTo, to)
				}
			}
			return nil
		},
	},
	{
		key: "alerts.heartbeat_url", def: "", secret: true,
		doc:  "Address of a dead man's switch that is asked every minute: it raises the alarm when\nnobody asks any more.",
		form: formText,
		set:  setAddress(func(c *Config) *string { return &c.Heartbeat }),
	},
	{
		key: "alerts.allow_private", def: "false",
		doc:  "Whether receivers may have private addresses.",
		form: formBool,
		set:  func(c *Config, v string) (err error) { c.AlertPrivate, err = parseBool(v); return },
	},
	{
		key: "retention.keep", def: "",
		doc:  "How long bars are kept, a list of INTERVAL=DAYSd: 1s=30d deletes bars of a second\nthat are older than 30 days. 1m=730d>1h makes hours of minutes before. Without it\nall is kept. See docs/operations.md.",
		form: formList,
		set:  func(c *Config, v string) (err error) { c.Keep, err = parseKeeping(v); return },
	},
	{
		key: "retention.disk_budget", def: "off",
		doc:  "A store that takes more room raises an alert.",
		form: formSpace,
		set:  func(c *Config, v string) (err error) { c.DiskBudget, err = parseSpace(v); return },
	},
	{
		key: "backup.dir", def: "",
		doc:  "Directory for the backups that serve makes by itself; better on another disk.",
		form: formText,
		set:  func(c *Config, v string) error { c.BackupDir = v; return nil },
	},
	{
		key: "backup.every", def: "off",
		doc:  "How often serve makes a backup, such as 1h, or off.",
		form: formDuration,
		set:  func(c *Config, v string) (err error) { c.BackupEvery, err = parseDuration(v, time.Minute); return },
	},
	{
		key: "backup.keep", def: "24",
		doc:  "How many of them are kept; the oldest go first.",
		form: formCount,
		set:  func(c *Config, v string) (err error) { c.BackupKeep, err = parseCount(v); return },
	},
	{
		key: "backup.copy", def: "false",
		doc:  "Whether files are copied. Without it they are linked where the backup lies on the\ndisk of the store, which takes no room, but damage to the disk then hits both.",
		form: formBool,
		set:  func(c *Config, v string) (err error) { c.BackupCopy, err = parseBool(v); return },
	},
	{
		key: "debug.listen", def: "",
		doc:  "Loopback address, such as 127.0.0.1:6060, for profiles of the process: for its owner,\nwith the admin token. Without it there are none.",
		form: formText,
		set: func(c *Config, v string) error {
			if c.DebugListen = v; v == "" {
				return nil
			}
			return checkLoopback(v)
		},
	},
	{
		key: "log.level", def: "info",
		doc:  "What is logged to standard error: debug, info, warn or error.",
		form: choice("debug", "info", "warn", "error"),
		set: func(c *Config, v string) error {
			if err := oneOf(v, "debug", "info", "warn", "error"); err != nil {
				return err
			}
			return c.LogLevel.UnmarshalText([]byte(v))
		},
	},
	{
		key: "log.file", def: "",
		doc:  "File that serve logs to beside standard error, such as logs/barkeep.log.",
		form: formText,
		set:  func(c *Config, v string) error { c.LogFile = v; return nil },
	},
	{
		key: "log.max_size", def: "64MiB",
		doc:  "Size at which another file is begun; the old one is compressed. It is rounded up to\nwhole MiB.",
		form: formSize,
		set:  func(c *Config, v string) (err error) { c.LogSize, err = parseSize(v); return },
	},
	{
		key: "log.keep", def: "5",
		doc:  "How many old files are kept.",
		form: formCount,
		set:  func(c *Config, v string) (err error) { c.LogKeep, err = parseCount(v); return },
	},
	{
		key: "log.format", def: "text",
		doc:  "text or json.",
		form: choice("text", "json"),
		set:  func(c *Config, v string) error { c.LogFormat = v; return oneOf(v, "text", "json") },
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

// parseSpace reads a size; auto is 0 and off is negative.
func parseSpace(v string) (int64, error) {
	switch v {
	case "auto":
		return 0, nil
	case "off":
		return -1, nil
	}
	n, err := parseSize(v)
	if err != nil {
		return 0, fmt.Errorf("%w, or auto or off", err)
	}
	return n, nil
}

// parseDuration reads a duration of at least least; off is 0.
func parseDuration(v string, least time.Duration) (time.Duration, error) {
	if v == "off" || v == "0" {
		return 0, nil
	}
	d, err := time.ParseDuration(v)
	if err != nil || d < least {
		return 0, fmt.Errorf("%q is not a duration: give off, or at least %v, such as 90s, 15m or 24h", v, least)
	}
	return d, nil
}

func parseCount(v string) (int, error) {
	n, err := strconv.Atoi(v)
	if err != nil || n < 1 {
		return 0, fmt.Errorf("%q is not a number above 0", v)
	}
	return n, nil
}

// parseInt reads a number of bars; 0 is none.
func parseInt(v string) (int64, error) {
	n, err := strconv.ParseInt(v, 10, 64)
	if err != nil || n < 0 {
		return 0, fmt.Errorf("%q is not a number of bars", v)
	}
	if n == 0 {
		n = -1 // 0 stands for the default below
	}
	return n, nil
}

func parseShare(v string) (float64, error) {
	x, err := strconv.ParseFloat(v, 64)
	if err != nil || !(x > 0 && x <= 1) {
		return 0, fmt.Errorf("%q is not a share above 0, up to 1", v)
	}
	return x, nil
}

// fit reports what is wrong with settings together that is right with each.
func (c *Config) fit() (errs []error) {
	errs = append(errs, c.checkShared()...)
	if c.BackupEvery > 0 && c.BackupDir == "" {
		errs = append(errs, errors.New("backup.every is set, but not backup.dir: say where the backups go"))
	}
	if c.SpaceLow > 0 && c.SpaceReadOnly > c.SpaceLow {
		errs = append(errs, errors.New("store.space_read_only is above store.space_low: the warning would come too late"))
	}
	if err := c.Healing.Check(); err != nil {
		errs = append(errs, fmt.Errorf("data_healing: %w", err))
	}
	return errs
}

func setURL(c *Config, v string) error {
	c.URL = strings.TrimRight(v, "/")
	if v == "" {
		return nil
	}
	u, err := url.Parse(v)
	if err != nil || u.Host == "" || u.Scheme != "http" && u.Scheme != "https" {
		return fmt.Errorf("%s is not an address: give http://host:port", quoteAddress(v))
	}
	if u.User != nil || u.RawQuery != "" {
		return errors.New("the address holds a user or a query: give http://host:port, and the token in BARKEEP_TOKEN")
	}
	return nil
}

// quoteAddress shows what was given for an address, unless there may be a
// secret in it.
func quoteAddress(v string) string {
	if strings.ContainsAny(v, "@?&") {
		return "what was given"
	}
	return strconv.Quote(v)
}

// setAddress checks an address; empty is none.
func setAddress(to func(c *Config) *string) func(*Config, string) error {
	return func(c *Config, v string) error {
		*to(c) = v
		if v == "" {
			return nil
		}
		u, err := url.Parse(v)
		if err != nil || u.Host == "" || u.Scheme != "http" && u.Scheme != "https" {
			return fmt.Errorf("this is not an address: give https://host/path")
		}
		return nil
	}
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

// checkListen refuses what is no address. Whether others may reach it is
// decided by checkShared, which knows the settings beside it.
func checkListen(v string) error {
	host, port, err := net.SplitHostPort(v)
	if err != nil {
		return fmt.Errorf("%q is not an address: give host:port, such as 127.0.0.1:8080", v)
	}
	if n, err := strconv.ParseUint(port, 10, 16); err != nil || n > 65535 {
		return fmt.Errorf("port %q of %q is not a number from 0 to 65535", port, v)
	}
	if _, err := netip.ParseAddr(host); host != "" && host != "localhost" && err != nil {
		return fmt.Errorf("%q of %q is not an IP address: give one, or localhost", host, v)
	}
	return nil
}

// isLoopback reports whether only this machine can reach an address that
// checkListen takes.
func isLoopback(v string) bool {
	host, _, err := net.SplitHostPort(v)
	if err != nil {
		return false
	}
	addr, err := netip.ParseAddr(host)
	return host == "localhost" || err == nil && addr.Unmap().IsLoopback()
}

// checkLoopback refuses what other machines could reach.
func checkLoopback(v string) error {
	if err := checkListen(v); err != nil {
		return err
	}
	if !isLoopback(v) {
		return fmt.Errorf("%q can be reached from other machines: give 127.0.0.1, [::1] or localhost", v)
	}
	return nil
}

// checkShared refuses an address that others can reach where a token would
// travel in the clear, and half of a certificate.
func (c *Config) checkShared() []error {
	var errs []error
	if (c.TLSCert == "") != (c.TLSKey == "") {
		errs = append(errs, errors.New("server.tls_cert and server.tls_key belong together: give both or neither"))
	}
	if !isLoopback(c.Listen) && c.TLSCert == "" && !c.Insecure {
		errs = append(errs, fmt.Errorf("server.listen: %q can be reached from other machines: set server.tls_cert and server.tls_key, or listen on 127.0.0.1, [::1] or localhost; server.insecure: true does without TLS", c.Listen))
	}
	return errs
}

// setAllow reads addresses and networks. Those of IPv4 inside of IPv6 are
// taken as what they mean.
func setAllow(c *Config, v string) error {
	c.Allow = nil
	for part := range strings.FieldsFuncSeq(v, func(r rune) bool { return r == ',' || r == ' ' }) {
		p, err := netip.ParsePrefix(part)
		if err != nil {
			addr, err := netip.ParseAddr(part)
			if err != nil {
				return fmt.Errorf("%q is neither an address nor a network: give such as 192.168.1.7 or 192.168.1.0/24", part)
			}
			addr = addr.Unmap().WithZone("")
			p = netip.PrefixFrom(addr, addr.BitLen())
		}
		if p.Addr().Is4In6() {
			if p.Bits() < 96 {
				return fmt.Errorf("%q is wider than all of IPv4: give the network as IPv4", part)
			}
			p = netip.PrefixFrom(p.Addr().Unmap(), p.Bits()-96)
		}
		c.Allow = append(c.Allow, p.Masked())
	}
	return nil
}

func setRate(c *Config, v string) (err error) {
	c.Rate, err = strconv.ParseFloat(v, 64)
	if err != nil || !(c.Rate >= 0 && c.Rate <= 1e6) {
		return fmt.Errorf("%q is not a number from 0 to 1000000", v)
	}
	return nil
}
