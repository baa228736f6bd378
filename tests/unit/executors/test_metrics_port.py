import threading
import urllib.error
import urllib.request

import pytest

from rhapsody_parsl.errors import InvalidTask
from rhapsody_parsl.executors.metrics_port import MetricsPort


def test_it_answers_with_the_text_of_the_moment_and_frees_its_port() -> None:
    texts = iter(["a 1\n", "a 2\n"])
    served = MetricsPort(0, lambda: next(texts))
    address = f"http://127.0.0.1:{served.port}/metrics"
    try:
        for expected in ("a 1\n", "a 2\n"):
            with urllib.request.urlopen(address, timeout=10) as answer:
                assert answer.read().decode() == expected
        with pytest.raises(urllib.error.HTTPError, match="404") as refused:
            urllib.request.urlopen(f"http://127.0.0.1:{served.port}/", timeout=10)
        refused.value.close()
        with pytest.raises(InvalidTask, match="metrics_port"):
            MetricsPort(served.port, str)
    finally:
        served.close()
        served.close()
    MetricsPort(served.port, str).close()
    assert all(thread.name != "rhapsody-metrics" for thread in threading.enumerate())
