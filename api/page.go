package api

import (
	"bytes"
	"html/template"
)

// docsTemplate is a page of the routes that needs no script.
var docsTemplate = template.Must(template.New("docs").Parse(`<!doctype html>
<html lang="en"><head><meta charset="utf-8"><meta name="viewport" content="width=device-width, initial-scale=1">
<title>Barkeep API</title><link rel="stylesheet" href="/style.css"></head>
<body><main><h1>Barkeep API</h1>
<p>The whole document: <a href="/openapi.json">openapi.json</a>. Routes that read can be opened here.</p>
<table><thead><tr><th>Route</th><th>What</th><th>Who</th><th>Parameters</th></tr></thead><tbody>
{{range .}}<tr><td><code>{{.Method}} {{if .Link}}<a href="{{.Path}}">{{.Path}}</a>{{else}}{{.Path}}{{end}}</code></td><td>{{.Title}}</td><td>{{.Role}}</td><td><code>{{.Query}}</code></td></tr>
{{end}}</tbody></table></main></body></html>
`))

func docsPage(table []route) []byte {
	type row struct {
		Method, Path, Title, Role, Query string
		Link                             bool
	}
	var rows []row
	for _, r := range table {
		path, params := openPath(r.path)
		rows = append(rows, row{r.method, path, r.title, r.role.String(), r.query, r.method == "GET" && len(params) == 0 && r.path != "/v1/stream"})
	}
	var b bytes.Buffer
	if err := docsTemplate.Execute(&b, rows); err != nil { // it is ours
		panic("api: docs: " + err.Error())
	}
	return b.Bytes()
}
