package main

import "runtime"

// memoryUsed is what the process holds of the system, in bytes, as far as the
// runtime knows.
func memoryUsed() uint64 {
	var m runtime.MemStats
	runtime.ReadMemStats(&m)
	return m.Sys - m.HeapReleased
}
