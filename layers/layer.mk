# What the Makefiles of both layers share: how packages are installed from the lock, and what becomes of them.
#
# A layer sets NAME (its logical id in the template), FOLDER, EXPORT_OPTIONS, ADDED (what happens between installing the
# packages and making their bytecode) and BESIDE (the names of what it puts beside the folder `python`).
# The same commit gives the same bytes, in whatever folder, under whatever umask and at whatever time:
# `tests/infrastructure/test_build.py` builds twice and compares.

ROOT := $(realpath $(FOLDER)/../..)
UV ?= $(firstword $(wildcard $(ROOT)/.venv/bin/uv) uv)
PYTHON ?= $(firstword $(wildcard $(ROOT)/.venv/bin/python) python3.13)
ARCHITECTURE ?= $(patsubst aarch64,arm64,$(shell uname -m))
WHEELS_arm64 := aarch64-manylinux_2_28
WHEELS_x86_64 := x86_64-manylinux_2_28
PYTHON_PLATFORM ?= $(WHEELS_$(ARCHITECTURE))
PACKAGES := $(ARTIFACTS_DIR)/python

EXPORT := "$(UV)" export --quiet --project "$(ROOT)" --frozen --no-default-groups --no-emit-project --no-header \
  $(EXPORT_OPTIONS)

# Left of what describes a package: its version for importlib.metadata, and the licences that have to go along.
DESCRIPTION := INSTALLER RECORD REQUESTED WHEEL top_level.txt entry_points.txt direct_url.json zip-safe sboms
BYTECODE ?= unchecked-hash
# For compilers, type checkers and those who work on the package.
UNUSED := *.pyi py.typed *.c *.h *.pyx *.pxd tests __pycache__

.PHONY: build-$(NAME) requirements checked

build-$(NAME): checked
	rm -rf "$(PACKAGES)" $(BESIDE:%="$(ARTIFACTS_DIR)/%")
	mkdir -p "$(PACKAGES)"
	$(EXPORT) > "$(ARTIFACTS_DIR)/requirements.txt"
	"$(UV)" pip install --quiet --no-deps --require-hashes --requirements "$(ARTIFACTS_DIR)/requirements.txt" \
	  --only-binary :all: --python-version 3.13 --python-platform "$(PYTHON_PLATFORM)" \
	  --link-mode copy --target "$(PACKAGES)"
	rm -rf "$(PACKAGES)/bin" "$(PACKAGES)/.lock" "$(ARTIFACTS_DIR)/requirements.txt"
	$(ADDED)
	find "$(PACKAGES)" \( $(foreach name,$(UNUSED),-name '$(name)' -o) \
	  -path '*.dist-info/*' \( $(foreach name,$(DESCRIPTION),-name '$(name)' -o) -false \) \) -prune -exec rm -rf {} +
	PYTHONHASHSEED=0 "$(PYTHON)" -m compileall -q --invalidation-mode $(BYTECODE) \
	  -s "$(PACKAGES)" -p /opt/python "$(PACKAGES)"
	for made in "$(PACKAGES)" $(BESIDE:%="$(ARTIFACTS_DIR)/%"); do test ! -e "$$made" || chmod -R u=rwX,go=rX "$$made"; done

requirements:
	@$(EXPORT)

checked:
	@test -n "$(ARTIFACTS_DIR)" || { echo "Say where to: make $(MAKECMDGOALS) ARTIFACTS_DIR=<folder>" >&2; exit 2; }
	@test -n "$(PYTHON_PLATFORM)" || { echo "ARCHITECTURE must be arm64 or x86_64, not '$(ARCHITECTURE)'" >&2; exit 2; }
	@command -v "$(UV)" >/dev/null || { echo "uv is missing: install it, or name it with UV=<path>" >&2; exit 2; }
	@"$(PYTHON)" -c 'import sys; sys.exit(sys.version_info[:2] != (3, 13))' || \
	  { echo "Python 3.13 is missing: install it, or name it with PYTHON=<path>" >&2; exit 2; }
