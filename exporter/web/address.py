"""What `--web.listen-address` means."""

from __future__ import annotations


def parse_listen_address(value: str) -> tuple[str, int]:
    """Host ("" for all addresses, IPv4 and IPv6) and port of `:PORT`, `HOST:PORT` or `[v6]:PORT`.

    Raises ValueError with a sentence.
    """
    host, colon, port = value.rpartition(":")
    bracketed = host.startswith("[") and host.endswith("]")
    if not colon or not port.isascii() or not port.isdigit() or int(port) > 65535 or (":" in host and not bracketed):
        raise ValueError(f"--web.listen-address: {value!r} is not an address; write :PORT, HOST:PORT or [IPv6]:PORT")
    return host[1:-1] if bracketed else host, int(port)
