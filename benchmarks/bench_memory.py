"""Whether memory stays flat: a video file read thousands of times, each time opened and closed as a `Sample` does.

Measured: 134 MB after 100 reads and 179 MB after 10,000 of 340x256 clips; of clips of 60 frames 96 MB after 1,000, 155
after 9,000 and after 10,000 (decord: 57, 60, 60). Most of it is the allocator; about 0.7 KB a read is PyAV 18.1, whose
decoder keeps 0.35 KB whenever a file is closed ahead of its end, in a plain loop as well.

PYTHONPATH=. python benchmarks/bench_memory.py FILE [--reads 10000]
"""

from __future__ import annotations

import argparse
import resource
from pathlib import Path

from harness.data.decode import open_video


def main() -> None:
    parser = argparse.ArgumentParser(description=__doc__)
    parser.add_argument("file", type=Path)
    parser.add_argument("--reads", type=int, default=10_000)
    parser.add_argument("--decoder", default="pyav")
    options = parser.parse_args()
    for i in range(options.reads + 1):
        reader = open_video(options.file, options.decoder)
        reader.read(range(i % 7, reader.frames, 40))
        reader.close()
        if i % max(1, options.reads // 10) == 0:
            print(
                f"{i:>8} reads: peak {resource.getrusage(resource.RUSAGE_SELF).ru_maxrss / 1024:.0f} MB",
                flush=True,
            )


if __name__ == "__main__":
    main()
