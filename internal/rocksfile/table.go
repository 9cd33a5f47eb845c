package rocksfile

import (
	"bytes"
	"encoding/binary"
	"errors"
	"fmt"
	"io"
	"slices"
)

// TooNewError means that a table has a format that neither this package nor RocksDB up to 8
// knows.
type TooNewError struct {
	File   string
	Format uint32
}

func (e *TooNewError) Error() string {
	return fmt.Sprintf("%s: table format version %d, written by a newer RocksDB", e.File, e.Format)
}

// FindTooNew returns the error of the first of the problems that is a table of a newer format,
// or nil if there is none.
func FindTooNew(problems []Problem) *TooNewError {
	for _, p := range problems {
		if tooNew := (*TooNewError)(nil); errors.As(p.Err, &tooNew) {
			return tooNew
		}
	}
	return nil
}

// maxFormat is the highest format version of a table that can be read.
const maxFormat = 5

const (
	magicTable    = 0x88e241b785f4cff7
	magicTableOld = 0xdb4775248b80fb57 // format version 0, CRC32c
	magicPlain    = 0x8242229663bf9564
	magicPlainOld = 0x4f3418eb7a8f13b8
	magicCuckoo   = 0x926789d0c5f17873
	footerSize    = 53 // checksum type, two handles, zeros up to 40 bytes, version (4), magic (8)
	footerSizeOld = 48
	// newFooter follows the checksum type since format version 6, where older versions have
	// the first handle.
	newFooter = "\x3e\x00\x7a\x00"
)

// Properties are the properties of a table that matter for reading it.
type Properties struct {
	Family         uint32
	FamilyName     string
	Entries        uint64 // range deletions included
	RangeDeletions uint64
	DataSize       uint64 // the end of the data blocks
	MergeOperands  uint64
	GlobalSeq      uint64 // the sequence number of an ingested table, 0 if only the MANIFEST has it
	Ingested       bool   // the entries have no sequence numbers of their own
	Comparator     string // "" if the table does not name it
	indexType      uint32
	deltaIndex     bool
	userKeyIndex   bool   // the keys of the index have no sequence number and kind
	ingestVersion  uint32 // of a table that was ingested
}

// TableReport is the result of reading a table.
type TableReport struct {
	Format     uint32
	Properties *Properties // nil if they are lost
	// Damaged are the damaged ranges that have or may have entries, which are lost.
	Damaged []Damage
	// Metadata are the damaged ranges without entries.
	Metadata []Damage
	// Lost is the number of missing entries, or -1 if some may be missing and the number is
	// not known.
	Lost int64
	// RangesUnknown is set if range deletions may be missing.
	RangesUnknown bool
	// Unsupported is the error for something in sound blocks that cannot be read, or nil. Such
	// blocks are in Damaged, too.
	Unsupported error
}

// comparator returns the name of the order of the keys, or "" if it is not known.
func (r TableReport) comparator() string {
	if r.Properties == nil {
		return ""
	}
	return r.Properties.Comparator
}

// footer is the end of a table.
type footer struct {
	format   uint32
	checksum checksumType
	meta     handle
	index    handle
}

// decodeFooter decodes the footer at the end of data; the last 53 bytes of a table are enough.
// The error is a [TooNewError] without its File for a format version that cannot be read; the
// returned footer then has the version. It is [ErrUnsupported] for other types of tables.
func decodeFooter(data []byte) (footer, error) {
	if len(data) < footerSizeOld {
		return footer{}, errors.New("too short for a table")
	}
	f := footer{checksum: checksumCRC32C}
	var p parser
	switch magic := binary.LittleEndian.Uint64(data[len(data)-8:]); {
	case magic == magicTableOld:
		p.rest = data[len(data)-footerSizeOld:]
	case magic == magicTable && len(data) >= footerSize:
		b := data[len(data)-footerSize:]
		f.format = binary.LittleEndian.Uint32(b[41:])
		f.checksum = checksumType(b[0])
		if f.format > maxFormat {
			if string(b[1:5]) == newFooter {
				return f, &TooNewError{Format: f.format}
			}
			return footer{}, fmt.Errorf("an impossible format version, %d", f.format)
		}
		p.rest = b[1:]
	case magic == magicPlain, magic == magicPlainOld:
		return footer{}, unsupported("a plain table")
	case magic == magicCuckoo:
		return footer{}, unsupported("a cuckoo table")
	default:
		return footer{}, errors.New("no footer: cut short, damaged, or not a block-based table")
	}
	f.meta = handle{p.uint64(), p.uint64()}
	f.index = handle{p.uint64(), p.uint64()}
	if p.bad {
		return footer{}, errors.New("a damaged footer")
	}
	return f, nil
}

