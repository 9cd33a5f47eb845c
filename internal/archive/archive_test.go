package archive_test

import (
	"archive/tar"
	"bytes"
	"context"
	"errors"
	"fmt"
	"io"
	"io/fs"
	"math/rand"
	"os"
	"os/exec"
	"path/filepath"
	"runtime"
	"strings"
	"syscall"
	"testing"
	"testing/iotest"

	"github.com/klauspost/compress/gzip"
	"github.com/klauspost/compress/zstd"
	"github.com/stretchr/testify/require"

	"ailee-recovery/internal/archive"
	"ailee-recovery/internal/input"
)

// member is a member of an archive.
type member struct {
	tar.Header
	text string
}

func file(name, text string) member {
	return member{tar.Header{Name: name, Typeflag: tar.TypeReg, Mode: 0o644}, text}
}

func folder(name string) member {
	return member{tar.Header{Name: name, Typeflag: tar.TypeDir, Mode: 0o755}, ""}
}

func link(kind byte, name, to string) member {
	return member{tar.Header{Name: name, Typeflag: kind, Linkname: to}, ""}
}

// packed returns an uncompressed tar archive.
func packed(t testing.TB, members ...member) []byte {
	t.Helper()
	var b bytes.Buffer
	w := tar.NewWriter(&b)
	for _, m := range members {
		m.Size = int64(len(m.text))
		require.NoError(t, w.WriteHeader(&m.Header))
		_, err := io.WriteString(w, m.text)
		require.NoError(t, err)
	}
	require.NoError(t, w.Close())
	return b.Bytes()
}

func gzipped(t testing.TB, data []byte) []byte {
	t.Helper()
	var b bytes.Buffer
	w := gzip.NewWriter(&b)
	_, err := w.Write(data)
	require.NoError(t, err)
	require.NoError(t, w.Close())
	return b.Bytes()
}

func zstded(t testing.TB, data []byte) []byte {
	t.Helper()
	w, err := zstd.NewWriter(nil, zstd.WithEncoderCRC(true))
	require.NoError(t, err)
	defer w.Close()
	return w.EncodeAll(data, nil)
}

var enough = archive.Limits{Members: archive.MaxMembers, Bytes: 1 << 30}

// unpack unpacks an archive and returns the files by name.
func unpack(t testing.TB, in io.Reader, limits archive.Limits) (map[string]string, archive.Unpacked, error) {
	t.Helper()
	dir := t.TempDir()
	root, err := os.OpenRoot(dir)
	require.NoError(t, err)
	defer root.Close()
	done, unpackErr := archive.Unpack(t.Context(), in, root, limits)
	return filesIn(t, dir), done, unpackErr
}

func filesIn(t testing.TB, dir string) map[string]string {
	t.Helper()
	files := map[string]string{}
	require.NoError(t, filepath.WalkDir(dir, func(path string, d fs.DirEntry, err error) error {
		if err != nil || d.IsDir() {
			return err
		}
		require.True(t, d.Type().IsRegular(), path)
		text, err := os.ReadFile(path)
		name, _ := filepath.Rel(dir, path)
		files[name] = string(text)
		return err
	}))
	return files
}

