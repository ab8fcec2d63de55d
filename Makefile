# Each target makes .venv itself when it is missing or older than the pins.
PYTHON ?= $(shell command -v python3.11 || command -v python3.12 || command -v python3)
VENV := .venv
BIN := $(VENV)/bin
STAMP := $(VENV)/.installed
OUT ?= out/demo
export OMP_NUM_THREADS ?= 2

.PHONY: demo test test-adapter test-lowest check format bench bench-quick docs clean

demo: $(STAMP)
	$(BIN)/hcp demo --out $(OUT)

test: $(STAMP)
	OMP_NUM_THREADS=1 $(BIN)/python -m pytest -m ""

# The adapter's tests where only the core is installed; peft and accelerate are what users add.
# Training on datasets on disk, and optimizers of other libraries, need extras.
WITH_EXTRAS := batches cache cache_read cache_write draining inputs loop mix optimisers ray scheduler state \
	takers validation watch worker
ADAPTER_TESTS := tests/hcp --ignore=tests/hcp/evaluation --ignore=tests/hcp/pages \
	$(foreach name,$(WITH_EXTRAS),--ignore=tests/hcp/training/test_$(name).py)
test-adapter: PINS := constraints.txt
test-lowest: PINS := constraints-lowest.txt
test-adapter test-lowest:
	rm -rf build/$@
	$(PYTHON) -m venv build/$@
	build/$@/bin/python -m pip install --quiet -c $(PINS) -e . pytest pytest-timeout pytest-xdist peft accelerate
	OMP_NUM_THREADS=1 build/$@/bin/python -m pytest $(ADAPTER_TESTS)
	rm -rf build/$@

check: $(STAMP)
	$(BIN)/ruff check .
	$(BIN)/ruff format --check .
	$(BIN)/basedpyright

# Strict: a link or an anchor that leads nowhere is an error. Open out/site/index.html.
docs: $(STAMP)
	NO_MKDOCS_2_WARNING=1 $(BIN)/python -m mkdocs build --strict

format: $(STAMP)
	$(BIN)/ruff check --fix .
	$(BIN)/ruff format .

bench: $(STAMP)
	for script in $(filter-out benchmarks/bench_evidence.py,$(wildcard benchmarks/bench_*.py)); do \
		echo "== $$script"; $(BIN)/python -m benchmarks.$$(basename $$script .py) || exit 1; done

bench-quick: $(STAMP)
	$(BIN)/python -m benchmarks.quick

$(STAMP): pyproject.toml constraints.txt
	@$(PYTHON) -c 'import sys; sys.exit(not (3, 11) <= sys.version_info[:2] <= (3, 12))' || \
		{ echo "HcP needs Python 3.11 or 3.12, found: $$($(PYTHON) --version). Set PYTHON=/path/to/python3.11"; exit 1; }
	@echo "Installing into $(VENV) (about 4 minutes, 8 GB) ..."
	$(PYTHON) -m venv $(VENV)
	$(BIN)/python -m pip install --quiet --upgrade pip
	$(BIN)/python -m pip install --quiet -c constraints.txt -e '.[all,dev,docs]'
	@touch $@

clean:
	rm -rf $(VENV) out build *.egg-info
