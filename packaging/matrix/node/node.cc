// node DB older|current does with a reorg database what an AILEE node does: it opens the
// database, which it creates if there is none, executes the commands on standard input, one
// per line, and closes it. A node of the older kind knows only the default column family; a
// current one has reputation_cf as well. It sets no RocksDB options, so that it writes what
// the RocksDB release that it is linked with writes by default.
//
//   block HEIGHT HASH TIME   a block was seen, at a time in Unix seconds; another hash at a
//                            known height is a reorg
//   put FAMILY KEY VALUE     writes a record, in hex
//   delete KEY               deletes a record of the default column family
//   flush                    moves what is in the log to tables
//   compact                  rewrites all tables
//   dump                     prints each record, FAMILY KEY VALUE in hex, and "end"
//
// On an error it prints RocksDB's message and exits with status 1.
#include <cstdint>
#include <cstdlib>
#include <iomanip>
#include <iostream>
#include <map>
#include <sstream>
#include <string>
#include <vector>

#include <rocksdb/db.h>
#include <rocksdb/options.h>
#include <rocksdb/write_batch.h>

namespace {

const char *const kReputation = "reputation_cf";

void check(const char *what, const rocksdb::Status &status) {
  if (!status.ok()) {
    std::cerr << "node: " << what << ": " << status.ToString() << std::endl;
    std::exit(1);
  }
}

[[noreturn]] void misused(const std::string &what) {
  std::cerr << "node: " << what << std::endl;
  std::exit(1);
}

std::string hex(const rocksdb::Slice &bytes) { return bytes.ToString(true); }

std::string unhex(const std::string &digits) {
  std::string bytes;
  for (size_t i = 0; i + 1 < digits.size(); i += 2) {
    bytes += static_cast<char>(std::stoi(digits.substr(i, 2), nullptr, 16));
  }
  return bytes;
}

std::string numbered(const char *prefix, uint64_t number) {
  std::ostringstream key;
  key << prefix << std::setw(20) << std::setfill('0') << number;
  return key.str();
}

class Node {
 public:
  Node(const std::string &path, bool current) {
    rocksdb::Options options;
    options.create_if_missing = true;
    std::vector<std::string> names;
    // There are none before the database is created.
    if (!current || !rocksdb::DB::ListColumnFamilies(options, path, &names).ok()) {
      names = {rocksdb::kDefaultColumnFamilyName};
    }
    std::vector<rocksdb::ColumnFamilyDescriptor> descriptors;
    for (const auto &name : names) {
      descriptors.emplace_back(name, rocksdb::ColumnFamilyOptions(options));
    }
    std::vector<rocksdb::ColumnFamilyHandle *> handles;
    check("open", rocksdb::DB::Open(options, path, descriptors, &handles, &db_));
    for (auto *handle : handles) {
      families_[handle->GetName()] = handle;
    }
    if (current && families_.count(kReputation) == 0) {
      check("open", db_->CreateColumnFamily(rocksdb::ColumnFamilyOptions(options), kReputation, &families_[kReputation]));
    }
  }

  void close() {
    for (auto &family : families_) {
      check("close", db_->DestroyColumnFamilyHandle(family.second));
    }
    check("close", db_->Close());
    delete db_;
  }

  void block(uint64_t height, const std::string &hash, uint64_t time) {
    const std::string key = numbered("block:", height);
    std::string before;
    const auto status = db_->Get(rocksdb::ReadOptions(), key, &before);
    if (!status.IsNotFound()) {
      check("block", status);
      if (before == hash) {
        return;
      }
      reorg(height, before, hash, time);
    }
    check("block", db_->Put(rocksdb::WriteOptions(), key, hash));
  }

  void put(const std::string &family, const std::string &key, const std::string &value) {
    check("put", db_->Put(rocksdb::WriteOptions(), families_.at(family), key, value));
  }

  void remove(const std::string &key) { check("delete", db_->Delete(rocksdb::WriteOptions(), key)); }

  void flush() {
    for (auto &family : families_) {
      check("flush", db_->Flush(rocksdb::FlushOptions(), family.second));
    }
  }

