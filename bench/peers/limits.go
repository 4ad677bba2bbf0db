package main

import (
	"errors"
	"fmt"
	"os"
	"path/filepath"
	"runtime"
	"strings"
	"syscall"
	"time"

	"github.com/barkeepdb/barkeep/series"
)

// syncPath makes a file, or the names in a directory, durable.
func syncPath(path string) error {
	f, err := os.Open(path)
	if err != nil {
		return err
	}
	defer f.Close()
	return f.Sync()
}

// barBytes is the information in a bar of the corpus: see package bench.
const barBytes = 5.45

// limits are what the machine allows, measured beside the engines.
var limits = []struct {
	name, unit string
	run        func(t *trial) (float64, error)
}{
	{"fsync of a small append, p50", "ms", fsyncLimit},
	{"copying the columns of a symbol-year", "M bars/s", copyLimit},
	{"writing 5.45 bytes a bar, synced", "M bars/s", writeLimit},
}

func fsyncLimit(t *trial) (float64, error) {
	f, err := os.Create(filepath.Join(t.dir, "fsync"))
	if err != nil {
		return 0, err
	}
	defer f.Close()
	var line [64]byte
	d, err := sample(100, 100, func(int) error {
		if _, err := f.Write(line[:]); err != nil {
			return err
		}
		return f.Sync()
	}, nil)
	return ms(d), err
}

func copyLimit(t *trial) (float64, error) {
	src := &t.truth[0].Bars
	var dst series.Columns
	grow(&dst, src.Len())
	half := src.Len() / workers
	d, err := sample(5, 20, func(int) error {
		return parallel(workers, func(_, i int) error {
			from, to := i*half, (i+1)*half
			copy(dst.Time[from:to], src.Time[from:])
			copy(dst.Open[from:to], src.Open[from:])
			copy(dst.High[from:to], src.High[from:])
			copy(dst.Low[from:to], src.Low[from:])
			copy(dst.Close[from:to], src.Close[from:])
			copy(dst.Volume[from:to], src.Volume[from:])
			return nil
		})
	}, nil)
	return perSecond(half*workers, d), err
}

func writeLimit(t *trial) (float64, error) {
	path := filepath.Join(t.dir, "write")
	data := make([]byte, int(barBytes*float64(t.bars)))
	for i := range data {
		data[i] = byte(i * i >> 3)
	}
	start := time.Now()
	if err := os.WriteFile(path, data, 0o644); err != nil {
		return 0, err
	}
	if err := syncPath(path); err != nil {
		return 0, err
	}
	return perSecond(t.bars, time.Since(start)), os.Remove(path)
}

// usage is processor time: of this process, and of the whole machine.
type usage struct{ own, all time.Duration }

// processors reads how much the processors have worked so far.
func processors() (usage, error) {
	var own syscall.Rusage
	if err := syscall.Getrusage(syscall.RUSAGE_SELF, &own); err != nil {
		return usage{}, err
	}
	stat, err := os.ReadFile("/proc/stat")
	if err != nil {
		return usage{}, err
	}
	line, _, _ := strings.Cut(string(stat), "\n")
	var user, nice, system, idle, iowait, irq, softirq, steal int64
	if _, err := fmt.Sscanf(line, "cpu %d %d %d %d %d %d %d %d", &user, &nice, &system, &idle, &iowait, &irq, &softirq, &steal); err != nil {
		return usage{}, errors.New("/proc/stat begins in an unknown way")
	}
	const jiffy = 10 * time.Millisecond
	return usage{
		own: time.Duration(own.Utime.Nano() + own.Stime.Nano()),
		all: time.Duration(user+nice+system+irq+softirq+steal) * jiffy,
	}, nil
}

// foreign is the share of the machine that other processes took between two
// usages so much time apart. Above a few percent the figures suffer.
func foreign(before, after usage, elapsed time.Duration) float64 {
	others := (after.all - before.all) - (after.own - before.own)
	return max(0, others.Seconds()/elapsed.Seconds()/float64(runtime.NumCPU()))
}

// quiet waits for a moment in which other processes leave the machine alone,
// no longer than limit. Without a limit it does not wait.
func quiet(limit time.Duration) error {
	for begin := time.Now(); time.Since(begin) < limit; {
		start := time.Now()
		before, err := processors()
		if err != nil {
			return err
		}
		time.Sleep(200 * time.Millisecond)
		after, err := processors()
		if err != nil {
			return err
		}
		if foreign(before, after, time.Since(start)) < 0.10 {
			return nil
		}
	}
	return nil
}
