"""Certificates and the web configuration that names them, for the program and for its clients."""

from __future__ import annotations

import ssl
from pathlib import Path

import bcrypt

from tests.support.authority import Authority

USER, PASSWORD = "prometheus", "correct horse"


class Site:
    """`web.yml`, `server.crt` and `server.key` in a directory; `clients` issues certificates for clients."""

    def __init__(self, directory: Path) -> None:
        self.directory = directory
        self.authority = Authority(directory)
        self.install(*self.authority.issue())
        self.configure()

    @property
    def flag(self) -> str:
        """The flag that makes the program serve with it."""
        return f"--web.config.file={self.directory / 'web.yml'}"

    def install(self, certificate: Path, key: Path) -> None:
        """Let the server have another pair, one file after the other, each replaced in one step."""
        for source, name in ((certificate, "server.crt"), (key, "server.key")):
            fresh = self.directory / "fresh"
            fresh.write_bytes(source.read_bytes())
            fresh.replace(self.directory / name)

    def configure(self, tls: str = "", rest: str = "") -> None:
        """Write web.yml: further keys of `tls_server_config`, and further sections."""
        indented = "".join(f"  {line}\n" for line in tls.splitlines())
        text = f"tls_server_config:\n  cert_file: server.crt\n  key_file: server.key\n{indented}{rest}"
        (self.directory / "web.yml").write_text(text)

    def client(self, certificate: tuple[Path, Path] | None = None) -> ssl.SSLContext:
        """What a client needs that trusts the authority."""
        context = ssl.create_default_context(cafile=self.authority.ca_file)
        if certificate is not None:
            context.load_cert_chain(*certificate)
        return context


def users(cost: int = 4, **passwords: str) -> str:
    """The section of web.yml with these users, by default one."""
    chosen = passwords or {USER: PASSWORD}
    hashes = {name: bcrypt.hashpw(word.encode(), bcrypt.gensalt(cost)).decode() for name, word in chosen.items()}
    return "basic_auth_users:\n" + "".join(f"  {name}: {hashed}\n" for name, hashed in hashes.items())
