package storage_test

import (
	"syscall"
	"testing"
	"time"
)

// cpuTime starts a clock of the processor time of the process; the returned
// function reports it per operation. Wall time on a shared machine says little.
func cpuTime(b *testing.B) func() {
	now := func() time.Duration {
		var u syscall.Rusage
		if err := syscall.Getrusage(syscall.RUSAGE_SELF, &u); err != nil {
			b.Fatal(err)
		}
		return time.Duration(u.Utime.Nano() + u.Stime.Nano())
	}
	start := now()
	return func() { b.ReportMetric(float64(now()-start)/float64(b.N), "cpu-ns/op") }
}
