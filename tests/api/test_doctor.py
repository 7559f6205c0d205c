from pathlib import Path

import pytest

import raynas
from raynas.errors import TaskError

DIGITS = Path(__file__).resolve().parent.parent.parent / "examples" / "digits.py"


def test_a_wrong_file_is_named_before_a_cluster_is_looked_for(tmp_path: Path) -> None:
    with pytest.raises(TaskError, match="there is no file"):
        raynas.doctor("auto", file=tmp_path / "none.py")


@pytest.mark.nightly
@pytest.mark.ray
@pytest.mark.usefixtures("ray_session")
def test_the_weights_of_a_file_are_counted() -> None:
    findings = raynas.doctor(file=DIGITS)
    assert {each.check for each in findings} == {"versions", "object store", "disk", "GPUs", "clock"}
