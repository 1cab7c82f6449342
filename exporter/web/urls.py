"""Where the pages live: telemetry path, route prefix and external URL, meaning what they mean in Prometheus."""

from __future__ import annotations

import re
from dataclasses import dataclass
from urllib.parse import urlsplit

_PATH = re.compile(r"(?:/[A-Za-z0-9._~!$&'()*+,;=:@-]+)+")
_HOST = re.compile(r"(?:\[[0-9A-Fa-f:.]{2,45}\]|[A-Za-z0-9_](?:[A-Za-z0-9._-]{0,252}))(?::[0-9]{1,5})?")
_RESERVED = ("/probe", "/sd", "/-")


@dataclass(frozen=True, slots=True)
class Urls:
    """Paths as they are served and as they are linked; made by `urls_from_flags`.

    `prefix` and `link_prefix` are "" or begin with a slash and do not end in one. They differ where a reverse proxy
    maps one to the other. `external_host` (host and port) and `external_scheme` are "" without an external URL.
    """

    telemetry_path: str = "/metrics"
    prefix: str = ""
    link_prefix: str = ""
    external_scheme: str = ""
    external_host: str = ""

    def link(self, path: str) -> str:
        """The path under which a browser or a Prometheus outside reaches `path`."""
        return self.link_prefix + path


def urls_from_flags(telemetry_path: str, external_url: str, route_prefix: str | None) -> Urls:
    """Checks the flags `--web.telemetry-path`, `--web.external-url` and `--web.route-prefix` ("" or None: not given).

    Without a route prefix it is the path of the external URL. Raises ValueError with a sentence that names the flag.
    """
    if not _is_path(telemetry_path):
        raise ValueError(f"--web.telemetry-path: {telemetry_path!r} is not a path; write it like /metrics")
    if any(telemetry_path == taken or telemetry_path.startswith(taken + "/") for taken in _RESERVED):
        raise ValueError(f"--web.telemetry-path: {telemetry_path!r} is taken by the exporter itself; choose another")
    scheme = host = path = ""
    if external_url:
        scheme, host, path = _external(external_url)
    if route_prefix is None or route_prefix == "":
        prefix = path
    else:
        prefix = "/" + route_prefix.strip("/") if route_prefix.strip("/") else ""
        if prefix and not _is_path(prefix):
            raise ValueError(f"--web.route-prefix: {route_prefix!r} is not a path; write it like /exporter")
    return Urls(
        telemetry_path=telemetry_path,
        prefix=prefix,
        link_prefix=path if external_url else prefix,
        external_scheme=scheme,
        external_host=host,
    )


def is_host(value: str) -> bool:
    """Whether a Host header is a plain host name or address with an optional port, and nothing else."""
    if _HOST.fullmatch(value) is None:
        return False
    port = value.rpartition(":")[2] if not value.endswith("]") and ":" in value else ""
    return not port or 0 < int(port) < 65536


def _is_path(value: str) -> bool:
    return _PATH.fullmatch(value) is not None and not any(part in (".", "..") for part in value.split("/"))


def _external(external_url: str) -> tuple[str, str, str]:
    problem = f"--web.external-url: {external_url!r} is not a URL like https://example.org/exporter"
    try:
        parts = urlsplit(external_url)
        host = parts.netloc
    except ValueError as error:
        raise ValueError(problem) from error
    path = parts.path.rstrip("/")
    if parts.scheme not in ("http", "https") or not is_host(host) or (path and not _is_path(path)):
        raise ValueError(problem)
    if parts.query or parts.fragment:
        raise ValueError(f"--web.external-url: {external_url!r} must have neither query nor fragment")
    return parts.scheme, host, path
