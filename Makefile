# make run and make test do everything; the other targets are for those who work on cgq.

GO     ?= go
PREFIX ?= /usr/local
BASE   ?= ./var

LINT_VERSION := v2.15.0
LINT         := bin/tools/golangci-lint-$(LINT_VERSION)

# The race detector needs cgo; where there is no C compiler the tests run without it.
RACE = $(if $(filter 1,$(shell $(GO) env CGO_ENABLED)),-race)

.DEFAULT_GOAL := build
.PHONY: run test powercut kill submitted lint bench bench-store bench-queue bench-router bench-enqueuer build install install-sendmail completions docs clean

# Their version is the tag or the commit, where git tells it: not without git, not in an archive, not of somebody else's clone.
VCS = $(shell git rev-parse HEAD >/dev/null 2>&1 && echo auto || echo false)

build: $(GO).there ## both programs into bin/
	$(GO) build -trimpath -buildvcs=$(VCS) -o bin/ ./cmd/...

define NEED
cgqd is built with Go 1.26, which Go 1.21 and newer fetch by themselves. Debian 13: apt install golang-go.
Elsewhere: https://go.dev/dl. Then it has to be in the PATH, or named: make GO=/usr/local/go/bin/go
endef
export NEED

.PHONY: $(GO).there
$(GO).there:
	@command -v $(GO) >/dev/null || { printf '%s\n' "There is no $(GO) here." "$$NEED" >&2; exit 1; }
	@case `GOTOOLCHAIN=local $(GO) env GOVERSION` in go1.?|go1.?.*|go1.1?|go1.1?.*|go1.20|go1.20.*) \
	  printf '%s\n' "$(GO) is too old: `$(GO) version`." "$$NEED" >&2; exit 1;; esac

define NEXT

cgqd starts on 127.0.0.1:2525 with its base directory in $(BASE). Ctrl-C stops it. In another terminal, in this directory:

  export CGQ_BASE=$(abspath $(BASE)) PATH=$$PWD/bin:$$PATH
  cgq account create ann@example.com
  swaks --server 127.0.0.1:2525 --to ann@example.com
  cgq queue list
  cgq log tail -f

Without swaks: printf 'Subject: hello\n\nHello, Ann.\n' | curl -sS smtp://127.0.0.1:2525 \
                 --mail-from bob@example.net --mail-rcpt ann@example.com --crlf -T -

endef
export NEXT

run: build ## a daemon with defaults in ./var, in the foreground
	@test -e $(BASE) || bin/cgqd init --base $(BASE) --domain example.com
	@printf '%s\n' "$$NEXT"
	@exec bin/cgqd --base $(BASE)

test: $(GO).there ## all tests
	$(GO) vet ./...
	$(GO) test $(RACE) ./...

# As root, with FUSE and loop devices. In the directory of the package, so that the lines come while they are made.
CUTS   ?= 1000
ROUNDS ?= 100

powercut: ## CUTS power cuts on real file systems
	cd pkg/endtoend/powercut && $(GO) test -run 'TestPowerCuts' -count=1 -timeout 0 -args -cuts $(CUTS)

kill: ## ROUNDS times SIGKILL under load
	cd pkg/endtoend/powercut && $(GO) test -run 'TestKill' -count=1 -timeout 0 -args -rounds $(ROUNDS)

FILES ?= 30000

submitted: ## FILES files in Submitted/ at once, and SIGKILL among them
	CGQ_TEST_FILES=$(FILES) $(GO) test ./pkg/endtoend -run 'TestStories/submitted$$' -count=1 -timeout 30m -v

lint: $(LINT) ## gofmt and the linters of .golangci.yml
	$(LINT) run ./...

# The tool has a module of its own, the proxy's: nothing of it is in our go.mod.
$(LINT):
	GOBIN=$(CURDIR)/bin/tools $(GO) install github.com/golangci/golangci-lint/v2/cmd/golangci-lint@$(LINT_VERSION)
	mv bin/tools/golangci-lint $@

