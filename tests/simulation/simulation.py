"""One scenario from its beginning to its end."""

import asyncio
import logging
from collections import Counter
from collections.abc import Iterator, Sequence
from contextlib import contextmanager
from dataclasses import dataclass
from functools import cache

from app.checkpoint.pipeline import Pipeline
from tests.simulation.group import Group
from tests.simulation.oracle import Oracle
from tests.simulation.scenario import Scenario
from tests.simulation.schedule import Turn
from tests.simulation.service import Service
from tests.simulation.store import Store
from tests.simulation.worker import Machine, Variant, Worker
from tests.simulation.world import World

MACHINES = 3
TICK_SECONDS = 1.0
PATIENCE_SECONDS = 5_000.0
"""By then every scenario has come to its end."""
LINGER_TICKS = 5
"""So long is looked on when everything is done."""


@dataclass(frozen=True, slots=True, kw_only=True)
class Report:
    """What came of a scenario."""

    violations: Sequence[str]
    events: int
    runs: int
    """How often handlers ran."""
    refused: int
    """Commits of zombies."""
    injected: Counter[str]
    hit: Counter[str]
    trace: Sequence[str]


def simulate(scenario: Scenario, *, variant: Variant | None = None, store: str = "") -> Report:
    """Run a scenario, and report what should not have happened.

    `variant` replaces the pipeline of each worker, and `store` is SQL that changes the tables.
    """
    simulation = Simulation(scenario, variant or _as_it_is)
    simulation.store.committed.executescript(store)
    with _silence(), simulation.world.loop.running():
        simulation.run()
    return simulation.report()


class Simulation:
    """The world with everybody in it."""

    def __init__(self, scenario: Scenario, variant: Variant) -> None:
        self.world = World(scenario.choices)
        self.world.in_flight = self._in_flight
        self.store = Store(self.world, exclusive=scenario.exclusive)
        self._kinds = scenario.kinds()
        self._group = Group(scenario.values())
        self._service = Service(
            self.world,
            transactional=scenario.transactional,
            by_key=scenario.by_key,
            max_retries=scenario.max_retries,
        )
        self._oracle = Oracle(self._group, self.store, self._service, self._kinds)
        self._variant = variant
        self._workers: dict[str, Worker] = {}
        self._rewinds = 0
        self._deaths = 0

    def run(self) -> None:
        """Let everybody work until everything has long been committed."""
        for machine in _machines():
            self._start(machine)
        watching = self.world.loop.create_task(self._watch())
        try:
            while not (watching.done() or self._oracle.violations):
                self.world.loop.step()
            # Whoever stands still for too long is taken for dead.
            frozen = self.world.injected["freezes"] + self.world.injected["freezes for long"]
            deaths = self._deaths + frozen
            self._oracle.check_end(deaths=deaths, lanes=self._lanes)
        finally:
            self.world.is_over = True
            self.world.loop.clear_away()

    def report(self) -> Report:
        """Return what came of it."""
        return Report(
            violations=self._oracle.violations,
            events=len(self._kinds),
            runs=self._service.journal.started.total(),
            refused=self._group.refused,
            injected=self.world.injected,
            hit=self.world.hit,
            trace=self.world.trace,
        )

    def _is_done(self) -> bool:
        frozen = any(worker.frozen for worker in self._workers.values())
        return not frozen and self._group.is_done()

    def _in_flight(self) -> bool:
        return any(worker.in_flight() for worker in self._workers.values() if not worker.dead)

    def _lanes(self, partition: int) -> int:
        opened = next(n for tp, n in self._group.opened.items() if tp.partition == partition)
        return opened + self._rewinds + sum(each.rewinds for each in self._workers.values())

    def _start(self, machine: Machine) -> None:
        machine.switch_on(self.store)
        worker = Worker(
            machine,
            group=self._group,
            service=self._service,
            variant=self._variant,
        )
        before = self._workers.get(machine.name)
        self._rewinds += before.rewinds if before else 0
        self._workers[machine.name] = worker
        worker.start()

    async def _watch(self) -> None:
        done_for = 0
        while done_for < LINGER_TICKS:
            await asyncio.sleep(TICK_SECONDS)
            self._group.tick()
            self._take(self.world.schedule.turn())
            for worker in [worker for worker in self._workers.values() if worker.dead]:
                self._deaths += 1
                self._start(worker.machine)
            self._oracle.violations.extend(self._crashes())
            done_for = done_for + 1 if self._is_done() else 0
            if self.world.loop.time() > PATIENCE_SECONDS:
                self._oracle.violations.append(
                    f"I8: committed no more than {self._group.committed}"
                )

    def _take(self, turn: Turn) -> None:
        if turn == "nothing":
            return
        worker = list(self._workers.values())[self.world.schedule.pick(MACHINES)]
        self.world.note(turn, worker.name)
        match turn:
            case "rebalance":
                self._group.rebalance()
            case "seek" | "rewind":
                worker.seeks.append(turn)
            case "stops":
                worker.is_stopping = True
            case _:
                self.world.strike(worker, turn)

    def _crashes(self) -> Iterator[str]:
        for worker in self._workers.values():
            for error in worker.crashes:
                yield f"{worker.name} crashed: {error!r}"


@cache
def _machines() -> tuple[Machine, ...]:
    return tuple(Machine(number) for number in range(MACHINES))


def _as_it_is(pipeline: Pipeline) -> Pipeline:
    return pipeline


@contextmanager
def _silence() -> Iterator[None]:
    before = logging.root.manager.disable
    logging.disable()
    try:
        yield
    finally:
        logging.disable(before)
