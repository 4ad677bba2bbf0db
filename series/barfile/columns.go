package barfile

import (
	"fmt"
	"slices"
	"strconv"
	"strings"
)

// field is a part of a bar that a column can hold.
type field uint8

const (
	fieldTime field = iota
	fieldClock
	fieldOpen
	fieldHigh
	fieldLow
	fieldClose
	fieldVolume
	fieldQuoteVolume
	fieldTrades
	fieldKind
	numFields
)

var fieldNames = [numFields]string{"time", "clock", "open", "high", "low", "close", "volume", "quote_volume", "trades", "kind"}

func (f field) String() string { return fieldNames[f] }

// mapping holds the column of each field, -1 where there is none.
type mapping [numFields]int

func noMapping() mapping {
	var m mapping
	for f := range m {
		m[f] = -1
	}
	return m
}

func (m mapping) has(f field) bool { return m[f] >= 0 }

// synonyms are the names of columns as vendors write them, most telling first,
// lower case and without anything but letters and digits.
var synonyms = [numFields][]string{
	fieldTime: {
		"opentime", "opentimems", "timeopen", "openat", "starttime", "timeperiodstart", "periodstart", "startat", "start", "beginsat", "begin",
		"candlebegintime", "klinestarttime", "unixtimestamp", "unixtime", "unix", "epoch", "timestampms", "timems",
		"timestamp", "timestamputc", "ts", "tsevent", "datetimeutc", "datetime", "dateutc", "date", "dt", "timeutc", "time", "utc", "utctime", "gmttime",
		"localtime", "bartime", "tradedate", "tradingdate", "tradingday", "day", "timekey", "t", "snapshottimeutc", "ctm", "key", "index", "d",
	},
	fieldClock: {"time", "clock", "hour", "timeofday"},
	fieldOpen:  {"open", "o", "openprice", "priceopen", "opening", "openingprice", "first", "mido", "openmid"},
	fieldHigh:  {"high", "h", "highprice", "pricehigh", "highest", "max", "maxprice", "midh", "highmid"},
	fieldLow:   {"low", "l", "lowprice", "pricelow", "lowest", "min", "minprice", "midl", "lowmid"},
	fieldClose: {"close", "c", "closeprice", "priceclose", "closing", "closingprice", "last", "lastprice", "closelast", "latest", "price", "settle", "midc", "closemid"},
	fieldVolume: {
		"volume", "vol", "v", "basevolume", "volumebase", "basevol", "volumefrom", "volumetraded", "volumecrypto", "tradedvolume", "qty", "quantity", "shares",
		"tickvolume", "tickvol", "realvolume", "amount", "size",
	},
	fieldQuoteVolume: {
		"quotevolume", "quoteassetvolume", "volumequote", "quotevol", "quoteqty", "quoteqtyvolume", "turnover", "volumeto", "volccyquote", "qav", "quoteamount",
		"volumequotecurrency", "volumecurrency", "usdvolume", "notional", "value", "amount",
	},
	fieldTrades: {
		"trades", "tradecount", "tradescount", "numberoftrades", "numtrades", "nooftrades", "ntrades", "transactions", "numberoftransactions", "count", "n", "trade",
	},
	fieldKind: {"kind"},
}

// rank holds, for every synonym, the fields it may stand for and how telling
// it is for each.
var rank = func() map[string][numFields]int {
	m := make(map[string][numFields]int)
	for f, names := range synonyms {
		for i, n := range names {
			r := m[n]
			r[f] = len(names) - i
			m[n] = r
		}
	}
	return m
}()

// canonical reduces a column name to what synonyms are written in: "1. open",
// "<OPEN>", "Open Price" and "open_price" lose all but letters and digits.
func canonical(name string) string {
	name = strings.ToLower(strings.TrimSpace(name))
	if i := strings.IndexByte(name, '.'); i > 0 && i < 3 && strings.Trim(name[:i], "0123456789") == "" {
		name = name[i+1:]
	}
	return strings.Map(func(r rune) rune {
		if r >= 'a' && r <= 'z' || r >= '0' && r <= '9' || r > 127 {
			return r
		}
		return -1
	}, name)
}

// known reports whether a column name stands for any field.
func known(name string) bool {
	c := canonical(name)
	_, ok := rank[c]
	return ok || strings.HasPrefix(c, "volume")
}

// quoteUnits are the ends of names such as "Volume USD" that count in money.
var quoteUnits = []string{"usd", "usdt", "usdc", "busd", "tusd", "eur", "gbp", "jpy", "krw", "try", "quote", "currency", "krw", "cny", "aud", "cad", "brl"}

