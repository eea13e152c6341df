# Every target makes the environment it needs; a second call does not install again.
# Variables are listed in docs/commands.md. Each target passes its variables to one command; `sdmr COMMAND --help` explains them.
#   PYTHON   the interpreter that .venv is made from (3.11 or newer)

PYTHON ?= python3
VENV := .venv
BIN := $(VENV)/bin
SDMR := $(BIN)/sdmr
READY := $(VENV)/.ready
DOCS_READY := $(VENV)/.docs-ready
SEEDS ?= 1
CONFIG ?= default
TABLE ?= 3

# The variables of each target. Any other on the command line is an error.
COMMON := PYTHON VENV
VARIABLES_test := JOBS
VARIABLES_table3 := DATASETS MODELS SEEDS CONFIG JOBS
VARIABLES_table4 := $(VARIABLES_table3)
VARIABLES_publish := TABLE DATASETS MODELS SEEDS CONFIG REPLACE
VARIABLES_audit := FACTORS MODELS SEEDS TRAIN JOBS
VARIABLES_figure5 := NAME DATASET DIM HOPS SEEDS TRAIN JOBS
VARIABLES_figure6 := NAME DATASETS MODELS DIMS HOPS LENGTHS SEEDS TRAIN JOBS
VARIABLES_figure7 := NAME DATASET DIM HOPS FOR TARGET TRAIN JOBS
VARIABLES_curves := NAME DATASET MODELS SEEDS CONFIG
VARIABLES_speed := $(VARIABLES_curves)
VARIABLES_status := MODEL DATASET SEARCH TRIALS BUDGET JOBS OVERRIDES
VARIABLES_sweep := $(VARIABLES_status) PRUNE REPLACE
VARIABLES_smoke := DATASETS MODELS JOBS
VARIABLES_paper := JOBS
PAPER := $(addprefix paper-,ml-100k ta-feng ml-1m epinions epinions-id-order)
OTHER_SPLITS := $(addprefix paper-split-,1 2 3 4) paper-global-time
SUBSTITUTES := $(addprefix paper-,ijcai-15 netflix-sample)
$(foreach target,$(PAPER) $(OTHER_SPLITS) $(SUBSTITUTES),$(eval VARIABLES_$(target) := JOBS))

TYPED := $(foreach name,$(.VARIABLES),$(if $(filter command,$(origin $(name))),$(name)))
USED := $(foreach target,$(MAKECMDGOALS),$(VARIABLES_$(target)))
ifneq ($(filter-out $(COMMON) $(USED),$(TYPED)),)
$(error $(or $(MAKECMDGOALS),venv) does not use $(filter-out $(COMMON) $(USED),$(TYPED)); \
its variables are: $(or $(strip $(USED)),none))
endif