// TestForms: it does not matter where the files are in the archive, or how it is compressed.
func TestForms(t *testing.T) {
	long := strings.Repeat("0123456789", 100_000)
	want := map[string]string{"CURRENT": "MANIFEST-1\n", "000004.sst": long, "empty": "", "archive/1.log": "x"}
	for name, members := range map[string][]member{
		"below reorg_db":      {folder("reorg_db/"), file("reorg_db/CURRENT", want["CURRENT"]), file("reorg_db/000004.sst", long), file("reorg_db/empty", ""), folder("reorg_db/archive"), file("reorg_db/archive/1.log", "x")},
		"below ./reorg_db":    {folder("./"), folder("./reorg_db/"), file("./reorg_db/000004.sst", long), file("./reorg_db/CURRENT", want["CURRENT"]), file("./reorg_db/empty", ""), file("./reorg_db/archive/1.log", "x"), folder("./reorg_db/archive/")},
		"flat":                {file("CURRENT", want["CURRENT"]), file("000004.sst", long), file("empty", ""), file("archive/1.log", "x")},
		"flat with dots":      {folder("."), file("./CURRENT", want["CURRENT"]), file("./000004.sst", long), file("./empty", ""), file("./archive//1.log", "x")},
		"with global headers": {{tar.Header{Typeflag: tar.TypeXGlobalHeader, PAXRecords: map[string]string{"comment": "x"}}, ""}, file("reorg_db/CURRENT", want["CURRENT"]), file("reorg_db/000004.sst", long), file("reorg_db/empty", ""), file("reorg_db/archive/1.log", "x")},
	} {
		plain := packed(t, members...)
		for form, data := range map[string][]byte{"plain": plain, "gzip": gzipped(t, plain), "zstd": zstded(t, plain), "two gzip members": append(gzipped(t, plain[:1000]), gzipped(t, plain[1000:])...)} {
			t.Run(name+", "+form, func(t *testing.T) {
				for _, less := range []func(io.Reader) io.Reader{func(r io.Reader) io.Reader { return r }, iotest.HalfReader, iotest.DataErrReader} {
					files, done, err := unpack(t, less(bytes.NewReader(data)), enough)
					require.NoError(t, err)
					require.Equal(t, want, files)
					require.Equal(t, archive.Unpacked{Files: 4, Bytes: int64(len(long)) + 12}, done)
				}
			})
		}
	}
}

// TestWhatTarMakes unpacks what GNU tar makes, in each of its formats.
func TestWhatTarMakes(t *testing.T) {
	dir := t.TempDir()
	db := filepath.Join(dir, "reorg_db")
	require.NoError(t, os.Mkdir(db, 0o755))
	want := map[string]string{"CURRENT": "x", strings.Repeat("n", 200): "long", "000001.sst": strings.Repeat("y", 5000), "hole": strings.Repeat("\x00", 1<<20) + "end"}
	for name, text := range want {
		f, err := os.Create(filepath.Join(db, name))
		require.NoError(t, err)
		trimmed := strings.TrimLeft(text, "\x00")
		_, err = f.WriteAt([]byte(trimmed), int64(len(text)-len(trimmed)))
		require.NoError(t, err)
		require.NoError(t, f.Close())
	}
	for _, args := range []string{"-czf OUT reorg_db", "-cf OUT ./reorg_db", "--zstd -cf OUT reorg_db", "--format=gnu -czf OUT reorg_db", "--format=posix -czf OUT reorg_db",
		"--format=gnu -S -cf OUT reorg_db", "--format=posix -S -cf OUT reorg_db", "--format=posix --sparse-version=0.1 -S -cf OUT reorg_db", "-C reorg_db -cf OUT .", "-b 1 -cf OUT reorg_db"} {
		t.Run(args, func(t *testing.T) {
			out := filepath.Join(dir, "out")
			cmd := exec.Command("tar", strings.Fields(strings.Replace(args, "OUT", out, 1))...)
			cmd.Dir = dir
			said, err := cmd.CombinedOutput()
			require.NoError(t, err, string(said))
			data, err := os.ReadFile(out)
			require.NoError(t, err)
			files, _, err := unpack(t, bytes.NewReader(data), enough)
			require.NoError(t, err)
			require.Equal(t, want, files)
		})
	}
}

