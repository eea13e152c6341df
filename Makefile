# Every target makes the environment it needs; a second call does not install again.
#   PYTHON     the interpreter that .venv is made from (3.11 or newer)
#   DATASETS, MODELS, SEEDS, CONFIG (default or tuned), JOBS   what the tables are made of, see README.md
#   DATASET, DIM, HOPS, DIMS, LENGTHS, FOR (a user), TARGET, NAME (of the files), TRAIN=no   and the figures
#   FACTORS            the rows of make audit, see experiments/tables/factors.py
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
# An option that is text, such as a title: $(call text,target,$(TARGET)) is 'target="a title"'.
text = $(if $(2),'$(1)="$(subst ','\'',$(subst ",\",$(2)))"')
FIGURE_OPTIONS = $(if $(NAME),output=$(NAME)) $(if $(JOBS),workers=$(JOBS)) $(if $(filter no,$(TRAIN)),train=false)

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
	$(BIN)/python -m sdmr.experiments.tables.statistics $*

table3 table4: table%: $(READY)
	$(BIN)/python -m sdmr.experiments.tables.accuracy $* $(TABLE_OPTIONS)

smoke: $(READY)
	$(BIN)/python -m sdmr.experiments.tables.smoke $(if $(DATASETS),--datasets $(DATASETS)) \
		$(if $(MODELS),--models $(MODELS)) $(if $(JOBS),--jobs $(JOBS))

publish: $(READY)
	$(BIN)/python -m sdmr.experiments.tables.publish $(TABLE) $(TABLE_OPTIONS)

audit: $(READY)
	$(BIN)/python -m sdmr.experiments.tables.audit --seeds $(SEEDS) $(if $(FACTORS),--factors $(FACTORS)) \
		$(if $(MODELS),--models $(MODELS)) $(if $(JOBS),--jobs $(JOBS)) $(if $(filter no,$(TRAIN)),--no-train)

figure5: $(READY)
	$(BIN)/sdmr figure name=$@ seeds=$(SEEDS) $(FIGURE_OPTIONS) $(if $(DATASET),dataset=$(DATASET)) \
		$(if $(DIM),dim=$(DIM)) $(call list,hops,$(HOPS))

figure6: $(READY)
	$(BIN)/sdmr figure name=$@ seeds=$(SEEDS) $(FIGURE_OPTIONS) $(call list,datasets,$(DATASETS)) \
		$(call list,models,$(MODELS)) $(call list,hops,$(HOPS)) $(call list,dims,$(DIMS)) $(call list,lengths,$(LENGTHS))

figure7: $(READY)
	$(BIN)/sdmr figure name=$@ $(FIGURE_OPTIONS) $(if $(DATASET),dataset=$(DATASET)) $(if $(DIM),dim=$(DIM)) \
		$(call list,hops,$(HOPS)) $(call text,user,$(FOR)) $(call text,target,$(TARGET))

curves speed: $(READY)
	$(BIN)/sdmr figure name=$@ seeds=$(SEEDS) settings=$(CONFIG) $(if $(NAME),output=$(NAME)) \
		$(if $(DATASET),dataset=$(DATASET)) $(call list,models,$(MODELS))

# All figures, from existing runs: nothing is trained.
figures: SEEDS = 3
figures: $(READY)
	$(BIN)/sdmr figure name=figure5 train=false
	$(BIN)/sdmr figure name=figure6 train=false seeds=$(SEEDS)
	$(BIN)/sdmr figure name=figure6 train=false output=figure6-cmn models=cmn
	$(BIN)/sdmr figure name=figure6 train=false output=figure6-context dims=64 hops=3 'lengths=[5,10,20]' seeds=$(SEEDS)
	$(BIN)/sdmr figure name=figure6 train=false output=figure6-ta-feng datasets=ta-feng 'dims=[16,64]'
	$(BIN)/sdmr figure name=figure7 train=false
	$(BIN)/sdmr figure name=curves seeds=$(SEEDS) settings=$(CONFIG)
	$(BIN)/sdmr figure name=speed seeds=$(SEEDS) settings=$(CONFIG)

sweep status: $(READY)
	$(BIN)/python -m sdmr.experiments.$@ $(SWEEP_OPTIONS) $(OVERRIDES)

bench: $(READY)
	$(BIN)/python -m sdmr.experiments.bench
