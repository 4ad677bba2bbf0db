package barfile_test

import (
	"errors"
	"fmt"
	"io"
	"os"
	"strings"

	"github.com/barkeepdb/barkeep/series"
	"github.com/barkeepdb/barkeep/series/barfile"
)

// A list without header, as Bitfinex answers it: open, close, high, low.
func ExampleOpen() {
	r, err := barfile.Open(strings.NewReader(`[[1700000040000,10,11,12,9,100],[1700000100000,11,12,13,10,50]]`), barfile.Options{})
	if err != nil {
		fmt.Println(err)
		return
	}
	defer r.Close()
	fmt.Println(r.Detection())
	var c series.Columns
	for {
		rejected, err := r.Next(&c, 1000)
		if errors.Is(err, io.EOF) {
			break
		}
		if err != nil {
			fmt.Println(err)
			return
		}
		for i, t := range c.Time {
			fmt.Println(t, c.Open[i], c.High[i], c.Low[i], c.Close[i], c.Volume[i])
		}
		for _, x := range rejected {
			fmt.Println(x.Row, x.Reason)
		}
	}
	// Output:
	// json
	// columns: time=0 open=1 high=3 low=4 close=2 volume=5
	// time: unix ms, zone UTC, ascending
	// interval: 1m, 100.0% of the steps
	// 2023-11-14T22:14:00Z 10 12 9 11 100
	// 2023-11-14T22:15:00Z 11 13 10 12 50
}

// What cannot be told is asked for, with the option that says it.
func ExampleOpen_question() {
	_, err := barfile.Open(strings.NewReader("datetime,open,high,low,close\n2024-01-02 09:30,10,12,9,11\n"), barfile.Options{})
	fmt.Println(err)
	// Output:
	// times such as "2024-01-02 09:30" are local times without a zone: say where they were written with --tz, for example --tz America/New_York or --tz UTC
}

func ExampleNewWriter() {
	c := &series.Columns{}
	c.Append(series.Bar{Time: 1700000040000, Open: 10, High: 12, Low: 9.5, Close: 11, Volume: 0.1})
	w, err := barfile.NewWriter(os.Stdout, barfile.WriteOptions{Format: barfile.CSV, Plain: true})
	if err != nil {
		fmt.Println(err)
		return
	}
	if err := w.Write(c); err != nil {
		fmt.Println(err)
	}
	if err := w.Close(); err != nil {
		fmt.Println(err)
	}
	// Output:
	// time,open,high,low,close,volume
	// 1700000040000,10,12,9.5,11,0.1
}
