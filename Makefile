# All targets work on a fresh Debian 12: as root, they install what they need, and say so.

PYTHON = .venv/bin/python
BINDIR = /opt/cni/bin
UV = uv==0.13.8

.PHONY: help build test test-vm test-cluster demo lint bench install uninstall lock clean

help:
	@echo "make build      the plugins, in build/bin"
	@echo "make test       lint, build, and all tests, in namespaces of their own"
	@echo "make test-vm    only those that need SR-IOV cards, in a virtual machine; ARGS for its pytest"
	@echo "make test-cluster   only those against a real API server and etcd"
	@echo "make demo       a pod with several networks, step by step"
	@echo "make bench      what a call costs"
	@echo "make install    build/bin on this node, in BINDIR=$(BINDIR)"
	@echo "make uninstall  take it away again"
	@echo "make lint       ruff and mypy"
	@echo "make lock       requirements.lock anew, from pyproject.toml"
	@echo "make clean      remove what was built"

build:
	@packaging/bootstrap build
	@$(PYTHON) packaging/build.py

lint:
	@packaging/bootstrap build
	$(PYTHON) -m ruff check
	$(PYTHON) -m ruff format --check
	$(PYTHON) -m mypy

# What fails fast comes first; the API server is built while the host's tests run. The conformance
# tests run three times: frozen among all others, with the agent, and from the source.
test: export PLAIT_NEED_CLUSTER = 1
test: lint
	@packaging/bootstrap test
	@$(PYTHON) packaging/build.py
	@tests/clients/install
	@tests/uml/kit
	@tests/vm/fetch
	@tests/cluster/fetch download
	tests/conformance/modes $(PYTHON)
	tests/isolate $(PYTHON) -m pytest

test-vm: export PLAIT_VM_ARGS = $(ARGS)
test-vm: build
	@packaging/bootstrap test
	@tests/vm/fetch
	@$(PYTHON) -m pytest -q tests/vm/test_vm.py

test-cluster: export PLAIT_NEED_CLUSTER = 1
test-cluster: build
	@packaging/bootstrap test
	@tests/cluster/fetch
	@tests/isolate $(PYTHON) -m pytest -q tests/cluster

demo: build
	@packaging/bootstrap test
	@tests/clients/install cnitool
	@tests/isolate packaging/demo

bench: build
	@packaging/bootstrap test
	@tests/isolate $(PYTHON) -m tests.bench

install:
	@packaging/install --bindir "$(BINDIR)"

uninstall:
	@packaging/install --uninstall --bindir "$(BINDIR)"

lock:
	/usr/bin/python3 -m venv --clear build/lock
	build/lock/bin/python -m pip install --quiet $(UV)
	build/lock/bin/uv pip compile pyproject.toml --group build --group test --group lint \
		--python-version 3.11 --python-platform linux --only-binary :all: --upgrade \
		--generate-hashes --custom-compile-command "make lock" \
		--quiet --output-file requirements.lock

clean:
	rm -rf build .mypy_cache .pytest_cache .ruff_cache .hypothesis