comma := ,
space := $() $()
list = [$(subst $(space),$(comma),$(strip $(1)))]
option = $(if $(2),'$(1)=$(2)')
text = $(if $(2),'$(1)="$(subst ','\'',$(subst ",\",$(2)))"')
options = $(if $(strip $(2)),'$(1)=$(call list,$(2))')
switch = $(if $(2),$(1)=$(subst yes,true,$(subst no,false,$(2))))

WORKERS = $(call option,workers,$(JOBS))
TRAINING = $(call switch,train,$(TRAIN))
REPLACEMENT = $(call switch,replace,$(REPLACE))
ROWS = seeds=$(SEEDS) settings=$(CONFIG) $(call options,datasets,$(DATASETS)) $(call options,models,$(MODELS))
FIGURE = $(call option,output,$(NAME)) $(TRAINING) $(WORKERS)
SEARCH_OPTIONS = $(call options,model,$(MODEL)) $(call option,dataset,$(DATASET)) $(call option,search,$(SEARCH)) \
	$(call option,trials,$(TRIALS)) $(call option,budget,$(BUDGET)) $(call switch,prune,$(PRUNE)) $(WORKERS) $(OVERRIDES)

.PHONY: venv test lint docs table1 table2 table3 table4 publish audit smoke bench sweep status
.PHONY: figure5 figure6 figure7 curves speed figures report paper $(PAPER) $(OTHER_SPLITS) $(SUBSTITUTES)

venv: $(READY)

$(READY): setup.cfg pyproject.toml constraints.txt
	$(PYTHON) -c 'import sys; sys.exit(sys.version_info < (3, 11) and "Python 3.11 or newer is needed: make PYTHON=...")'
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

$(DOCS_READY): $(READY)
	$(BIN)/pip install --quiet --constraint constraints.txt --editable '.[docs]'
	touch $(DOCS_READY)

docs: $(DOCS_READY)
	$(BIN)/python -m sphinx -W -b html docs docs/_build

table1 table2: table%: $(READY)
	$(SDMR) table number=$*

table3 table4: table%: $(READY)
	$(SDMR) table number=$* $(ROWS) $(WORKERS)

publish: $(READY)
	$(SDMR) publish number=$(TABLE) $(ROWS) $(REPLACEMENT)

audit: $(READY)
	$(SDMR) audit seeds=$(SEEDS) $(call options,factors,$(FACTORS)) $(call options,models,$(MODELS)) $(TRAINING) $(WORKERS)

figure5: $(READY)
	$(SDMR) figure name=$@ seeds=$(SEEDS) $(call option,dataset,$(DATASET)) $(call option,dim,$(DIM)) \
		$(call options,hops,$(HOPS)) $(FIGURE)

figure6: $(READY)
	$(SDMR) figure name=$@ seeds=$(SEEDS) $(call options,datasets,$(DATASETS)) $(call options,models,$(MODELS)) \
		$(call options,hops,$(HOPS)) $(call options,dims,$(DIMS)) $(call options,lengths,$(LENGTHS)) $(FIGURE)

figure7: $(READY)
	$(SDMR) figure name=$@ $(call option,dataset,$(DATASET)) $(call option,dim,$(DIM)) $(call options,hops,$(HOPS)) \
		$(call text,user,$(FOR)) $(call text,target,$(TARGET)) $(FIGURE)

curves speed: $(READY)
	$(SDMR) figure name=$@ seeds=$(SEEDS) settings=$(CONFIG) $(call option,dataset,$(DATASET)) \
		$(call options,models,$(MODELS)) $(call option,output,$(NAME))

# All published results: searches, tables, figures, audit, report. Finished runs are used again, so the same command goes
# on after an interruption.
paper: table1 table2 $(PAPER) $(OTHER_SPLITS)
	$(SDMR) figure name=published publish=true $(WORKERS)
	$(SDMR) table number=3 strata=true
	$(SDMR) table number=4 strata=true
	$(SDMR) audit seeds=3 publish=true $(WORKERS)
	$(SDMR) audit seeds=3 models=$(AUDITED) factors=default publish=true $(WORKERS)
	$(SDMR) audit models=$(AUDITED) factors=next-to-last publish=true $(WORKERS)
	$(SDMR) audit factors=sasrec-papers models=sasrec publish=true
	$(SDMR) audit factors=authors-readme models=[sdp,sdm] publish=true $(WORKERS)
	$(SDMR) report to=results/report.html
	$(SDMR) check table=3
	$(SDMR) check table=4

AUDITED := [slim,cml,neumf,cmn,prme,prme-s,transrec,caser]
WHOLE_GRID := popularity transitions item-knn slim ease
PARTS := gmf mlp gmf-bpr
SAMPLED := neumf cmn sdp sdm sdmr mf-bpr cml prme prme-s transrec caser ials
SEQUENCE_MODELS := gru4rec sasrec
BASKETS := ta-feng ijcai-15
# BERT4Rec is too slow to search on the larger data sets.
SEQUENCES_OF_DATA = $(if $(filter-out $(BASKETS),$*),$(SEQUENCE_MODELS)) $(if $(filter ml-100k,$*),bert4rec)
CELLS = number=$(if $(filter $(BASKETS),$*),4,3) datasets=$* $(call options,models,$(WHOLE_GRID) $(SAMPLED) $(SEQUENCES_OF_DATA)) \
	seeds=$(if $(filter paper-$*,$(SUBSTITUTES)),1,3) settings=tuned

$(PAPER): paper-%: $(READY)
	$(SDMR) sweep $(call options,model,$(WHOLE_GRID)) dataset=$* search=grid replace=true $(WORKERS)
	$(SDMR) sweep $(call options,model,$(PARTS) $(SAMPLED) $(SEQUENCES_OF_DATA)) dataset=$* replace=true $(WORKERS)
	$(SDMR) sweep model=[sdp-grid,sdm-grid,sdmr-grid] dataset=$* $(WORKERS)
	$(SDMR) check dataset=$* publish=true
	$(SDMR) table $(CELLS) $(WORKERS)
	$(SDMR) publish $(CELLS)

# Substitutes for data that are not public. No search: the settings are those of another data set.
$(SUBSTITUTES): paper-%: $(READY)
	$(SDMR) sweep $(call options,model,$(WHOLE_GRID) $(PARTS) $(SAMPLED) $(SEQUENCES_OF_DATA)) dataset=$* \
		transfer=$(if $(filter $(BASKETS),$*),ta-feng,ml-100k)
	$(SDMR) check dataset=$* publish=true
	$(SDMR) table $(CELLS) $(WORKERS)
	$(SDMR) publish $(CELLS)

# Other splits of ML-100k: further split seeds, and cuts in time. The settings are those tuned on the default split.
ROWS_OF_SPLIT = number=3 datasets=ml-100k $(call options,models,$(WHOLE_GRID) $(SAMPLED) $(SEQUENCE_MODELS) bert4rec) settings=tuned

OTHER_SPLIT = $(if $(filter global-time,$*),protocol.test_item=global-time,split_seed=$(patsubst split-%,%,$*))

$(OTHER_SPLITS): paper-%: $(READY)
	$(SDMR) check dataset=ml-100k $(OTHER_SPLIT) publish=true results=results/splits/$*
	$(SDMR) table $(ROWS_OF_SPLIT) $(OTHER_SPLIT) $(WORKERS)
	$(SDMR) publish $(ROWS_OF_SPLIT) $(OTHER_SPLIT) results=results/splits/$*

# All published figures, from existing runs and records: nothing is trained.
figures: $(READY)
	$(SDMR) figure name=published train=false

# The published page with all results.
report: $(READY)
	$(SDMR) report to=results/report.html

sweep status: $(READY)
	$(SDMR) $@ $(SEARCH_OPTIONS) $(REPLACEMENT)

smoke: $(READY)
	$(SDMR) bench suite=smoke $(call options,datasets,$(DATASETS)) $(call options,models,$(MODELS)) $(WORKERS)

bench: $(READY)
	$(SDMR) bench suite=speed
