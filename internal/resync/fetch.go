package resync

import (
	"context"
	"iter"

	"ailee-recovery/internal/bitcoin"
)

const (
	// chunkHeights is how many heights are compared, or written in one batch, at a
	// time.
	chunkHeights = 50_000
	// chunksAhead is how many chunks are fetched ahead: a commit waits for the disk,
	// and the node answers on.
	chunksAhead = 2
)

// chunk is the hashes of consecutive heights.
type chunk struct {
	first  int64
	hashes []string
}

// fetch yields the hashes of the heights [from, to] in ascending order and fetches
// on meanwhile. An error comes last, behind the hashes of the heights below it.
func fetch(ctx context.Context, client *bitcoin.Client, from, to int64) iter.Seq2[chunk, error] {
	return func(yield func(chunk, error) bool) {
		ctx, cancel := context.WithCancel(ctx)
		chunks := make(chan chunk, chunksAhead)
		var fetchErr error // valid when chunks is closed
		go func() {
			defer close(chunks)
			next := chunk{first: from}
			send := func() error {
				select {
				case chunks <- next:
					next = chunk{first: next.first + int64(len(next.hashes))}
					return nil
				case <-ctx.Done():
					return ctx.Err()
				}
			}
			fetchErr = client.BlockHashes(ctx, from, to, func(_ int64, hash string) error {
				if next.hashes == nil {
					next.hashes = make([]string, 0, chunkHeights)
				}
				next.hashes = append(next.hashes, hash)
				if len(next.hashes) == chunkHeights {
					return send()
				}
				return nil
			})
			if len(next.hashes) > 0 && ctx.Err() == nil {
				_ = send()
			}
		}()
		defer func() {
			cancel()
			for range chunks {
			}
		}()
		for c := range chunks {
			if !yield(c, nil) {
				return
			}
		}
		if fetchErr != nil {
			yield(chunk{}, fetchErr)
		}
	}
}
