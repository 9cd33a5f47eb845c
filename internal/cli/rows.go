package cli

import "ailee-recovery/internal/ijson"

// Rows prints a JSON document with one array that is too long to hold in memory: the fields
// of the head, the array row by row, then the fields of the end.
type Rows struct {
	out   *IO
	name  string
	head  any
	count int
}

// Rows starts a document with the fields of head, an object with at least one
// field, and an array of the given name.
func (out *IO) Rows(head any, name string) *Rows { return &Rows{out: out, name: name, head: head} }

// Add prints one row.
func (r *Rows) Add(row any) error {
	text, err := ijson.Marshal(row)
	if err != nil {
		return err
	}
	open := ",\n    "
	if r.count == 0 {
		if open, err = r.opening(); err != nil {
			return err
		}
	}
	r.count++
	r.out.Raw(open + string(text))
	return r.out.outErr
}

func (r *Rows) opening() (string, error) {
	head, err := ijson.Marshal(r.head)
	if err != nil {
		return "", err
	}
	name, err := ijson.Marshal(r.name)
	return "{\n  " + string(head[1:len(head)-1]) + ",\n  " + string(name) + ": [\n    ", err
}

// End prints the end of the document with the fields of end, an object with at
// least one field.
func (r *Rows) End(end any) error {
	text, err := ijson.Marshal(end)
	if err != nil {
		return err
	}
	open := ""
	if r.count == 0 {
		if open, err = r.opening(); err != nil {
			return err
		}
	}
	r.out.Raw(open + "\n  ],\n  " + string(text[1:]) + "\n")
	return r.out.outErr
}
