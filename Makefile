# What is missing is installed by make deps, which demo calls, and make deps-test, which
# all that tests or measures calls.

# Asked once, so that all of a run has the same.
ifndef VERSION
VERSION := $(shell git describe --tags --always --dirty 2>/dev/null || echo devel)
endif
ifndef COMMIT
COMMIT := $(shell git rev-parse --short=12 HEAD 2>/dev/null || echo unknown)
endif
# The time in all packages, so that two builds are the same: that of the commit.
ifndef SOURCE_DATE_EPOCH
SOURCE_DATE_EPOCH := $(shell git log -1 --format=%ct 2>/dev/null || date +%s)
endif
LDFLAGS := -s -w -X ailee-recovery/internal/cli.version=$(VERSION) -X ailee-recovery/internal/cli.commit=$(COMMIT)
# Version and commit are in LDFLAGS: what else Go would note of the checkout only
# makes two builds of one commit differ.
BUILD := build -trimpath -buildvcs=false
# For whatever may compile cgo: with the modfile for the RocksDB of this machine.
GO = modfile=$$(scripts/rocksdb) && GOFLAGS="$$GOFLAGS $$modfile" CGO_ENABLED=1 go
MAINTAINER ?= AILEE recovery toolkit <maintainers@ailee-recovery.invalid>
STATICCHECK := honnef.co/go/tools/cmd/staticcheck@v0.8.2
FUZZTIME ?= 10m

