package api

import (
	"encoding"
	"encoding/json"
	"maps"
	"net/http"
	"reflect"
	"strings"

	"github.com/gin-gonic/gin"

	"github.com/barkeepdb/barkeep/series"
)

// parameterDocs are the query parameters, by name.
var parameterDocs = map[string]struct {
	doc    string
	schema map[string]any
}{
	"symbol":   {"Symbol: 1 to 64 characters of A-Z a-z 0-9 . _ - : / ^ =", text()},
	"interval": {"Interval of the bars", map[string]any{"type": "string", "enum": intervalNames()}},
	"from":     {"From this time on: Unix milliseconds, RFC 3339 or a date", text()},
	"to":       {"Before this time", text()},
	"at":       {"A time inside of the slot", text()},
	"limit":    {"At most so many", map[string]any{"type": "integer", "minimum": 1}},
	"order":    {"Order of time", choice("asc", "desc")},
	"fill":     {"What to do with slots without a bar", choice(fills...)},
	"asof":     {"Answer as the store would have answered at this time", text()},
	"causal":   {"Forget what repairs knew later", choice("false", "true")},
	"columns":  {"Columns that are wanted, separated by commas", text()},
	"format":   {"Format of the bars", choice("json", "columns", "csv", "ndjson", "parquet", "arrow", "freqtrade", "lean")},
	"adjust":   {"Free the prices of splits, or of splits and dividends", choice("none", "split", "all")},
	"name":     {"Name of the file, for the date in it", text()},
	"tz":       {"Zone of local times, such as America/New_York", text()},
	"stamp":    {"What the times are: start or end of the bar", choice("start", "end")},
	"map":      {"Columns by name, or number from 0: time=Date,close=Last; - leaves a field out", text()},
	"cursor":   {"next of the answer before", text()},
	"source":   {"Who said the bars", text()},
	"state":    {"Only gaps in this state", text()},
	"status":   {"Only repairs in this state", text()},
	"all":      {"Delete the whole series", choice("false", "true")},

	"resample_from": {"Make the bars of this stored interval", map[string]any{"type": "string", "enum": intervalNames()}},
	"on_conflict":   {"What happens to a bar that differs from the stored one", choice("replace", "keep", "quarantine")},
	"repair":        {"Only changes of this repair", text()},
	"rule":          {"Only changes of this rule", text()},
	"actor":         {"Only changes of this actor", text()},
	"size":          {"Size of an earlier head of the audit log", map[string]any{"type": "integer", "minimum": 0}},
	"root":          {"Root of an earlier head of the audit log", text()},
	"events":        {"Kinds of events, separated by commas: " + strings.Join(eventKinds, ", "), text()},
	"metric":        {"Names of metrics, separated by commas", text()},
	"startTime":     {"From this time on, in Unix milliseconds", text()},
	"endTime":       {"Up to this time, in Unix milliseconds", text()},
	"timeZone":      {"Taken and not used: days begin at 00:00 UTC", text()},
	"symbols":       {"Symbols, as a JSON list", text()},
	"group":         {"Taken and not used", text()},
	"query":         {"Part of a symbol", text()},
	"type":          {"Only symbols of this type", text()},
	"exchange":      {"Only symbols of this exchange", text()},
	"resolution":    {"Interval as TradingView names it", text()},
	"countback":     {"How many bars before to; wins over from", map[string]any{"type": "integer", "minimum": 1}},
	"precision":     {"Unit of the timestamps", choice("ns", "us", "ms", "s")},
	"org":           {"Taken and not used", text()},
	"bucket":        {"Taken and not used", text()},
	"db":            {"Taken and not used", text()},
	"price_scale":   {"Divide prices by this", map[string]any{"type": "number", "exclusiveMinimum": 0}},
	"time_format":   {"How times are written where two readings are possible", choice("mdy", "dmy", "s", "ms", "us", "ns", "ms-of-day")},
	"min_quality":   {"Least completeness of the answer, from 0 to 1", map[string]any{"type": "number", "minimum": 0, "maximum": 1}},
	"on_violation":  {"What a lower completeness does", choice("error", "warn")},
	"against":       {"Symbol of a second series of the same instrument, to find shifted stretches", text()},
	"severity":      {"Only of this severity", text()},
	"history":       {"Also those that have ended", choice("false", "true")},
}

func text() map[string]any { return map[string]any{"type": "string"} }

func choice(names ...string) map[string]any { return map[string]any{"type": "string", "enum": names} }

func intervalNames() (out []string) {
	for _, i := range series.Intervals() {
		out = append(out, i.String())
	}
	return out
}

