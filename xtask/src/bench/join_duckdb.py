"""The join in DuckDB: join_duckdb.py LOG LOAD_SQL JOIN_SQL. Prints one JSON object."""

import json
import sys
import time

begun = time.perf_counter()
import duckdb  # noqa: E402: its import is a part of the time, as its start is for any program

log, load, join = sys.argv[1:]
with open(load) as file:
    load = file.read()
with open(join) as file:
    join = file.read()

base = duckdb.connect()
threads = base.execute("select current_setting('threads')").fetchone()[0]
base.execute(load, [log])
loaded = time.perf_counter()
pairs, failures, holders = base.execute(join).fetchone()
joined = time.perf_counter()
print(json.dumps({
    "pairs": pairs,
    "failures": failures,
    "holders": holders,
    "load_seconds": loaded - begun,
    "join_seconds": joined - loaded,
    "note": f"{duckdb.__version__}, {threads} threads",
}))
