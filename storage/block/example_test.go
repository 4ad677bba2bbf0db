package block_test

import (
	"fmt"
	"log"

	"github.com/barkeepdb/barkeep/storage/block"
)

func Example() {
	key := []byte("ES/1m/0") // whatever the store files the block under
	bars := &block.Columns{
		Slot:   []uint16{10, 11, 12, 13},
		Open:   []float64{1682, 1683, 1682.25, 1682.25},
		High:   []float64{1683, 1683, 1682.5, 1682.25},
		Low:    []float64{1682, 1682.5, 1682.25, 1682},
		Close:  []float64{1683, 1682.5, 1682.25, 1682},
		Volume: []float64{275, 101, 114, 100},
	}
	var enc block.Encoder
	data, err := enc.Encode(nil, key, bars)
	if err != nil {
		log.Fatal(err)
	}
	fmt.Println(len(data), "bytes")

	// The closes alone, into columns that are reused.
	var dec block.Decoder
	var got block.Columns
	if err := dec.Decode(key, data, 1440, block.ColClose, &got); err != nil {
		log.Fatal(err)
	}
	fmt.Println(got.Close)

	h, err := block.ReadHeader(key, data, true)
	if err != nil {
		log.Fatal(err)
	}
	fmt.Println(h.Rows, "bars, low", h.Stats.Low, "volume", h.Stats.Volume)

	// Output:
	// 55 bytes
	// [1683 1682.5 1682.25 1682]
	// 4 bars, low 1682 volume 590
}

func ExampleDecoder_Aggregate() {
	var enc block.Encoder
	var dec block.Decoder
	var hours []block.Bucket
	// Two days of one-minute blocks make 48 hours; here, two half-hours that
	// meet in one.
	for i := range 2 {
		c := &block.Columns{}
		for m := range 30 {
			p := 100 + float64(i*30+m)/10
			c.Slot = append(c.Slot, uint16(m))
			c.Open, c.Close = append(c.Open, p), append(c.Close, p)
			c.High, c.Low = append(c.High, p+0.05), append(c.Low, p-0.05)
			c.Volume = append(c.Volume, 0.1)
		}
		data, err := enc.Encode(nil, nil, c)
		if err != nil {
			log.Fatal(err)
		}
		a := block.Aggregation{Width: 60, Origin: int64(i) * 30}
		if hours, err = dec.Aggregate(nil, data, 1440, a, hours); err != nil {
			log.Fatal(err)
		}
	}
	for _, h := range hours {
		fmt.Println(h.Index, h.Bars, h.Open, h.High, h.Low, h.Close, h.Volume.Float64())
	}
	// Output:
	// 0 60 100 105.95 99.95 105.9 6
}
