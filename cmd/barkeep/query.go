package main

import (
	"context"
	"encoding/json"
	"errors"
	"io"
	"net/url"
	"strconv"

	"github.com/spf13/cobra"

	"github.com/barkeepdb/barkeep/series"
)

// barsPage is one answer of /v1/bars.
type barsPage struct {
	Bars []struct {
		Time                   series.Time
		Open, High, Low, Close *float64
		Volume                 *float64
		QuoteVolume            *float64 `json:"quote_volume"`
		Trades                 *float64
		Kind, Source           string
		Forming                bool
		Complete               *bool
	}
	Next *string
}

func (a *app) queryCommand() *cobra.Command {
	var symbol, interval, from, to, fill, adjust, resample, order string
	var limit int
	var past pastFlags
	c := &cobra.Command{
		Use:   "query --symbol S --interval I",
		Short: "Print bars",
		Long: "Print the bars of a series. An interval that is not stored is made of a finer one\n" +
			"that is; --resample names the interval to make out of --interval.",
		Args: cobra.NoArgs,
		RunE: func(c *cobra.Command, _ []string) error {
			q := query("symbol", symbol, "interval", interval, "from", from, "to", to, "fill", fill, "adjust", adjust, "order", order)
			if resample != "" {
				q.Set("interval", resample)
				q.Set("resample_from", interval)
			}
			if limit < 0 {
				return usagef("--limit %d is below 0", limit)
			}
			return a.query(c.Context(), past.add(q), limit)
		},
	}
	f := c.Flags()
	seriesFlags(c, &symbol, &interval)
	f.StringVar(&from, "from", "", "from this time on (default: the first bar)")
	f.StringVar(&to, "to", "", "before this time (default: behind the last bar)")
	f.IntVar(&limit, "limit", 0, "at most this many bars (default: all)")
	f.StringVar(&adjust, "adjust", "", "free the prices of splits (split) or of splits and dividends (all) (default none)")
	f.StringVar(&fill, "fill", "", "slots without a bar: none, repaired, null, prev, linear (default repaired)")
	f.StringVar(&resample, "resample", "", "interval to make out of --interval")
	f.StringVar(&order, "order", "", "asc or desc (default asc)")
	past.flags(c)
	return c
}

func (a *app) query(ctx context.Context, q url.Values, limit int) (err error) {
	c, err := a.connect()
	if err != nil {
		return err
	}
	defer func() { err = errors.Join(err, c.close()) }()
	if a.cfg.Output != "table" {
		q.Set("format", a.cfg.Output)
		if limit > 0 {
			q.Set("limit", strconv.Itoa(limit))
		}
		body, err := c.get(ctx, "/v1/bars", q)
		if err != nil {
			return err
		}
		_, err = io.Copy(a.stdout, body)
		return errors.Join(err, body.Close())
	}
	t := newTable(a, "time", "open", "high", "low", "close", "volume", "kind", "source")
	err = c.pages(ctx, q, limit, func(r io.Reader) (next *string, n int, err error) {
		var page barsPage
		if err := json.NewDecoder(r).Decode(&page); err != nil {
			return nil, 0, err
		}
		for _, b := range page.Bars {
			source := b.Source
			if b.Forming {
				source += " (forming)"
			} else if b.Complete != nil && !*b.Complete {
				source += " (incomplete)"
			}
			t.row(b.Time.String(), price(b.Open), price(b.High), price(b.Low), price(b.Close), price(b.Volume), b.Kind, source)
		}
		return page.Next, len(page.Bars), nil
	})
	return errors.Join(err, t.flush())
}

// pageRows is how many bars the pages of a listing hold.
const pageRows = 10_000

// pages asks for /v1/bars page by page until read returns no next, or limit
// bars (0: all) were read.
func (c *client) pages(ctx context.Context, q url.Values, limit int, read func(io.Reader) (next *string, n int, err error)) error {
	for left := limit; ; {
		size := pageRows
		if limit > 0 {
			size = min(size, left)
		}
		q.Set("limit", strconv.Itoa(size))
		body, err := c.get(ctx, "/v1/bars", q)
		if err != nil {
			return err
		}
		next, n, err := read(body)
		_, _ = io.Copy(io.Discard, body) // lets the handler end
		if err := errors.Join(err, body.Close()); err != nil {
			return err
		}
		if left -= n; next == nil || limit > 0 && left <= 0 {
			return nil
		}
		q.Set("cursor", *next)
	}
}

func price(v *float64) string {
	if v == nil {
		return "-"
	}
	return strconv.FormatFloat(*v, 'f', -1, 64)
}
