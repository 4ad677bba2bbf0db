// Package dashboard holds the dashboard as files, built from the TypeScript
// beside it by `make dashboard`. Without that step it is empty, and the server
// shows a plain page instead.
package dashboard

import (
	"embed"
	"io/fs"
)

//go:embed all:dist
var dist embed.FS

// Plain is the style of pages that need no script.
//
//go:embed plain.css
var Plain []byte

// Files are the built files; ok is false if the dashboard was not built.
func Files() (files fs.FS, ok bool) {
	sub, err := fs.Sub(dist, "dist")
	if err != nil {
		return nil, false
	}
	_, err = fs.Stat(sub, "index.html")
	return sub, err == nil
}
