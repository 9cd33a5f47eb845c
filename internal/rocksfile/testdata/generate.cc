// Writes the databases of testdata/*.tar.gz, with the records that RocksDB itself reads from
// them. On Debian 12, with librocksdb-dev 7.8.3:
//
//	g++ -std=c++17 -fno-rtti generate.cc -lrocksdb -o /tmp/generate && /tmp/generate /tmp/databases
//	cd /tmp/databases && for d in */; do rm -f $d/LOG*; tar czf ${d%/}.tar.gz -C $d .; done
#include <rocksdb/db.h>
#include <rocksdb/filter_policy.h>
#include <rocksdb/sst_file_writer.h>
#include <rocksdb/table.h>
#include <rocksdb/write_batch.h>

#include <cstdio>
#include <cstdlib>
#include <fstream>
#include <string>

using namespace rocksdb;

static void ok(const Status& s) {
  if (!s.ok()) { fprintf(stderr, "%s\n", s.ToString().c_str()); exit(1); }
}

static std::string key(int i) { char b[32]; snprintf(b, sizeof b, "block:%020d", i); return b; }
static std::string value(int i, int round) { char b[80]; snprintf(b, sizeof b, "%064x", i * 7 + round); return b; }

// close writes the records that RocksDB reads to truth.txt, and closes the database.
static void close(const std::string& dir, DB* db, const std::vector<ColumnFamilyHandle*>& h) {
  std::ofstream truth(dir + "/truth.txt");
  for (auto* f : h) {
    std::unique_ptr<Iterator> it(db->NewIterator(ReadOptions(), f));
    for (it->SeekToFirst(); it->Valid(); it->Next())
      truth << f->GetName() << " " << it->key().ToString(true) << " " << it->value().ToString(true) << "\n";
    ok(it->status());
  }
  for (auto* f : h) ok(db->DestroyColumnFamilyHandle(f));
  delete db;
}

// make_ingested makes a database with three ingested tables, whose entries have no sequence
// numbers of their own. They are newer than the records before, and older than the records
// after. Only the MANIFEST has the sequence number of the first.
static void make_ingested(const std::string& dir) {
  Options o;
  o.create_if_missing = true;
  o.disable_auto_compactions = true;
  std::vector<ColumnFamilyDescriptor> families{{"default", o}};
  std::vector<ColumnFamilyHandle*> h;
  DB* db;
  ok(DB::Open(o, dir, families, &h, &db));
  WriteOptions w;
  auto ingest = [&](int from, int round, bool in_the_table) {
    SstFileWriter writer(EnvOptions(), o);
    ok(writer.Open(dir + "/made"));
    for (int i = from; i < from + 10; i++) ok(writer.Put(key(i), value(i, round)));
    ok(writer.DeleteRange(key(from + 10), key(from + 20)));
    ok(writer.Finish());
    IngestExternalFileOptions options;
    options.move_files = true;
    options.write_global_seqno = in_the_table;
    ok(db->IngestExternalFile({dir + "/made"}, options));
  };
  for (int i = 0; i < 120; i++) ok(db->Put(w, key(i), value(i, 0)));
  for (int i = 3; i < 120; i += 20) ok(db->Delete(w, key(i)));
  ok(db->DeleteRange(w, db->DefaultColumnFamily(), key(5), key(7)));
  ok(db->DeleteRange(w, db->DefaultColumnFamily(), key(65), key(67)));
  ok(db->Flush(FlushOptions()));
  ingest(0, 2, false);
  ingest(60, 3, true);
  ingest(65, 4, true);
  for (int i : {1, 12, 61, 72}) ok(db->Put(w, key(i), value(i, 5)));
  for (int i : {8, 68}) ok(db->Delete(w, key(i)));
  ok(db->Flush(FlushOptions()));
  for (int i : {2, 62}) ok(db->Put(w, key(i), value(i, 6)));
  ok(db->SyncWAL());
  close(dir, db, h);
}

static void make(const std::string& dir, BlockBasedTableOptions table, CompressionType compression) {
  Options o;
  o.create_if_missing = true;
  o.create_missing_column_families = true;
  o.compression = compression;
  o.disable_auto_compactions = true;
  table.block_size = 1024;
  o.table_factory.reset(NewBlockBasedTableFactory(table));
  std::vector<ColumnFamilyDescriptor> families{{"default", o}, {"other", o}};
  std::vector<ColumnFamilyHandle*> h;
  DB* db;
  ok(DB::Open(o, dir, families, &h, &db));
  WriteOptions w;
  auto flush = [&](int f) { ok(db->Flush(FlushOptions(), h[f])); };
  for (int i = 0; i < 120; i++) ok(db->Put(w, h[0], key(i), value(i, 0)));
  for (int i = 0; i < 5; i++) ok(db->Put(w, h[1], key(i), value(i, 9)));
  for (int i = 0; i < 40; i++) ok(db->Put(w, h[0], "big:" + std::to_string(i), std::string(40 * i, 'x')));
  flush(0); flush(1);
  for (int i = 0; i < 120; i += 3) ok(db->Put(w, h[0], key(i), value(i, 1)));
  for (int i = 1; i < 120; i += 6) ok(db->Delete(w, h[0], key(i)));
  ok(db->SingleDelete(w, h[0], key(2)));
  ok(db->DeleteRange(w, h[0], key(50), key(60)));
  ok(db->Put(w, h[0], key(55), "after the range"));
  flush(0);
  ok(db->Delete(w, h[0], key(3)));
  ok(db->DeleteRange(w, h[0], key(80), key(82)));
  WriteBatch batch;
  ok(batch.Put(h[0], key(500), "batch"));
  ok(batch.Put(h[1], key(501), "batch"));
  ok(batch.Delete(h[1], key(1)));
  batch.PutLogData("not a record");
  ok(db->Write(w, &batch));
  ok(db->Put(w, h[0], "large", std::string(70000, 'l')));
  ok(db->Put(w, h[0], key(502), "the last"));
  ok(db->SyncWAL());
  close(dir, db, h);
}

int main(int, char** argv) {
  std::string base = std::string(argv[1]) + "/";
  ok(Env::Default()->CreateDirIfMissing(base));
  BlockBasedTableOptions t;
  make_ingested(base + "ingested");
  make(base + "defaults", t, kSnappyCompression);
  make(base + "zlib", t, kZlibCompression);
  make(base + "lz4", t, kLZ4Compression);
  make(base + "zstd", t, kZSTD);
  t.checksum = kxxHash64;
  make(base + "xxh64", t, kNoCompression);
  t.checksum = kCRC32c;
  t.format_version = 2;
  make(base + "format2", t, kNoCompression);
  t.format_version = 0;
  make(base + "format0", t, kNoCompression);
  t.format_version = 5;
  t.index_type = BlockBasedTableOptions::kTwoLevelIndexSearch;
  t.metadata_block_size = 128;
  t.filter_policy.reset(NewBloomFilterPolicy(10));
  t.partition_filters = true;
  t.data_block_index_type = BlockBasedTableOptions::kDataBlockBinaryAndHash;
  make(base + "partitioned", t, kSnappyCompression);
}