// TestRefused: nothing is written outside the folder, and only regular files are written.
func TestRefused(t *testing.T) {
	current := file("reorg_db/CURRENT", "x")
	for name, c := range map[string]struct {
		members []member
		member  string
		why     string
	}{
		"symbolic link":           {[]member{current, link(tar.TypeSymlink, "reorg_db/1.sst", "/etc/passwd")}, "reorg_db/1.sst", "a symbolic link"},
		"only a link":             {[]member{link(tar.TypeSymlink, "reorg_db", "/var/lib/ailee")}, "reorg_db", "a symbolic link"},
		"hard link":               {[]member{current, link(tar.TypeLink, "reorg_db/1.sst", "reorg_db/CURRENT")}, "reorg_db/1.sst", "a hard link"},
		"device":                  {[]member{link(tar.TypeChar, "reorg_db/CURRENT", "")}, "reorg_db/CURRENT", "a device"},
		"block device":            {[]member{link(tar.TypeBlock, "reorg_db/CURRENT", "")}, "reorg_db/CURRENT", "a device"},
		"pipe":                    {[]member{current, link(tar.TypeFifo, "reorg_db/1.sst", "")}, "reorg_db/1.sst", "a pipe"},
		"contiguous file":         {[]member{link(tar.TypeCont, "reorg_db/1.sst", "")}, "reorg_db/1.sst", "of type '7'"},
		"absolute":                {[]member{file("/reorg_db/CURRENT", "x")}, "/reorg_db/CURRENT", "an absolute path"},
		"parent":                  {[]member{current, file("reorg_db/../../x", "x")}, "reorg_db/../../x", "a path with .. in it"},
		"parent that stays":       {[]member{file("reorg_db/a/../x", "x")}, "reorg_db/a/../x", "a path with .. in it"},
		"folder of the parent":    {[]member{folder("../reorg_db")}, "../reorg_db", "a path with .. in it"},
		"twice":                   {[]member{current, file("reorg_db/CURRENT", "y")}, "reorg_db/CURRENT", "a name that occurs twice"},
		"twice, otherwise":        {[]member{current, file("./reorg_db//CURRENT", "x")}, "./reorg_db//CURRENT", "a name that occurs twice"},
		"a folder and a file":     {[]member{file("reorg_db/a/b", "x"), file("reorg_db/a", "x")}, "reorg_db/a", "a name that occurs twice"},
		"a file and a folder":     {[]member{file("reorg_db/a", "x"), folder("reorg_db/a")}, "reorg_db/a", "a name that occurs twice"},
		"a file with files in it": {[]member{file("reorg_db/a", "x"), file("reorg_db/a/b", "x")}, "reorg_db/a/b", "a name that occurs twice"},
		"inside and outside":      {[]member{current, file("l2_snapshots.dat", "x")}, "l2_snapshots.dat", "some members are in reorg_db/ and others are not"},
		"outside and inside":      {[]member{file("l2_snapshots.dat", "x"), current}, "reorg_db/CURRENT", "some members are in reorg_db/ and others are not"},
		"long element":            {[]member{file("reorg_db/"+strings.Repeat("n", 256), "x")}, "reorg_db/" + strings.Repeat("n", 256), "a name that is too long"},
		"long name":               {[]member{file(strings.Repeat("n/", 3000)+"x", "x")}, strings.Repeat("n/", 3000) + "x", "a name that is too long"},
		"no name":                 {[]member{file("./.", "x")}, "./.", "not a file name"},
	} {
		t.Run(name, func(t *testing.T) {
			for _, data := range [][]byte{packed(t, c.members...), gzipped(t, packed(t, c.members...))} {
				_, _, err := unpack(t, bytes.NewReader(data), enough)
				require.ErrorIs(t, err, archive.ErrRefused)
				var refused *archive.RefusedError
				require.ErrorAs(t, err, &refused)
				require.Equal(t, c.member, refused.Member)
				require.Contains(t, refused.Why, c.why)
				require.False(t, refused.Limit)
			}
		})
	}
}

// zeros reads as that many zeros.
type zeros int64

func (z *zeros) Read(p []byte) (int, error) {
	if *z == 0 {
		return 0, io.EOF
	}
	n := min(len(p), int(*z))
	clear(p[:n])
	*z -= zeros(n)
	return n, nil
}

