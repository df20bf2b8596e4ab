# make demo: install, and run the case study on a real model.   make space: install, and open the Space on this machine.
# make test: install, and pass the tests.   make bench: install, and write benchmarks/RESULTS.md, in about 50 minutes.
PYTHON ?= python3
VENV ?= .venv
BIN := $(VENV)/bin
OUTPUT ?= isotropy-demo

export HF_HUB_OFFLINE = 1
export HF_HUB_DISABLE_TELEMETRY = 1

.PHONY: demo space test bench readme lint clean

demo: $(VENV)/study.installed
	$(BIN)/isotropy-metrics study --output $(OUTPUT) --overwrite

space: $(VENV)/demo.installed
	$(BIN)/python spaces_demo/app.py

test: $(VENV)/test.installed
	$(BIN)/python -m pytest
	$(BIN)/python -m pytest -m slow -n 0 --durations=40

bench: $(VENV)/bench.installed
	$(BIN)/python -m benchmarks

readme: $(VENV)/test.installed
	$(BIN)/python -m isotropy_metrics.measures._table README.md

lint: $(VENV)/test.installed
	$(BIN)/python -m pip install -q -c constraints.txt ruff
	$(BIN)/ruff check . && $(BIN)/ruff format --check .

clean:
	rm -rf $(VENV) $(OUTPUT) build *.egg-info

$(VENV)/%.installed: setup.py constraints.txt requirements-assets.txt
	test -x $(BIN)/python || $(PYTHON) -m venv $(VENV)
	$(BIN)/python -m pip install -q -c constraints.txt torch
	$(BIN)/python -m pip install -q -c constraints.txt -e '.[$*]'
	$(BIN)/python -m pip install -q --no-deps -r requirements-assets.txt
	touch $@
