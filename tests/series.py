"""A series that is run to its end, one run after another."""

from pathlib import Path

from fidrace.execute.study_series import StudySeries
from fidrace.spec.study import Study


def finished(folder: Path, studies: dict[str, Study]) -> StudySeries:
    series = StudySeries.of(folder, studies)
    with series.open_homes() as specs:
        assert len(specs) == sum(len(study.methods) * len(study.seeds) for study in studies.values())
        list(series.execute(specs, ["cpu"], 1))
    assert series.failures() == []
    return series
