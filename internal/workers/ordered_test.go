package workers_test

import (
	"context"
	"errors"
	"iter"
	"sync/atomic"
	"testing"
	"testing/synctest"
	"time"

	"github.com/stretchr/testify/require"

	"ailee-recovery/internal/workers"
)

// The tests run in synctest bubbles: a bubble that ends while a goroutine is left fails,
// and when all goroutines wait, time moves on at once.

var errTest = errors.New("a test")

// numbers yields 0 to n-1, and then err unless it is nil.
func numbers(n int, err error) iter.Seq2[int, error] {
	return func(yield func(int, error) bool) {
		for i := range n {
			if !yield(i, nil) {
				return
			}
		}
		if err != nil {
			yield(0, err)
		}
	}
}

// thrice is a worker that takes a random time for each of the three results of a part.
func thrice(_ context.Context, part int) iter.Seq2[int, error] {
	return func(yield func(int, error) bool) {
		for i := range 3 {
			time.Sleep(time.Duration((part*7919+i*104729)%50) * time.Millisecond)
			if !yield(part*3+i, nil) {
				return
			}
		}
	}
}

func same(w workers.Worker[int, int]) func() workers.Worker[int, int] {
	return func() workers.Worker[int, int] { return w }
}

// collect returns the results up to the error.
func collect(results iter.Seq2[int, error]) (got []int, err error) {
	for r, err := range results {
		if err != nil {
			return got, err
		}
		got = append(got, r)
	}
	return got, nil
}

func upTo(n int) []int {
	got, _ := collect(numbers(n, nil))
	return got
}

func TestOrderedKeepsTheOrder(t *testing.T) {
	for _, n := range []int{1, 2, 3, 16} {
		for _, ahead := range []int{0, 1, 100} {
			for _, parts := range []int{0, 1, 2, 7, 100} {
				synctest.Test(t, func(t *testing.T) {
					got, err := collect(workers.Ordered(t.Context(), n, ahead, numbers(parts, nil), same(thrice)))
					require.NoError(t, err)
					require.Equal(t, upTo(3*parts), got)
				})
			}
		}
	}
}

// TestOrderedIsBounded: by the number of workers, parts and results.
func TestOrderedIsBounded(t *testing.T) {
	synctest.Test(t, func(t *testing.T) {
		const n, ahead = 3, 5
		var made, taken, working, results atomic.Int32
		parts := func(yield func(int, error) bool) {
			for i := range 100 {
				taken.Add(1)
				if !yield(i, nil) {
					return
				}
			}
		}
		first := true
		for _, err := range workers.Ordered(t.Context(), n, ahead, parts, func() workers.Worker[int, int] {
			made.Add(1)
			return func(_ context.Context, part int) iter.Seq2[int, error] {
				return func(yield func(int, error) bool) {
					defer working.Add(-1)
					working.Add(1)
					for range 20 {
						results.Add(1)
						if !yield(part, nil) {
							return
						}
					}
				}
			}
		}) {
			require.NoError(t, err)
			if first {
				first = false
				synctest.Wait()
				require.EqualValues(t, n, made.Load())
				require.EqualValues(t, n, working.Load())
				// One more is being requested.
				require.EqualValues(t, n+2, taken.Load())
				// Each waits with one more than it may be ahead; one was taken.
				require.EqualValues(t, n*(ahead+1)+1, results.Load())
			}
		}
		require.EqualValues(t, n, made.Load())
		require.EqualValues(t, 100, taken.Load())
		require.EqualValues(t, 2000, results.Load())
	})
}

// TestOrderedErrors: of the parts, of a worker and of the loop. All results before the error
// are there.
func TestOrderedErrors(t *testing.T) {
	failing := func(at int, fail func() error) workers.Worker[int, int] {
		return func(ctx context.Context, part int) iter.Seq2[int, error] {
			return func(yield func(int, error) bool) {
				for r, err := range thrice(ctx, part) {
					if r == at {
						err = fail()
					}
					if !yield(r, err) {
						return
					}
				}
			}
		}
	}
	for _, n := range []int{1, 2, 5} {
		synctest.Test(t, func(t *testing.T) {
			got, err := collect(workers.Ordered(t.Context(), n, 1, numbers(20, errTest), same(thrice)))
			require.ErrorIs(t, err, errTest, "parts")
			require.Equal(t, upTo(60), got)
		})
		synctest.Test(t, func(t *testing.T) {
			got, err := collect(workers.Ordered(t.Context(), n, 1, numbers(20, nil), same(failing(31, func() error { return errTest }))))
			require.ErrorIs(t, err, errTest, "a worker")
			require.Equal(t, upTo(31), got)
		})
		synctest.Test(t, func(t *testing.T) {
			got, err := collect(workers.Ordered(t.Context(), n, 1, numbers(20, nil), same(failing(31, func() error { panic("a bug") }))))
			var p *workers.PanicError
			require.ErrorAs(t, err, &p)
			require.Equal(t, upTo(31), got)
		})
		synctest.Test(t, func(t *testing.T) {
			_, err := collect(workers.Ordered(t.Context(), n, 1, numbers(20, nil), func() workers.Worker[int, int] { panic("a bug") }))
			var p *workers.PanicError
			require.ErrorAs(t, err, &p, "a worker that cannot be made")
		})
		for name, end := range map[string]func() bool{"breaks": func() bool { return false }, "panics": func() bool { panic("a bug") }} {
			synctest.Test(t, func(t *testing.T) {
				var got []int
				loop := func() {
					for r := range workers.Ordered(t.Context(), n, 1, numbers(20, nil), same(thrice)) {
						if got = append(got, r); r == 31 && !end() {
							break
						}
					}
				}
				if name == "panics" {
					require.PanicsWithValue(t, "a bug", loop)
				} else {
					loop()
				}
				require.Equal(t, upTo(32), got, name)
			})
		}
	}
}

// TestOrderedIsCancelled: before it begins, while the loop waits, and while the workers
// wait for the loop.
func TestOrderedIsCancelled(t *testing.T) {
	stuck := func(ctx context.Context, part int) iter.Seq2[int, error] {
		return func(yield func(int, error) bool) {
			if part < 10 {
				yield(part, nil)
				return
			}
			<-ctx.Done()
			yield(0, ctx.Err())
		}
	}
	synctest.Test(t, func(t *testing.T) {
		ctx, cancel := context.WithCancel(t.Context())
		cancel()
		_, err := collect(workers.Ordered(ctx, 2, 1, numbers(20, nil), same(stuck)))
		require.ErrorIs(t, err, context.Canceled)
	})
	synctest.Test(t, func(t *testing.T) {
		ctx, cancel := context.WithTimeout(t.Context(), time.Second)
		defer cancel()
		got, err := collect(workers.Ordered(ctx, 2, 1, numbers(20, nil), same(stuck)))
		require.ErrorIs(t, err, context.DeadlineExceeded)
		require.Equal(t, upTo(10), got)
	})
	synctest.Test(t, func(t *testing.T) {
		ctx, cancel := context.WithCancel(t.Context())
		defer cancel()
		var last error
		for _, err := range workers.Ordered(ctx, 2, 1, numbers(100, nil), same(thrice)) {
			if last = err; err == nil {
				synctest.Wait()
				cancel()
			}
		}
		require.ErrorIs(t, last, context.Canceled)
	})
}
