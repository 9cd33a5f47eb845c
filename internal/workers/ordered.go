package workers

import (
	"context"
	"iter"
	"sync"
)

// Worker returns the results for a part, one after the other. The sequence ends after an
// error, and soon after the context has ended.
type Worker[P, R any] func(ctx context.Context, part P) iter.Seq2[R, error]

// Ordered has up to n goroutines work on parts, and yields the results in the order of
// the parts. Up to n+1 parts are under way, each up to ahead results ahead of the loop.
// newWorker is called for each goroutine, so what its worker uses need not be safe for
// concurrent use.
//
// The iteration ends after an error, which comes after all results of the parts before it:
// the error of a part, one that parts yields, or the context's. A panic of a worker is an
// error of its part, a *[PanicError]. However the iteration ends, even if the loop's
// body panics, no goroutine is left.
func Ordered[P, R any](ctx context.Context, n, ahead int, parts iter.Seq2[P, error], newWorker func() Worker[P, R]) iter.Seq2[R, error] {
	return func(yield func(R, error) bool) {
		inner, cancel := context.WithCancel(ctx)
		group := NewGroup()
		todo := make(chan *job[P, R], n+1) // has room for all that are under way
		defer func() {
			cancel()
			close(todo)
			_ = group.Wait()
		}()
		var underWay []*job[P, R]
		running := 0
		for part, err := range parts {
			if len(underWay) == n+1 {
				if !underWay[0].yield(ctx, yield) {
					return
				}
				underWay = underWay[1:]
			}
			j := &job[P, R]{part: part, results: make(chan R, ahead), err: err}
			underWay = append(underWay, j)
			if err != nil {
				close(j.results)
				break
			}
			todo <- j
			if running < n {
				running++
				group.Go(func() error {
					work := sync.OnceValue(newWorker)
					for j := range todo {
						j.do(inner, work)
					}
					return nil
				})
			}
		}
		for _, j := range underWay {
			if !j.yield(ctx, yield) {
				return
			}
		}
	}
}

// job is a part on its way through a worker.
type job[P, R any] struct {
	part    P
	results chan R
	err     error // what ended it; valid once results is closed
}

// do works on the part. It ends early if the context does.
func (j *job[P, R]) do(ctx context.Context, work func() Worker[P, R]) {
	defer close(j.results)
	defer Recover(&j.err)
	if j.err = ctx.Err(); j.err != nil {
		return
	}
	for result, err := range work()(ctx, j.part) {
		if err != nil {
			j.err = err
			return
		}
		select {
		case j.results <- result:
		case <-ctx.Done():
			j.err = ctx.Err()
			return
		}
	}
}

// yield passes the results on and reports whether to go on.
func (j *job[P, R]) yield(ctx context.Context, yield func(R, error) bool) bool {
	var none R
	for {
		select {
		case result, more := <-j.results:
			switch {
			case more && !yield(result, nil):
				return false
			case !more && j.err != nil:
				yield(none, j.err)
				return false
			case !more:
				return true
			}
		case <-ctx.Done():
			yield(none, ctx.Err())
			return false
		}
	}
}
