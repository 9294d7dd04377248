"""The closed loop by ``wrk``, a generator of load in C that others keep: does our own one distort?

It sends the very bytes that ours sends: of one request, in which it replaces the customer's id.
"""

from __future__ import annotations

import json
import shutil
import subprocess
from typing import TYPE_CHECKING

from tests.bench.api_load import LOOPBACK

if TYPE_CHECKING:
    from pathlib import Path

PLACE = "C0000000"
_SCRIPT = """
local text, customers = %s, %d
request = function()
  return (text:gsub("%s", string.format("C%%07d", math.random(0, customers - 1))))
end
done = function(summary, latency, requests)
  local failed = summary.errors.connect + summary.errors.read + summary.errors.write + summary.errors.status
  io.write(string.format('{"requests": %%d, "us": %%d, "failed": %%d, "p50": %%.3f, "p99": %%.3f, "max": %%.3f}\\n',
    summary.requests, summary.duration, failed + summary.errors.timeout,
    latency:percentile(50) / 1000, latency:percentile(99) / 1000, latency.max / 1000))
end
"""


def wrk() -> str:
    """Where it is. Raises SystemExit if it is nowhere."""
    found = shutil.which("wrk")
    if found is None:
        raise SystemExit("--wrk needs the program wrk (https://github.com/wg/wrk; the package `wrk` of Debian)")
    return found


def closed_by_wrk(
    port: int, request: bytes, customers: int, folder: Path, seconds: float, connections: int = 16
) -> dict[str, float]:
    """Figures as :meth:`tests.bench.api_load.Loaded.figures`; ``request`` asks for the customer ``C0000000``."""
    script = folder / "wrk.lua"
    script.write_text(_SCRIPT % (json.dumps(request.decode()), customers, PLACE), encoding="ascii")
    command = [wrk(), "-t1", f"-c{connections}", f"-d{max(1, round(seconds))}s", "-s", str(script)]
    done = subprocess.run([*command, f"http://{LOOPBACK}:{port}"], check=True, capture_output=True, text=True)
    found: dict[str, float] = json.loads(done.stdout.splitlines()[-1])
    return found | {"per_s": round(found["requests"] / found.pop("us") * 1e6)}
