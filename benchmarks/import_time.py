"""What `import upscale` costs: seconds beyond those of a Python that imports nothing.

Fresh processes, with and without the import in turn; prints the median and the spread of each, and
how many modules the import adds.
"""

from __future__ import annotations

import statistics
import subprocess
import sys
import time

REPEATS = 31
NOTHING, IMPORT = "pass", "import upscale"
COUNT = (
    "import sys; before = set(sys.modules); import upscale; print(len(set(sys.modules) - before))"
)


def seconds(code: str) -> float:
    """Wall time of one fresh process."""
    begin = time.perf_counter()
    subprocess.run([sys.executable, "-c", code], check=True)
    return time.perf_counter() - begin


def inside() -> float:
    """Seconds of the import itself, measured by the process that does it."""
    code = (
        "import time; begin = time.perf_counter(); import upscale;"
        "print(time.perf_counter() - begin)"
    )
    return float(subprocess.check_output([sys.executable, "-c", code]))


def main() -> None:
    pairs = [(seconds(NOTHING), seconds(IMPORT), inside()) for _ in range(REPEATS)]
    for name, values in zip(
        ("python", "python + import", "import"), zip(*pairs, strict=True), strict=True
    ):
        median = statistics.median(values)
        spread = (max(values) - min(values)) / median
        print(f"{name:16} {1000 * median:8.1f} ms  spread {spread:.0%}  {REPEATS} processes")
    modules = subprocess.check_output([sys.executable, "-c", COUNT], text=True)
    print(f"modules {modules.strip()}")


if __name__ == "__main__":
    main()
