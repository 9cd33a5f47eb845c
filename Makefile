# What is missing is installed by make deps, which demo, test and bench call.

VERSION ?= $(shell git describe --tags --always --dirty 2>/dev/null || echo devel)
COMMIT  ?= $(shell git rev-parse --short=12 HEAD 2>/dev/null || echo unknown)
LDFLAGS := -s -w -X ailee-recovery/internal/tool.version=$(VERSION) -X ailee-recovery/internal/tool.commit=$(COMMIT)
STATICCHECK := honnef.co/go/tools/cmd/staticcheck@v0.8.2
FUZZTIME ?= 10m

# The tools that use no RocksDB are built without cgo.
PURE := ailee_l2_verify ailee_extract_snapshots ailee_prune_snapshots ailee_drill_chain
ROCKSDB := $(filter-out $(PURE),$(notdir $(wildcard cmd/*)))

.PHONY: build static demo test unit race lint leaks generate fuzz hostile load faults bench deps clean

## build: all binaries, in bin/
build:
	CGO_ENABLED=0 go build -trimpath -ldflags '$(LDFLAGS)' -o bin/ $(PURE:%=./cmd/%)
	CGO_ENABLED=1 go build -trimpath -ldflags '$(LDFLAGS)' -o bin/ $(ROCKSDB:%=./cmd/%)

## static: all binaries, in bin/static/, for any x86-64 Linux
static:
	CGO_ENABLED=0 go build -trimpath -ldflags '$(LDFLAGS)' -o bin/static/ $(PURE:%=./cmd/%)
	CGO_ENABLED=1 CGO_LDFLAGS='-lbz2' go build -trimpath -tags netgo,osusergo \
		-ldflags '$(LDFLAGS) -linkmode external -extldflags "-static"' -o bin/static/ $(ROCKSDB:%=./cmd/%)

## demo: what an operator sees on a healthy, a torn and a tampered file
demo: deps build
	@scripts/demo

## test: everything that must hold: the checks of the source and all tests
test: deps build static lint unit race leaks

unit:
	go test ./...

# The race detector slows the long tests down; the short form runs the same code, and
# in memory: what a sync of the disk takes says nothing about races.
race:
	CGO_ENABLED=1 TMPDIR=$(firstword $(wildcard /dev/shm /tmp)) go test -race -short ./...

# The address sanitizer over the code that calls C: what it does not free fails.
leaks:
	CGO_ENABLED=1 go test -asan ./reorgdb

lint:
	@unformatted=$$(gofmt -l .); if [ -n "$$unformatted" ]; then echo "gofmt wants: $$unformatted"; exit 1; fi
	go vet ./...
	go run $(STATICCHECK) ./...
	shellcheck scripts/* .ci/run completions/bash/*
	go mod verify

## generate: the man pages, completions and docs/commands, from the help and real output
generate: deps
	go run ./docs/generate

## fuzz: each fuzz target for FUZZTIME
fuzz:
	go test -run '^$$' -fuzz '^FuzzReader$$' -fuzztime $(FUZZTIME) ./snapshot
	go test -run '^$$' -fuzz '^FuzzWriteAfterRead$$' -fuzztime $(FUZZTIME) ./snapshot
	go test -run '^$$' -fuzz '^FuzzDecode$$' -fuzztime $(FUZZTIME) ./snapshot/statejson
	go test -run '^$$' -fuzz '^FuzzRecords$$' -fuzztime $(FUZZTIME) ./reorgdb
	go test -run '^$$' -fuzz '^FuzzLog$$' -fuzztime $(FUZZTIME) -fuzzminimizetime 10x ./internal/rocksfile
	go test -run '^$$' -fuzz '^FuzzBatch$$' -fuzztime $(FUZZTIME) -fuzzminimizetime 10x ./internal/rocksfile
	go test -run '^$$' -fuzz '^FuzzManifest$$' -fuzztime $(FUZZTIME) -fuzzminimizetime 10x ./internal/rocksfile
	go test -run '^$$' -fuzz '^FuzzTable$$' -fuzztime $(FUZZTIME) -fuzzminimizetime 10x ./internal/rocksfile
	go test -run '^$$' -fuzz '^FuzzScanHashes$$' -fuzztime $(FUZZTIME) ./internal/bitcoin
	go test -run '^$$' -fuzz '^FuzzAnswers$$' -fuzztime $(FUZZTIME) -fuzzminimizetime 10x ./internal/bitcoin
	go test -run '^$$' -fuzz '^FuzzTransaction$$' -fuzztime $(FUZZTIME) ./internal/anchortx
	go test -run '^$$' -fuzz '^FuzzFind$$' -fuzztime $(FUZZTIME) -fuzzminimizetime 10x ./internal/anchortx
	go test -run '^$$' -fuzz '^FuzzMetadata$$' -fuzztime $(FUZZTIME) ./internal/snapshotblock
	go test -run '^$$' -fuzz '^FuzzFlags$$' -fuzztime $(FUZZTIME) -fuzzminimizetime 10x ./test

## hostile: the giants of the tests of hostile files: ten million snapshots, a line of a gibibyte
hostile:
	AILEE_HOSTILE=1 go test -count 1 -timeout 60m -v -run '^Test(Giants|Terabyte|Planted|NoRegularFile|ShrinksWhileItIsRead)$$' ./test

## load: the large forms of the tests under load
load:
	AILEE_LOAD=1 go test -count 1 -timeout 60m -v -run '^TestLoad' ./test

## faults: every tool broken at every system call, and the power cut at each; half an hour
faults: deps
	go test -count=1 -v -timeout 3h ./test/faults -all

## bench: the table of the README, measured here
bench: deps build
	go run ./bench

## deps: installs what is missing on Debian
deps:
	@scripts/deps

clean:
	rm -rf bin bench-data
