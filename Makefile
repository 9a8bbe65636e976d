# The commands of this project. `make` alone lists them.

CARGO_DENY_VERSION := 0.20.2

.PHONY: help demo wordpress test check fuzz bench install

help: ## list these commands
	@sed -n 's/^\([a-z]*\):.*## /  make \1\t/p' $(MAKEFILE_LIST) | expand -t 18

demo: ## build Sampan and serve an app of a component, PHP, JavaScript and files
	@scripts/demo.sh || test $$? = 130 # which is Ctrl-C

wordpress: ## build Sampan, fetch WordPress and PHP, and serve them
	cargo build --workspace --bin sampan
	examples/wordpress/setup.sh
	@echo "When it says that it is listening, open http://127.0.0.1:8080/ (admin / password). Ctrl-C ends it."
	@$${CARGO_TARGET_DIR:-target}/debug/sampan up -f examples/wordpress/sampan.toml || test $$? = 130

test: ## install what the tests need, build the guests, run every test
	scripts/install-test-needs.sh
	cargo xtask guests
	cargo xtask test
	cargo xtask fuzz 5

check: ## formatting, lints, the tree's own rules, licences and sources of dependencies
	cargo fmt --all --check
	cd guests && cargo fmt --all --check
	cd fuzz && cargo fmt --check
	cargo clippy --workspace --all-targets -- -D warnings
	cargo xtask tidy
	@command -v cargo-deny >/dev/null || cargo install cargo-deny --locked --version $(CARGO_DENY_VERSION)
	cargo deny check bans licenses sources

fuzz: ## fuzz each decoder for ten minutes
	cargo xtask fuzz 600

bench: ## compare with peers, side by side (needs wasmtime-cli 48, nginx, wrk, containerd, runc, php-cgi; Envoy comes from PyPI)
	cargo build --release --workspace --bin sampan
	cargo xtask bench
	cargo xtask bench-gateway
	cargo xtask bench-filters
	cargo xtask bench-neighbour
	cargo xtask bench-dapr
	cargo xtask bench-containers

install: ## build with full optimisation and install into Cargo's bin folder, or into PREFIX/bin
	cargo install --path crates/cli --locked $(if $(PREFIX),--root $(PREFIX))
