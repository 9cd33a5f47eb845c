package snapshot

import (
	"crypto/sha256"
	"hash"

	"ailee-recovery/internal/workers"
)

// textBlock is how much canonical text is handed to the hash at a time.
const textBlock = 128 << 10

// textBufferSize has room for a whole block of lines after text that was just
// too short to be handed over.
const textBufferSize = textBlock + 2*blockSize + plainSlack

// textBuffers circulate between the goroutine that parses and the one that
// hashes.
const textBuffers = 4

// textHash hashes text in a separate goroutine, so that parsing continues
// meanwhile. Text that fits in one buffer is hashed without starting it.
type textHash struct {
	hash   hash.Hash
	inline int64 // how much to hash without a goroutine, in bytes
	digest [sha256.Size]byte
	taken  int64       // how much was handed over
	spare  []byte      // an empty buffer, for the next snapshot; nil for none
	free   chan []byte // empty buffers
	work   chan []byte // full ones; nil until the first
	done   <-chan error
}

func newTextHash() *textHash {
	t := &textHash{hash: sha256.New(), free: make(chan []byte, textBuffers)}
	for range textBuffers {
		t.free <- nil
	}
	return t
}

// buffer returns an empty buffer.
func (t *textHash) buffer() []byte {
	b := t.spare
	if b == nil {
		b = <-t.free
	}
	t.spare = nil
	if b == nil {
		b = make([]byte, 0, textBufferSize)
	}
	return b[:0]
}

// write takes over b, which must come from buffer, and returns an empty buffer.
func (t *textHash) write(b []byte) []byte {
	if len(b) == 0 {
		return b
	}
	before := t.taken
	t.taken += int64(len(b))
	if before < t.inline {
		t.hash.Write(b)
		return b[:0]
	}
	if t.work == nil {
		work := make(chan []byte, textBuffers)
		t.work = work
		t.done = workers.Start(func() error {
			// The parser must not wait for ever for a goroutine that panicked.
			defer func() {
				for b := range work {
					t.release(b)
				}
			}()
			for b := range work {
				t.hash.Write(b)
				t.release(b)
			}
			return nil
		})
	}
	t.work <- b
	return t.buffer()
}

// sum takes over the last buffer, returns the digest and starts again.
func (t *textHash) sum(last []byte) (digest [sha256.Size]byte) {
	if t.taken == 0 {
		digest = sha256.Sum256(last)
	} else {
		t.join()
		t.hash.Write(last)
		digest = [sha256.Size]byte(t.hash.Sum(t.digest[:0]))
	}
	t.reset(last)
	return digest
}

// reset drops what was hashed and takes over the last buffer.
func (t *textHash) reset(last []byte) {
	if t.taken > 0 {
		t.join()
		t.hash.Reset()
		t.taken = 0
	}
	if t.spare == nil && kept(last) {
		t.spare = last
		return
	}
	t.release(last)
}

// release gives a buffer back, unless a very long line has made it grow.
func (t *textHash) release(b []byte) {
	if !kept(b) {
		b = nil
	}
	t.free <- b
}

// kept reports whether a buffer is worth keeping: no very long line has made it grow.
func kept(b []byte) bool { return b != nil && cap(b) <= 2*textBufferSize }

// join waits until the goroutine has hashed everything and ended.
func (t *textHash) join() {
	if t.work != nil {
		close(t.work)
		err := <-t.done
		t.work, t.done = nil, nil
		if err != nil {
			panic(err)
		}
	}
}
