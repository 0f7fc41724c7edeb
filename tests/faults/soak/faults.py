"""All that goes wrong in the soak; each fault returns once it is over."""

import random
from collections.abc import Callable
from typing import TypeAlias

from tests.end_to_end.worker import Worker
from tests.faults.soak.stage import SoakStage
from tests.servers import Server

DOWN_SECONDS = 5.0
"""Longest time that a server is away."""
SILENT_SECONDS = 12.0
"""Longest time that the network is bad."""

Fault: TypeAlias = Callable[[SoakStage, random.Random], int]
"""Returns how many events were in flight where it struck."""


def kill_worker(stage: SoakStage, dice: random.Random) -> int:
    """Kill a worker that has events in hand, and start another one."""
    victim, in_flight = _frozen_at_work(stage, dice)
    victim.kill()
    stage.replace(victim)
    return in_flight


def stop_worker(stage: SoakStage, dice: random.Random) -> int:
    """End a worker in order, and start another one."""
    while not (in_flight := stage.in_flight(victim := dice.choice(stage.mortals()))):
        stage.go_on_for(0.1)
    victim.end()
    stage.replace(victim)
    return in_flight


def freeze_worker(stage: SoakStage, dice: random.Random) -> int:
    """Make a zombie: stop a worker until the group has done without it, and let it go on."""
    victim, in_flight = _frozen_at_work(stage, dice)
    stage.go_on_for(1.5 * stage.session_timeout)
    victim.thaw()
    return in_flight


def add_and_remove_worker(stage: SoakStage, _: random.Random) -> int:
    """Make the group rebalance twice, in order."""
    in_flight = stage.until_in_flight()
    extra = stage.start_worker()
    stage.go_on_until_ready(extra)
    extra.end()
    stage.forget(extra)
    return in_flight


def kill_database(stage: SoakStage, dice: random.Random) -> int:
    """Kill the database, and start it again some seconds later."""
    return _away(stage, dice, stage.database, stage.database.kill)


def stop_database(stage: SoakStage, dice: random.Random) -> int:
    """Stop the database in order, and start it again some seconds later."""
    return _away(stage, dice, stage.database, stage.database.stop)


def cut_connections(stage: SoakStage, _: random.Random) -> int:
    """Cut every connection to the database."""
    in_flight = stage.until_in_flight()
    stage.database.terminate_backends()
    return in_flight


def silence_network(stage: SoakStage, dice: random.Random) -> int:
    """Let no byte pass between workers and database, and none be refused, for some seconds."""
    in_flight = stage.until_in_flight()
    stage.network.silence()
    stage.go_on_for(dice.uniform(1, SILENT_SECONDS))
    stage.network.resume()
    return in_flight


def slow_network(stage: SoakStage, dice: random.Random) -> int:
    """Have each answer of the database take longer."""
    in_flight = stage.until_in_flight()
    stage.network.delay = 0.1
    stage.go_on_for(dice.uniform(1, SILENT_SECONDS))
    stage.network.delay = 0.0
    return in_flight


def lose_commits(stage: SoakStage, dice: random.Random) -> int:
    """Cut connections just before the database hears of a COMMIT, or just after it was done."""
    in_flight = stage.until_in_flight()
    broken, times = stage.network.broken, dice.randint(1, 5)
    stage.network.breach(dice.choice(["drop", "swallow"]), times)
    while stage.network.broken < broken + times:
        stage.go_on_for(0.1)
    return in_flight


def send_a_killer(stage: SoakStage, _: random.Random) -> int:
    """Have an event end every worker that handles it."""
    in_flight = stage.until_in_flight()
    stage.go_on_until_settled(stage.load.send_a_killer())
    return in_flight


def kill_broker(stage: SoakStage, dice: random.Random) -> int:
    """Kill Apache Kafka, and start it again some seconds later."""
    return _away(stage, dice, stage.kafka, stage.kafka.kill)


def kill_everything(stage: SoakStage, dice: random.Random) -> int:
    """Kill a worker, the database and the broker at once, as a machine does that loses power."""
    victim, in_flight = _frozen_at_work(stage, dice)
    victim.kill()
    stage.database.kill()
    stage.kafka.kill()
    stage.database.start()
    stage.kafka.start()
    stage.replace(victim)
    return in_flight


FAULTS: dict[Fault, int] = {
    kill_worker: 8,
    stop_worker: 3,
    freeze_worker: 2,
    add_and_remove_worker: 2,
    kill_database: 2,
    stop_database: 2,
    cut_connections: 3,
    silence_network: 2,
    slow_network: 2,
    lose_commits: 4,
    send_a_killer: 1,
    kill_broker: 2,
    kill_everything: 1,
}
"""How often each is chosen, in proportion."""


def _away(stage: SoakStage, dice: random.Random, server: Server, end: Callable[[], None]) -> int:
    in_flight = stage.until_in_flight()
    end()
    stage.go_on_for(dice.uniform(0, DOWN_SECONDS))
    server.start()
    return in_flight


def _frozen_at_work(stage: SoakStage, dice: random.Random) -> tuple[Worker, int]:
    """Return a worker that is stopped with events in hand, and how many."""
    while True:
        victim = dice.choice(stage.mortals())
        stage.go_on_for(dice.uniform(0, 0.3))
        victim.freeze()
        stage.look()
        if in_flight := stage.in_flight(victim):
            return victim, in_flight
        victim.thaw()
