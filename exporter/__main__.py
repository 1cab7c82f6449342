"""The entry point: what has to come before all else, and the imports of what the flags ask for, no others."""

from __future__ import annotations

import os
import sys
from typing import NoReturn

from exporter import signals


def main() -> NoReturn:
    """Run the command and end the process; see `run` for the exit code."""
    signals.hold()
    from exporter import output  # noqa: PLC0415 - signals first

    output.reopen()
    try:
        code = run()
    except SystemExit as end:  # of argparse
        code = end.code if isinstance(end.code, int) else 1
    except BaseException as error:  # noqa: BLE001 - nothing above this could report it
        sys.excepthook(type(error), error, error.__traceback__)
        code = 1
    unwritten = output.say()
    # At once: Python would wait for the threads of executors, however long their calls take.
    os._exit(code or unwritten)


def run() -> int:
    """Do what the flags say; return 0, 1 for a bad configuration, an address in use or no answer, 2 for bad flags."""
    # All imports here are late: the libraries behind `cli` take most of a second of CPU time, too much for --health.
    from exporter.flags import parse  # noqa: PLC0415

    warnings = prepare_environment()
    flags = parse()
    if flags.health:
        from exporter.health import check_health  # noqa: PLC0415

        signals.restore()
        return check_health(flags.listen)
    if flags.print_file:
        from exporter import bundled, output  # noqa: PLC0415

        return output.say(bundled.text(flags.print_file))
    if flags.config_check or flags.once:
        signals.restore()
    from exporter import cli  # noqa: PLC0415

    command = cli.check if flags.config_check else cli.once if flags.once else cli.serve
    return command(flags, warnings)


def prepare_environment() -> list[str]:
    """Remove variables that would change or break libraries; return a warning for each that is wrong.

    To be called before the libraries are imported.
    """
    # This program is one process: its metrics do not belong into the directory of others.
    for name in ("PROMETHEUS_MULTIPROC_DIR", "prometheus_multiproc_dir"):
        os.environ.pop(name, None)
    key_log = os.environ.get("SSLKEYLOGFILE")
    if not key_log:
        return []
    try:
        # Not blocking, for a named pipe that nobody reads.
        os.close(os.open(key_log, os.O_WRONLY | os.O_APPEND | os.O_CREAT | os.O_NONBLOCK, 0o600))
    except OSError as error:
        del os.environ["SSLKEYLOGFILE"]
        return [f"SSLKEYLOGFILE: cannot write to {key_log}: {error.strerror}; TLS keys are not logged"]
    return []


if __name__ == "__main__":
    main()