// TestLimits: the number of members and of bytes is limited, wherever the bytes are.
func TestLimits(t *testing.T) {
	var b bytes.Buffer
	zip := gzip.NewWriter(&b)
	w := tar.NewWriter(zip)
	const size = 1 << 30
	require.NoError(t, w.WriteHeader(&tar.Header{Name: "reorg_db/CURRENT", Typeflag: tar.TypeReg, Size: size}))
	z := zeros(size)
	_, err := io.Copy(w, &z)
	require.NoError(t, err)
	require.NoError(t, w.Close())
	require.NoError(t, zip.Close())
	bomb := bytes.Clone(b.Bytes())
	require.Less(t, len(bomb), 2<<20)

	b.Reset()
	zip = gzip.NewWriter(&b)
	_, err = zip.Write(packed(t, file("CURRENT", "x")))
	require.NoError(t, err)
	z = zeros(1 << 26)
	_, err = io.Copy(zip, &z)
	require.NoError(t, err)
	require.NoError(t, zip.Close())
	afterTheEnd := bytes.Clone(b.Bytes())

	b.Reset()
	w = tar.NewWriter(&b)
	for range 5 {
		require.NoError(t, w.WriteHeader(&tar.Header{Typeflag: tar.TypeXGlobalHeader, PAXRecords: map[string]string{"comment": "x"}}))
	}
	require.NoError(t, w.Close())
	headers := bytes.Clone(b.Bytes())

	var many []member
	for i := range 6 {
		many = append(many, file(fmt.Sprint(i), "x"))
	}
	// In a sparse file, a few bytes stand for many.
	dir := t.TempDir()
	require.NoError(t, os.WriteFile(filepath.Join(dir, "x"), nil, 0o644))
	require.NoError(t, os.Truncate(filepath.Join(dir, "x"), 1<<30))
	sparse, err := exec.Command("tar", "-C", dir, "-S", "-cf", "-", "x").Output()
	require.NoError(t, err)

	small := archive.Limits{Members: 5, Bytes: 1 << 20}
	for name, c := range map[string]struct {
		data  []byte
		why   string
		limit bool
	}{
		"large":         {bomb, "the files have more than 1048576 bytes", true},
		"after the end": {afterTheEnd, "it unpacks to more than 1048576 bytes", true},
		"sparse":        {sparse, "the files have more than 1048576 bytes", true},
		"members":       {packed(t, many...), "it has more than 5 members", false},
	} {
		t.Run(name, func(t *testing.T) {
			_, done, err := unpack(t, bytes.NewReader(c.data), small)
			var refused *archive.RefusedError
			require.ErrorAs(t, err, &refused)
			require.Contains(t, refused.Why, c.why)
			require.Equal(t, c.limit, refused.Limit)
			require.LessOrEqual(t, done.Bytes, small.Bytes)
		})
	}
	_, _, err = unpack(t, bytes.NewReader(headers), small)
	require.NoError(t, err)
	_, done, err := unpack(t, bytes.NewReader(packed(t, many[:5]...)), small)
	require.NoError(t, err)
	require.Equal(t, 5, done.Files)

	longHeader := packed(t, file("x", strings.Repeat("x", 1<<21)), file("CURRENT", "x"))
	longHeader[156] = tar.TypeXHeader
	checksum(longHeader[:512])
	_, _, err = unpack(t, bytes.NewReader(longHeader), enough)
	require.ErrorIs(t, err, archive.ErrRefused)
	require.ErrorContains(t, err, "a header that is too long")

	// zstd itself does not unpack this without an option.
	b.Reset()
	z256, err := zstd.NewWriter(&b, zstd.WithWindowSize(256<<20), zstd.WithEncoderConcurrency(1))
	require.NoError(t, err)
	for range 2 {
		_, err = z256.Write(packed(t, file("CURRENT", "x")))
		require.NoError(t, err)
		require.NoError(t, z256.Flush())
	}
	require.NoError(t, z256.Close())
	_, _, err = unpack(t, &b, enough)
	var memory *input.MemoryError
	require.ErrorAs(t, err, &memory)
}

