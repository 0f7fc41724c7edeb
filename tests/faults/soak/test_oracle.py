"""What is to find lost, doubled and disordered events in a soak does find them."""

import asyncio
from pathlib import Path

import pytest
from sqlalchemy import insert

from app.checkpoint.database import Database
from app.checkpoint.models import EventRow
from tests.end_to_end.effects import effects
from tests.end_to_end.stage import migrate
from tests.faults.soak.book import KEYS, UNACKNOWLEDGED, Book, Numbered
from tests.faults.soak.oracle import Oracle

TOPIC = "soak.transactional"
TP = TOPIC, 0


@pytest.fixture
def book(tmp_path: Path) -> Book:
    """Return the book of a run that sent the events 0 to 3, all with different keys, and 0 again.

    Between them lies a message of a run that did not live to hear of it.
    """
    book = Book(tmp_path / "book")
    for offset, number in enumerate([0, 1, 2]):
        book.add(TOPIC, 0, offset, number)
    for offset, number in enumerate([3, 0], start=4):
        book.add(TOPIC, 0, offset, number)
    book.save()
    return book


@pytest.fixture
def oracle(book: Book, tmp_path: Path) -> Oracle:
    """Return an oracle that knows nothing yet."""
    return Oracle(book, tmp_path / "journal", TOPIC, "soak.flaky")


@pytest.fixture
def database(sqlite_url: str) -> Database:
    """Return a database with the checkpoint's tables and that of the effects."""
    migrate(sqlite_url)
    return Database(sqlite_url)


def look(oracle: Oracle, database: Database, *recorded: int, caused: tuple[int, ...] = ()) -> None:
    """Let events at offsets be recorded and have effects, and have the oracle read the rows."""

    async def write_and_read() -> None:
        async with database.engine.begin() as connection:
            await connection.run_sync(effects.metadata.create_all)
            for offset in recorded:
                await connection.execute(insert(EventRow).values(_row(offset)))
            for offset in caused:
                place = {"topic": TOPIC, "partition": 0, "offset": offset, "pid": 1}
                await connection.execute(insert(effects).values(place))
            await oracle.read_rows(connection)
        await database.close()

    asyncio.run(write_and_read())


def _row(offset: int) -> dict[str, object]:
    return {
        "identity": b"%016d" % offset,
        "topic": TOPIC,
        "group_id": "soak",
        "agent": "transactional",
        "partition": 0,
        "offset": offset,
        "sort_key": 0,
    }


def wrong_effects(oracle: Oracle, database: Database) -> tuple[int, int]:
    """Return how many effects are too many, and too few."""

    async def ask() -> tuple[int, int]:
        async with database.engine.connect() as connection:
            found = await oracle.wrong_effects(connection)
        await database.close()
        return found

    return asyncio.run(ask())


def write(tmp_path: Path, *lines: str) -> None:
    """Have handlers write into the journal."""
    with (tmp_path / "journal").open("a") as journal:
        journal.writelines(f"{line}\n" for line in lines)


def test_a_book_is_taken_up_again(book: Book, tmp_path: Path) -> None:
    """A later run knows what an earlier one has sent, and sends nothing that could be the same."""
    again = Book(tmp_path / "book")
    assert again.events == book.events == {Numbered(TOPIC, number) for number in range(4)}
    assert again.numbers == book.numbers
    assert again.next_number() == 3 + UNACKNOWLEDGED


def test_all_is_well(oracle: Oracle, database: Database) -> None:
    """An event that was sent twice has one row, at either place, and is no loss."""
    look(oracle, database, 1, 2, 3, 4, 5, caused=(1, 2, 4, 5))
    oracle.check_commits({TP: 6})
    assert (oracle.unsettled(), oracle.passed, oracle.doubled) == (set(), [], [])
    assert wrong_effects(oracle, database) == (0, 0)
    assert oracle.samples == 1


def test_lost_events_are_found(oracle: Oracle, database: Database) -> None:
    """An event without a row is lost, and was so when its offset was committed."""
    look(oracle, database, 0, 1)
    oracle.check_commits({TP: 2})
    assert oracle.passed == []
    oracle.check_commits({TP: 3})
    assert oracle.unsettled() == {Numbered(TOPIC, 2), Numbered(TOPIC, 3)}
    assert len(oracle.passed) == 1


def test_double_rows_and_effects_are_found(oracle: Oracle, database: Database) -> None:
    """The two places of one event count as one."""
    look(oracle, database, 0, 5, caused=(0, 5, 1))
    assert len(oracle.doubled) == 1
    assert wrong_effects(oracle, database) == (1, 2)


def test_disorder_within_a_key_is_found(oracle: Oracle, book: Book, tmp_path: Path) -> None:
    """First completions count; another key, and a repeated run, are no disorder."""
    book.add(TOPIC, 0, 6, 1 + KEYS)
    write(tmp_path, *(f"1 finished 1 {TOPIC} 0 {offset}" for offset in (2, 0, 1, 6, 1)))
    oracle.read_journal()
    assert oracle.disordered == []
    book.add(TOPIC, 0, 7, 2 + KEYS)
    book.add(TOPIC, 0, 8, 2 + 2 * KEYS)
    write(tmp_path, f"1 finished 1 {TOPIC} 0 8", f"1 finished 1 {TOPIC} 0 7")
    oracle.read_journal()
    assert len(oracle.disordered) == 1


def test_a_worker_may_be_faster_than_the_broker(oracle: Oracle, book: Book, tmp_path: Path) -> None:
    """What it has done with a message that we do not know yet is looked at when we do."""
    write(tmp_path, f"1 finished 1 {TOPIC} 0 6")
    oracle.read_journal()
    book.add(TOPIC, 0, 6, 1 + KEYS)
    book.add(TOPIC, 0, 7, 1 + 2 * KEYS)
    write(tmp_path, *(f"1 finished 1 {TOPIC} 0 {offset}" for offset in (7, 6)))
    oracle.read_journal()
    assert oracle.disordered == []


def test_runs_and_events_in_hand_are_counted(
    oracle: Oracle, database: Database, tmp_path: Path
) -> None:
    """A line that is not complete yet is read when it is."""
    write(
        tmp_path, f"7 started 1 {TOPIC} 0 1", f"7 started 1 {TOPIC} 0 1", f"8 started 1 {TOPIC} 0 2"
    )
    with (tmp_path / "journal").open("a") as journal:
        journal.write(f"8 started 1 {TOPIC}")
    oracle.read_journal()
    assert (oracle.in_flight(7), oracle.in_flight(8), oracle.repeated_runs()) == (1, 1, 1)
    write(tmp_path, " 0 4")
    oracle.read_journal()
    assert oracle.in_flight(8) == 2
    look(oracle, database, 2)
    assert (oracle.in_flight(7), oracle.in_flight(8)) == (1, 1)
    oracle.forget(8)
    assert oracle.in_flight(8) == 0
