"""The server's side of TLS: its certificate and key, and whose clients it takes.

Owns the files and their renewal: every handshake may take newer files, so a certificate is replaced by writing the new
files, key and certificate in any order, without a restart; connections that are open stay. A pair that does not fit
together, half a rotation, is not taken. Read ``channels.py`` for the other side.
"""

from __future__ import annotations

import ssl
from collections.abc import Callable
from pathlib import Path

import grpc

from holdfast.security.files import Watched


class ServerCertificates:
    """Certificates of a server. With ``client_ca`` every client must show a certificate that it signed (mTLS).

    All are PEM files; ``cert`` holds the chain. Raises FileProblem for files that cannot be used.
    """

    def __init__(self, cert: str, key: str, *, client_ca: str = "") -> None:
        self.cert, self.key, self.client_ca = cert, key, client_ca
        paths = [path for path in (cert, key, client_ca) if path]
        self._configuration = Watched(paths, self._read)

    def credentials(self) -> grpc.ServerCredentials:
        """Return what a secure port needs; it asks for the newest files at every handshake."""
        fetch: Callable[[], grpc.ServerCertificateConfiguration] = self._configuration.get
        return grpc.dynamic_ssl_server_credentials(fetch(), fetch, bool(self.client_ca))

    def _read(self) -> grpc.ServerCertificateConfiguration:
        check_pair(self.cert, self.key, self.client_ca)
        pair = (Path(self.key).read_bytes(), Path(self.cert).read_bytes())
        roots = Path(self.client_ca).read_bytes() if self.client_ca else None
        return grpc.ssl_server_certificate_configuration([pair], root_certificates=roots)


def check_pair(cert: str, key: str, ca: str = "") -> ssl.SSLContext:
    """Return a context of the files. Raises ValueError unless the key is the certificate's and all are PEM.

    gRPC itself would notice at the first handshake only, and say little then.
    """
    context = ssl.SSLContext(ssl.PROTOCOL_TLS_SERVER)
    for path in (cert, key, *([ca] if ca else [])):
        Path(path).open("rb").close()
    try:
        # A key with a passphrase would be asked for at the terminal; there is none, so it is refused.
        context.load_cert_chain(cert, key, password=_no_passphrase)
        if ca:
            context.load_verify_locations(ca)
    except ssl.SSLError as error:
        what = "the key is not that of the certificate" if "MISMATCH" in (error.reason or "") else "it is not PEM"
        raise ValueError(what) from None
    return context


def _no_passphrase() -> str:
    raise ValueError("the key has a passphrase; give it without one, in a file that only the service may read")
