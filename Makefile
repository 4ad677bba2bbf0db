# Barkeep: `make` alone prints what can be made.

GO      ?= go
TOOL    := $(GO) tool -modfile=tools/go.mod
VERSION ?= $(shell git describe --tags --always --dirty 2>/dev/null || echo unknown)
LDFLAGS := -s -w -X main.version=$(VERSION)
LISTEN  ?= 127.0.0.1:8080
DATA    ?= ./data

FUZZTIME  ?= 30s
BENCH     ?= .
COUNT     ?= 10

.DEFAULT_GOAL := help
.PHONY: help build dashboard run demo test e2e clients gate torture race lint audit fmt fuzz golden bench benchcmp clean

help: ## print this list
	@awk -F ':.*## ' '/^[a-z]+:.*## / { printf "  make %-10s %s\n", $$1, $$2 }' $(MAKEFILE_LIST)

build: dashboard ## build bin/barkeep
	CGO_ENABLED=0 $(GO) build -trimpath -ldflags '$(LDFLAGS)' -o bin/barkeep ./cmd/barkeep

# The dashboard needs Node; without it the program is built without one.
dashboard: ## build the dashboard, if there is Node
	@if ! command -v npm >/dev/null; then echo "no Node: building without the dashboard"; \
	elif [ -z "$$(find api/dashboard/src api/dashboard/*.json api/dashboard/*.ts api/dashboard/index.html -newer api/dashboard/dist/index.html 2>/dev/null | head -1)" ] && [ -f api/dashboard/dist/index.html ]; then :; \
	else cd api/dashboard && npm ci --silent --no-audit --no-fund && npm run -s build; fi

run: build ## build and serve ./data on 127.0.0.1:8080 (LISTEN=, DATA=)
	@echo
	@echo "Next, in another terminal:"
	@echo "  curl http://$(LISTEN)/health"
	@echo "  bin/barkeep import FILE.csv --symbol BTCUSDT --interval 1m --url http://$(LISTEN)"
	@echo "  curl 'http://$(LISTEN)/v1/bars?symbol=BTCUSDT&interval=1h&limit=5'"
	@echo "  bin/barkeep gaps --url http://$(LISTEN)"
	@echo
	bin/barkeep serve --data $(DATA) --listen $(LISTEN)

demo: build ## build and show a series with holes and bad ticks, served from a temporary store
	bin/barkeep demo --listen $(LISTEN)

test: dashboard ## vet and run every test but those of make gate
	$(GO) vet ./...
	$(GO) test ./... -skip '^TestTorture'
	@if command -v npm >/dev/null; then cd api/dashboard && npm test --silent; fi

e2e: build ## use the dashboard in Chromium, and attack it there (CHROMIUM=, by default Debian's)
	cd api/dashboard && node e2e/main.mjs $(CURDIR)/bin/barkeep
	cd api/dashboard && node e2e/tasks.mjs $(CURDIR)/bin/barkeep
	cd api/dashboard && node e2e/hostile.mjs $(CURDIR)/bin/barkeep

# Versions are pinned in clients/; scripts of packages are not run. Prometheus runs
# the queries of the dashboard for Grafana.
PROMETHEUS ?= $(shell command -v prometheus)
clients: build ## run the README, and the examples of docs/clients.md with the real clients (Node, Python 3.11, their packages)
	@cd clients && npm install --silent --no-audit --no-fund --ignore-scripts --no-package-lock
	@[ -x clients/.venv/bin/python ] || python3 -m venv clients/.venv
	@clients/.venv/bin/python -m pip install --quiet --disable-pip-version-check -r clients/requirements.txt
	@node clients/run.mjs $(CURDIR)/bin/barkeep $(CURDIR)/clients/.venv/bin/python
	@node clients/session.mjs $(CURDIR)/bin/barkeep $(CURDIR)/clients/.venv/bin/python
	@node clients/grafana.mjs $(CURDIR)/bin/barkeep $(PROMETHEUS)

gate: ## torture store and program: crashes, kills, damage, full and failing disks (5 minutes; disks need root)
	$(GO) test -p 1 ./storage ./cmd/barkeep -run '^TestTorture' -count=1 -v -timeout 20m

torture: ## the same for hours, with power cuts (root, btrfs-progs, strace)
	$(GO) test -p 1 ./storage ./cmd/barkeep -run '^TestTorture' -count=1 -v -timeout 6h -long

# Left out: what decodes damaged files on one goroutine, for hours under race,
# and what measures times.
race: ## run the tests of the core packages under the race detector
	$(GO) test -race -short -skip '^Test(Raw|Rebuild|RepairTable|Preflight|FlippedTables|Bombs|Torture(Flips|Files|Faults|Judge|Slow|Serve))' \
	  ./series/... ./storage/... ./heal/... ./fetch/... ./api/... ./cmd/...

lint: ## vet, formatting and linters
	$(GO) vet ./...
	@out=$$($(TOOL) gofumpt -l $$(git ls-files --cached --others --exclude-standard '*.go')); \
	  if [ -n "$$out" ]; then echo "not formatted, run make fmt:"; echo "$$out"; exit 1; fi
	$(TOOL) golangci-lint run ./...

audit: ## look for secrets in the repository, and for known faults in what it uses (network)
	$(GO) run github.com/zricethezav/gitleaks/v8@v8.30.1 git . --no-banner --redact
	$(GO) run golang.org/x/vuln/cmd/govulncheck@v1.9.0 ./...

fmt: ## format every Go file
	$(TOOL) gofumpt -w $$(git ls-files --cached --others --exclude-standard '*.go')

fuzz: ## run every fuzz target for 30 s (FUZZTIME=)
	@for pkg in $$($(GO) list ./...); do \
	  for target in $$($(GO) test -list '^Fuzz' $$pkg | grep '^Fuzz' || true); do \
	    echo "== $$pkg $$target"; \
	    $(GO) test -run '^$$' -fuzz "^$$target$$" -fuzztime $(FUZZTIME) $$pkg || exit 1; \
	  done; \
	done

golden: ## rewrite the expected answers of the tests; read the difference before you commit it
	@for pkg in $$(git grep -l 'Bool("rewrite"\|/datadriven"' -- '*_test.go' | xargs -r -n1 dirname | sort -u); do \
	  $(GO) test ./$$pkg -count=1 -rewrite || exit 1; \
	done

bench: ## run the benchmarks (BENCH=pattern COUNT=10), results in bench.txt
	$(GO) test ./... -run '^$$' -bench '$(BENCH)' -benchmem -count=$(COUNT) | tee bench.txt

benchcmp: ## run Barkeep beside other ways to keep bars (needs a C compiler)
	cd bench/peers && $(GO) run .

clean: ## remove what was built; data stays
	rm -rf bin dist bench.txt
