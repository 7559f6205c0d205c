# make demo: the main job, from a fresh clone. make test: everything that CI runs. Both install what they need into .venv.
PYTHON ?= python3
VENV := .venv
BIN := $(VENV)/bin

export OMP_NUM_THREADS ?= 1
export RAY_USAGE_STATS_ENABLED ?= 0
# Ray's processes yield to all others by default, and would stand still beside the pure tests.
export RAY_worker_niceness ?= 0
# Where this is set, each of the many processes that tests start would compile torch and Ray for itself: seconds, every time.
unexport PYTHONDONTWRITEBYTECODE

.PHONY: demo test test-pure test-ray test-gpu test-cluster check bench nightly docs clean

demo: $(VENV)/.demo
	$(BIN)/raynas run examples/digits.py

# What measures time comes last, by itself; before that the pure tests and those with Ray run side by side.
test: $(VENV)/.test
	@echo "The pure tests and those with Ray run side by side; what each of them says comes when it ends."
	@$(MAKE) --no-print-directory --output-sync=target -j 2 test-pure test-ray
	$(BIN)/python -m pytest -m "alone and not nightly"

test-pure: check
	$(BIN)/python -m pytest -n 2 -m "not ray and not demo and not alone and not nightly"

test-ray: $(VENV)/.test
	$(BIN)/python -m pytest -m "(ray or demo) and not alone and not nightly"

# Several hosts on this machine: needs root and network namespaces, is skipped elsewhere.
test-cluster: $(VENV)/.test
	$(BIN)/python -m pytest -m cluster

test-gpu: $(VENV)/.test
	$(BIN)/python -m pytest -m gpu

check: $(VENV)/.test
	$(BIN)/ruff check
	$(BIN)/ruff format --check
	$(BIN)/mypy

nightly: $(VENV)/.test
	HYPOTHESIS_PROFILE=nightly $(BIN)/python -m pytest --timeout=1200

docs: $(VENV)/.test
	$(BIN)/python -m mkdocs build

bench: $(VENV)/.test
	$(BIN)/python benchmarks/ranking.py --space macro
	$(BIN)/python benchmarks/ranking.py --space digits
	$(BIN)/python benchmarks/local_engine.py
	$(BIN)/python benchmarks/tune_overhead.py
	$(BIN)/python benchmarks/registry.py
	$(BIN)/python benchmarks/registry_growth.py
	$(BIN)/python benchmarks/pool.py
	$(BIN)/python benchmarks/scaling.py
	$(BIN)/python benchmarks/searchers.py
	$(BIN)/python benchmarks/space.py
	$(BIN)/python benchmarks/forward.py
	$(BIN)/python benchmarks/profile.py
	$(BIN)/python benchmarks/supernet.py --check

clean:
	rm -rf $(VENV) .mypy_cache .pytest_cache .ruff_cache .hypothesis

# Python compiles what is imported; all that is installed would take a minute. But Ray's processes wait for each other a quarter of
# a minute and no longer, so what they import is compiled before they start for the first time.
RAYS := ray aiohttp google grpc jsonschema opentelemetry prometheus_client pydantic requests
define install
	$(PYTHON) -m venv $(VENV)
	$(BIN)/python -m pip install --quiet --disable-pip-version-check --no-compile -c constraints.txt -e '.[$(1)]'
	cd $(VENV)/lib/python3*/site-packages && $(CURDIR)/$(BIN)/python -m compileall -q -j 0 -x '/(rllib|llm)/' $$(ls -d $(RAYS) 2>/dev/null) || true
endef

$(VENV)/.demo: pyproject.toml constraints.txt
	$(call install,demo)
	touch $@

$(VENV)/.test: pyproject.toml constraints.txt
	$(call install,test)
	touch $@ $(VENV)/.demo
