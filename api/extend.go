package api

import (
	"net/http"

	"github.com/gin-gonic/gin"
)

// Handle adds a route of the host program: method and path, in gin's syntax,
// for callers of the given role or a higher one. It is guarded, logged and
// counted as the routes of the API are, but stands in no OpenAPI document.
// Handle panics where the route is there already or the role is none, and must
// not be called while requests are served.
func (s *Server) Handle(method, path string, role Role, h http.Handler) {
	if role < Public || role > Admin {
		panic("api: " + method + " " + path + ": the role is none of public, reader, operator, admin")
	}
	s.mount(route{method: method, path: path, role: role, handle: func(c *gin.Context) { h.ServeHTTP(c.Writer, c.Request) }})
}