// checksum sets the checksum of a header.
func checksum(header []byte) {
	copy(header[148:156], "        ")
	sum := 0
	for _, b := range header {
		sum += int(b)
	}
	copy(header[148:156], fmt.Sprintf("%06o\x00 ", sum))
}

// TestMemoryIsBounded: also for an archive that unpacks to a thousand times its size.
func TestMemoryIsBounded(t *testing.T) {
	var b bytes.Buffer
	zip := gzip.NewWriter(&b)
	w := tar.NewWriter(zip)
	const size = 256 << 20
	require.NoError(t, w.WriteHeader(&tar.Header{Name: "CURRENT", Typeflag: tar.TypeReg, Size: size}))
	z := zeros(size)
	_, err := io.Copy(w, &z)
	require.NoError(t, err)
	require.NoError(t, w.Close())
	require.NoError(t, zip.Close())
	root, err := os.OpenRoot(t.TempDir())
	require.NoError(t, err)
	defer root.Close()
	var before, after runtime.MemStats
	runtime.ReadMemStats(&before)
	done, err := archive.Unpack(t.Context(), &b, root, enough)
	runtime.ReadMemStats(&after)
	require.NoError(t, err)
	require.EqualValues(t, size, done.Bytes)
	require.Less(t, after.TotalAlloc-before.TotalAlloc, uint64(16<<20))
}

// TestCut: wherever an archive ends too early, what comes before is unpacked, and the error says
// where.
func TestCut(t *testing.T) {
	rng := rand.New(rand.NewSource(1))
	text := make([]byte, 3000)
	rng.Read(text)
	want := map[string]string{"1.sst": string(text), "2.sst": string(text[:512]), "CURRENT": "x"}
	plain := packed(t, folder("reorg_db"), file("reorg_db/1.sst", want["1.sst"]), file("reorg_db/2.sst", want["2.sst"]), file("reorg_db/CURRENT", "x"))
	end := len(plain) - 2*512 // of the last member, with its padding
	for form, data := range map[string][]byte{"plain": plain, "gzip": gzipped(t, plain), "zstd": zstded(t, plain)} {
		for cut := range len(data) {
			if form == "plain" && cut >= end+512 {
				break // one block of zeros will do
			}
			if near := cut % 512; cut > 20 && cut < len(data)-20 && near > 1 && near < 511 && cut%29 > 0 {
				continue
			}
			files, done, err := unpack(t, bytes.NewReader(data[:cut]), enough)
			if form == "plain" && cut < 512 || cut == 0 {
				require.ErrorIs(t, err, archive.ErrNoArchive, "%s, %d", form, cut)
				continue
			}
			if cut < 6 {
				require.Error(t, err)
				continue
			}
			var damaged *archive.DamagedError
			require.ErrorAs(t, err, &damaged, "%s, %d", form, cut)
			require.ErrorIs(t, err, io.ErrUnexpectedEOF, "%s, %d", form, cut)
			require.Len(t, files, done.Files)
			for name, text := range files {
				require.True(t, strings.HasPrefix(want[name], text), name)
			}
			if form == "plain" {
				require.EqualValues(t, cut, damaged.Offset)
				require.Equal(t, cut >= 2*512+3000, files["1.sst"] == want["1.sst"])
			}
		}
	}
}

// TestDamaged: a flipped bit is found by the checksum of the compressed data.
func TestDamaged(t *testing.T) {
	text := strings.Repeat("some text ", 1000)
	for form, data := range map[string][]byte{"gzip": gzipped(t, packed(t, file("CURRENT", text))), "zstd": zstded(t, packed(t, file("CURRENT", text)))} {
		for at := 10; at < len(data); at++ {
			broken := bytes.Clone(data)
			broken[at] ^= 0x10
			files, _, err := unpack(t, bytes.NewReader(broken), enough)
			if err == nil {
				require.Equal(t, text, files["CURRENT"], "%s, byte %d", form, at)
				continue
			}
			var damaged *archive.DamagedError
			require.True(t, errors.As(err, &damaged) || errors.Is(err, archive.ErrNoArchive) || errors.Is(err, archive.ErrRefused), "%s, byte %d: %v", form, at, err)
		}
	}
}