  void compact() {
    rocksdb::CompactRangeOptions options;
    options.bottommost_level_compaction = rocksdb::BottommostLevelCompaction::kForce;
    for (auto &family : families_) {
      check("compact", db_->CompactRange(options, family.second, nullptr, nullptr));
    }
  }

  void dump() {
    for (auto &family : families_) {
      rocksdb::Iterator *it = db_->NewIterator(rocksdb::ReadOptions(), family.second);
      for (it->SeekToFirst(); it->Valid(); it->Next()) {
        std::cout << family.first << ' ' << hex(it->key()) << ' ' << hex(it->value()) << '\n';
      }
      check("dump", it->status());
      delete it;
    }
    std::cout << "end" << std::endl;
  }

 private:
  // Invalidates every anchor at or above the height that is not invalidated yet; the event and
  // the counter are written in one batch.
  void reorg(uint64_t height, const std::string &before, const std::string &hash, uint64_t time) {
    const std::string prefix = "anchor:";
    std::vector<std::string> invalidated;
    rocksdb::WriteBatch anchors;
    rocksdb::Iterator *it = db_->NewIterator(rocksdb::ReadOptions());
    for (it->Seek(prefix); it->Valid() && it->key().starts_with(prefix); it->Next()) {
      // hash, txid, height, confirmations, time, retries, status, root
      std::vector<std::string> fields;
      std::istringstream value(it->value().ToString());
      for (std::string field; fields.size() < 7 && std::getline(value, field, '|');) {
        fields.push_back(field);
      }
      std::string root;
      if (fields.size() < 7 || !std::getline(value, root) || root.empty()) {
        continue;
      }
      if (std::stoull(fields[2]) < height || fields[6] == "2") {
        continue;
      }
      fields[3] = "0";
      fields[6] = "2";
      std::string changed;
      for (const auto &field : fields) {
        changed += field + '|';
      }
      check("anchor", anchors.Put(it->key(), changed + root));
      invalidated.push_back(fields[0]);
    }
    check("anchors", it->status());
    delete it;
    check("anchors", db_->Write(rocksdb::WriteOptions(), &anchors));

    uint64_t id = 0;
    std::string counter;
    const auto status = db_->Get(rocksdb::ReadOptions(), "reorg_counter", &counter);
    if (!status.IsNotFound()) {
      check("counter", status);
      id = std::stoull(counter);
    }
    std::ostringstream event;
    event << height << '|' << before << '|' << hash << '|' << time << '|' << invalidated.size();
    for (const auto &anchor : invalidated) {
      event << '|' << anchor;
    }
    rocksdb::WriteBatch batch;
    check("event", batch.Put(numbered("reorg:", id), event.str()));
    check("event", batch.Put("reorg_counter", std::to_string(id + 1)));
    check("event", db_->Write(rocksdb::WriteOptions(), &batch));
  }

  rocksdb::DB *db_ = nullptr;
  std::map<std::string, rocksdb::ColumnFamilyHandle *> families_;
};

}  // namespace

int main(int argc, char **argv) {
  std::ios::sync_with_stdio(false);
  const std::string kind = argc == 3 ? argv[2] : "";
  if (kind != "older" && kind != "current") {
    misused("usage: node DB older|current");
  }
  Node node(argv[1], kind == "current");
  for (std::string line; std::getline(std::cin, line);) {
    std::istringstream words(line);
    std::string what, family, key, value;
    uint64_t height = 0, time = 0;
    words >> what;
    if (what == "block" && words >> height >> value >> time) {
      node.block(height, value, time);
    } else if (what == "put" && words >> family >> key >> value) {
      node.put(family, unhex(key), unhex(value));
    } else if (what == "delete" && words >> key) {
      node.remove(unhex(key));
    } else if (what == "flush") {
      node.flush();
    } else if (what == "compact") {
      node.compact();
    } else if (what == "dump") {
      node.dump();
    } else {
      misused("unknown command: " + line);
    }
  }
  node.close();
  return 0;
}
