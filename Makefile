PYTHON ?= python3
BIN := .venv/bin

.PHONY: demo test slow lint types site generate clean

demo: .venv/installed  ## Install the package and run the quickstart.
	$(BIN)/surgeon run recipes/quickstart.yaml

test: .venv/tested  ## Run the tests, all but the slow ones.
	$(BIN)/python -m pytest -n 2 -m "not slow"

slow: .venv/tested  ## Run the slow tests.
	$(BIN)/python -m pytest -n 2 -m slow

lint: .venv/linted
	$(BIN)/ruff check .
	$(BIN)/ruff format --check .
	$(BIN)/codespell
	$(BIN)/check-jsonschema --quiet --builtin-schema vendor.github-workflows .github/workflows/*.yml
	$(BIN)/check-jsonschema --quiet --builtin-schema vendor.github-issue-forms .github/ISSUE_TEMPLATE/[!c]*.yml
	$(BIN)/check-jsonschema --quiet --builtin-schema vendor.citation-file-format CITATION.cff

types: .venv/tested .venv/linted
	$(BIN)/mypy

site: .venv/site  ## Build the documentation site into .site.
	NO_MKDOCS_2_WARNING=1 $(BIN)/mkdocs build --quiet

generate: .venv/tested  ## Write the schema, the layer tables and the references from the catalogue.
	$(BIN)/python -m surgeon.generate

clean:
	rm -rf .venv

.venv/installed: pyproject.toml
	$(PYTHON) -m venv .venv
	$(BIN)/python -m pip install --quiet --upgrade pip
	$(BIN)/python -m pip install --quiet --editable .
	touch $@

.venv/tested: .venv/installed
	$(BIN)/python -m pip install --quiet --editable '.[datasets,heic,labels,lite1,lite2,litert,mlflow,onnx,openvino,serve,tensorboard,url]' --group test
	touch $@

.venv/site: .venv/installed
	$(BIN)/python -m pip install --quiet --group docs
	touch $@

.venv/linted: .venv/installed
	$(BIN)/python -m pip install --quiet --group lint
	touch $@
