// Package docs holds what of the documentation the program prints.
package docs

import _ "embed"

// CalendarSchema is the JSON Schema of calendar files.
//
//go:embed calendar.schema.json
var CalendarSchema []byte