bench: build ## cgqd beside Postfix and the floor: bench/README.md; BENCHFLAGS='-rounds 1'
	$(GO) build -trimpath -o bin/ ./bench ./bench/floor
	bin/bench $(BENCHFLAGS)

bench-store: build ## journal, spool and restart beside their targets: bench/README.md; BENCHFLAGS='-only commits'
	$(GO) build -trimpath -o bin/ ./bench/store
	bin/store $(BENCHFLAGS)

bench-queue: build ## a million waiting messages beside their targets: bench/README.md; BENCHFLAGS='-messages 100000 -only lists'
	$(GO) build -trimpath -o bin/ ./bench/queue
	bin/queue $(BENCHFLAGS)

bench-router: ## addresses a second through a Router table of 100,000 records: docs/router.md
	$(GO) test ./pkg/router -run '^$$' -bench Route100000 -benchmem

bench-enqueuer: ## what the Enqueuer and 100 Rules take a message, besides the disk: docs/rules.md
	$(GO) test ./pkg/enqueuer ./pkg/rules -run '^$$' -bench 'Decide|Run100' -benchmem

# What is built is not built again: this runs as root, who may have no Go.
install: $(if $(wildcard bin/cgqd),,build) $(if $(wildcard completions/cgq.bash),,completions) ## programs, completions and pages of man under $(DESTDIR)$(PREFIX)
	install -d $(DESTDIR)$(PREFIX)/bin $(DESTDIR)$(PREFIX)/sbin
	install -m 755 bin/cgq $(DESTDIR)$(PREFIX)/bin/
	install -m 755 bin/cgqd $(DESTDIR)$(PREFIX)/sbin/
	for p in cgq cgqd; do \
	  install -D -m 644 completions/$$p.bash $(DESTDIR)$(PREFIX)/share/bash-completion/completions/$$p && \
	  install -D -m 644 completions/$$p.zsh $(DESTDIR)$(PREFIX)/share/zsh/site-functions/_$$p && \
	  install -D -m 644 completions/$$p.fish $(DESTDIR)$(PREFIX)/share/fish/vendor_completions.d/$$p.fish || exit; done
	for s in 1 5 8; do install -d $(DESTDIR)$(PREFIX)/share/man/man$$s && \
	  install -m 644 docs/man/*.$$s $(DESTDIR)$(PREFIX)/share/man/man$$s/ || exit; done

# What has the name already, such as another mail server's, stays: it is taken away by hand.
install-sendmail: ## the names by which programs know a mail server, under $(DESTDIR)/usr
	install -d $(DESTDIR)/usr/sbin $(DESTDIR)/usr/lib $(DESTDIR)/usr/bin
	ln -s $(PREFIX)/bin/cgq $(DESTDIR)/usr/sbin/sendmail
	ln -s ../sbin/sendmail $(DESTDIR)/usr/lib/sendmail
	ln -s $(PREFIX)/bin/cgq $(DESTDIR)/usr/bin/mailq
	ln -s $(PREFIX)/bin/cgq $(DESTDIR)/usr/bin/newaliases

completions: build ## completions/ for bash, zsh, fish and PowerShell
	mkdir -p completions
	bin/cgq completion bash > completions/cgq.bash
	bin/cgq completion zsh > completions/cgq.zsh
	bin/cgq completion fish > completions/cgq.fish
	bin/cgq completion powershell > completions/cgq.ps1
	bin/cgqd gen-completions completions

docs: completions ## what is made from the programs: completions/, docs/commands/, docs/man/, docs/settings.md and docs/openapi.yaml
	rm -rf docs/commands docs/man
	bin/cgq gen-docs docs/commands
	bin/cgq gen-man docs/man
	bin/cgqd gen-docs docs
	bin/cgqd gen-openapi > docs/openapi.yaml

clean: ## what was built; ./var stays
	rm -rf bin
