package clitest

import (
	"bytes"
	"path/filepath"
	"slices"

	"github.com/santhosh-tekuri/jsonschema/v6"

	"ailee-recovery/internal/golden"
)

// SchemaSuffix follows the name of the tool in the name of a schema.
const SchemaSuffix = ".v1.json"

// SchemaDir returns the folder of the schemas.
func SchemaDir() string { return filepath.Join(golden.Dir(), "..", "..", "docs", "schema") }

// Schema reads the schema of a tool.
func Schema(name string) (*jsonschema.Schema, error) {
	c := jsonschema.NewCompiler()
	c.AssertFormat()
	return c.Compile(filepath.Join(SchemaDir(), name+SchemaSuffix))
}

func validate(s *jsonschema.Schema, text []byte) (doc any, err error) {
	if doc, err = jsonschema.UnmarshalJSON(bytes.NewReader(text)); err == nil {
		err = s.Validate(doc)
	}
	return doc, err
}

// fields maps the properties of schemas, by location, to whether a document had them.
type fields map[string]bool

// declare adds the properties of a schema.
func (f fields) declare(s *jsonschema.Schema) {
	for name, property := range s.Properties {
		at := s.Location + "/properties/" + name
		if _, known := f[at]; known || property.Bool != nil {
			continue
		}
		f[at] = false
		f.declare(property)
	}
	for _, part := range slices.Concat(Parts(s), Items(s)) {
		f.declare(part)
	}
}

// mark records the properties that a document has.
func (f fields) mark(s *jsonschema.Schema, value any) {
	for _, part := range Parts(s) {
		if part.Validate(value) == nil {
			f.mark(part, value)
		}
	}
	switch value := value.(type) {
	case map[string]any:
		for name, property := range s.Properties {
			if v, has := value[name]; has && property.Bool == nil {
				f[s.Location+"/properties/"+name] = true
				f.mark(property, v)
			}
		}
	case []any:
		for _, part := range Items(s) {
			for _, v := range value {
				f.mark(part, v)
			}
		}
	}
}

// Parts returns the schemas that apply to the same value. Conditions are left out: they have no
// fields that the rest does not.
func Parts(s *jsonschema.Schema) []*jsonschema.Schema {
	all := slices.Concat(s.AllOf, s.OneOf)
	if s.Ref != nil {
		all = append(all, s.Ref)
	}
	return all
}

// Items returns the schemas of the elements, if s is the schema of an array.
func Items(s *jsonschema.Schema) []*jsonschema.Schema {
	if s.Items2020 == nil {
		return nil
	}
	return []*jsonschema.Schema{s.Items2020}
}
