"""
Runs a command as it is, and appends what it took to a file: measured.py FILE COMMAND [ARGS...]. One JSON line a run:
{"ms": wall clock, "peakKb": most resident memory, "args": [...]}. Standard library only.
"""

import json
import resource
import subprocess
import sys
import time


def main():
    start = time.monotonic()
    code = subprocess.call(sys.argv[2:])
    record = {
        "ms": (time.monotonic() - start) * 1000,
        "peakKb": resource.getrusage(resource.RUSAGE_CHILDREN).ru_maxrss,
        "args": sys.argv[3:],
    }
    with open(sys.argv[1], "a") as out:
        out.write(json.dumps(record) + "\n")
    sys.exit(code)


main()
