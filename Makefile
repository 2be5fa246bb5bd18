# Each target sets up what it needs, in .venv; nothing has to be there but make and Python 3.11 or newer.
# Programs are started as `python -m ...`: their scripts in .venv/bin would not survive a folder that moves.

PY := .venv/bin/python
PIP := $(PY) -m pip --disable-pip-version-check -qq
PYTEST := $(PY) -m pytest -n 2 --dist loadfile
# What runs each branch of models.py, x_api.py and web.py in its own process.
MEASURED := $(patsubst %,tests/test_%.py,clearing models post_tweet web x_api)

.DELETE_ON_ERROR:  # an environment half made is made again

.PHONY: help run test check coverage audit faults bench figures console clean

help:  ## this list
	@sed -n 's/^\([a-z]*\):.*## /make \1 | /p' Makefile | awk -F' [|] ' '{ printf "%-14s%s\n", $$1, $$2 }'

run: .venv/run.stamp  ## start everything on http://127.0.0.1:8000 (or PORT); Ctrl-C stops it
	@$(PY) local.py

test: .venv/dev.stamp .venv/redis62/redis-server  ## run all tests, on real Redis servers too
	@$(PYTEST)

check: .venv/dev.stamp .venv/redis62/redis-server  ## format, lint, types, then all tests, measured as by coverage: what CI runs
	@$(PY) -m ruff format --check .
	@$(PY) -m ruff check .
	@$(PY) -m mypy
	@$(PYTEST) $(MEASURED) --cov
	@$(PYTEST) $(MEASURED:%=--ignore=%)

coverage: .venv/dev.stamp .venv/redis62/redis-server  ## which branches of models.py, x_api.py and web.py no test takes: none may be left
	@$(PYTEST) $(MEASURED) --cov

audit: .venv/dev.stamp .venv/audit.stamp  ## ask pypi.org whether a package that we install has a known hole
	@$(PY) tests/audit.py .venv/audit/bin/python "$$($(PY) -c 'import sysconfig; print(sysconfig.get_path("purelib"))')"

faults: .venv/dev.stamp .venv/redis62/redis-server  ## break everything for 45 minutes (SECONDS=600 SEED=1 WHAT=ledger), write docs/faults.md
	@$(PY) -m tests.faults.report $(WHAT) $(if $(SECONDS),--seconds $(SECONDS)) $(if $(SEED),--seed $(SEED))

bench: .venv/dev.stamp  ## measure the queue and its peers, 25 minutes; WHAT=ours: the queue alone, 2 minutes
	@$(PY) -m benchmarks $(WHAT)

figures: .venv/dev.stamp  ## measure the page's requests, 2 minutes; writes docs/web-figures.md
	@$(PY) -m benchmarks.web

console: .venv/run.stamp  ## a Python prompt on the data of make run
	@$(PY) local.py console

clean:  ## remove .venv and caches; .data stays: it holds tweets
	rm -rf .venv .mypy_cache .ruff_cache .pytest_cache .hypothesis
	find . -name __pycache__ -type d -prune -exec rm -rf {} +

# Set-up: the stamps make a changed requirements file install again, and an unchanged one cost nothing.

.venv/run.stamp: requirements.txt | $(PY)
	@echo "installing what web and worker need (once)"
	@$(PIP) install -r requirements.txt
	@touch $@

.venv/dev.stamp: requirements.txt requirements-dev.txt | $(PY)
	@echo "installing what tests and checks need (once)"
	@$(PIP) install -r requirements-dev.txt
	@touch $@ .venv/run.stamp

.venv/audit.stamp: | $(PY)
	@$(PY) -m venv .venv/audit  # its own: what it needs is not what we run on
	@.venv/audit/bin/python -m pip --disable-pip-version-check -qq install pip-audit==2.10.1
	@touch $@

.venv/redis62/redis-server: tests/get_redis62.py | $(PY)
	@$(PY) tests/get_redis62.py

# The first of these that is new enough and can make an environment. pyenv puts shims on PATH that may fail in a folder
# with .python-version and work outside it, or the other way round; so we ask in both places, and its own folder last.
$(PY):
	@too_old=; no_venv=; pyenv="$$(pyenv root 2>/dev/null)/versions"; \
	for folder in . /; do for name in python3.13 python3.12 python3.11 python3.14 python3 "$$pyenv"/3.1[1-4]*/bin/python3; do \
	    found=$$(cd $$folder && "$$name" -c 'import sys; print(sys.executable)' 2>/dev/null) && [ -n "$$found" ] || continue; \
	    "$$found" -c 'import sys; sys.exit(sys.version_info < (3, 11))' 2>/dev/null || { too_old="$$found"; continue; }; \
	    "$$found" -c 'import venv, ensurepip' 2>/dev/null || { no_venv="$$found"; continue; }; \
	    echo "making .venv with $$("$$found" --version)"; exec "$$found" -m venv --clear .venv; \
	done; done; \
	if [ -n "$$no_venv" ]; then echo "$$no_venv cannot make environments: install its venv module (Debian: apt-get install python3-venv)" >&2; \
	elif [ -n "$$too_old" ]; then echo "Python 3.11 or newer is needed; $$too_old is older" >&2; \
	else echo "Python 3.11 or newer is needed; there is no python3 on PATH" >&2; fi; exit 1
