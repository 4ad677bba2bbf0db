package main

import (
	"bufio"
	"compress/gzip"
	"context"
	"encoding/json"
	"errors"
	"fmt"
	"io"
	"net/url"
	"os"
	"path/filepath"
	"strings"

	"github.com/spf13/cobra"

	"github.com/barkeepdb/barkeep/series/barfile"
)

func (a *app) exportCommand() *cobra.Command {
	var symbol, interval, from, to, format, fill, adjust, path string
	var plain bool
	c := &cobra.Command{
		Use:   "export --symbol S --interval I",
		Short: "Write bars to a file",
		Long: "Write the bars of a series to a file, or to standard output. Without --format the\n" +
			"name of the file decides; a name that ends in .gz is compressed.",
		Args: cobra.NoArgs,
		RunE: func(c *cobra.Command, _ []string) error {
			f, err := exportFormat(format, path)
			if err != nil {
				return err
			}
			q := query("symbol", symbol, "interval", interval, "from", from, "to", to, "fill", fill, "adjust", adjust, "format", f.String())
			if plain {
				q.Set("columns", "time,open,high,low,close,volume")
			}
			return a.export(c.Context(), f, q, path)
		},
	}
	f := c.Flags()
	seriesFlags(c, &symbol, &interval)
	f.StringVar(&from, "from", "", "from this time on (default: the first bar)")
	f.StringVar(&to, "to", "", "before this time (default: behind the last bar)")
	f.StringVar(&format, "format", "", "csv, json, ndjson, parquet, arrow, freqtrade, lean (default csv)")
	f.StringVar(&adjust, "adjust", "", "free the prices of splits (split) or of splits and dividends (all) (default none)")
	f.StringVar(&fill, "fill", "", "slots without a bar: none, repaired, null, prev, linear (default repaired)")
	f.StringVarP(&path, "file", "o", "", "file to write (default: standard output)")
	f.BoolVar(&plain, "plain", false, "prices and volume only, without provenance")
	return c
}

// exportFormat is the format that was named, or the one of the file name.
func exportFormat(name, path string) (barfile.Format, error) {
	if name == "" {
		name = strings.TrimPrefix(filepath.Ext(strings.TrimSuffix(path, ".gz")), ".")
		if _, err := barfile.ParseFormat(name); err != nil || name == "" {
			name = "csv"
		}
	}
	f, err := barfile.ParseFormat(name)
	if err != nil || f == barfile.Auto {
		return 0, usagef("--format %q is not one of csv, json, ndjson, parquet, arrow, freqtrade, lean", name)
	}
	return f, nil
}

// export writes to a file beside path first, so that what is at path is whole.
func (a *app) export(ctx context.Context, f barfile.Format, q url.Values, path string) (err error) {
	c, err := a.connect()
	if err != nil {
		return err
	}
	defer func() { err = errors.Join(err, c.close()) }()
	if path == "" || path == "-" {
		return c.export(ctx, f, q, a.stdout)
	}
	tmp, err := os.CreateTemp(filepath.Dir(path), "."+filepath.Base(path)+".*")
	if err != nil {
		return err
	}
	defer os.Remove(tmp.Name()) // it is gone after the rename
	var out io.Writer = tmp
	var zip *gzip.Writer
	if strings.HasSuffix(path, ".gz") {
		zip = gzip.NewWriter(tmp)
		out = zip
	}
	err = c.export(ctx, f, q, out)
	if zip != nil {
		err = errors.Join(err, zip.Close())
	}
	err = errors.Join(err, tmp.Chmod(0o644), tmp.Close())
	if err != nil {
		return err
	}
	return os.Rename(tmp.Name(), path)
}

func (c *client) export(ctx context.Context, f barfile.Format, q url.Values, w io.Writer) error {
	if f == barfile.JSON {
		return c.exportJSON(ctx, q, w)
	}
	body, err := c.get(ctx, "/v1/bars", q)
	if err != nil {
		return err
	}
	_, err = io.Copy(w, body)
	return errors.Join(err, body.Close())
}

// exportJSON joins the pages of the JSON answer into one value.
func (c *client) exportJSON(ctx context.Context, q url.Values, w io.Writer) error {
	out := bufio.NewWriter(w)
	fmt.Fprintf(out, "{\"symbol\":%q,\"interval\":%q,\"bars\":[", q.Get("symbol"), q.Get("interval"))
	first := true
	err := c.pages(ctx, q, 0, func(r io.Reader) (*string, int, error) {
		var page struct {
			Bars []json.RawMessage
			Next *string
		}
		if err := json.NewDecoder(r).Decode(&page); err != nil {
			return nil, 0, err
		}
		for _, b := range page.Bars {
			if !first {
				_ = out.WriteByte(',') // Flush reports what went wrong
			}
			first = false
			_ = out.WriteByte('\n')
			_, _ = out.Write(b)
		}
		return page.Next, len(page.Bars), nil
	})
	if err != nil {
		return err
	}
	fmt.Fprint(out, "\n]}\n")
	return out.Flush()
}
