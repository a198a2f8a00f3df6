# Two commands do everything: `make demo` makes the demo clip four times larger, `make test` runs the tests.
# PIP_ARGS is handed to pip, e.g. PIP_ARGS="--extra-index-url https://download.pytorch.org/whl/cpu" for a torch without CUDA.

runs = $(shell for p in $(1); do $$p -c '' >/dev/null 2>&1 && { echo $$p; break; }; done)
PYTHON ?= $(call runs,python3.11 python3.12 python3)
# Sources, sinks and the pipeline are tested on the next PyAV and FFmpeg major as well, which needs Python 3.12.
PYTHON_IO ?= $(call runs,python3.12 $(wildcard $(HOME)/.pyenv/versions/3.12*/bin/python))
# A few minutes of telling tests run on the newest Python of all.
PYTHON_NEWEST ?= $(call runs,python3.14 python3.13 $(wildcard $(HOME)/.pyenv/versions/3.1[34]*/bin/python))
VENV ?= .venv
VENV_IO ?= .venv-io
VENV_NEWEST ?= .venv-newest
VENV_OLDEST ?= .venv-oldest
TEST_PACKAGES = hypothesis pytest pytest-timeout scikit-image
PIP_ARGS ?=

export PIP_CONSTRAINT = $(CURDIR)/constraints.txt
# Old pip reads PIP_CONSTRAINT for build environments too, new pip only this one.
export PIP_BUILD_CONSTRAINT = $(PIP_CONSTRAINT)
export PIP_DISABLE_PIP_VERSION_CHECK = 1

.PHONY: demo setup test test-io test-oldest test-newest check bench explore fuzz fuzz-night kills wheel-check man docs clean

demo: $(VENV)/.product
	$(VENV)/bin/streamvsr -y demo/city_180p.mp4 demo_x4.mp4
	@echo "demo_x4.mp4 is demo/city_180p.mp4 four times larger. For the command streamvsr: source $(VENV)/bin/activate"
	@echo "The same in the browser, with your own videos: $(VENV)/bin/streamvsr ui"

setup: $(VENV)/.dev

# What needs no network runs on the newest PyAV and on the oldest versions, the rest on what constraints.txt names. Two
# suites at a time: a test waits for other programs more often than it computes.
test: $(VENV)/.dev
	$(MAKE) -j2 test-torch-a-l test-torch-m-z test-io test-oldest test-newest

test-torch-%: $(VENV)/.dev
	$(VENV)/bin/python -m pytest -m "not io" -p no:cacheprovider tests/test_[$*]*.py

test-io:
ifneq ($(PYTHON_IO),)
	test -d $(VENV_IO) || $(PYTHON_IO) -m venv $(VENV_IO)
	$(VENV_IO)/bin/pip install -q $(PIP_ARGS) av msgspec numpy opencv-python-headless rich $(TEST_PACKAGES)
	PYTHONPATH=$(CURDIR) $(VENV_IO)/bin/python -m pytest -m io -p no:cacheprovider
else ifeq ($(CI),true)
	$(error CI has to test on Python 3.12 too, and there is none)
else
	@echo "no python3.12 here: the tests on PyAV 19 are left out"
endif

# The newest Python, without torch: every module is imported, and what may differ between Pythons is tried.
ON_NEWEST = api api_frames cli_help cli_run cli_signals completion imports main_job manual pipes plain_json ring runner sinks sources start tee texts
test-newest:
ifneq ($(PYTHON_NEWEST),)
	test -d $(VENV_NEWEST) || $(PYTHON_NEWEST) -m venv $(VENV_NEWEST)
	$(VENV_NEWEST)/bin/pip install -q $(PIP_ARGS) av msgspec numpy opencv-python-headless rich $(TEST_PACKAGES)
	PYTHONPATH=$(CURDIR) $(VENV_NEWEST)/bin/python -m pytest -m io -p no:cacheprovider $(ON_NEWEST:%=tests/test_%.py)
	mkdir -p build
	PYTHONPATH=$(CURDIR) $(VENV_NEWEST)/bin/python -m streamvsr -y demo/city_180p.mp4 -vf scale=iw*4:-2 build/newest.mp4
else ifeq ($(CI),true)
	$(error CI has to test on Python 3.13 or newer too, and there is none)
else
	@echo "no Python after 3.12 here: the tests on it are left out"
endif

