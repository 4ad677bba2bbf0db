package api

import (
	"fmt"
	"html"
	"strings"
)

// Pages are written by hand: a template package would keep every exported
// method of the program in the binary.

// page wraps the body of a page that needs no script.
func page(title, body string) []byte {
	return []byte(`<!doctype html>
<html lang="en"><head><meta charset="utf-8"><meta name="viewport" content="width=device-width, initial-scale=1">
<title>` + html.EscapeString(title) + `</title><link rel="stylesheet" href="/style.css"></head>
<body><main>` + body + "</main></body></html>\n")
}

// docsPage lists the routes.
func docsPage(table []route) []byte {
	var b strings.Builder
	b.WriteString(`<h1>Barkeep API</h1>
<p>The whole document: <a href="/openapi.json">openapi.json</a>. Routes that read can be opened here.</p>
<table><thead><tr><th>Route</th><th>What</th><th>Who</th><th>Parameters</th></tr></thead><tbody>
`)
	for _, r := range table {
		path, params := openPath(r.path)
		name := html.EscapeString(path)
		if r.method == "GET" && len(params) == 0 && r.path != "/v1/stream" {
			name = `<a href="` + name + `">` + name + `</a>`
		}
		fmt.Fprintf(&b, "<tr><td><code>%s %s</code></td><td>%s</td><td>%s</td><td><code>%s</code></td></tr>\n",
			r.method, name, html.EscapeString(r.title), r.role, html.EscapeString(r.query))
	}
	b.WriteString("</tbody></table>")
	return page("Barkeep API", b.String())
}
