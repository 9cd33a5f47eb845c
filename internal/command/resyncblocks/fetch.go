package resyncblocks

import (
	"context"
	"iter"

	"ailee-recovery/internal/bitcoin"
	"ailee-recovery/internal/workers"
	"ailee-recovery/reorgdb"
)

const (
	// chunkHeights is how many heights are compared, or written in one batch, at a
	// time.
	chunkHeights = 50_000
	// chunksAhead is how many chunks are fetched ahead: while a commit waits for the disk,
	// the node continues to answer.
	chunksAhead = 2
)

// chunk is the hashes of consecutive heights, one after the other.
type chunk struct {
	first int64
	text  []byte
}

func (c *chunk) len() int { return len(c.text) / reorgdb.HashSize }

func (c *chunk) hash(i int) []byte { return c.text[i*reorgdb.HashSize:][:reorgdb.HashSize] }

// fetch yields the hashes of the heights [from, to] in ascending order and fetches
// ahead meanwhile. An error comes last, after the hashes of the heights below it. A
// chunk is valid until the next one.
func fetch(ctx context.Context, client *bitcoin.Client, from, to int64) iter.Seq2[chunk, error] {
	return func(yield func(chunk, error) bool) {
		ctx, cancel := context.WithCancel(ctx)
		chunks := make(chan chunk, chunksAhead)
		free := make(chan []byte, chunksAhead)
		fetched := workers.Start(func() error {
			defer close(chunks)
			next := chunk{first: from}
			send := func() error {
				select {
				case chunks <- next:
					next = chunk{first: next.first + int64(next.len())}
					return nil
				case <-ctx.Done():
					return ctx.Err()
				}
			}
			err := client.HashText(ctx, from, to, func(_ int64, hashes []byte) error {
				for len(hashes) > 0 {
					if next.text == nil {
						select {
						case next.text = <-free:
						default:
							next.text = make([]byte, 0, chunkHeights*reorgdb.HashSize)
						}
					}
					n := min(len(hashes), (chunkHeights-next.len())*reorgdb.HashSize)
					next.text, hashes = append(next.text, hashes[:n]...), hashes[n:]
					if next.len() == chunkHeights {
						if err := send(); err != nil {
							return err
						}
					}
				}
				return nil
			})
			if next.len() > 0 && ctx.Err() == nil {
				_ = send()
			}
			return err
		})
		defer func() {
			cancel()
			for range chunks {
			}
		}()
		for c := range chunks {
			if !yield(c, nil) {
				return
			}
			select {
			case free <- c.text[:0]:
			default:
			}
		}
		if err := <-fetched; err != nil {
			yield(chunk{}, err)
		}
	}
}
