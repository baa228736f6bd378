from rhapsody_parsl.door.counters import Counters


def test_what_was_counted_is_text_as_prometheus_reads_it() -> None:
    counters = Counters()
    for _ in range(2):
        counters.ended("m", 200)
    counters.ended("m", 503)
    counters.retried("m")
    counters.left("m")
    counters.first_byte("m", 0.3)
    lines = counters.text({"m-0/3": 4}, {"m": 1}).splitlines()
    assert 'rhapsody_door_requests_total{model="m",status="200"} 2' in lines
    assert 'rhapsody_door_requests_total{model="m",status="503"} 1' in lines
    assert 'rhapsody_door_retries_total{model="m"} 1' in lines
    assert 'rhapsody_door_left_total{model="m"} 1' in lines
    assert 'rhapsody_door_requests_held{replica="m-0"} 4' in lines
    assert 'rhapsody_door_requests_waiting{model="m"} 1' in lines
    assert 'rhapsody_door_first_byte_seconds_bucket{model="m",le="0.1"} 0' in lines
    assert 'rhapsody_door_first_byte_seconds_bucket{model="m",le="0.5"} 1' in lines
    assert 'rhapsody_door_first_byte_seconds_bucket{model="m",le="+Inf"} 1' in lines
    assert sum(line.startswith("# TYPE") for line in lines) == len(
        {line for line in lines if line.startswith("# TYPE")}
    )
