package terminal

import "io"

// Reading shows what is being read, one item after another, if W is a terminal and Show is
// set.
type Reading struct {
	W    io.Writer
	Show bool

	what string
	bar  Bar
	at   int64
}

// Progress sets what is being read and how many bytes of it have been read; total is 0 if it
// is not known.
func (r *Reading) Progress(what string, done, total int64) {
	if what != r.what {
		r.Done()
		r.what, r.at = what, 0
		r.bar = BytesBar(r.W, r.Show, "reading "+what, total)
	}
	r.bar.Add(done - r.at)
	r.at = done
}

// Done removes the bar.
func (r *Reading) Done() { r.bar.Done() }
