package bitcoin

import (
	"context"
	"encoding/json"
	"errors"
	"fmt"
	"slices"
	"strconv"
	"strings"
	"time"

	"github.com/btcsuite/btcd/btcjson"
)

// ChainInfo is what a node knows about its chain.
type ChainInfo struct {
	// Chain is the node's name for the network. Bitcoin Core: main, test, testnet4, signet or
	// regtest; btcd: mainnet, testnet3, testnet4, signet, regtest or simnet.
	Chain                string
	Blocks               int64 // height of the tip
	Headers              int64 // height of the best header known
	BestBlockHash        string
	MedianTime           int64 // of the tip, Unix seconds
	TipTime              int64 // Unix seconds; the median time if the node does not say (btcd)
	InitialBlockDownload bool  // false if the node does not say (btcd)
	PruneHeight          int64 // the lowest block that is available; 0 if none was pruned
}

// Header is a block's header. Hashes are 64 lower-case hex digits.
type Header struct {
	Hash              string
	Height            int64
	PreviousBlockHash string // "" for the genesis block
	Time              int64  // Unix seconds
	MedianTime        int64  // Unix seconds; 0 if the node does not say (btcd)
	Confirmations     int64  // -1 for a block that is not in the active chain
}

// ChainInfo asks for the state of the chain.
func (c *Client) ChainInfo(ctx context.Context) (ChainInfo, error) {
	const method = "getblockchaininfo"
	var r struct {
		Chain                string `json:"chain"`
		Blocks               *int64 `json:"blocks"`
		Headers              *int64 `json:"headers"`
		BestBlockHash        string `json:"bestblockhash"`
		MedianTime           *int64 `json:"mediantime"`
		Time                 *int64 `json:"time"`
		InitialBlockDownload bool   `json:"initialblockdownload"`
		PruneHeight          int64  `json:"pruneheight"`
	}
	if err := c.Call(ctx, method, nil, &r); err != nil {
		return ChainInfo{}, err
	}
	if r.Chain == "" || r.Blocks == nil || *r.Blocks < 0 || r.Headers == nil || r.MedianTime == nil {
		return ChainInfo{}, c.explain(method, fmt.Errorf("%w: chain, blocks, headers or mediantime is missing", ErrBadAnswer))
	}
	if err := checkHash(r.BestBlockHash); err != nil {
		return ChainInfo{}, c.explain(method, err)
	}
	tip := r.MedianTime
	if r.Time != nil {
		tip = r.Time
	}
	return ChainInfo{r.Chain, *r.Blocks, *r.Headers, r.BestBlockHash, *r.MedianTime, *tip, r.InitialBlockDownload, max(0, r.PruneHeight)}, nil
}

// Tip is [Client.ChainInfo] after waiting until the node has the blocks of all headers that it
// knows: a header arrives before its block. It waits as long as for a node that does not
// answer, and then returns what there is. It does not wait for a node in its initial download,
// nor twice for the same header.
func (c *Client) Tip(ctx context.Context) (ChainInfo, error) {
	start := time.Now()
	for pause := firstPause; ; pause = min(2*pause, longestPause) {
		info, err := c.ChainInfo(ctx)
		switch {
		case err != nil || info.Headers <= info.Blocks || info.InitialBlockDownload || info.Headers == c.lacking.Load():
			return info, err
		case time.Since(start)+pause >= c.wait:
			c.lacking.Store(info.Headers)
			return info, nil
		}
		if pause > time.Second { // a shorter wait is not worth a message
			c.outages.say("header", fmt.Sprintf("%s: the block of a header is missing: waiting for up to %s", c.name, c.wait))
		}
		select {
		case <-ctx.Done():
			return ChainInfo{}, ctx.Err()
		case <-time.After(pause):
		}
	}
}

// OldTip returns the age of a tip above which the node is likely stuck, not the chain.
func (i ChainInfo) OldTip() time.Duration {
	if i.Chain == "main" || i.Chain == "mainnet" {
		return 3 * time.Hour
	}
	return 24 * time.Hour
}