// TestNoArchive: the error names the format, if it is known.
func TestNoArchive(t *testing.T) {
	for name, data := range map[string][]byte{
		"empty": nil, "text": []byte("x\n"), "long text": bytes.Repeat([]byte("x\n"), 1000), "zeros": make([]byte, 10240),
		"a compressed text": gzipped(t, bytes.Repeat([]byte("x\n"), 1000)), "xz": []byte("\xfd7zXZ\x00..."), "bzip2": []byte("BZh91AY"), "zip": []byte("PK\x03\x04...."),
	} {
		_, _, err := unpack(t, bytes.NewReader(data), enough)
		require.ErrorIs(t, err, archive.ErrNoArchive, name)
		var format *input.FormatError
		require.Equal(t, len(data) < 10 && len(data) > 2, errors.As(err, &format), name)
	}
}

// TestErrorsOfTheSystem: system errors are neither damage nor a refusal.
func TestErrorsOfTheSystem(t *testing.T) {
	data := packed(t, file("CURRENT", strings.Repeat("x", 100_000)))
	for _, data := range [][]byte{data, gzipped(t, data), zstded(t, data)} {
		for _, n := range []int{0, 3, len(data) / 2, len(data) - 1} {
			_, _, err := unpack(t, io.MultiReader(bytes.NewReader(data[:n]), iotest.ErrReader(syscall.EIO)), enough)
			require.ErrorIs(t, err, syscall.EIO, "%d", n)
			var damaged *archive.DamagedError
			require.False(t, errors.As(err, &damaged))
		}
	}
	dir := t.TempDir()
	root, err := os.OpenRoot(dir)
	require.NoError(t, err)
	ctx, cancel := context.WithCancel(t.Context())
	cancel()
	_, err = archive.Unpack(ctx, bytes.NewReader(data), root, enough)
	require.ErrorIs(t, err, context.Canceled)
	require.NoError(t, root.Close())
	_, err = archive.Unpack(t.Context(), bytes.NewReader(data), root, enough)
	require.ErrorIs(t, err, fs.ErrClosed)
}

// FuzzUnpack: whatever an archive holds, unpacking ends with one of the documented errors, and
// only regular files and folders within the limits are written.
func FuzzUnpack(f *testing.F) {
	f.Add(packed(f, folder("reorg_db/"), file("reorg_db/CURRENT", "x")))
	f.Add(gzipped(f, packed(f, file("./reorg_db/CURRENT", "x"), link(tar.TypeSymlink, "reorg_db/a", "b"))))
	f.Add(zstded(f, packed(f, file("CURRENT", "x"), file("../x", "y"))))
	f.Add([]byte{})
	limits := archive.Limits{Members: 20, Bytes: 1 << 20}
	f.Fuzz(func(t *testing.T, data []byte) {
		above := t.TempDir()
		require.NoError(t, os.Mkdir(filepath.Join(above, "in"), 0o700))
		root, err := os.OpenRoot(filepath.Join(above, "in"))
		require.NoError(t, err)
		defer root.Close()
		done, err := archive.Unpack(t.Context(), bytes.NewReader(data), root, limits)
		var damaged *archive.DamagedError
		if err != nil && !errors.Is(err, archive.ErrRefused) && !errors.Is(err, archive.ErrNoArchive) && !errors.As(err, &damaged) {
			t.Fatalf("%v", err)
		}
		names, err := os.ReadDir(above)
		require.NoError(t, err)
		require.Len(t, names, 1)
		bytes := 0
		files := filesIn(t, filepath.Join(above, "in"))
		for _, text := range files {
			bytes += len(text)
		}
		require.Len(t, files, done.Files)
		require.EqualValues(t, bytes, done.Bytes)
		require.LessOrEqual(t, done.Bytes, limits.Bytes)
	})
}
