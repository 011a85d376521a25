# Every target does the set-up that it needs: `make demo` and `make test` work on a fresh clone.

BIN := .venv/bin
# Extra arguments: make test ARGS="tests/unit -k digest"
ARGS ?=

.DEFAULT_GOAL := help
.PHONY: help setup demo test lint format bench bench-builds bench-containers bench-union endurance clean

help: ## List the targets
	@sed -nE 's/^([a-z]+):.*## (.*)/  make \1\t\2/p' $(MAKEFILE_LIST)

setup: ## Install distribution packages, the virtual environment and this project in it
	@scripts/setup

demo: setup ## Make, push, pull, run, change, commit and remove an nginx image, checking each step (needs root)
	@PYTHONPATH=tests $(BIN)/python -m demo $(ARGS)

test: lint ## Check the code, then run every test that this machine can run
	@$(BIN)/pytest $(ARGS)

lint: setup ## Check style, types and the direction of imports
	@$(BIN)/ruff check
	@$(BIN)/ruff format --check
	@$(BIN)/mypy
	@$(BIN)/lint-imports --no-cache

format: setup ## Put the code into the project's format
	@$(BIN)/ruff check --fix
	@$(BIN)/ruff format

bench: setup ## Compare with docker, podman and ctr; writes bench/RESULTS.md (needs root)
	@$(BIN)/python -m bench $(ARGS)

bench-builds: setup ## Compare builds with docker's classic builder and buildah (needs root)
	@$(BIN)/python -m bench.builds $(ARGS)

bench-containers: setup ## Compare running, starting and entering containers with docker (needs root)
	@$(BIN)/python -m bench.containers $(ARGS)

bench-union: setup ## Compare our union file system with overlayfs, fuse-overlayfs and unionfs-fuse; writes its part of bench/RESULTS.md (needs root)
	@$(BIN)/python -m bench.union $(ARGS)

endurance: setup ## Run 1,000 short containers and 200 that something is killed of, and account for all they leave (needs root)
	@PYTHONPATH=tests $(BIN)/python -m endurance $(ARGS)

clean: ## Remove what set-up, tests and demo have made in this folder
	rm -rf .venv .cache .mypy_cache .ruff_cache .pytest_cache .hypothesis .import_linter_cache dist
	find src tests bench scripts -name __pycache__ -prune -exec rm -rf {} +