// Behind says why the node's tip may not be the tip of the chain, "" if nothing suggests so.
func (i ChainInfo) Behind(now time.Time) string {
	age := now.Sub(time.Unix(i.TipTime, 0))
	switch {
	case i.Headers > i.Blocks:
		return fmt.Sprintf("it has %d of %d blocks", i.Blocks, i.Headers)
	case age >= 48*time.Hour:
		return fmt.Sprintf("its tip at height %d is %.0f days old", i.Blocks, age.Hours()/24)
	case i.InitialBlockDownload || age > i.OldTip():
		return fmt.Sprintf("its tip at height %d is %.1f hours old", i.Blocks, age.Hours())
	}
	return ""
}

// BlockHash asks for the hash of the block at a height of the active chain. For a
// height above the tip the error is [AboveTip].
func (c *Client) BlockHash(ctx context.Context, height int64) (hash string, err error) {
	err = c.call(ctx, "getblockhash", []any{height}, func(text json.RawMessage) (err error) {
		hash, err = hashOf(text)
		return err
	}, func(err error) error { return &heightError{height, err} })
	if err != nil {
		return "", err
	}
	return hash, nil
}

// BlockHashes visits the hashes at the heights from to to, both included, in
// ascending order. It ends with the first error from the node or from visit, after visiting
// the hashes of the heights below. It does not notice if the chain changes meanwhile: only
// the headers show whether the hashes are of one chain.
func (c *Client) BlockHashes(ctx context.Context, from, to int64, visit func(height int64, hash string) error) error {
	return c.HashText(ctx, from, to, func(first int64, text []byte) error {
		for hashes := string(text); len(hashes) > 0; hashes = hashes[hashLength:] {
			if err := visit(first, hashes[:hashLength]); err != nil {
				return err
			}
			first++
		}
		return nil
	})
}

// HashText is [Client.BlockHashes] for many heights: it visits the hashes of consecutive
// heights starting at first, 64 bytes each, one after the other.
func (c *Client) HashText(ctx context.Context, from, to int64, visit func(first int64, hashes []byte) error) error {
	return inBatches(ctx, from, to, c.blockHashes, visit)
}

// AboveTip reports whether err says that the chain has no block at that height.
func AboveTip(err error) bool {
	var e *heightError
	var rpc *btcjson.RPCError
	if !errors.As(err, &e) || !errors.As(err, &rpc) {
		return false
	}
	// Bitcoin Core uses -8; btcd uses -1, which in Core is the code for any other error.
	return rpc.Code == btcjson.ErrRPCInvalidParameter || rpc.Code == btcjson.ErrRPCOutOfRange && strings.Contains(rpc.Message, "out of range")
}

// heightError is an error from asking for the hash at a height.
type heightError struct {
	height int64
	err    error
}

func (e *heightError) Error() string { return fmt.Sprintf("height %d: %v", e.height, e.err) }
func (e *heightError) Unwrap() error { return e.err }

// blockHashes returns the hashes of the heights [lo, hi], or those below the first that
// failed, one after the other.
func (c *Client) blockHashes(ctx context.Context, lo, hi int64) (all []byte, err error) {
	err = c.inParts(int(hi-lo+1), func(from, to int) error {
		hashes, err := c.batchOfHashes(ctx, lo+int64(from), to-from)
		if all == nil {
			all = hashes
		} else {
			all = append(all, hashes...)
		}
		return err
	}, func(i int) error {
		hash, err := c.BlockHash(ctx, lo+int64(i))
		if err == nil {
			all = append(all, hash...)
		}
		return err
	})
	return all, err
}

// batchOfHashes returns the hashes of n heights, or those below the first that failed, one after
// the other.
func (c *Client) batchOfHashes(ctx context.Context, lo int64, n int) ([]byte, error) {
	const method = "getblockhash"
	var hashes []byte
	var answers []answer
	height := newCounter(uint64(lo))
	err := c.batch(ctx, method, n, func(b []byte, _ int) []byte {
		b = append(b, height...)
		height.next()
		return b
	}, func(text []byte, first uint64) (err error) {
		var plain bool
		if hashes, plain = scanHashes(text, first, n); !plain {
			hashes = nil
			answers, err = decodeBatch(text, first, n)
		}
		return err
	})
	if err != nil {
		return nil, err
	}
	for i := range answers {
		hash, err := answers[i].hash()
		if err != nil {
			return hashes, c.explain(method, &heightError{lo + int64(i), err})
		}
		hashes = append(hashes, hash...)
	}
	return hashes, nil
}

func (a *answer) hash() (string, error) {
	if err := a.fault(); err != nil {
		return "", err
	}
	return hashOf(a.Result)
}