// tableReader reads one table.
type tableReader struct {
	file     io.ReaderAt
	size     int
	read     func(h handle) ([]byte, error) // the block at h with its trailer, valid until the next call
	checksum checksumType
	yield    func(Entry)
	dict     *dictionary
	format   uint32 // the highest one if it is not known
	report   TableReport
	scratch  []byte
	buffer   []Entry
	keys     []byte
	ends     []int
	last     []byte      // the last internal key that was yielded
	between  *separators // of the index, or nil if they are not needed
	trusting bool        // do not verify checksums: RocksDB does when it reads the table
	sure     bool        // checksum is known to be the right type
	dataEnd  bool        // it is known where the data blocks end
	got      uint64      // entries that were read
	ranges   uint64      // range deletions that were read
	far      int         // how often more was read to find the end of a block
}

// ReadTable reads every entry of every block whose checksum holds, in order, and the range
// deletions. Key and value are valid until yield returns. If the index or the properties are
// damaged, it searches for the data blocks one after the other, from the start of the table.
// The error is a [TooNewError] without its File, or [ErrUnsupported].
//
// ReadTable never guesses: a block that fails its checksum, or whose entries are not in order,
// is in the report.
func ReadTable(data []byte, yield func(Entry)) (TableReport, error) {
	return readTable(bytes.NewReader(data), int64(len(data)), yield)
}

// readTable is ReadTable for the first size bytes of a file. It holds a few megabytes in memory.
func readTable(file io.ReaderAt, size int64, yield func(Entry)) (TableReport, error) {
	foot, err := readFooter(file, size)
	r := fileReader(file, size, foot, windowSize)
	r.yield = yield
	if tooNew := (*TooNewError)(nil); errors.As(err, &tooNew) {
		return TableReport{Format: tooNew.Format, Lost: -1}, err
	}
	if errors.Is(err, ErrUnsupported) {
		return TableReport{Lost: -1}, err
	}
	if err != nil {
		r.format, r.checksum = maxFormat, 0
		off := max(r.size-footerSize, 0)
		r.report.Metadata = append(r.report.Metadata, Damage{Offset: int64(off), Length: int64(r.size - off), Why: err.Error()})
		r.scan(r.size, false)
		return r.report, nil
	}
	r.report.Format = foot.format
	blocks, limit, err := r.layout(foot)
	if err != nil {
		r.scan(limit, r.dataEnd)
	} else {
		r.indexed(blocks)
	}
	return r.report, nil
}

// block reads and unpacks the block at h.
func (r *tableReader) block(h handle) ([]byte, error) {
	if !h.within(r.size) {
		return nil, errors.New("a block beyond the end of the file")
	}
	raw, err := r.read(h)
	if err != nil {
		return nil, err
	}
	if !r.checksum.known() {
		return nil, fmt.Errorf("%v; the known ones are %s", r.checksum, knownChecksums)
	}
	if !r.trusting && !r.checksum.holds(raw) {
		return nil, errors.New("checksum mismatch")
	}
	out, err := r.dict.unpack(raw, r.scratch, r.format)
	if err == nil && cap(out) > cap(r.scratch) && raw[h.size] != compressNone {
		r.scratch = out
	}
	return out, err
}

