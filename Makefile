# `make demo` and `make test` do all of their own set-up; they need Python 3.11, gcc and make.
PYTHON ?= python3.11
BIN := .venv/bin

.PHONY: demo test lint types layers check lock clean

demo: .venv/ready
	$(BIN)/lilypad run cowsay:v0.1 "hello"

test: .venv/ready
	$(BIN)/pytest

check: lint types layers test

lint: .venv/ready
	$(BIN)/ruff format --check .
	$(BIN)/ruff check .

types: .venv/ready
	$(BIN)/mypy

layers: .venv/ready
	$(BIN)/lint-imports

.venv/ready: requirements.lock pyproject.toml
	@command -v $(PYTHON) >/dev/null || { echo "$(PYTHON) is missing: install it, or say make PYTHON=…" >&2; exit 1; }
	@PYTHON=$(PYTHON) ./.ci/prerequisites
	test -x $(BIN)/python || $(PYTHON) -m venv .venv
	$(BIN)/python -m pip install --quiet --disable-pip-version-check --require-hashes -r requirements.lock
	$(BIN)/python -m pip install --quiet --disable-pip-version-check --no-deps --no-build-isolation -e .
	touch .venv/ready

# Made anew with `uv` (any way you have it): every dependency, pinned and hashed, without addresses.
lock:
	uv pip compile -q pyproject.toml --extra dev --universal --python-version 3.11 --generate-hashes \
	  --no-emit-index-url --no-header -o requirements.lock
	uv pip compile -q pyproject.toml -c requirements.lock --universal --python-version 3.11 --generate-hashes \
	  --no-emit-index-url --no-header -o requirements-node.lock

clean:
	rm -rf .venv .mypy_cache .ruff_cache .pytest_cache .hypothesis build *.egg-info
