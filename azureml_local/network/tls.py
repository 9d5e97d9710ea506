"""A throw-away certificate authority, and one certificate that carries Azure's names."""

from dataclasses import dataclass
from pathlib import Path

import certifi
import trustme

_NAMES = (
    "management.azure.com",
    "login.microsoftonline.com",
    "*.api.azureml.ms",
    "*.blob.core.windows.net",
    "*.eastus.inference.ml.azure.com",
    "control.azureml-local",
)


@dataclass(frozen=True)
class Certificates:
    """Files: ``bundle`` for clients (the public authorities and ours), ``server`` for us (key and chain)."""

    bundle: Path
    server: Path


def certificates(folder: Path) -> Certificates:
    """The certificates in ``folder``, made on first use. Trusted by nobody but clients given the bundle."""
    files = Certificates(bundle=folder / "ca-bundle.pem", server=folder / "server.pem")
    if not files.bundle.exists():
        folder.mkdir(parents=True, exist_ok=True, mode=0o700)
        authority = trustme.CA(organization_name="azureml_local, throw-away")
        certificate = authority.issue_cert(*_NAMES)
        certificate.private_key_and_cert_chain_pem.write_to_path(str(files.server))
        files.server.chmod(0o600)
        public = Path(certifi.where()).read_bytes()
        files.bundle.write_bytes(public + b"\n" + authority.cert_pem.bytes())
    return files
