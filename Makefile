# make help lists the targets; CONTRIBUTING.md says what to run when. Once make deps finds
# nothing missing, go build, go vet and go test work in a checkout as they are.

VERSION ?= $(shell git describe --tags --always --dirty 2>/dev/null || echo devel)
COMMIT ?= $(shell git rev-parse --short=12 HEAD 2>/dev/null || echo unknown)
# Evaluated once, so that everything in a run has the same values.
export VERSION := $(VERSION)
export COMMIT := $(COMMIT)
# LDFLAGS has both: anything else that Go records about the checkout only makes two builds of
# one commit differ.
LDFLAGS := -s -w -X ailee-recovery/internal/cli.version=$(VERSION) -X ailee-recovery/internal/cli.commit=$(COMMIT)

# The default is the RocksDB of Debian 12. For another: make build ROCKSDB=9.10
ifdef ROCKSDB
export GOFLAGS += -modfile=$(CURDIR)/packaging/rocksdb/$(ROCKSDB).mod
# These also build in other modules.
lint matrix deb dist package reproducible licenses: export GOFLAGS :=
endif

# Where make install puts things, and where it takes the binaries from. Other targets do not
# inherit these: the tests of the packages install elsewhere.
install uninstall: export DESTDIR ?=
install uninstall: export PREFIX ?= /usr/local
install uninstall: export SYSCONFDIR ?= /etc
install uninstall: export ZSHDIR ?= $(PREFIX)/share/zsh/site-functions
install uninstall: export BIN ?= bin
STATIC ?= bin/static

