package main

import (
	"bytes"
	"fmt"
	"io"
	"os"
	"os/exec"
	"strconv"
	"strings"

	"github.com/barkeepdb/barkeep/bench"
)

// peakMemory loads the corpus into each engine in a process of its own, made
// series by series on the way, and writes how much memory each needed at most.
func (c *config) peakMemory(w io.Writer) error {
	self, err := os.Executable()
	if err != nil {
		return err
	}
	fmt.Fprintf(w, "| peak memory of loading %d symbol-years | MiB |\n|---|---|\n", c.symbols)
	names := []string{"none"}
	for _, e := range engines {
		names = append(names, e.name)
	}
	for _, name := range names {
		if !wants(c.only, name) {
			continue
		}
		cmd := exec.Command(self, "-child", name, "-symbols", strconv.Itoa(c.symbols), "-dir", c.dir)
		cmd.Stderr = os.Stderr
		out, err := cmd.Output()
		if err != nil {
			return fmt.Errorf("%s: %w", name, err)
		}
		fmt.Fprintf(w, "| %s | %s |\n", name, bytes.TrimSpace(out))
	}
	return nil
}

// loadAlone is the child of peakMemory. The engine "none" only makes the bars.
func (c *config) loadAlone(name string) error {
	all := bench.Each(c.symbols, 1)
	if name == "none" {
		for range all {
		}
	}
	for _, e := range engines {
		if e.name != name {
			continue
		}
		engine, err := e.open(c.dir)
		if err != nil {
			return err
		}
		if err := engine.Load(all); err != nil {
			return err
		}
		if err := engine.Close(); err != nil {
			return err
		}
	}
	kib, err := highWater()
	fmt.Println(kib / 1024)
	return err
}

// highWater is the largest resident set this process ever had, in KiB.
func highWater() (int, error) {
	status, err := os.ReadFile("/proc/self/status")
	if err != nil {
		return 0, err
	}
	for line := range strings.Lines(string(status)) {
		if text, ok := strings.CutPrefix(line, "VmHWM:"); ok {
			return strconv.Atoi(strings.TrimSpace(strings.TrimSuffix(strings.TrimSpace(text), "kB")))
		}
	}
	return 0, fmt.Errorf("no VmHWM in /proc/self/status")
}
