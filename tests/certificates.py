"""A certificate that no client trusts, for servers that pose as others."""

import shutil
import ssl
import subprocess
from pathlib import Path
from typing import Final

import pytest

needs_openssl: Final = pytest.mark.skipif(shutil.which("openssl") is None, reason="openssl makes the certificate")


def self_signed(folder: Path) -> ssl.SSLContext:
    """For a server that says it is 127.0.0.1, and whom nobody vouches for."""
    key, certificate = folder / "key.pem", folder / "certificate.pem"
    command = ["openssl", "req", "-x509", "-newkey", "rsa:2048", "-nodes", "-days", "1", "-subj", "/CN=127.0.0.1"]
    command += ["-addext", "subjectAltName=IP:127.0.0.1", "-keyout", str(key), "-out", str(certificate)]
    subprocess.run(command, check=True, capture_output=True)
    context = ssl.SSLContext(ssl.PROTOCOL_TLS_SERVER)
    context.load_cert_chain(certificate, key)
    return context