# These do not use RocksDB, and are built without cgo.
PURE := ailee_l2_verify ailee_show_snapshot ailee_diff_snapshots ailee_extract_snapshots ailee_prune_snapshots ailee_recover_snapshots ailee-drill
# Only with this entry point do they notice a closed standard output: see internal/stdio.
PURE_LDFLAGS := $(LDFLAGS) -E ailee_entry
# A part of the library for flags that no tool uses, and which every start would wait for.
PURE_TAGS := urfave_cli_no_docs
LINKED := $(filter-out $(PURE),$(notdir $(wildcard cmd/*)))

# The slowest packages start first, and the others are tested meanwhile.
ALL := ./test/... ./internal/command/... ./...
# The packages with tests that have a long form.
LONG := $(sort $(dir $(shell grep -rl --include='*_test.go' --exclude-dir=long 'testing\.Short()' ./test ./docs ./internal ./reorgdb ./snapshot)))
LONG := $(filter ./test%,$(LONG)) $(filter-out ./test%,$(LONG))
STATICCHECK := honnef.co/go/tools/cmd/staticcheck@v0.8.2

.PHONY: build static install uninstall demo test check rest ready long race leaks matrix lint fuzz hostile \
	load faults model bench generate deps deps-test clean deb dist package reproducible licenses help
# Prerequisites are made in the order in which they are listed.
.NOTPARALLEL:

## build      all binaries, in bin/, one for each command, linked with the RocksDB of this
##            machine
build:
	CGO_ENABLED=0 go build -buildvcs=false -tags $(PURE_TAGS) -ldflags '$(PURE_LDFLAGS)' -o bin/ $(PURE:%=./cmd/%)
	go build -buildvcs=false -ldflags '$(LDFLAGS)' -o bin/ $(LINKED:%=./cmd/%)

## static     the binaries that are released, in bin/static/, for any x86-64 Linux: ailee, which
##            has all commands, and ailee_l2_verify alone
static:
	CGO_ENABLED=0 go build -trimpath -buildvcs=false -tags $(PURE_TAGS) -ldflags '$(PURE_LDFLAGS)' -o $(STATIC)/ ./cmd/ailee_l2_verify
	go build -trimpath -buildvcs=false -tags netgo,osusergo \
		-ldflags '$(LDFLAGS) -linkmode external -extldflags "-static -lbz2"' -o $(STATIC)/ ./cmd/ailee

## install    the ailee of make build, with a link for each command, scripts, manual and
##            systemd units; DESTDIR=, PREFIX=, BIN=bin/static. make uninstall removes all
##            but the settings
install uninstall:
	@packaging/$@

## demo       what an operator sees with damaged files and a damaged database, and how they are
##            repaired
demo: deps build
	@scripts/demo

## test       all tests, the long ones in their short form: takes minutes, needs no root
# make lint vets the source, once for all of these. Many tests spend their time waiting, so
# more packages than cores are tested at once. Without debug information they link faster.
test:
	@scripts/deps --missing test
	@go test -vet=off -ldflags=-w -p 4 -short -timeout 60m -json $(ALL) | go run ./test/summary
	@echo "left out, in make check: the long forms of $(LONG:./%/=%); races, leaks, other releases of RocksDB, packages, lint"

## check      everything, as root: make test, and make rest, which runs what make test leaves out
check: ready test rest

rest: ready lint matrix build long race leaks package

ready:
	@[ "$$(id -u)" = 0 ] || { echo "make: error: only root can test the package in a fresh Debian" >&2; \
		echo "make: hint: run it as root, or run only its parts: make lint matrix long race leaks" >&2; exit 1; }
	@scripts/deps --missing check

# The tests that have a long form, in that form.
long:
	go test -vet=off -ldflags=-w -p 4 -timeout 60m -run "$$(go run ./test/long $(LONG))" $(LONG)

# Waiting for the disk finds no races, so the folders are in memory. By default a process
# sleeps for a second before it exits, to let other threads run into a race, but thousands of
# processes are started here. Tests that compute in one goroutine or try file systems are left
# out: they find no further races and take ten times as long.
race: ALONE := TestDamage|AgainstReference|TestEveryAlignment|TestStdSort|TestEqualKeys|TestFileSystems
race: export TMPDIR := $(firstword $(wildcard /dev/shm /tmp))
race: export GORACE := atexit_sleep_ms=0
# The packages that start goroutines or lock something, and the command that most of them call
# back.
race: CONCURRENT := ./internal/command/backup/ $(sort $(dir $(shell grep -rlE --include='*.go' --exclude='*_test.go' 'go func|workers\.|errgroup|atomic\.|sync\.(Mutex|RWMutex|WaitGroup|Pool|Cond)' ./internal ./snapshot ./reorgdb)))
race:
	go test -vet=off -ldflags=-w -p 4 -timeout 60m -race -short -skip '$(ALONE)' $(CONCURRENT)

# The address sanitizer on the code that calls C: memory that is not freed is a failure.
leaks:
	go test -vet=off -timeout 60m -asan -short ./reorgdb

# Compiles the code with the header of every supported RocksDB, and runs tools and nodes with
# each RocksDB that Debian has on the same databases. MIRROR= names another Debian mirror.
matrix:
	packaging/matrix/run

lint:
	@unformatted=$$(gofmt -l .); if [ -n "$$unformatted" ]; then echo "gofmt wants: $$unformatted"; exit 1; fi
	go vet ./...
	go run $(STATICCHECK) ./...
	cd packaging && go vet ./... && go run $(STATICCHECK) ./... && go mod tidy -diff && go mod verify
	go mod verify
	shellcheck scripts/* model/check .ci/run completions/bash/* test/guide/bin/* $(shell grep -rl "^#!/bin/sh" packaging --exclude=*.go)

## fuzz       each fuzz target for ten minutes; FUZZTIME=1h
fuzz:
	scripts/fuzz

## hostile    hostile and damaged files in full size: ten million snapshots, a line of a
##            GiB, 100,000 mutated files read in two ways, a database with a log of 4 GiB
hostile: export AILEE_HOSTILE := 1
hostile:
	go test -count 1 -timeout 3h -v -run '^Test(Damage|DamageWithABackup|Giants|Scale|MonitorMemory|Terabyte|Planted|PlantedInANode|NoRegularFile|ShrinksWhileItIsRead)$$' ./test ./internal/command/initreorgdb
	go test -count 1 -timeout 3h -v -run '^Test(EqualKeys|DamagedFilesAgainstReference|DamagedFilesAreReadAsRocksDBReadsThem|RandomDatabasesAreReadAsRocksDBReadsThem)$$' ./snapshot ./reorgdb

## load       the tests under load in full size, how the cost of each command grows, hourly
##            backups over a whole year, and a hundred pairs of faults that are repaired as the
##            doctor says
load: export AILEE_LOAD := 1
load:
	go test -count 1 -timeout 3h -v -run '^Test(Load|OverAYear$$|DoctorOf(Pairs|Tails)$$)' ./test ./internal/command/prunesnapshots ./internal/command/backup

## faults     every tool made to fail at every system call, the power cut at each: half an hour
faults:
	go test -count 1 -timeout 3h -v ./test/faults -all

## model      the protocol of pruning in place, explored completely: minutes
model: deps-test
	model/check

## bench      the table of docs/performance.md, measured on this machine
bench: deps-test build
	go run ./bench

## generate   the man pages, completions and docs/commands, from the help and real output
generate:
	go run ./docs/generate

## deps       installs, as root, what building needs; without root it says what is missing.
##            make deps-test: what testing and measuring need as well
deps:
	@scripts/deps
deps-test:
	@scripts/deps check

clean:
	rm -rf bin dist bench-data

## deb dist package reproducible licenses: what is released, see packaging/Makefile
deb dist package reproducible licenses:
	@$(MAKE) --no-print-directory -C packaging $@

## help       these lines
help:
	@sed -n 's/^## //p' Makefile
