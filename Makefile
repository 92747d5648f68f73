# `make` lists the targets. Everything is installed into .venv; nothing is registered or written outside this folder.
PYTHON ?= $(shell command -v python3.11 || command -v python3)
PARAMS ?= params.yaml
JOBS ?=
export PATH := $(CURDIR)/.venv/bin:$(PATH)
export JUPYTER_PREFER_ENV_PATH := 1
export MPLCONFIGDIR := $(CURDIR)/build/matplotlib

.DEFAULT_GOAL := help
.PHONY: help setup repro test test-browser torture lint lab predict bench study figures prune clean

help:        ## this list
	@sed -n 's/^\([a-z-]*\):[^#]*## /\1|/p' $(MAKEFILE_LIST) | awk -F'|' '{printf "make %-12s %s\n", $$1, $$2}'

setup: .venv/.installed   ## create .venv and install the packages of environment.yml, as constraints.txt pins them

.venv/.installed: environment.yml constraints.txt pyproject.toml pipeline/requirements.py
	@$(PYTHON) -c 'import sys; sys.exit(sys.version_info[:2] != (3, 11) and "Python 3.11 is needed: make PYTHON=/path/to/python3.11")'
	$(PYTHON) -m venv .venv
	$(PYTHON) pipeline/requirements.py > .venv/requirements.txt
	.venv/bin/python -m pip install --quiet --disable-pip-version-check -c constraints.txt -r .venv/requirements.txt
	.venv/bin/python -m pip install --quiet --disable-pip-version-check --no-deps -e .
	@mkdir -p .venv/share/jupyter/lab/settings
	@echo '{"@jupyterlab/apputils-extension:notification": {"fetchNews": "false", "checkForUpdates": false}}' \
	  > .venv/share/jupyter/lab/settings/overrides.json
	@touch $@

repro: setup ## cohort, patches, trainings, tables. JOBS=n trainings at once; PARAMS=params/X.yaml: another profile
ifeq ($(PARAMS),params.yaml)
	@python -m pipeline.jobs $(if $(JOBS),--jobs $(JOBS))
else
	@python -m pipeline.profiles "$(PARAMS)" $(if $(JOBS),--jobs $(JOBS))
endif

lint: setup  ## ruff: rules and layout
	ruff check .
	ruff format --check .

test: lint   ## lint, unit tests, and the smoke profile end to end in a scratch copy (minutes)
	python -m pytest -n 2 --dist loadfile

test-browser: setup ## the explorer in JupyterLab, by mouse and keyboard; needs Chromium or Chrome. Screenshots: build/browser/
	python -m pytest -m browser tests/browser

torture: setup ## kill make repro at KILLS=50 random moments and compare what comes out; FUZZ=100000 damaged files (an hour)
	FUZZ=$(or $(FUZZ),100000) python -m pytest tests/test_fuzz.py
	python -m pytest -m torture -s tests/test_torture.py

lab: setup   ## JupyterLab on this machine only, token on; opens on notebooks/00_start_here.ipynb
	jupyter lab --ServerApp.ip=127.0.0.1 --LabApp.default_url=/lab/tree/notebooks/00_start_here.ipynb \
	  --LabApp.check_for_updates_class=jupyterlab.NeverCheckForUpdate \
	  --LabApp.extension_manager=readonly

predict: setup ## segment a scan: IN=scan.nii.gz OUT=folder RUN=runs/embedding_matching-50-0
	@$(if $(and $(IN),$(OUT),$(RUN)),,$(error say what to segment: make predict IN=scan.nii.gz OUT=out/ RUN=runs/embedding_matching-50-0))
	@python -m ssl_hip.prediction --image "$(IN)" --out "$(OUT)" --run "$(RUN)"

bench: setup ## measure speed beside other code, ten minutes on an idle machine: results/bench.json
	@dvc repro --quiet patches
	@python -m pip install --quiet --disable-pip-version-check --no-deps --upgrade --target build/peers \
	  -r benchmarks/peers.txt || echo "HD95 will be measured without what could not be installed"
	@PYTHONPATH=build/peers python -m benchmarks.bench

study: setup ## the study of docs/study.md, a part of MINUTES=50; goes on from results/study/
	@python -m study.run --minutes $(or $(MINUTES),50)

figures: setup ## the README's pictures, from finished results: results/figures/*.png
	@python -m ssl_hip.reporting.static_figures

prune: setup ## remove runs that params.yaml does not name (DVC's cache keeps them)
	@python -m pipeline.grid --prune

clean:       ## remove build/ and tool caches; results, runs and .venv stay
	rm -rf build .hypothesis .pytest_cache .ruff_cache *.egg-info