// openAPI makes the document out of the table of routes.
func (s *Server) openAPI() []byte {
	paths := map[string]map[string]any{}
	for _, r := range s.table() {
		path, params := openPath(r.path)
		for name := range strings.FieldsSeq(r.query) {
			d := parameterDocs[name]
			params = append(params, map[string]any{"name": name, "in": "query", "description": d.doc, "schema": d.schema})
		}
		done := map[string]any{"description": "Done"}
		if media := mediaOf(r); len(media) > 0 {
			done["content"] = media
		}
		responses := map[string]any{okStatus(r): done, "4XX": wrongOf(path), "5XX": wrongOf(path)}
		if path == "/v1/bars" && r.method == http.MethodGet {
			responses["206"] = map[string]any{"description": "A piece of a file"}
			responses["304"] = map[string]any{"description": "What If-None-Match names is still so"}
		}
		op := map[string]any{
			"summary": r.title, "operationId": operation(r.method, path), "tags": []string{tagOf(path)}, "x-role": r.role.String(),
			"responses": responses,
		}
		if len(params) > 0 {
			op["parameters"] = params
		}
		if r.body != nil {
			op["requestBody"] = map[string]any{"required": true, "content": content(schemaOf(reflect.TypeOf(r.body)))}
		}
		if r.role == Operator || r.role == Admin {
			op["security"] = []map[string]any{{"token": []string{}}}
		} else {
			op["security"] = []map[string]any{{}, {"token": []string{}}}
		}
		if paths[path] == nil {
			paths[path] = map[string]any{}
		}
		paths[path][strings.ToLower(r.method)] = op
	}
	b, err := json.Marshal(map[string]any{
		"openapi": "3.1.0",
		"info": map[string]any{
			"title": "Barkeep", "version": s.version(), "summary": "A market-data database that heals itself",
			"license": map[string]any{"name": "Apache-2.0", "identifier": "Apache-2.0"},
		},
		"servers": []map[string]any{{"url": "/"}},
		"paths":   paths,
		"components": map[string]any{
			"securitySchemes": map[string]any{"token": map[string]any{"type": "http", "scheme": "bearer"}},
			"schemas": map[string]any{"Error": map[string]any{
				"type": "object", "required": []string{"error"},
				"properties": map[string]any{"error": schemaOf(reflect.TypeFor[Error]())},
			}},
		},
	})
	if err != nil { // maps of texts always have a JSON form
		panic("api: openapi: " + err.Error())
	}
	return b
}

func (s *Server) version() string {
	if s.o.Version == "" {
		return "0"
	}
	return s.o.Version
}

func content(schema map[string]any) map[string]any {
	return map[string]any{"application/json": map[string]any{"schema": schema}}
}

// mediaOf are the media types of an answer without an error, with their schemas;
// none is an answer without a body.
func mediaOf(r route) map[string]any {
	plain := func(types ...string) map[string]any {
		out := map[string]any{}
		for _, t := range types {
			out[t] = map[string]any{}
		}
		return out
	}
	switch r.path {
	case "/write", "/api/v2/write":
		return nil
	case "/", "/docs":
		return plain("text/html")
	case "/style.css":
		return plain("text/css")
	case "/assets/*file":
		return plain("*/*")
	case "/metrics":
		return plain("text/plain", "application/openmetrics-text")
	case "/v1/stream":
		return plain("text/event-stream")
	case "/udf/time":
		return plain("text/plain")
	}
	out := plain("application/json")
	if r.answer != nil {
		out = content(schemaOf(reflect.TypeOf(r.answer)))
	}
	if r.path == "/v1/bars" && r.method == http.MethodGet {
		maps.Copy(out, plain("text/csv", "application/x-ndjson", "application/vnd.apache.parquet", "application/vnd.apache.arrow.file", "application/zip"))
	}
	return out
}

// wrongOf describes an error. Where clients of other programs ask they get those
// of that program, but for what is refused before.
func wrongOf(path string) map[string]any {
	schema := map[string]any{"$ref": "#/components/schemas/Error"}
	other := func(code string, text string) map[string]any {
		return map[string]any{"anyOf": []any{schema, map[string]any{
			"type": "object", "required": []string{"code", text},
			"properties": map[string]any{"code": map[string]any{"type": code}, text: map[string]any{"type": "string"}},
		}}}
	}
	switch {
	case strings.HasPrefix(path, "/compat/binance/"):
		schema = other("integer", "msg")
	case path == "/write" || path == "/api/v2/write":
		schema = other("string", "message")
	}
	return map[string]any{"description": "What is wrong, where, and how to mend it", "content": content(schema)}
}

