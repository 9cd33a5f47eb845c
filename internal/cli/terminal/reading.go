package terminal

import "io"

// Reading shows what is being read, one thing after the other, if W is a terminal and Show is
// set.
type Reading struct {
	W    io.Writer
	Show bool

	what string
	bar  Bar
	at   int64
}

// Progress tells of what is read, and how many bytes of it in all; total is 0 where that is not
// known.
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
