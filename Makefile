# make          builds the tool
# make test     the one door: installs what it needs (testdata/need.sh says what,
#               and asks for root only then) and runs everything but campaigns
# make help     the other targets

SHELL = /bin/bash
.DEFAULT_GOAL = build
.PHONY: build arm64 arm check test race test-long fuzz cards demo bench help

staticcheck = honnef.co/go/tools/cmd/staticcheck@v0.8.2
static = CGO_ENABLED=0 go build -trimpath -ldflags '-s -w'
FUZZTIME = 10m

# The race detector makes four or five minutes of one. With it run what works in parallel:
# the packages that do, and of the largest ones the tests of that. Decoders, which
# one goroutine calls, and guests, whose program is built without it, are left out;
# test-long leaves nothing out.
raced = $(shell go list ./... | grep -vE '/(ext4|fat|swap|layout|identity|vmtest|clone|fit|live|lifeboat)$$')
flows = Copy|Blocks|Stream|Verify|FromPipe|SmallerInterrupted|Void|Device|Together|Exact|Hush|Loss|Lost|Meanwhile|Killed|Thaw|Watchdog
commands = TestScripts/^(backup|clone|restore_http|restore_stdin|restore_interrupt|repo|nightly_repo|sftp)$$

build: ## the tool for this machine
	$(static) -o lifeboat ./cmd/lifeboat

arm64 arm: ## the tool for boards, bin/lifeboat-arm64 and bin/lifeboat-arm (ARMv6)
	GOARCH=$@ GOARM=6 $(static) -o bin/lifeboat-$@ ./cmd/lifeboat

check: ## format, vet, staticcheck
	@bad=$$(gofmt -l .); [ -z "$$bad" ] || { echo "gofmt changes: $$bad"; exit 1; }
	go vet ./...
	GOARCH=arm64 go vet ./...
	go run $(staticcheck) ./...

test: ## all checks and tests, guests and emulated boards among them
	testdata/need.sh test
	testdata/need.sh debs
	testdata/need.sh broken >/dev/null
	testdata/need.sh root >/dev/null
	$(MAKE) --no-print-directory check
	go test -count=1 -timeout 60m ./...
	$(MAKE) --no-print-directory race

race: ## the tests of what works in parallel, with the race detector
	go test -race -count=1 -timeout 30m -skip InGuest $(raced)
	go test -race -count=1 -timeout 30m -run '$(flows)' ./clone ./clone/fit ./clone/live
	go test -race -count=1 -timeout 30m -run '$(commands)' ./cmd/lifeboat

test-long: ## also the campaigns: hours
	testdata/need.sh test
	testdata/need.sh debs
	testdata/need.sh broken >/dev/null
	testdata/need.sh root >/dev/null
	LIFEBOAT_LONG=1 CI=true go test -count=1 -timeout 12h -v ./...
	CI=true go test -race -count=1 -timeout 12h ./...
	$(MAKE) --no-print-directory fuzz

fuzz: ## each fuzz test for FUZZTIME
	set -e; for pkg in $$(go list ./...); do \
		for name in $$(go test -list '^Fuzz' $$pkg | grep '^Fuzz'); do \
			go test -run '^$$' -fuzz "^$$name\$$" -fuzztime $(FUZZTIME) $$pkg; \
		done; \
	done

cards: ## the committed cards anew, by their scripts
	testdata/need.sh test
	testdata/cards/all.sh

demo: ## the main job on emulated hardware: a board restores its card and boots
	testdata/need.sh demo
	testdata/need.sh debs
	testdata/need.sh root >/dev/null
	mkdir -p out/demo
	CI=true go test -count=1 -timeout 60m -run TestDemo -v -artifacts -outputdir $(CURDIR)/out/demo ./cmd/lifeboat

bench: ## the comparison with other tools, into docs/BENCHMARKS.md
	testdata/need.sh test
	LIFEBOAT_BENCH=$(CURDIR)/docs/BENCHMARKS.md CI=true go test -count=1 -timeout 90m -run 'TestBench$$' -v ./cmd/lifeboat

help:
	@sed -n 's/^\([a-z0-9 -]*\):.*## /\1\t/p' Makefile | expand -t 12
