"""The notebook: its two forms are one, and what it shows is what its cells print. `.ci/run` executes it."""

from pathlib import Path

import jupytext

from fidrace.report.study_tables import load_study

EXAMPLES = Path(__file__).parents[1] / "examples"
NOTEBOOK = jupytext.read(EXAMPLES / "quickstart.ipynb")


def test_script_and_notebook_have_the_same_cells() -> None:
    script = jupytext.read(EXAMPLES / "quickstart.py")
    assert [(cell.cell_type, cell.source) for cell in NOTEBOOK.cells] == [
        (cell.cell_type, cell.source) for cell in script.cells
    ]


def test_every_cell_has_run_without_an_error_and_the_published_table_is_todays() -> None:
    codes = [cell for cell in NOTEBOOK.cells if cell.cell_type == "code"]
    assert [cell.execution_count for cell in codes] == [*range(1, len(codes) + 1)]
    outputs = [output for cell in codes for output in cell.outputs]
    assert not [output for output in outputs if output.output_type == "error"]
    (published,) = [cell for cell in codes if 'load_study("digits")' in cell.source]
    assert published.outputs[0].data["text/html"] == load_study("digits")._repr_html_()
    assert sum("image/png" in output.get("data", {}) for output in outputs) == 2
