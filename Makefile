# Every target makes the environment it needs; a second call does not install again.
#   PYTHON     the interpreter that .venv is made from (3.11 or newer)
#   DATASETS, MODELS, SEEDS, CONFIG (default or tuned), JOBS   what the tables are made of, see README.md
#   DATASET, DIM, HOPS, DIMS, LENGTHS, FOR (a user), TARGET, NAME (of the files), TRAIN=no   and the figures
#   FACTORS            the rows of make audit, see experiments/report/factors.py
#   MODEL, DATASET, SEARCH, FROM, BUDGET, JOBS, OVERRIDES   what is searched, see experiments/sweep.py

PYTHON ?= python3
VENV := .venv
BIN := $(VENV)/bin
READY := $(VENV)/.ready
SEEDS ?= 1
CONFIG ?= default
TABLE ?= 3
comma := ,
empty :=
# An option that is a list, from a variable of words: $(call list,datasets,$(DATASETS)) is 'datasets=[a,b]'.
list = $(if $(strip $(2)),'$(1)=[$(subst $(empty) $(empty),$(comma),$(strip $(2)))]')
TABLE_OPTIONS = seeds=$(SEEDS) settings=$(CONFIG) $(call list,datasets,$(DATASETS)) $(call list,models,$(MODELS))
FIGURE_OPTIONS = $(if $(JOBS),--jobs $(JOBS)) $(if $(NAME),--name $(NAME)) \
	$(if $(filter no,$(TRAIN)),--no-train)

SWEEP_OPTIONS = model=$(subst $(empty) $(empty),$(comma),$(strip $(MODEL))) $(if $(DATASET),dataset=$(DATASET)) \
	$(if $(SEARCH),search=$(SEARCH)) $(if $(FROM),from=$(FROM)) $(if $(BUDGET),budget=$(BUDGET)) $(if $(JOBS),jobs=$(JOBS))

.PHONY: venv test lint table1 table2 table3 table4 audit smoke publish figure5 figure6 figure7 curves speed figures sweep bench
.PHONY: status

venv: $(READY)

$(READY): setup.cfg pyproject.toml constraints.txt
	$(PYTHON) -c 'import sys; sys.exit(sys.version_info < (3, 11) and "Python 3.11 or newer is needed; say PYTHON=…")'
	$(PYTHON) -m venv $(VENV)
	$(BIN)/pip install --quiet --constraint constraints.txt --editable '.[test]'
	touch $(READY)

test: $(READY)
	$(BIN)/python -m pytest --numprocesses $(or $(JOBS),auto) --maxprocesses 8 --dist worksteal

lint: $(READY)
	$(BIN)/ruff check .
	$(BIN)/ruff format --check .
	mkdir -p $(VENV)/typing && ln -sfn $(CURDIR) $(VENV)/typing/sdmr
	cd $(VENV)/typing && ../bin/mypy --config-file $(CURDIR)/setup.cfg --cache-dir $(CURDIR)/.mypy_cache \
		-p sdmr.datasets -p sdmr.harness -p sdmr.models -p sdmr.baselines -p sdmr.experiments

table1 table2: table%: $(READY)
	$(BIN)/sdmr table number=$*

table3 table4: table%: $(READY)
	$(BIN)/sdmr table number=$* $(TABLE_OPTIONS) $(if $(JOBS),workers=$(JOBS))

smoke: $(READY)
	$(BIN)/python -m sdmr.experiments.tables.smoke $(if $(DATASETS),--datasets $(DATASETS)) \
		$(if $(MODELS),--models $(MODELS)) $(if $(JOBS),--jobs $(JOBS))

publish: $(READY)
	$(BIN)/sdmr publish number=$(TABLE) $(TABLE_OPTIONS)

audit: $(READY)
	$(BIN)/sdmr audit seeds=$(SEEDS) $(call list,factors,$(FACTORS)) $(call list,models,$(MODELS)) \
		$(if $(JOBS),workers=$(JOBS)) $(if $(filter no,$(TRAIN)),train=false)

figure5: $(READY)
	$(BIN)/python -m sdmr.experiments.figures.figure5 --seeds $(SEEDS) $(FIGURE_OPTIONS) $(if $(DATASET),--dataset $(DATASET)) \
		$(if $(DIM),--dim $(DIM))

figure6: $(READY)
	$(BIN)/python -m sdmr.experiments.figures.figure6 --seeds $(SEEDS) $(FIGURE_OPTIONS) \
		$(if $(DATASETS),--datasets $(DATASETS)) $(if $(MODELS),--models $(MODELS)) $(if $(HOPS),--hops $(HOPS)) \
		$(if $(DIMS),--dims $(DIMS)) $(if $(LENGTHS),--lengths $(LENGTHS))

figure7: $(READY)
	$(BIN)/python -m sdmr.experiments.figures.figure7 $(FIGURE_OPTIONS) $(if $(DATASET),--dataset $(DATASET)) \
		$(if $(DIM),--dim $(DIM)) $(if $(FOR),--user '$(FOR)') $(if $(TARGET),--target '$(subst ','\'',$(TARGET))')

curves speed: $(READY)
	$(BIN)/python -m sdmr.experiments.figures.$@ --seeds $(SEEDS) --config $(CONFIG) $(if $(NAME),--name $(NAME)) \
		$(if $(DATASET),--dataset $(DATASET)) $(if $(MODELS),--models $(MODELS))

# All figures, from what is there: nothing is trained.
figures: SEEDS = 3
figures: $(READY)
	$(BIN)/python -m sdmr.experiments.figures.figure5 --no-train
	$(BIN)/python -m sdmr.experiments.figures.figure6 --no-train --seeds $(SEEDS)
	$(BIN)/python -m sdmr.experiments.figures.figure6 --no-train --name figure6-cmn --models cmn
	$(BIN)/python -m sdmr.experiments.figures.figure6 --no-train --name figure6-context --dims 64 --hops 3 --lengths 5 10 20 \
		--seeds $(SEEDS)
	$(BIN)/python -m sdmr.experiments.figures.figure6 --no-train --name figure6-ta-feng --datasets ta-feng --dims 16 64
	$(BIN)/python -m sdmr.experiments.figures.figure7 --no-train
	$(BIN)/python -m sdmr.experiments.figures.curves --seeds $(SEEDS) --config $(CONFIG)
	$(BIN)/python -m sdmr.experiments.figures.speed --seeds $(SEEDS) --config $(CONFIG)

sweep status: $(READY)
	$(BIN)/python -m sdmr.experiments.$@ $(SWEEP_OPTIONS) $(OVERRIDES)

bench: $(READY)
	$(BIN)/python -m sdmr.experiments.bench
