# Development commands of Enoki; `make` lists them.
# Everything CI checks is in `check`; .ci/run adds nothing but the environment.

STATICCHECK := honnef.co/go/tools/cmd/staticcheck@v0.8.2
GOVULNCHECK := golang.org/x/vuln/cmd/govulncheck@v1.8.0

.DEFAULT_GOAL := help

.PHONY: help
help: ## list the targets
	@awk -F ':.*## ' '/^[a-z0-9-]+:.*## / { printf "  %-20s %s\n", $$1, $$2 }' $(MAKEFILE_LIST)

.PHONY: build
build: ## build the command enoki into bin/, stripped
	CGO_ENABLED=0 go build -trimpath -ldflags '-s -w' -o bin/enoki ./cmd/enoki

.PHONY: test
test: ## install the test servers that are missing, then run every test with the race detector
	@scripts/install-test-servers
	@scripts/test ./... ./examples/authentication/... ./bench/chart ./bench/growth ./bench/harness

.PHONY: test-rabbitmq4
test-rabbitmq4: ## run the RabbitMQ driver's tests and a cluster on RabbitMQ 4.0 and 4.3 (as root on Debian; 10 minutes)
	@scripts/install-test-servers
	@scripts/test-rabbitmq4

.PHONY: test-rabbitmq4-short
test-rabbitmq4-short: ## the driver's tests on 4.0 alone, and without their kills (2 minutes)
	@scripts/install-test-servers
	@scripts/test-rabbitmq4 --short

.PHONY: e2e
e2e: ## run only the tests in test/: whole processes, real brokers, a browser
	@scripts/install-test-servers
	@scripts/test ./test/...

.PHONY: flaky
flaky: ## repeat the tests under load and name those that fail; N=10 PKG=./broker/nats RUN=TestX LOAD=8
	@scripts/install-test-servers
	@go run ./scripts/flaky -n $(or $(N),10) $(if $(LOAD),-load $(LOAD)) $(if $(RUN),-run='$(RUN)') $(or $(PKG),./... ./examples/authentication/...)

.PHONY: interop
interop: ## prove Nameko's behaviours between Go and Python, and print the table
	@scripts/install-test-servers
	@table=$$(mktemp); ENOKI_INTEROP_TABLE=$$table go test -count 1 ./test/interop; outcome=$$?; cat $$table; rm -f $$table; exit $$outcome

.PHONY: rolling
rolling: ## move a service between Python and Go under load for ten minutes
	@scripts/install-test-servers
	ENOKI_ROLLING=10m go test ./test/migration/ -run TestRollingMove -count 1 -timeout 20m -v

.PHONY: faults
faults: ## kill each broker twenty times under load, and account for every event
	@scripts/install-test-servers
	ENOKI_KILLS=20 go test ./test/faults -count 1 -timeout 60m -v

.PHONY: cluster
cluster: ## kill the leading node of a RabbitMQ cluster ten times under load, and account for every event
	@scripts/install-test-servers
	ENOKI_KILLS=10 go test ./test/found -run TestRabbitMQCluster -count 1 -timeout 60m -v

.PHONY: leaks
leaks: ## look what a million calls leave behind, on each broker (10 minutes)
	@scripts/install-test-servers
	ENOKI_LEAK_CALLS=1000000 go test ./test/growth -run TestCallsLeaveNothing -count 1 -timeout 60m -v

.PHONY: bench
bench: ## measure Enoki against its peers, all cases (20 minutes); -h after ARGS= lists the flags
	@scripts/install-test-servers
	cd bench && go run . -profiles results/profiles $(ARGS)

.PHONY: bench-quick
bench-quick: ## the same with one size and 16 callers (4 minutes)
	@scripts/install-test-servers
	cd bench && go run . -quick -rounds 4 -turn 500ms $(ARGS)

.PHONY: bench-guard
bench-guard: ## fail when Enoki has become slower against the raw clients, in CPU time (a minute)
	@scripts/install-test-servers
	cd bench && go run . -guard guard.json

.PHONY: bench-growth
bench-growth: ## measure how Enoki grows with services, methods, instances, bytes and callers; draws curves (4 minutes)
	@scripts/install-test-servers
	cd bench && go run ./growth -pictures ../docs/pictures $(ARGS)

.PHONY: microbench
microbench: ## run the micro-benchmarks that stand beside their code
	go test -run '^$$' -bench . -benchmem ./...

.PHONY: footprint
footprint: ## measure start-up time, idle memory and binary size, and hold them to their limits
	@go run ./scripts/footprint

.PHONY: house
house: ## count what the layout is measured by, beside our goals and the codebases we learn from
	@go run ./scripts/house

.PHONY: fmt
fmt: ## format the Go code
	gofmt -w .

.PHONY: tidy
tidy: ## go mod tidy, in the modules below too
	go mod tidy
	cd examples/authentication && go mod tidy
	cd bench && go mod tidy

.PHONY: lint
lint: ## gofmt, go vet, staticcheck, tidy and verified modules
	@test -z "$$(gofmt -l .)" || { echo "not formatted, run make fmt:"; gofmt -l .; exit 1; }
	go vet ./...
	go run $(STATICCHECK) ./...
	go mod tidy -diff
	go mod verify
	cd examples/authentication && go vet ./... && go run $(STATICCHECK) ./... && go mod tidy -diff && go mod verify
	cd bench && go vet ./... && go run $(STATICCHECK) ./... && go mod tidy -diff && go mod verify

.PHONY: vuln
vuln: ## look up the dependencies in the Go vulnerability database (GOVULNDB names another copy of it)
	@scripts/vulncheck $(GOVULNCHECK)

.PHONY: check
check: lint vuln footprint bench-guard test-rabbitmq4-short test ## all that CI runs
