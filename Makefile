# Everything is set up in $(VENV) on first use and again when the requirements change; nothing else is touched.
PYTHON ?= python3
VENV ?= .venv
BIN := $(VENV)/bin

.PHONY: demo test test-slow test-slurm test-ray test-objects references lint docs bench bench-gpu load clean
.DELETE_ON_ERROR:

demo: $(VENV)/.installed
	$(BIN)/sambench run point --datasets demo --model sam_nano --model grabcut --model otsu

test: $(VENV)/.installed-dev
	$(BIN)/python -m pytest -n 2 --dist worksteal -m "not slow and not slurm and not ray"

test-slow: $(VENV)/.installed-dev
	$(BIN)/python -m pytest -m slow

# On a real SLURM cluster of two nodes that the tests start here, and end. Needs the system's slurmctld, slurmd, slurm-client and munge.
test-slurm: $(VENV)/.installed-dev
	$(BIN)/python -m pytest -m slurm -p no:xdist

# On a real Ray cluster of two nodes that the tests start here, and end. Ray goes into a folder of its own, beside what the others use.
test-ray: $(VENV)/.installed-dev
	$(BIN)/python -m pip install --quiet -c constraints.txt --target $(VENV)/ray --upgrade ray
	PYTHONPATH=$(abspath $(VENV))/ray $(BIN)/python -m pytest -m ray -p no:xdist

# Independent references of slow tests that are no dependencies: both would bring torchvision, of which the tests have what they need.
references: $(VENV)/.installed-dev
	$(BIN)/python -m pip install --quiet --no-deps hydra-core==1.3.8 omegaconf==2.4.0 antlr4-python3-runtime==4.9.3 iopath==0.1.10 \
	  portalocker==4.4.2 timm==1.0.31
	SAM2_BUILD_CUDA=0 $(BIN)/python -m pip install --quiet --no-deps --no-build-isolation sam2==1.1.0

# Object stores, with moto as the store: in an environment of its own, for it brings Flask and boto3.
test-objects: $(VENV)/.installed-dev
	$(PYTHON) -m venv build/moto && build/moto/bin/python -m pip install --quiet 'moto[server,s3]==5.2.5'
	SAMBENCH_MOTO=build/moto/bin/moto_server $(BIN)/python -m pytest tests/store/test_object_store.py tests/store/test_objects_killed.py

lint: $(VENV)/.installed-dev
	$(BIN)/ruff check .
	$(BIN)/mypy
	$(BIN)/lint-imports

# The pages as a site, in build/site: a link that leads nowhere is an error.
docs: $(VENV)/.installed-dev
	NO_MKDOCS_2_WARNING=1 $(BIN)/mkdocs build --quiet --strict

bench: $(VENV)/.installed-dev
	$(BIN)/python -m benchmarks.run

# 50 raters at once for 30 s on the rating pages: nothing lost or doubled, 95 of 100 ratings answered within 100 ms.
load: $(VENV)/.installed-dev
	$(BIN)/python -m tests.helpers.rating_load

bench-gpu: $(VENV)/.installed-dev
	$(BIN)/python -m benchmarks.gpu

clean:
	rm -rf build dist *.egg-info .cache .pytest_cache .mypy_cache .ruff_cache .import_linter_cache .hypothesis .coverage
	find . -name __pycache__ -not -path './$(VENV)/*' -type d -prune -exec rm -rf {} +

$(BIN)/python:
	@$(PYTHON) -c 'import sys; v = sys.version_info; v >= (3, 11) or sys.exit( \
	  f"sambench needs Python 3.11 or newer, but $(PYTHON) is {v[0]}.{v[1]}: make PYTHON=python3.11 $(MAKECMDGOALS)")'
	$(PYTHON) -m venv $(VENV)

$(VENV)/.installed: pyproject.toml constraints.txt | $(BIN)/python
	$(BIN)/python -m pip install --quiet -c constraints.txt -e .
	@touch $@

$(VENV)/.installed-dev: pyproject.toml constraints.txt | $(BIN)/python
	$(BIN)/python -m pip install --quiet -c constraints.txt -e '.[test,lint,docs]'
	@touch $@ $(VENV)/.installed