# The oldest versions that pyproject.toml admits; without two minutes of waiting for a camera.
test-oldest:
	test -d $(VENV_OLDEST) || $(PYTHON) -m venv $(VENV_OLDEST)
	PIP_CONSTRAINT=$(CURDIR)/constraints-oldest.txt $(VENV_OLDEST)/bin/pip install -q $(PIP_ARGS) \
	    av msgspec numpy opencv-python-headless rich safetensors torch $(TEST_PACKAGES)
	PYTHONPATH=$(CURDIR) $(VENV_OLDEST)/bin/python -m pytest -m io -p no:cacheprovider --ignore tests/test_camera_faults.py

check: $(VENV)/.dev
	$(VENV)/bin/ruff check .
	$(VENV)/bin/ruff format --check .
	$(VENV)/bin/mypy
	$(VENV)/bin/basedpyright

bench: $(VENV)/.dev
	for script in benchmarks/bench_*.py; do $(VENV)/bin/python $$script || exit 1; done

# CI tries the same examples each time, a night new ones.
explore: $(VENV)/.dev
	$(VENV)/bin/python -m pytest --hypothesis-profile=explore -p no:cacheprovider $$(grep -l hypothesis tests/test_*.py)

# Damaged inputs, each made from the seed and its number: some minutes, and what a night is for. Nights add up to a
# million inputs: .fuzz/tally.json counts them, and what failed lies beside it. `make clean` leaves it.
FUZZ_SEED ?= 1
fuzz: $(VENV)/.dev
	$(VENV)/bin/python -m tests.fuzz --runs 300 --minutes 10 --seed $(FUZZ_SEED)

fuzz-night: $(VENV)/.dev
	$(VENV)/bin/python -m tests.fuzz --minutes 600 --seed $$(date +%Y%m%d) --keep .fuzz

# One job killed at fifty random moments, and gone on with each time.
kills: $(VENV)/.dev
	$(VENV)/bin/python -m tests.kills --runs 50 --seed $$(date +%Y%m%d)

# The wheel alone, in an empty environment and another folder, has to do the main job: with the newest versions, and
# beside the oldest numpy and OpenCV. What it loads must not ask for libGL, which servers and slim containers lack.
WITHOUT_GL = import cv2, pathlib; print("numpy", __import__("numpy").__version__, "OpenCV", cv2.__version__); \
    assert "libGL" not in pathlib.Path("/proc/self/maps").read_text()
wheel-check:
	rm -rf build/wheel build/wheel-venv build/wheel-oldest && mkdir -p build/wheel
	$(PYTHON) -m pip wheel -q --no-deps -w build/wheel .
	$(PYTHON) -m venv build/wheel-venv
	build/wheel-venv/bin/pip install -q $(PIP_ARGS) build/wheel/streamvsr-*.whl
	cd build/wheel && ../wheel-venv/bin/streamvsr -y $(CURDIR)/demo/city_180p.mp4 -frames:v 10 demo_x4.mkv
	test -s build/wheel-venv/share/man/man1/streamvsr.1
	test -s build/wheel-venv/share/bash-completion/completions/streamvsr
	$(PYTHON) -m venv build/wheel-oldest
	PIP_CONSTRAINT=$(CURDIR)/constraints-oldest.txt build/wheel-oldest/bin/pip install -q $(PIP_ARGS) build/wheel/streamvsr-*.whl
	build/wheel-oldest/bin/python -c '$(WITHOUT_GL)'
	cd build/wheel && ../wheel-oldest/bin/streamvsr -y $(CURDIR)/demo/city_180p.mp4 -frames:v 10 demo_oldest.mkv

# The manual page: `man -l build/streamvsr.1`. A wheel has it in share/man.
man: $(VENV)/.product
	mkdir -p build
	$(VENV)/bin/python -m streamvsr.cli.manual > build/streamvsr.1

# The site, build/site/index.html; a broken link or reference is an error.
docs: $(VENV)/.dev
	$(VENV)/bin/python -m sphinx -q -E -W --keep-going -c docs -d build/doctrees . build/site

clean:
	rm -rf $(VENV) $(VENV_IO) $(VENV_NEWEST) $(VENV_OLDEST) build dist demo_x4.mp4

$(VENV)/.product: pyproject.toml constraints.txt
	test -x $(VENV)/bin/python || $(PYTHON) -m venv $(VENV)
	$(VENV)/bin/pip install -q $(PIP_ARGS) -e ".[ui]"
	touch $@

$(VENV)/.dev: $(VENV)/.product
	$(VENV)/bin/pip install -q $(PIP_ARGS) --use-pep517 -e ".[dev,docs,mm,metrics,spandrel,onnx,ray,ui]"
	touch $@
