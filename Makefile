# `make demo` and `make test` need python3, make and g++, nothing else.
PYTHON ?= python3
VENV := .venv
BIN := $(VENV)/bin
INSTALLED := $(VENV)/.installed

.PHONY: demo test test-quick bench clean

demo: $(INSTALLED)
	$(BIN)/python examples/demo.py $(if $(IMAGES),--images $(IMAGES)) $(if $(CAMS),--cams $(CAMS)) -o demo-out

# Two processes of one thread: threads of two that wait for each other take far longer.
PYTEST := OMP_NUM_THREADS=1 $(BIN)/python -m pytest -n $(or $(JOBS),2) --dist worksteal

test: $(INSTALLED)
	$(PYTEST)

# Without trainings, kills, random files and runs of several processes.
test-quick: $(INSTALLED)
	$(PYTEST) -m "not slow and not kills and not torchrun"

bench: $(INSTALLED)
	$(BIN)/python tests/bench/bench_all.py

$(INSTALLED): setup.py
	$(PYTHON) -m venv $(VENV)
	$(BIN)/python -m pip install --upgrade pip
	$(BIN)/python -m pip install -e '.[test]'
	touch $@

clean:
	rm -rf $(VENV) demo-out
