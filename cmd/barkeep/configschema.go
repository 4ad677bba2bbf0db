package main

import (
	"encoding"
	"encoding/json"
	"maps"
	"reflect"
	"slices"
	"strings"
)

var textUnmarshaler = reflect.TypeFor[encoding.TextUnmarshaler]()

// form is what a setting looks like in a file, as a JSON Schema.
type form map[string]any

const (
	bytesPattern    = `^\s*\+?0*[1-9][0-9]*\s*([KMG]iB|[KMG]B|B)?\s*$`
	durationPattern = `^(off|0|\+?(([0-9]+(\.[0-9]*)?|\.[0-9]+)(ns|us|µs|μs|ms|s|m|h))+)$`
)

// A number may stand in quotes, and a word that YAML takes for something else
// without them.
var (
	formText  = form{"type": []string{"string", "number", "boolean"}}
	formBool  = form{"enum": []any{true, false, "true", "yes", "on", "1", 1, "false", "no", "off", "0", 0}}
	formCount = form{"type": []string{"integer", "string"}, "minimum": 1, "pattern": `^\+?0*[1-9][0-9]*$`}
	formInt   = form{"type": []string{"integer", "string"}, "minimum": 0, "pattern": `^(\+?[0-9]+|-0+)$`}
	formSize  = form{"type": []string{"integer", "string"}, "minimum": 1, "pattern": bytesPattern}
	formSpace = formSize.or("auto", "off")
	formSpeed = form{"type": []string{"integer", "string"}, "minimum": 1, "pattern": `^(auto|off|\s*\+?0*[1-9][0-9]*\s*([KMG]iB|[KMG]B|B)?\s*)(/s)?$`}
	// A duration is text, but for 0.
	formDuration = form{"type": []string{"integer", "string"}, "maximum": 0, "minimum": 0, "pattern": durationPattern}
	formShare    = form{"type": []string{"number", "string"}, "exclusiveMinimum": 0, "maximum": 1}
	formRate     = form{"type": []string{"number", "string"}, "minimum": 0, "maximum": 1e6}
	formList     = form{"type": []string{"array", "string", "number", "boolean"}, "items": form{"type": []string{"string", "number", "boolean"}}}
)

// takesList reports whether a setting is a list.
func takesList(key string) bool {
	i := slices.IndexFunc(settings, func(s setting) bool { return s.key == key })
	return i >= 0 && settings[i].form["items"] != nil
}

// choice is one of some words.
func choice(words ...string) form {
	return form{"enum": words}
}

// or is a form, or one of some words.
func (f form) or(words ...string) form {
	return form{"anyOf": []form{f, choice(words...)}}
}

// with is a form with what tells of one setting.
func (f form) with(doc string, def any) form {
	out := maps.Clone(f)
	out["description"] = strings.ReplaceAll(doc, "\n", " ")
	if def != nil {
		out["default"] = def
	}
	return out
}

// orNull is a form of what may be left out after its name.
func (f form) orNull() form {
	return form{"anyOf": []form{f, {"type": "null"}}}
}

// configSchema is a JSON Schema of the configuration file, made from the table
// of settings and what is read of endpoints.
func configSchema() ([]byte, error) {
	object := func(properties map[string]form) form {
		return form{"type": "object", "properties": properties, "additionalProperties": false}
	}
	top := map[string]form{}
	sections := map[string]map[string]form{}
	for _, s := range settings {
		f := s.form.orNull().with(s.doc, s.def)
		section, name, ok := strings.Cut(s.key, ".")
		if !ok {
			top[s.key] = f
			continue
		}
		if sections[section] == nil {
			sections[section] = map[string]form{}
		}
		sections[section][name] = f
	}
	for name, properties := range sections {
		top[name] = object(properties).orNull()
	}
	endpoint := typeForm(reflect.TypeFor[endpointConfig]())
	endpoint["required"] = []string{"name", "url"}
	top[endpointsKey] = form{
		"description":          "Where bars are fetched from: groups of endpoints, see docs/providers.md.",
		"type":                 "object",
		"additionalProperties": form{"type": "array", "items": endpoint},
	}
	out := object(top)
	out["$schema"] = "https://json-schema.org/draft/2020-12/schema"
	out["title"] = "Configuration of Barkeep"
	b, err := json.MarshalIndent(out, "", "  ")
	return append(b, '\n'), err
}

// typeForm is the form of a Go type as it is read from YAML.
func typeForm(t reflect.Type) form {
	if t.Kind() == reflect.Pointer {
		return typeForm(t.Elem())
	}
	if reflect.PointerTo(t).Implements(textUnmarshaler) {
		return form{"type": []string{"string", "number"}}
	}
	switch t.Kind() {
	case reflect.Struct:
		properties := map[string]form{}
		for f := range t.Fields() {
			name, _, _ := strings.Cut(f.Tag.Get("yaml"), ",")
			if name == "-" || !f.IsExported() {
				continue
			}
			if name == "" {
				name = strings.ToLower(f.Name)
			}
			properties[name] = typeForm(f.Type)
		}
		return form{"type": "object", "properties": properties, "additionalProperties": false}
	case reflect.Map:
		return form{"type": "object", "additionalProperties": typeForm(t.Elem())}
	case reflect.Slice, reflect.Array:
		return form{"type": "array", "items": typeForm(t.Elem())}
	case reflect.Bool:
		return form{"type": "boolean"}
	case reflect.String:
		return form{"type": "string"}
	case reflect.Float32, reflect.Float64:
		return form{"type": "number"}
	case reflect.Int, reflect.Int8, reflect.Int16, reflect.Int32, reflect.Int64,
		reflect.Uint, reflect.Uint8, reflect.Uint16, reflect.Uint32, reflect.Uint64:
		return form{"type": "integer"}
	}
	return form{}
}
