# Two commands do everything on a fresh machine: `make demo` and `make test`.
PYTHON ?= python3
VENV := .venv
PY := $(VENV)/bin/python

.PHONY: demo test test-fast lint clean

demo: $(VENV)/.installed
	$(VENV)/bin/slimnets demo --out=demo

test: $(VENV)/.installed-test
	$(PY) -m pytest

# Everything that neither converts, nor trains, nor asks the whole zoo.
test-fast: $(VENV)/.installed-test
	$(PY) -m pytest -m "not slow"

lint: $(VENV)/.installed-test
	$(VENV)/bin/ruff check .
	$(VENV)/bin/ruff format --check .

$(VENV)/.installed: pyproject.toml setup.py
	test -x $(PY) || $(PYTHON) -m venv $(VENV)
	$(VENV)/bin/pip install --quiet --editable .
	touch $@

# The second line installs what the resolver would refuse: see the comments in that file.
$(VENV)/.installed-test: $(VENV)/.installed tests/requirements-no-deps.txt
	$(VENV)/bin/pip install --quiet --editable ".[test]"
	$(VENV)/bin/pip install --quiet --no-deps --requirement tests/requirements-no-deps.txt
	touch $@

clean:
	rm -rf $(VENV) build *.egg-info demo
