"""`make fuzz`: fuzzes all targets for FUZZ_SECONDS (60) in all; what is found goes to `tests/fuzz/found/`.

Without atheris, which is not there for every Python and platform, the property tests look further instead.
"""

from __future__ import annotations

import importlib.util
import os
import subprocess
import sys
import tempfile
from pathlib import Path

from tests.fuzz.targets import TARGETS, Target

FOUND = Path(__file__).parent / "found"
PROPERTIES = ("tests/web", "tests/config", "tests/api", "tests/metrics", "tests/collector")
LONGEST_INPUT = 20_000
LONGEST_CALL = 10
WITHOUT_ATHERIS = """\
############################################################################
  NOT FUZZED: atheris is not installed (pip install atheris).
  The property tests look for more examples instead, for {seconds:.0f} s.
############################################################################
"""


def main() -> int:
    """Return 0 where nothing was found."""
    seconds = float(os.environ.get("FUZZ_SECONDS", "60"))
    if importlib.util.find_spec("atheris") is None:
        sys.stderr.write(WITHOUT_ATHERIS.format(seconds=seconds))
        return explore(seconds)
    failed = [name for name in TARGETS if not fuzz(name, TARGETS[name], seconds / len(TARGETS))]
    for name in failed:
        sys.stderr.write(f"{name}: see what is new in {FOUND / name}, and keep it once it is fixed\n")
    return 1 if failed else 0


def fuzz(name: str, target: Target, seconds: float) -> bool:
    """Fuzz one target; say whether nothing was found."""
    found = FOUND / name
    found.mkdir(parents=True, exist_ok=True)
    with tempfile.TemporaryDirectory() as scratch:
        corpus, words = Path(scratch) / "corpus", Path(scratch) / "words"
        corpus.mkdir()
        for number, seed in enumerate(target.seeds()):
            (corpus / f"seed-{number}").write_bytes(seed)
        words.write_text("".join(f'"{word}"\n' for word in map(_escaped, target.words)))
        command = [
            sys.executable, "-m", "tests.fuzz.worker", name, f"-max_total_time={max(1, round(seconds))}",
            f"-max_len={LONGEST_INPUT}", f"-timeout={LONGEST_CALL}", f"-dict={words}", f"-artifact_prefix={found}/",
            "-print_final_stats=1", "-verbosity=0", str(corpus), str(found),
        ]  # fmt: skip
        ended = subprocess.run(command, stderr=subprocess.PIPE, text=True, errors="replace", check=False)
    runs = [line.split()[-1] for line in ended.stderr.splitlines() if "number_of_executed_units" in line]
    sys.stderr.write(f"{name}: {runs[0] if runs else 'no'} inputs, {'nothing' if not ended.returncode else 'FOUND'}\n")
    if ended.returncode:
        sys.stderr.write(ended.stderr)
    if not any(found.iterdir()):
        found.rmdir()
    return not ended.returncode


def explore(seconds: float) -> int:
    """Let hypothesis try more examples than in the ordinary tests, each directory for its share of the time."""
    command = [sys.executable, "-m", "pytest", "-q", "-x", "-m", "hypothesis", "-p", "no:cacheprovider"]
    environment = {**os.environ, "HYPOTHESIS_PROFILE": "explore"}
    worst = 0
    for tests in PROPERTIES:
        try:
            ended = subprocess.run([*command, tests], env=environment, timeout=seconds / len(PROPERTIES), check=False)
        except subprocess.TimeoutExpired:
            continue
        worst = max(worst, ended.returncode)
    return worst


def _escaped(word: str) -> str:
    return "".join(character if character.isalnum() else f"\\x{ord(character):02x}" for character in word)


if __name__ == "__main__":
    sys.exit(main())