func (r *tableReader) metadata(h handle, what string, err error) error {
	r.report.Metadata = append(r.report.Metadata, Damage{Offset: int64(min(h.off, 1<<62)), Length: int64(min(h.size, 1<<62)), Why: fmt.Sprintf("%s: %v", what, err)})
	return err
}

// layout reads everything except the data blocks. With an error, the data blocks end at limit or
// before.
func (r *tableReader) layout(foot footer) (blocks []handle, limit int, err error) {
	limit = r.size
	meta, err := r.metaindex(foot)
	if err != nil {
		r.report.RangesUnknown = true
		return nil, r.size, r.metadata(foot.meta, "metaindex", err)
	}
	var props, ranges, dict *handle
	err = eachEntry(meta, func(key, value []byte) error {
		p := parser{rest: value}
		h := handle{p.uint64(), p.uint64()}
		if p.bad || !h.within(r.size) {
			return errBlock
		}
		limit = min(limit, int(h.off))
		switch string(key) {
		case "rocksdb.properties", "rocksdb.stats":
			props = &h
		case "rocksdb.range_del", "rocksdb.range_del2":
			ranges = &h
		case "rocksdb.compression_dict":
			dict = &h
		}
		return nil
	})
	if err == nil && props == nil {
		err = errors.New("no properties")
	}
	if err != nil {
		r.report.RangesUnknown = true
		return nil, r.size, r.metadata(foot.meta, "metaindex", err)
	}
	r.dataEnd = true
	if dict != nil {
		r.dictionary(*dict)
	}
	if _, err := r.block(foot.index); err == nil {
		limit = min(limit, int(foot.index.off))
	}
	p, err := r.properties(*props)
	if err != nil {
		return nil, limit, errors.Join(r.metadata(*props, "properties", err), r.rangeBlock(ranges))
	}
	r.report.Properties = p
	if p.DataSize > 0 && p.DataSize < uint64(limit) {
		limit = int(p.DataSize)
	}
	if err := r.rangeBlock(ranges); err != nil || r.ranges < p.RangeDeletions {
		r.report.RangesUnknown = true
	}
	blocks, err = r.index(foot.index, p.indexType, limit)
	if err != nil {
		return nil, limit, r.metadata(foot.index, "index", err)
	}
	return blocks, limit, nil
}

// propertiesAt returns where the block of the properties is, or false if it cannot be found.
func (r *tableReader) propertiesAt(foot footer) (at handle, ok bool) {
	meta, err := r.metaindex(foot)
	if err != nil {
		return handle{}, false
	}
	err = eachEntry(meta, func(key, value []byte) error {
		if string(key) == "rocksdb.properties" {
			p := parser{rest: value}
			at = handle{p.uint64(), p.uint64()}
		}
		return nil
	})
	return at, err == nil && at.size > 0 && at.within(r.size)
}

// onlyProperties reads only the properties. It returns nil if they cannot be read.
func (r *tableReader) onlyProperties(foot footer) *Properties {
	at, ok := r.propertiesAt(foot)
	if !ok {
		return nil
	}
	p, err := r.properties(at)
	if err != nil {
		return nil
	}
	return p
}

// endsProcess reports whether the block of the properties may make RocksDB end the process. It
// verifies the checksum of this block only after it has read it; and if the highest bit of the
// number of restart points is set, it has an assertion about the hash index before them.
func (r *tableReader) endsProcess(properties handle) bool {
	raw, err := r.read(properties)
	size := properties.size
	return err == nil && raw[size] == compressNone && size >= 4 && raw[size-1]&0x80 != 0
}

