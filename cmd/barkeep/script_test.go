package main

import (
	"os"
	"testing"

	"github.com/rogpeppe/go-internal/testscript"
)

// testData is the folder of real files that BARKEEP_TESTDATA names. The program
// itself knows no such setting, and would say so.
var testData = os.Getenv("BARKEEP_TESTDATA")

func TestMain(m *testing.M) {
	if err := os.Unsetenv("BARKEEP_TESTDATA"); err != nil {
		panic(err)
	}
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
