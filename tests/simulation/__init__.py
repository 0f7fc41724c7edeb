"""Thousands of schedules of the real engine, in virtual time, with faults at every await.

What is real: the decorator, pipeline, handler, lanes, suspects, outages and every SQL statement,
which a real SQLite executes. What is simulated: the clock (`loop`), the processes that the engine
runs in (`worker`), the broker's log and group (`group`), and the way to the database
(`driver`, `store`),
whose transactions run side by side as on a server, or exclude each other as in SQLite. A `schedule`
says for each request to another machine how long it takes, and whether it fails, its reply is lost,
or the process that made it dies or freezes. `oracle` says what must hold; the numbers are those of
the fault model.
"""
