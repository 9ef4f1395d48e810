# `make book` builds the book, `make test` checks everything. Both need Python 3.10 or newer and
# set up their own environment in .venv; a second call installs nothing unless pyproject.toml
# has changed. Another interpreter: make book PYTHON=python3.12

PYTHON ?= python3
VENV := .venv
BIN := $(VENV)/bin
PAGE := _build/html/index.html
QUICK := $(foreach t,chapters pages live_pages stored_outputs standalone recorded notebook_tools defaults \
  doctests,--ignore=tests/test_$(t).py)

.PHONY: help book test quick lint clean

help:
	@echo "make book   build the book and print the page to open"
	@echo "make test   run every check"
	@echo "make quick  run the unit tests, for while you work"
	@echo "make lint   check format and style"
	@echo "make clean  remove what was built (not .venv)"

book: $(VENV)/.installed-book
	@# --all: with warnings as errors, a page that failed once must be read again.
	$(BIN)/jupyter-book build . --all -W --keep-going -q
	@echo
	@echo "The book is built. Open this page in a browser:"
	@echo "  $(CURDIR)/$(PAGE)"

test: $(VENV)/.installed-test
	OMP_NUM_THREADS=1 $(BIN)/python -m pytest $(PYTEST_ARGS)

# Neither chapters nor pages, nothing that trains for long or starts processes.
quick: $(VENV)/.installed-test
	OMP_NUM_THREADS=1 $(BIN)/python -m pytest -m "not slow" $(PYTEST_ARGS) $(QUICK)

lint: $(VENV)/.installed-test
	$(BIN)/ruff check .
	$(BIN)/ruff format --check .

clean:
	rm -rf _build dist

$(BIN)/python:
	@$(PYTHON) -c "import sys; sys.exit(sys.version_info < (3, 10))" || \
	  { echo "Python 3.10 or newer is needed; name one with: make PYTHON=python3.12 ..."; exit 1; }
	$(PYTHON) -m venv $(VENV)

# The stamps are touched last, so an install that was interrupted is done again.
$(VENV)/.installed-book: pyproject.toml | $(BIN)/python
	$(BIN)/python -m pip install --quiet --disable-pip-version-check -e ".[book]"
	@touch $@

$(VENV)/.installed-test: pyproject.toml | $(BIN)/python
	$(BIN)/python -m pip install --quiet --disable-pip-version-check -e ".[book,test,imagenet]"
	@touch $@ $(VENV)/.installed-book