// hashOf reads a result that is a hash.
func hashOf(result json.RawMessage) (string, error) {
	hash, ok := strings.CutPrefix(string(result), `"`)
	hash, closed := strings.CutSuffix(hash, `"`)
	if !ok || !closed {
		return "", fmt.Errorf("%w: the hash is not a string", ErrBadAnswer)
	}
	return hash, checkHash(hash)
}

// hashLength is the length of a hash, in hex digits.
const hashLength = 64

// checkHash refuses what is not a hash as [IsHash] says.
func checkHash(hash string) error {
	isOther := func(r rune) bool { return !strings.ContainsRune("0123456789abcdef", r) }
	switch {
	case IsHash(hash):
		return nil
	case strings.ContainsFunc(hash, isOther):
		return fmt.Errorf("%w: a hash that is not in lower-case hex digits", ErrBadAnswer)
	case len(hash) != hashLength:
		return fmt.Errorf("%w: a hash of %d digits", ErrBadAnswer, len(hash))
	}
	return fmt.Errorf("%w: a hash of zeros only", ErrBadAnswer)
}

// IsHash reports whether text is the hash of a block as nodes print it: 64 lower-case hex
// digits, but not the zero hash, which stands for no block.
func IsHash[T string | []byte](text T) bool {
	const (
		each = 0x0101010101010101 // times a byte: eight copies of it
		high = 0x80 * each
	)
	if len(text) != hashLength {
		return false
	}
	good, nonZero := uint64(high), uint64(0)
	for i := 0; i < hashLength; i += 8 { // eight digits at a time
		x := uint64(text[i]) | uint64(text[i+1])<<8 | uint64(text[i+2])<<16 | uint64(text[i+3])<<24 |
			uint64(text[i+4])<<32 | uint64(text[i+5])<<40 | uint64(text[i+6])<<48 | uint64(text[i+7])<<56
		nonZero |= x ^ '0'*each
		good &^= x
		// The high bit of each sum says whether the byte is at least, or above, the bound.
		x &^= high
		good &= (x+(0x80-'0')*each)&^(x+(0x7f-'9')*each) | (x+(0x80-'a')*each)&^(x+(0x7f-'f')*each)
	}
	return good == high && nonZero != 0
}

// BlockHeader asks for the header of a block.
func (c *Client) BlockHeader(ctx context.Context, hash string) (h Header, err error) {
	err = c.call(ctx, "getblockheader", []any{hash}, func(text json.RawMessage) (err error) {
		h, err = headerOf(text, hash)
		return err
	}, func(err error) error { return fmt.Errorf("block %s: %w", hash, err) })
	return h, err
}

// FindBlocks asks where blocks are. For each hash it returns the header, whose Confirmations
// are below 1 if the block is not in the active chain, or nil if the node does not know the
// block. btcd returns no header of a block that is not in the active chain.
func (c *Client) FindBlocks(ctx context.Context, hashes []string) ([]*Header, error) {
	found := make([]*Header, len(hashes))
	err := c.eachHeader(ctx, hashes, func(i int, h Header, err error) error {
		switch {
		case err == nil:
			found[i] = &h
		case !notInChain(err):
			return err
		}
		return nil
	})
	if err != nil {
		return nil, err
	}
	return found, nil
}

// eachHeader visits each block's header, or the reason why the node returns none.
func (c *Client) eachHeader(ctx context.Context, hashes []string, visit func(i int, h Header, err error) error) error {
	const method = "getblockheader"
	return c.inParts(len(hashes), func(from, to int) error {
		part := hashes[from:to]
		var answers []answer
		err := c.batch(ctx, method, len(part), func(b []byte, i int) []byte { return strconv.AppendQuote(b, part[i]) },
			func(text []byte, first uint64) (err error) {
				answers, err = decodeBatch(text, first, len(part))
				return err
			})
		if err != nil {
			return err
		}
		for i := range answers {
			h, err := answers[i].header(part[i])
			if err != nil {
				err = c.explain(method, fmt.Errorf("block %s: %w", part[i], err))
			}
			if err := visit(from+i, h, err); err != nil {
				return err
			}
		}
		return nil
	}, func(i int) error {
		h, err := c.BlockHeader(ctx, hashes[i])
		var rpc *btcjson.RPCError
		if err != nil && !errors.As(err, &rpc) {
			return err
		}
		return visit(i, h, err)
	})
}

