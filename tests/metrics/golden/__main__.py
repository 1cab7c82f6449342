"""Writes the expositions of all replies anew."""

from tests.metrics.golden import FORMATS, body_of, exposition_file, names

for name in names():
    body = body_of(name)
    for form, openmetrics in FORMATS.items():
        exposition_file(form, name).write_bytes(b"".join(body.chunks(openmetrics=openmetrics, gzip=False)))
