# Two commands on a fresh machine with Python 3.11 or newer: `make run` and `make test`.
#
#   make run ARGS="--port 9000"        serve on another port
#   make install PYTHON=python3.13     use another Python
#   make install TORCH=torch==2.12.0   train with another torch; what is installed stays otherwise

VENV ?= .venv
PYTHON ?= python3
TORCH ?= torch==2.13.0
ARGS ?=

BIN = $(VENV)/bin
PIP_INSTALL = $(BIN)/python -m pip install --disable-pip-version-check --quiet

.PHONY: help run test lint install constraints
.DELETE_ON_ERROR:

help:
	@echo "make run      install what is needed and serve on http://127.0.0.1:8000"
	@echo "make test     install what is needed and run the tests"
	@echo "make lint     check format, style, types and Dockerfiles"
	@echo "make install  install everything into $(VENV)"

run: $(VENV)/.installed-worker
	@$(BIN)/peftwise serve $(ARGS)

test: $(VENV)/.installed-all
	HF_HUB_OFFLINE=1 $(BIN)/pytest -n 2 --dist loadfile -m "not slow and not gpu" $(ARGS)

lint: $(VENV)/.installed-all
	$(BIN)/ruff format --check
	$(BIN)/ruff check
	$(BIN)/mypy
	$(BIN)/hadolint docker/*.Dockerfile

install: $(VENV)/.installed-all

# The versions that are known to work together, from an environment with every extra.
constraints: $(VENV)/.installed-all
	$(PIP_INSTALL) -c constraints.txt -e '.[worker,quantized,postgres,ray,dev]'
	$(BIN)/python -m pip freeze --exclude-editable \
		| sed -n 's/^\([A-Za-z0-9._-]*==[^+ ]*\).*/\1/p' > $(VENV)/frozen.txt
	mv $(VENV)/frozen.txt constraints.txt

$(VENV)/.made:
	@$(PYTHON) -c 'import sys; sys.version_info >= (3, 11) or sys.exit("Peftwise needs Python \
	3.11 or newer, got %d.%d. Name another: make PYTHON=python3.13" % sys.version_info[:2])'
	@$(PYTHON) -m venv $(VENV) || { echo "On Debian: apt-get install python3-venv"; exit 1; }
	@touch $@

# Torch has a rule of its own, so that a build for another accelerator can take its place.
$(VENV)/.installed-torch: $(VENV)/.made
	@echo "Installing $(TORCH) into $(VENV); this takes minutes the first time."
	@$(PIP_INSTALL) "$(TORCH)"
	@touch $@

ifeq ($(origin TORCH),command line)
$(VENV)/.installed-torch: asked-for-by-name
.PHONY: asked-for-by-name
endif

$(VENV)/constraints.txt: constraints.txt $(VENV)/.made
	@grep -v '^torch==' constraints.txt > $@

$(VENV)/.installed-worker: $(VENV)/.installed-torch $(VENV)/constraints.txt pyproject.toml
	@echo "Installing Peftwise into $(VENV)."
	@$(PIP_INSTALL) -c $(VENV)/constraints.txt -e '.[worker]'
	@touch $@

$(VENV)/.installed-all: $(VENV)/.installed-torch $(VENV)/constraints.txt pyproject.toml
	@echo "Installing Peftwise with all that tests need into $(VENV)."
	@$(PIP_INSTALL) -c $(VENV)/constraints.txt -e '.[worker,postgres,ray,dev]'
	@touch $(VENV)/.installed-worker $@
