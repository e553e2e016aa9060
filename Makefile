# Two commands: `make demo` and `make test`. Each does all the set-up by itself.
ifeq ($(OS),Windows_NT)
PYTHON ?= python
else
PYTHON ?= python3
endif

.PHONY: setup demo test clean

setup:
	@$(PYTHON) scripts/dev.py setup

demo:
	@$(PYTHON) scripts/dev.py demo $(ARGS)

test:
	@$(PYTHON) scripts/dev.py test $(ARGS)

clean:
	@$(PYTHON) scripts/dev.py clean