// metaindex reads the block that says where the other metadata blocks are. It also determines
// the checksum type from it, in case the footer has the wrong one.
func (r *tableReader) metaindex(foot footer) ([]byte, error) {
	meta, err := r.block(foot.meta)
	for _, t := range checksumTypes {
		if err == nil {
			break
		}
		r.checksum = t
		if b, other := r.block(foot.meta); other == nil {
			meta, err = b, nil
		}
	}
	r.sure = err == nil
	if err != nil {
		r.checksum = foot.checksum
	} else if r.checksum != foot.checksum {
		_ = r.metadata(handle{uint64(r.size - footerSize), footerSize}, "footer", fmt.Errorf("%v, but the blocks have %v", foot.checksum, r.checksum))
	}
	return meta, err
}

// dictionary reads the dictionary that the data blocks were compressed with. Without it they are
// lost.
func (r *tableReader) dictionary(at handle) {
	content, err := r.block(at)
	if err == nil {
		var dict *dictionary
		if dict, err = newDictionary(bytes.Clone(content)); err == nil {
			r.dict = dict
		}
	}
	if err != nil {
		_ = r.metadata(at, "compression dictionary", err)
	}
}

// Index types. Type 0, binary search, and type 1, a hash index, have the same blocks.
const (
	indexTwoLevel = 2
	indexFirstKey = 3
)

func (r *tableReader) index(at handle, kind uint32, limit int) ([]handle, error) {
	b, err := r.block(at)
	if err != nil {
		return nil, err
	}
	var separator func(key []byte)
	if r.between != nil && kind != indexTwoLevel {
		r.between.userKeys = r.report.Properties.userKeyIndex
		r.between.data = slices.Grow(r.between.data, len(b))
		separator = r.between.add
	}
	top, err := handles(b, indexForm{delta: r.report.Properties.deltaIndex, firstKey: kind == indexFirstKey}, separator)
	if err != nil || kind != indexTwoLevel {
		return top, errors.Join(err, inside(top, limit))
	}
	var all []handle
	for _, h := range top {
		part, err := r.index(h, 0, limit)
		if err != nil {
			return nil, err
		}
		all = append(all, part...)
	}
	return all, inside(all, limit)
}

// inside checks that blocks are in order, do not overlap, and end at or below limit.
func inside(blocks []handle, limit int) error {
	var end uint64
	for _, h := range blocks {
		if h.off < end || !h.within(limit) {
			return errBlock
		}
		end = h.end()
	}
	return nil
}

func (r *tableReader) rangeBlock(at *handle) error {
	if at == nil {
		return nil
	}
	b, err := r.block(*at)
	if err == nil {
		err = r.entries(b, true)
	}
	if err != nil {
		r.report.RangesUnknown = true
		return r.metadata(*at, "range deletions", err)
	}
	return nil
}

// indexed reads the data blocks that the index lists.
func (r *tableReader) indexed(blocks []handle) {
	for _, h := range blocks {
		b, err := r.block(h)
		if err == nil {
			err = r.entries(b, false)
		}
		if err != nil {
			if errors.Is(err, ErrUnsupported) && r.report.Unsupported == nil {
				r.report.Unsupported = err
			}
			r.report.Damaged = append(r.report.Damaged, Damage{Offset: int64(h.off), Length: int64(h.size + blockTrailer), Why: err.Error()})
		}
	}
	r.countLost()
}

// countLost compares the number of entries that were read with the one in the properties, which
// must be there.
func (r *tableReader) countLost() {
	p := r.report.Properties
	if want := p.Entries - min(p.Entries, p.RangeDeletions); want > r.got {
		r.report.Lost = int64(min(want-r.got, 1<<62))
	} else if len(r.report.Damaged) > 0 {
		r.report.Lost = -1
	}
	if r.report.Lost != 0 && len(r.report.Damaged) == 0 {
		r.report.Damaged = append(r.report.Damaged, Damage{Why: "fewer entries than the properties say"})
	}
}

