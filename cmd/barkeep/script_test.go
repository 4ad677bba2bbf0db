package main

import (
	"os"
	"testing"

	"github.com/rogpeppe/go-internal/testscript"
)

func TestMain(m *testing.M) {
	testscript.Main(m, map[string]func(){"barkeep": func() { os.Exit(Main()) }})
}

// TestScripts runs the program as its users do; see testdata.
func TestScripts(t *testing.T) {
	testscript.Run(t, testscript.Params{
		Dir:                 "testdata",
		RequireExplicitExec: true,
		UpdateScripts:       *rewrite,
		Setup: func(e *testscript.Env) error {
			e.Setenv("TZ", "America/New_York") // nothing may depend on it
			return nil
		},
	})
}