// notInChain reports whether the node says that it does not know a block, or, as btcd does,
// that the block is not in the active chain.
func notInChain(err error) bool {
	var rpc *btcjson.RPCError
	if !errors.As(err, &rpc) {
		return false
	}
	return rpc.Code == btcjson.ErrRPCBlockNotFound ||
		rpc.Code == btcjson.ErrRPCInternal.Code && strings.Contains(rpc.Message, "not in the main chain")
}

// BlockHeaders visits the headers at the heights from to to, both included, like
// [Client.BlockHashes]. If the chain changes meanwhile, a header may not follow from the one
// before it, or may belong to a block that has left the active chain.
func (c *Client) BlockHeaders(ctx context.Context, from, to int64, visit func(h Header) error) error {
	return pipelined(ctx, from, to, func(ctx context.Context, lo, hi int64) ([]Header, error) {
		text, err := c.blockHashes(ctx, lo, hi)
		if len(text) == 0 {
			return nil, err
		}
		var hashes []string
		for hash := range slices.Chunk(text, hashLength) {
			hashes = append(hashes, string(hash))
		}
		headers, headerErr := c.blockHeaders(ctx, hashes)
		for i, h := range headers {
			if h.Height != lo+int64(i) {
				return headers[:i], c.explain("getblockheader", fmt.Errorf("%w: height %d for the block at %d", ErrBadAnswer, h.Height, lo+int64(i)))
			}
		}
		if headerErr != nil {
			return headers, headerErr
		}
		return headers, err
	}, func(_ int64, h Header) error { return visit(h) })
}

// blockHeaders returns the headers of the blocks, or those before the first that
// failed.
func (c *Client) blockHeaders(ctx context.Context, hashes []string) ([]Header, error) {
	headers := make([]Header, 0, len(hashes))
	err := c.eachHeader(ctx, hashes, func(_ int, h Header, err error) error {
		if err == nil {
			headers = append(headers, h)
		}
		return err
	})
	return headers, err
}

func (a *answer) header(hash string) (Header, error) {
	if err := a.fault(); err != nil {
		return Header{}, err
	}
	return headerOf(a.Result, hash)
}

// headerOf reads a result that is the header of a block.
func headerOf(result json.RawMessage, hash string) (Header, error) {
	var r struct {
		Hash              string `json:"hash"`
		Height            *int64 `json:"height"`
		PreviousBlockHash string `json:"previousblockhash"`
		Time              *int64 `json:"time"`
		MedianTime        int64  `json:"mediantime"`
		Confirmations     *int64 `json:"confirmations"`
	}
	if err := decodeResult(result, &r); err != nil {
		return Header{}, err
	}
	switch {
	case r.Hash != hash:
		return Header{}, fmt.Errorf("%w: the header of another block", ErrBadAnswer)
	case r.Height == nil || *r.Height < 0 || r.Time == nil || r.Confirmations == nil:
		return Header{}, fmt.Errorf("%w: height, time or confirmations is missing", ErrBadAnswer)
	case *r.Height == 0:
		// Bitcoin Core omits it; btcd sends zeros.
		r.PreviousBlockHash = ""
	default:
		if err := checkHash(r.PreviousBlockHash); err != nil {
			return Header{}, fmt.Errorf("previousblockhash: %w", err)
		}
	}
	return Header{hash, *r.Height, r.PreviousBlockHash, *r.Time, r.MedianTime, *r.Confirmations}, nil
}

// medianSpan is the number of blocks that a median time covers.
const medianSpan = 11

// MedianTime returns the median time of the block at a height of the active chain, in Unix
// seconds: the median of its time and those of the ten blocks before it.
func (c *Client) MedianTime(ctx context.Context, height int64) (int64, error) {
	hash, err := c.BlockHash(ctx, height)
	if err != nil {
		return 0, err
	}
	h, err := c.BlockHeader(ctx, hash)
	if err != nil || h.MedianTime != 0 {
		return h.MedianTime, err
	}
	var times []int64
	err = c.BlockHeaders(ctx, max(0, height-medianSpan+1), height, func(h Header) error {
		times = append(times, h.Time)
		return nil
	})
	if err != nil {
		return 0, err
	}
	slices.Sort(times)
	return times[len(times)/2], nil
}
