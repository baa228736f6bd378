from rhapsody_parsl.pilot.ordering import Ordering, waiting_task
from rhapsody_parsl.scheduling.fifo import Fifo
from testing.nodes import make_spec


def claim(policy: Fifo, priority: float, arrival: float) -> float:
    return Ordering(policy, 4).claim(waiting_task(make_spec(priority=priority), "local"), arrival)


def test_a_step_of_priority_weighs_as_much_as_the_ageing() -> None:
    assert claim(Fifo(), 0, 59.0) < claim(Fifo(), 1, 0.0) < claim(Fifo(), 0, 61.0)
    assert claim(Fifo(ageing=10.0), 0, 9.0) < claim(Fifo(ageing=10.0), 1, 0.0) < claim(Fifo(ageing=10.0), 0, 11.0)
