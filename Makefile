# build      bin/nestor
# run        the quickstart: the gateway on :4000, two mock providers, no API key; ctrl-C ends all of it
# test       everything that is checked: format, vet, staticcheck, generated code, vulnerabilities, tests
# bench      measures Nestor beside plain Envoy, a no-op processor and LiteLLM; writes docs/benchmarks.md
# lint       the checks of `test` without the tests
# generate   the Go code of proto/
# envoy      gets Envoy and prints its path, nothing else
#
# What these need beyond Go is downloaded once, pinned, into .tools/ (see test/tools/get).

.PHONY: build run test unit bench lint format vet staticcheck generated vulnerabilities generate envoy clean
.DEFAULT_GOAL := build

GO        ?= go
TESTFLAGS ?=
BENCHFLAGS ?=

build:
	$(GO) build -o bin/nestor ./cmd/nestor

run: build
	@envoy=$$(test/tools/get envoy) && ENVOY="$$envoy" exec examples/quickstart/run

test: lint unit

# The values are got first, one by one: a failing one ends the recipe. What runs a real Envoy has
# deadlines, so it runs by itself, each package after the other, and is never taken from the cache:
# Go does not see that nestor or Envoy has changed. test/metering alone runs with the others: its processors
# are in its own process, and its deadlines are long. The end-to-end tests go without -race, which would only
# slow the mock provider in their own process. NESTOR_TEST_WITHOUT=redis,postgres leaves out what needs
# a Redis or a PostgreSQL server; go test hides what packages skip, so the end says it.
unit:
	@envoy=$$(test/tools/get envoy) && python=$$(test/tools/get python) && node=$$(test/tools/get node) && \
	case ",$$NESTOR_TEST_WITHOUT," in *,redis,*) redis= ;; *) redis=$$(test/tools/get redis) || exit 1 ;; esac && \
	case ",$$NESTOR_TEST_WITHOUT," in *,postgres,*) postgres= ;; *) postgres=$$(test/tools/get postgres) || exit 1 ;; esac && \
	export NESTOR_TEST_ENVOY="$$envoy" NESTOR_TEST_PYTHON="$$python" NESTOR_LITELLM_PYTHON="$$python" NESTOR_TEST_NODE="$$node" NESTOR_TEST_REDIS="$$redis" NESTOR_TEST_POSTGRES="$$postgres" && \
	$(GO) test -race -timeout 15m $(TESTFLAGS) $$($(GO) list ./... | grep -v -e /envoy -e /test$$) && \
	$(GO) test -race -count=1 -p 1 -timeout 10m $(TESTFLAGS) ./envoy/... && \
	$(GO) test -count=1 -timeout 10m $(TESTFLAGS) ./test && \
	if [ -z "$$redis" ]; then echo "NOT TESTED, as NESTOR_TEST_WITHOUT=redis asks: ratelimit/redis, and all that replicas share" >&2; fi && \
	if [ -z "$$postgres" ]; then echo "NOT TESTED, as NESTOR_TEST_WITHOUT=postgres asks: access/store with PostgreSQL" >&2; fi

bench: build
	@envoy=$$(test/tools/get envoy) && $(GO) run ./test/bench -envoy "$$envoy" $(BENCHFLAGS)

lint: format vet staticcheck generated vulnerabilities

format:
	@unformatted=$$(gofmt -l $$(git ls-files '*.go')) && \
	if [ -n "$$unformatted" ]; then echo "error: not formatted by gofmt:" $$unformatted >&2; exit 1; fi

vet:
	$(GO) vet ./...

staticcheck:
	@program=$$(test/tools/get staticcheck) && echo staticcheck ./... && "$$program" ./...

generated:
	@echo compare generated code
	@test/tools/generated

vulnerabilities:
	@test/tools/vulnerabilities

generate:
	test/tools/generate

envoy:
	@test/tools/get envoy

# Leaves .tools/, which took downloads to fill.
clean:
	rm -rf bin