// mapNames fills the fields of m that are still free from column names.
func mapNames(m *mapping, names []string) (warnings []string) {
	taken := make(map[int]bool)
	for _, c := range m {
		taken[c] = true
	}
	canon := make([]string, len(names))
	for i, n := range names {
		canon[i] = canonical(n)
	}
	best := func(f field) int {
		at, top := -1, 0
		for i, c := range canon {
			if r := rank[c][f]; r > top && !taken[i] {
				at, top = i, r
			}
		}
		return at
	}
	for _, f := range []field{fieldOpen, fieldHigh, fieldLow, fieldClose, fieldVolume, fieldTrades, fieldQuoteVolume, fieldKind} {
		if m[f] != -1 {
			continue
		}
		if m[f] = best(f); m[f] >= 0 {
			taken[m[f]] = true
		}
	}
	mapVolumes(m, canon, taken)
	if !m.has(fieldOpen) && !m.has(fieldHigh) {
		warnings = append(warnings, mapQuotes(m, names, canon)...)
	}
	return warnings
}

// mapVolumes reads "Volume BTC" and "Volume USD": the first is in base units
// unless its unit is money and the other's is not.
func mapVolumes(m *mapping, canon []string, taken map[int]bool) {
	var found []int
	for i, c := range canon {
		if strings.HasPrefix(c, "volume") && len(c) > len("volume") && !taken[i] {
			found = append(found, i)
		}
	}
	if len(found) == 0 {
		return
	}
	money := func(i int) bool { return slices.Contains(quoteUnits, canon[i][len("volume"):]) }
	if m[fieldVolume] == -1 {
		if len(found) > 1 && money(found[0]) && !money(found[1]) {
			found[0], found[1] = found[1], found[0]
		}
		m[fieldVolume], found = found[0], found[1:]
	}
	if m[fieldQuoteVolume] == -1 && len(found) > 0 && money(found[0]) {
		m[fieldQuoteVolume] = found[0]
	}
}

// mapQuotes reads bars of quotes, one set of prices per side: it takes the bid.
func mapQuotes(m *mapping, names, canon []string) (warnings []string) {
	at := func(side, part string) int {
		for _, n := range []string{side + part, part + side, side + part[:1]} {
			if i := slices.Index(canon, n); i >= 0 {
				return i
			}
		}
		return -1
	}
	for _, side := range []string{"bid", "ask"} {
		o, h, l, c := at(side, "open"), at(side, "high"), at(side, "low"), at(side, "close")
		if o < 0 || h < 0 || l < 0 || c < 0 {
			continue
		}
		m[fieldOpen], m[fieldHigh], m[fieldLow], m[fieldClose] = o, h, l, c
		return []string{fmt.Sprintf("the file holds quotes; the %s prices were taken (%s, ...): name other columns with --map", side, names[o])}
	}
	return nil
}

// timeCandidates lists the columns that may hold the time, most telling first.
func timeCandidates(names []string) []int {
	type scored struct{ at, rank int }
	var s []scored
	for i, n := range names {
		c := canonical(n)
		r := rank[c][fieldTime]
		if c == "" || strings.HasPrefix(c, "unnamed") {
			r = 1 // the index column of pandas
		}
		if r > 0 {
			s = append(s, scored{i, r})
		}
	}
	slices.SortStableFunc(s, func(a, b scored) int { return b.rank - a.rank })
	out := make([]int, len(s))
	for i, x := range s {
		out[i] = x.at
	}
	return out
}

// userMapping reads Options.Map against the columns of a file. -2 marks a
// field that the user leaves out.
func userMapping(o map[string]string, names []string, width int) (mapping, error) {
	m := noMapping()
	_, hasDate := o["date"]
	for _, name := range sortedKeys(o) {
		value := o[name]
		f := field(slices.Index(fieldNames[:], name))
		switch {
		case name == "date":
			f = fieldTime
		case name == "time" && hasDate:
			f = fieldClock
		case f >= numFields:
			return m, fmt.Errorf("--map names the field %q: use time date clock open high low close volume quote_volume trades kind", name)
		}
		if value == "-" {
			m[f] = -2
			continue
		}
		c, err := columnNamed(value, names, width)
		if err != nil {
			return m, fmt.Errorf("--map %s=%s: %w", name, value, err)
		}
		m[f] = c
	}
	return m, nil
}

// columnNamed finds a column by name, as written or reduced, or by number.
func columnNamed(value string, names []string, width int) (int, error) {
	if i := slices.Index(names, value); i >= 0 {
		return i, nil
	}
	for i, n := range names {
		if c := canonical(n); c != "" && c == canonical(value) {
			return i, nil
		}
	}
	n, err := strconv.Atoi(value)
	switch {
	case err == nil && n >= 0 && n < width:
		return n, nil
	case err == nil:
		return -1, fmt.Errorf("the file has the columns 0 to %d", width-1)
	case names == nil:
		return -1, fmt.Errorf("the file has no header: give a number from 0 to %d", width-1)
	}
	return -1, fmt.Errorf("the file has the columns %s", strings.Join(names[:min(len(names), 40)], ", "))
}

func sortedKeys(m map[string]string) []string {
	keys := make([]string, 0, len(m))
	for k := range m {
		keys = append(keys, k)
	}
	slices.Sort(keys)
	return keys
}
