package snapshottool

import (
	"reflect"

	"ailee-recovery/internal/printable"
)

// Printable returns a copy of a record or anchor, a struct of the package snapshot, whose
// strings are printable.
func Printable(v any) any {
	fields := reflect.New(reflect.TypeOf(v)).Elem()
	fields.Set(reflect.ValueOf(v))
	for i := range fields.NumField() {
		if f := fields.Field(i); f.Kind() == reflect.String {
			f.SetString(printable.Text(f.String()))
		}
	}
	return fields.Interface()
}
