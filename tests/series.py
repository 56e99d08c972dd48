"""A series that is run to its end, one run after another."""

from pathlib import Path

from bench.analyze.series import Series
from bench.study import Study


def finished(folder: Path, studies: dict[str, Study]) -> Series:
    series = Series.of(folder, studies)
    with series.ready() as specs:
        assert len(specs) == sum(len(study.methods) * len(study.seeds) for study in studies.values())
        list(series.execute(specs, ["cpu"], 1))
    assert series.failures() == []
    return series