// entries yields all entries of an unpacked block, or none: a checksum that holds by chance must
// not let anything through. Range deletions have a separate block.
func (r *tableReader) entries(block []byte, ranges bool) error {
	r.buffer, r.keys, r.ends = r.buffer[:0], r.keys[:0], r.ends[:0]
	last := r.last
	err := eachEntry(block, func(key, value []byte) error {
		_, seq, kind, ok := splitKey(key)
		if ok && kind.foreign() && r.checksum != checksumNone {
			return unsupportedKind(kind)
		}
		if !ok || (kind == KindRangeDelete) != ranges || !ranges && !kind.tableKind() {
			return errors.New("a block with an invalid key")
		}
		if last != nil && !ranges && internalOrder(last, key) >= 0 {
			return errors.New("a block with keys out of order")
		}
		from := len(r.keys)
		r.keys = append(r.keys, key...)
		last = r.keys[from:]
		r.ends = append(r.ends, len(r.keys))
		r.buffer = append(r.buffer, Entry{Seq: seq, Kind: kind, Value: value})
		return nil
	})
	if err == nil && len(r.buffer) == 0 {
		err = errors.New("a block without entries")
	}
	if err != nil {
		return err
	}
	if ranges {
		r.ranges += uint64(len(r.buffer))
	} else {
		r.got += uint64(len(r.buffer))
		r.last = append(r.last[:0], last...)
	}
	from := 0
	for i, e := range r.buffer {
		e.Key = r.keys[from : r.ends[i]-8]
		from = r.ends[i]
		r.yield(e)
	}
	return nil
}

// globalSeq is the name of the property with the sequence number of an ingested table, in eight
// bytes.
const globalSeq = "rocksdb.external_sst_file.global_seqno"

// properties reads the block of the properties. In an ingested table, RocksDB overwrites the
// sequence number 0 with the real one, and leaves the checksum as it was.
func (r *tableReader) properties(h handle) (*Properties, error) {
	b, err := r.block(h)
	if err == nil {
		return decodeProperties(b)
	}
	if !h.within(r.size) || !r.checksum.known() {
		return nil, err
	}
	raw, readErr := r.read(h)
	if readErr != nil || raw[h.size] != compressNone {
		return nil, err
	}
	made := bytes.Clone(raw)
	_ = eachEntry(made[:h.size], func(key, value []byte) error {
		if string(key) == globalSeq {
			clear(value)
		}
		return nil
	})
	if !r.checksum.holds(made) {
		return nil, err
	}
	return decodeProperties(raw[:h.size])
}

func decodeProperties(block []byte) (*Properties, error) {
	p := &Properties{}
	var seen int
	err := eachEntry(block, func(key, value []byte) error {
		v := parser{rest: value}
		switch string(key) {
		case "rocksdb.column.family.id":
			p.Family = uint32(v.uint64())
		case "rocksdb.comparator":
			p.Comparator = string(value)
			return nil
		case "rocksdb.column.family.name":
			p.FamilyName = string(value)
			return nil
		case "rocksdb.num.entries":
			p.Entries = v.uint64()
		case "rocksdb.num.range-deletions":
			p.RangeDeletions = v.uint64()
		case "rocksdb.merge.operands":
			p.MergeOperands = v.uint64()
			return nil
		case "rocksdb.data.size":
			p.DataSize = v.uint64()
		case "rocksdb.index.value.is.delta.encoded":
			p.deltaIndex = v.uint64() != 0
		case "rocksdb.index.key.is.user.key":
			p.userKeyIndex = v.uint64() != 0
		case "rocksdb.block.based.table.index.type":
			if len(value) == 4 {
				p.indexType = binary.LittleEndian.Uint32(value)
			}
			return nil
		case "rocksdb.external_sst_file.version":
			p.Ingested = true
			if len(value) == 4 {
				p.ingestVersion = binary.LittleEndian.Uint32(value)
			}
			return nil
		case globalSeq:
			if len(value) == 8 {
				p.GlobalSeq = binary.LittleEndian.Uint64(value)
			}
			return nil
		default:
			return nil
		}
		seen++
		if v.bad {
			return errBlock
		}
		return nil
	})
	if err == nil && seen == 0 {
		err = errBlock
	}
	return p, err
}
