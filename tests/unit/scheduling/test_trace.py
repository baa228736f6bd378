from typing import Any

import pytest

from rhapsody_parsl.errors import InvalidTask
from rhapsody_parsl.scheduling.trace import TracedTask


@pytest.mark.parametrize("field", [{"seconds": -1}, {"seconds": 1, "submitted": float("inf")}, {"seconds": "soon"}])
def test_what_is_no_time_is_refused(field: dict[str, Any]) -> None:
    with pytest.raises(InvalidTask, match="TracedTask"):
        TracedTask(**field)