// okStatus is the status of an answer without an error.
func okStatus(r route) string {
	switch r.path {
	case "/data/repair", "/v1/plan", "/system/restart":
		return "202"
	case "/v1/links":
		return "201"
	case "/write", "/api/v2/write":
		return "204"
	case "/v1/tokens":
		if r.method == http.MethodPost {
			return "201"
		}
	}
	return "200"
}

// openPath writes a path of the router as OpenAPI does.
func openPath(path string) (string, []map[string]any) {
	parts := strings.Split(path, "/")
	var params []map[string]any
	for i, p := range parts {
		if name, ok := strings.CutPrefix(p, ":"); ok {
			parts[i] = "{" + name + "}"
			params = append(params, pathParam(name))
		} else if name, ok := strings.CutPrefix(p, "*"); ok {
			parts[i] = "{" + name + "}"
			params = append(params, pathParam(name))
		}
	}
	return strings.Join(parts, "/"), params
}

func pathParam(name string) map[string]any {
	return map[string]any{"name": name, "in": "path", "required": true, "description": "See the summary", "schema": text()}
}

func operation(method, path string) string {
	return strings.ToLower(method) + strings.Map(func(r rune) rune {
		switch {
		case r >= 'a' && r <= 'z', r >= 'A' && r <= 'Z', r >= '0' && r <= '9':
			return r
		case r == '{' || r == '}':
			return -1
		}
		return '_'
	}, path)
}

func tagOf(path string) string {
	parts := strings.Split(strings.TrimPrefix(path, "/"), "/")
	if parts[0] == "v1" && len(parts) > 1 {
		return parts[1]
	}
	return parts[0]
}

var (
	textMarshaler = reflect.TypeFor[encoding.TextMarshaler]()
	jsonMarshaler = reflect.TypeFor[json.Marshaler]()
	timeType      = reflect.TypeFor[series.Time]()
	momentType    = reflect.TypeFor[moment]()
)

// schemaOf describes the JSON form of a type.
func schemaOf(t reflect.Type) map[string]any {
	switch {
	case t.Kind() == reflect.Pointer && t.Elem().Implements(textMarshaler):
		return map[string]any{"type": []string{"string", "null"}}
	case t == timeType:
		return map[string]any{"type": "integer", "format": "int64", "description": "Unix milliseconds UTC"}
	case t == momentType:
		return map[string]any{"type": []string{"integer", "string"}, "description": "A time"}
	case t.Implements(textMarshaler):
		return text()
	case t.Implements(jsonMarshaler):
		return map[string]any{}
	}
	switch t.Kind() {
	case reflect.Pointer:
		s := schemaOf(t.Elem())
		if name, ok := s["type"].(string); ok {
			s["type"] = []string{name, "null"}
		}
		return s
	case reflect.Slice, reflect.Array:
		return map[string]any{"type": []string{"array", "null"}, "items": schemaOf(t.Elem())}
	case reflect.Map:
		return map[string]any{"type": []string{"object", "null"}, "additionalProperties": schemaOf(t.Elem())}
	case reflect.Struct:
		props := map[string]any{}
		properties(t, props)
		return map[string]any{"type": "object", "properties": props}
	case reflect.Bool:
		return map[string]any{"type": "boolean"}
	case reflect.String:
		return text()
	case reflect.Float32, reflect.Float64:
		return map[string]any{"type": "number"}
	case reflect.Interface:
		return map[string]any{}
	}
	return map[string]any{"type": "integer"}
}

func properties(t reflect.Type, props map[string]any) {
	for f := range t.Fields() {
		name, _, _ := strings.Cut(f.Tag.Get("json"), ",")
		switch {
		case name == "-" || !f.IsExported() && !f.Anonymous:
		case f.Anonymous && name == "":
			inner := f.Type
			if inner.Kind() == reflect.Pointer {
				inner = inner.Elem()
			}
			properties(inner, props)
		case name == "":
			props[f.Name] = schemaOf(f.Type)
		default:
			props[name] = schemaOf(f.Type)
		}
	}
}

func (s *Server) getOpenAPI(c *gin.Context) { c.Data(http.StatusOK, "application/json", s.schema) }

// getDocs shows the table of routes as a page without a script.
func (s *Server) getDocs(c *gin.Context) {
	pageHeaders(c)
	c.Data(http.StatusOK, "text/html; charset=utf-8", docsPage(s.table()))
}
