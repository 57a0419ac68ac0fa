"""The join as one would write it by hand: join_python.py LOG. Prints one JSON object.

Holders by inode, sorted by the moment of their lock. The longest hold of the inode says how far
back of a refusal one must look.
"""

import bisect
import collections
import json
import platform
import sys
import time

PAGE = 4096

begun = time.perf_counter()
writers = {}
refusals = []
holders = collections.defaultdict(list)
with open(sys.argv[1], "rb") as log:
    for line in log:
        record = json.loads(line)
        kind = record["type"]
        if kind == "failure":
            if record["fs"] == "btrfs":
                inode = record["dev"], record.get("root", 0), record["ino"]
                writers[record["id"]] = inode, record["tid"]
        elif kind == "refusal":
            flags = record["folio_flags"]
            if "entered_ns" in record and "dirty" not in flags and "writeback" not in flags:
                first = record["index"] * PAGE
                beyond = first + record["pages"] * PAGE
                asked = record["entered_ns"], record["ts_ns"]
                refusals.append((record["failure"], first, beyond, *asked))
        elif kind == "holder":
            if "locked_ns" in record and "unlocked_ns" in record:
                inode = record["dev"], record.get("root", 0), record["ino"]
                first = record["pos"]
                held = record["locked_ns"], record["unlocked_ns"]
                holders[inode].append(
                    (*held, first, first + record["len"], record["tid"], record["id"])
                )
loaded = time.perf_counter()

index = {}
for inode, held in holders.items():
    held.sort()
    longest = max(holder[1] - holder[0] for holder in held)
    index[inode] = [holder[0] for holder in held], held, longest

pairs = 0
earliest = {}
for failure, first, beyond, entered, ts in refusals:
    if failure not in writers:
        continue
    inode, writer = writers[failure]
    if inode not in index:
        continue
    locked, held, longest = index[inode]
    begin = bisect.bisect_left(locked, ts - longest)
    end = bisect.bisect_right(locked, entered)
    for since, until, low, high, tid, holder in held[begin:end]:
        if ts <= until and low < beyond and first < high and tid != writer:
            pairs += 1
            known = earliest.get(failure)
            if known is None or since < known[0]:
                earliest[failure] = since, holder
joined = time.perf_counter()
print(json.dumps({
    "pairs": pairs,
    "failures": len(earliest),
    "holders": sum(holder for _, holder in earliest.values()),
    "load_seconds": loaded - begun,
    "join_seconds": joined - loaded,
    "note": f"Python {platform.python_version()}, 1 thread",
}))
