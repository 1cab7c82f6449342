"""Credentials taken out of texts of the API, which may quote URLs, keys of object stores and whole settings."""

from __future__ import annotations

import re
from typing import Final

from exporter.config.secret import SHOWN

# Quotes end a URL in prose and in JSON.
_WORD = re.compile(r'[^\s"]+')
# A secret key may hold a slash, unencoded though it should not be. What looks like ports, a drive of Windows or a file
# name does not begin one.
_USER_INFO = re.compile(
    r"^[^[/?#@:]+:(?!/)(?![0-9]{1,5}(?:[,/?#]|$))(?:[^@/]*@|[^@]*@(?=[^@/]+/))",
)

# A name and what separates it from its value, as Go's %v and %+v, protobuf's text form, JSON, YAML and URLs write them.
_NAME = re.compile(r"(?<![\w.-])([\w.-]++)(\\*[\"'`]?)\s?(?:[:=]|%3[AaDd])(\s?)")
_VALUE = re.compile(
    r"""
    (?: [\[{(&]* (?:bearer|basic|sharedkey(?:lite)?|aws4?(?:-hmac-sha256)?) \s )?
    (?: (\\*) (["'`]) .*? (?: (?<!\\) \1\2 | \Z )    # in quotes, escaped as often as at the opening one
      | &? [\[{] [^\]}]* [\]}]? [^\s"]*              # a structure
      | [^\s"]+ )
    """,
    re.VERBOSE | re.IGNORECASE | re.DOTALL,
)
# Ends of names whose value is secret, without case and without "_", "." and "-".
_SECRET_NAMES: Final = (
    "accesskey", "accesskeyid", "accesskeysecret", "accesskeyvalue", "accesstoken", "accountkey", "apikey", "apitoken",
    "appsecret", "authtoken", "bearertoken", "clientsecret", "credentialjson", "credentialsjson", "passphrase",
    "passwd", "password", "privatekey", "privatekeydata", "privatekeyid", "pwd", "refreshtoken", "sassignature",
    "sastoken", "sasurl", "secretaccesskey", "secretaccesskeyid", "secretid", "secretkey", "secretkeyid",
    "securitytoken", "sessiontoken", "sharedaccesskey", "sharedaccesssignature", "sharedkey",
)  # fmt: skip
# Last words of names that are also words of prose: "unexpected token: x". Their value follows without a blank.
_SECRET_WORDS: Final = frozenset({"authorization", "credential", "credentials", "sas", "sig", "signature", "token"})
# Codes of errors, as in "InvalidAccessKeyId: The key that you provided".
_CODES: Final = ("invalid", "missing", "expired", "unknown", "malformed")
_SECRET_SHAPES = re.compile(
    r"""
    -----BEGIN\ [A-Z\ ]{0,40}PRIVATE\ KEY----- .*? (?: -----END\ [A-Z\ ]{0,40}PRIVATE\ KEY----- | \Z )
    | \b(?:AKIA|ASIA)[A-Z0-9]{12,}
    | \bya29\.[\w.-]+
    | \beyJ[\w-]{8,}\.[\w-]+\.[\w-]*
    | (?<=\b[Bb]earer\ )[\w.~+/=-]{16,}
    """,
    re.VERBOSE | re.DOTALL,
)
_LONGEST_NAME: Final = 64
# Names in the value of another name; beyond these the rest of the text counts as secret.
_MOST_NESTED: Final = 20
_SEPARATORS: Final = str.maketrans("-.", "__")


def without_credentials(value: str) -> str:
    """Drop what is secret in the URLs of a text, and replace the values of keys, tokens and passwords.

    A struct that Go writes without names (%v) cannot be distinguished from other text, and stays.
    """
    value = without_url_credentials(value)
    if ":" in value or "=" in value or "%3" in value:
        value = _without_named_secrets(value)
    return _SECRET_SHAPES.sub(SHOWN, value)


def without_url_credentials(value: str) -> str:
    """Drop user-info, query strings and fragments of the URLs in a text."""
    if "://" in value or ("?" in value and "=" in value):
        return _WORD.sub(_word_without_credentials, value)
    return value


def _word_without_credentials(found: re.Match[str]) -> str:
    word = found[0]
    before, url, address = word.partition("://")
    if not url:
        # A pre-signed path without its host is still a secret.
        head, mark, query = word.partition("?")
        return head if mark and "=" in query else word
    parts = [before]
    address = _USER_INFO.sub("", address)
    for part in re.split("[?#]", address, maxsplit=1)[0].split("://"):
        authority, slash, path = _USER_INFO.sub("", part).partition("/")
        parts.append(authority.rpartition("@")[2] + slash + path)
    return "://".join(parts)


def _without_named_secrets(value: str) -> str:
    parts: list[str] = []
    masked = nested = 0
    for name in _NAME.finditer(value):
        if not _is_secret(name) or (found := _VALUE.match(value, name.end())) is None:
            continue
        if name.start() >= masked:
            parts += value[masked : name.end()], SHOWN
            nested = 0
        # A name in the value of another one has a value of its own: `secretKey: accessKey: x`.
        nested += 1
        masked = max(masked, found.end()) if nested <= _MOST_NESTED else len(value)
        if masked == len(value):
            break
    return "".join(parts) + value[masked:] if parts else value


def _is_secret(name: re.Match[str]) -> bool:
    written = name[1][-_LONGEST_NAME:].lower().translate(_SEPARATORS)
    joined = written.replace("_", "")
    if joined.startswith(_CODES):
        return False
    word = written.rpartition("_")[2]
    attached = bool(name[2] or not name[3])
    return joined.endswith(_SECRET_NAMES) or word == "secret" or (word in _SECRET_WORDS and attached)
