// Command barkeep keeps market data: it imports bars, finds what is missing
// and serves what is there over HTTP.
package main

import (
	"context"
	"os"
	"os/signal"
	"syscall"
)

func main() { os.Exit(Main()) }

// Main runs the program as the process was started and returns its exit code.
// The first interrupt ends the context, so that a verb can stop where nothing
// is half done; the second one kills.
func Main() int {
	ctx, stop := signal.NotifyContext(context.Background(), os.Interrupt, syscall.SIGTERM)
	defer stop()
	context.AfterFunc(ctx, stop)
	return Run(ctx, os.Args[1:], os.Stdin, os.Stdout, os.Stderr)
}
