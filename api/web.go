package api

import (
	"fmt"
	"html"
	"io/fs"
	"mime"
	"net/http"
	"path"
	"strings"

	"github.com/gin-gonic/gin"

	"github.com/barkeepdb/barkeep/api/dashboard"
)

// pagePolicy is what a page of ours may load: its own files, and data.
const pagePolicy = "default-src 'none'; script-src 'self'; style-src 'self'; img-src 'self' data:; font-src 'self'; connect-src 'self'; " +
	"form-action 'self'; base-uri 'none'; frame-ancestors 'none'"

func pageHeaders(c *gin.Context) {
	c.Header("Content-Security-Policy", pagePolicy)
	c.Header("Cross-Origin-Opener-Policy", "same-origin")
}

// getRoot answers with the dashboard or, where it was not built, with a page
// that says how the data fares and how to get it.
func (s *Server) getRoot(c *gin.Context) {
	pageHeaders(c)
	files, ok := dashboard.Files()
	if !ok {
		s.plainRoot(c)
		return
	}
	b, err := fs.ReadFile(files, "index.html")
	if err != nil {
		fail(c, err)
		return
	}
	c.Header("Cache-Control", "no-cache")
	c.Data(http.StatusOK, "text/html; charset=utf-8", b)
}

// getAsset answers with a file of the dashboard. Their names change with what
// is in them.
func (s *Server) getAsset(c *gin.Context) {
	pageHeaders(c)
	files, ok := dashboard.Files()
	name := path.Clean("assets/" + strings.TrimPrefix(c.Param("file"), "/"))
	var b []byte
	err := fs.ErrNotExist
	if ok && strings.HasPrefix(name, "assets/") {
		b, err = fs.ReadFile(files, name)
	}
	if err != nil {
		fail(c, &Error{http.StatusNotFound, "no_such_file", "there is no such file of the dashboard", ""})
		return
	}
	c.Header("Cache-Control", "public, max-age=31536000, immutable")
	c.Data(http.StatusOK, mime.TypeByExtension(path.Ext(name)), b)
}

func (s *Server) getStyle(c *gin.Context) {
	pageHeaders(c)
	c.Data(http.StatusOK, "text/css; charset=utf-8", dashboard.Plain)
}

// plainRoot is the overview without a script.
func (s *Server) plainRoot(c *gin.Context) {
	if s.guard.closeReads {
		c.Data(http.StatusOK, "text/html; charset=utf-8", page("Barkeep", "<h1>Barkeep</h1><p>Reads need a token here. <a href=\"/docs\">The API</a> says how.</p>"))
		return
	}
	d, err := s.DataHealth(c)
	if err != nil {
		fail(c, err)
		return
	}
	var b strings.Builder
	fmt.Fprintf(&b, "<h1>Barkeep: %s</h1><p>%d series, %d bars, %d missing. The dashboard was not built into this program: <code>make</code> builds it, with Node. <a href=\"/docs\">The API</a> is here.</p>",
		html.EscapeString(d.Status), d.Totals.Series, d.Totals.Bars, d.Totals.Missing)
	b.WriteString("<table><thead><tr><th>Series</th><th>Score</th><th>Bars</th><th>Missing</th><th>Last bar</th></tr></thead><tbody>")
	for _, x := range worstFirst(d.Series, 500) {
		score, last := "no data", ""
		if x.Score != nil {
			score = fmt.Sprintf("%.4f", *x.Score)
		}
		if x.Last != nil {
			last = x.Last.String()
		}
		fmt.Fprintf(&b, "<tr><td>%s %s</td><td>%s</td><td class=\"num\">%d</td><td class=\"num\">%d</td><td>%s</td></tr>",
			html.EscapeString(x.Symbol), x.Interval, score, x.Bars, x.Missing, last)
	}
	b.WriteString("</tbody></table>")
	c.Data(http.StatusOK, "text/html; charset=utf-8", page("Barkeep", b.String()))
}