# The tools that use no RocksDB are built without cgo.
PURE := ailee_l2_verify ailee_extract_snapshots ailee_prune_snapshots ailee_drill_chain
ROCKSDB := $(filter-out $(PURE),$(notdir $(wildcard cmd/*)))

# Where the package manager's files go, and what is put there.
PREFIX ?= /usr/local
SYSCONFDIR ?= /etc
ZSHDIR ?= $(PREFIX)/share/zsh/site-functions
BIN ?= bin
STATIC ?= bin/static
DIST ?= dist

.PHONY: build static static-pure install uninstall deb dist reproducible licenses demo test unit race lint matrix leaks package generate fuzz hostile load faults bench deps deps-test clean
# What a target needs is made in the order in which it stands there.
.NOTPARALLEL:

## build: all binaries, in bin/, linked with the RocksDB of this machine
build:
	CGO_ENABLED=0 go $(BUILD) -ldflags '$(LDFLAGS)' -o bin/ $(PURE:%=./cmd/%)
	$(GO) $(BUILD) -ldflags '$(LDFLAGS)' -o bin/ $(ROCKSDB:%=./cmd/%)

## static: all binaries, in bin/static/, for any x86-64 Linux
static: export CGO_LDFLAGS := -lbz2
static: static-pure
	$(GO) $(BUILD) -tags netgo,osusergo \
		-ldflags '$(LDFLAGS) -linkmode external -extldflags "-static"' -o $(STATIC)/ $(ROCKSDB:%=./cmd/%)

static-pure:
	CGO_ENABLED=0 go $(BUILD) -ldflags '$(LDFLAGS)' -o $(STATIC)/ $(PURE:%=./cmd/%)

# Scripts of packaging/ take these from the environment.
install uninstall: export DESTDIR := $(DESTDIR)
install uninstall: export PREFIX := $(PREFIX)
install uninstall: export SYSCONFDIR := $(SYSCONFDIR)
install uninstall: export ZSHDIR := $(ZSHDIR)
install uninstall: export BIN := $(BIN)

## install: what `make build` made, with scripts, man pages, completions and systemd
## units; DESTDIR=, PREFIX=, BIN=bin/static
install:
	@packaging/install

## uninstall: the same files removed, but for the settings in SYSCONFDIR
uninstall:
	@packaging/uninstall

deb dist: export STATIC := $(STATIC)
deb dist: export DIST := $(DIST)
deb dist reproducible package: export VERSION := $(VERSION)
deb dist reproducible package: export COMMIT := $(COMMIT)
deb dist reproducible package: export SOURCE_DATE_EPOCH := $(SOURCE_DATE_EPOCH)
deb dist reproducible package: export MAINTAINER := $(MAINTAINER)

## deb: the Debian package, in dist/
deb: static
	packaging/dist deb

## dist: what is released, in dist/: Debian package, tar archive, bill of materials,
## checksums; those of before are replaced; MAINTAINER='NAME <ADDRESS>'
dist: static
	packaging/dist deb tar

## reproducible: builds everything twice, nothing shared, and compares
reproducible:
	packaging/reproducible

# The package, made twice, installed over an older one in a fresh Debian 12, used,
# removed. Older is the version of those programs that are linked in no time.
package: dist
	packaging/reproducible --against $(DIST)
	mkdir -p bin/older && cp $(STATIC)/* bin/older/
	$(MAKE) --silent static-pure VERSION=v0~0.1 STATIC=bin/older
	VERSION=v0~0.1 STATIC=bin/older DIST=bin/older-dist packaging/dist deb
	DIST=$(abspath $(DIST)) OLDER=$(CURDIR)/bin/older-dist go test -C packaging ./...

## licenses: docs/licenses.md anew
licenses: static
	go run -C packaging ./bom licenses $(CURDIR)/$(STATIC)/* >docs/licenses.md.new
	mv docs/licenses.md.new docs/licenses.md

## demo: what an operator sees on a healthy, a torn and a tampered file
demo: deps build
	@scripts/demo

## test: everything that must hold: the checks of the source and all tests
test: deps-test build static lint matrix unit race leaks package

unit:
	$(GO) test -timeout 20m ./test/... ./...

# The race detector slows the long tests down; the short form runs the same code, and
# in memory: what a sync of the disk takes says nothing about races.
race: export TMPDIR := $(firstword $(wildcard /dev/shm /tmp))
# By default a process that ends sleeps a second, for its other threads to go on into
# a race: thousands of processes are started here.
race: export GORACE := atexit_sleep_ms=0
race:
	$(GO) test -timeout 20m -race -short ./test/... ./...

# The address sanitizer over the code that calls C: what it does not free fails.
leaks:
	$(GO) test -asan ./reorgdb

# The code with every RocksDB that is supported, as far as their headers tell.
matrix:
	packaging/matrix

lint:
	@unformatted=$$(gofmt -l .); if [ -n "$$unformatted" ]; then echo "gofmt wants: $$unformatted"; exit 1; fi
	$(GO) vet ./...
	modfile=$$(scripts/rocksdb) && go run -exec "env GOFLAGS=$$modfile" $(STATICCHECK) ./...
	shellcheck scripts/* .ci/run completions/bash/* test/guide/bin/* $(shell grep -rl "^#!/bin/sh" packaging --exclude=*.go)
	go mod verify
	cd packaging && go vet ./... && go run $(STATICCHECK) ./... && go mod tidy -diff && go mod verify

## generate: the man pages, completions and docs/commands, from the help and real output
generate: deps-test
	$(GO) run ./docs/generate

## fuzz: each fuzz target for FUZZTIME
fuzz: export FUZZTIME := $(FUZZTIME)
fuzz: deps-test
	scripts/fuzz

## hostile: the large forms of the tests of hostile and damaged files: ten million
## snapshots, a line of a gibibyte
hostile: export AILEE_HOSTILE := 1
hostile: deps-test
	$(GO) test -count 1 -timeout 60m -v -run '^Test(Damage|Giants|Terabyte|Planted|PlantedForScripts|NoRegularFile|ShrinksWhileItIsRead)$$' ./test

## load: the large forms of the tests under load, and hourly backups of a whole year
load: export AILEE_LOAD := 1
load: deps-test
	$(GO) test -count 1 -timeout 60m -v -run '^Test(Load|BackupOverAYear$$)' ./test

## faults: every tool broken at every system call, and the power cut at each; half an hour
faults: deps-test
	$(GO) test -count=1 -v -timeout 3h ./test/faults -all

## bench: the table of the README, measured here
bench: deps-test build
	$(GO) run ./bench

## deps: installs what building needs and this Debian lacks
deps:
	@scripts/deps

## deps-test: installs what testing and measuring need as well
deps-test:
	@scripts/deps test

clean:
	rm -rf bin dist bench-data
