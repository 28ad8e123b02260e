# Two commands do everything on a fresh machine: `make demo` and `make test`.
PYTHON ?= python3
# What test-oldest runs on: the oldest versions have no wheels for the newest Python.
PYTHON_OLDEST ?= python3.11
VENV := .venv
PY := $(VENV)/bin/python
OLDEST := .venv-oldest

.PHONY: demo test test-fast test-oldest lint docs clean

demo: $(VENV)/.installed
	$(VENV)/bin/slimnets demo --out=demo

test: $(VENV)/.installed-test
	$(PY) -m pytest

# Everything that neither converts, nor trains, nor asks the whole zoo.
test-fast: $(VENV)/.installed-test
	$(PY) -m pytest -m "not slow"

# The same with the oldest versions that pyproject.toml allows.
test-oldest: $(OLDEST)/.installed
	$(OLDEST)/bin/python -m pytest -m "not slow"

lint: $(VENV)/.installed-test
	$(VENV)/bin/ruff check .
	$(VENV)/bin/ruff format --check .

# The site of docs/, in build/site.
docs: $(VENV)/.installed-docs
	$(PY) docs/make_pages.py
	$(VENV)/bin/mkdocs build --strict --site-dir build/site

# Makes a virtual environment: $(call create,PYTHON,FOLDER). pip is what is missing where a first
# attempt stopped half-way (Debian without python3-venv).
define create
	@$(1) -c 'import sys; sys.exit(sys.version_info < (3, 11))' || { \
	    echo "slimnets needs Python 3.11 or newer; $(1) is $$($(1) --version 2>&1)." \
	        "Name another one: make PYTHON=/path/to/python3.12 …" >&2; exit 1; }
	@test -x $(2)/bin/pip || { echo "== $(2): a virtual environment, 10 seconds"; \
	    $(1) -m venv $(2); }
endef

$(VENV)/.installed: pyproject.toml setup.py
	$(call create,$(PYTHON),$(VENV))
	@echo "== $(VENV): slimnets, TensorFlow, Keras, LiteRT: 730 MB to download, then pip is" \
	    "silent while it unpacks 2.5 GB; 2 to 7 minutes"
	@$(VENV)/bin/pip install --editable .
	@touch $@

# The second line installs what the resolver would refuse: see the comments in that file.
$(VENV)/.installed-test: $(VENV)/.installed tests/requirements-no-deps.txt
	@echo "== $(VENV): what the tests need besides: JAX, MediaPipe, …: 230 MB, 1 to 2 minutes"
	@$(VENV)/bin/pip install --editable ".[test]"
	@$(VENV)/bin/pip install --no-deps --requirement tests/requirements-no-deps.txt
	@touch $@

$(VENV)/.installed-docs: $(VENV)/.installed
	@echo "== $(VENV): MkDocs: 20 MB"
	@$(VENV)/bin/pip install --editable ".[docs]"
	@touch $@

$(OLDEST)/.installed: pyproject.toml setup.py tests/requirements-oldest.txt \
    tests/requirements-no-deps.txt
	$(call create,$(PYTHON_OLDEST),$(OLDEST))
	@echo "== $(OLDEST): the oldest versions of everything: 1 GB to download, 3 to 7 minutes"
	@$(OLDEST)/bin/pip install --requirement tests/requirements-oldest.txt
	@$(OLDEST)/bin/pip install --no-deps --requirement tests/requirements-no-deps.txt
	@$(OLDEST)/bin/pip install --no-deps --editable .
	@touch $@

clean:
	rm -rf $(VENV) $(OLDEST) build *.egg-info demo
