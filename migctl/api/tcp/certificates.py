"""A self-signed certificate, made at the first start: clients keep its fingerprint, as with ssh."""

from __future__ import annotations

import datetime
import ipaddress
import socket
from pathlib import Path

from cryptography import x509
from cryptography.hazmat.primitives.asymmetric import ec
from cryptography.hazmat.primitives.hashes import SHA256
from cryptography.hazmat.primitives.serialization import Encoding, NoEncryption, PrivateFormat
from cryptography.x509.oid import NameOID

from migctl.access.identity.signing_keys import write_private
from migctl.backends.protocol import Invalid

VALIDITY = datetime.timedelta(days=3650)


def self_signed(folder: Path, host: str, now: datetime.datetime) -> tuple[Path, Path]:
    """The certificate and key in this folder, made where there are none. Raises OSError."""
    certificate, key = folder / "cert.pem", folder / "key.pem"
    if not (certificate.exists() and key.exists()):
        folder.mkdir(mode=0o700, parents=True, exist_ok=True)
        private = ec.generate_private_key(ec.SECP256R1())
        write_private(key, private.private_bytes(Encoding.PEM, PrivateFormat.PKCS8, NoEncryption()))
        write_private(certificate, _signed(private, host, now).public_bytes(Encoding.PEM))
    return certificate, key


def fingerprint(certificate: Path) -> str:
    """SHA-256 of the first certificate in a file, as openssl writes it. Raises Invalid."""
    try:
        loaded = x509.load_pem_x509_certificate(certificate.read_bytes())
    except (OSError, ValueError) as error:
        raise Invalid(
            f"{certificate} is no certificate: {error}", hint="a PEM file is needed: --tls-cert FILE"
        ) from None
    return loaded.fingerprint(SHA256()).hex(":").upper()


def _signed(private: ec.EllipticCurvePrivateKey, host: str, now: datetime.datetime) -> x509.Certificate:
    name = x509.Name([x509.NameAttribute(NameOID.COMMON_NAME, "migctl")])
    names: list[x509.GeneralName] = [x509.DNSName("localhost"), x509.DNSName(socket.gethostname())]
    addresses = {"127.0.0.1", "::1"}
    try:
        addresses.add(str(ipaddress.ip_address(host)))
    except ValueError:
        names.append(x509.DNSName(host))
    names += [x509.IPAddress(ipaddress.ip_address(address)) for address in sorted(addresses)]
    return (
        x509.CertificateBuilder()
        .subject_name(name)
        .issuer_name(name)
        .public_key(private.public_key())
        .serial_number(x509.random_serial_number())
        .not_valid_before(now - datetime.timedelta(hours=1))
        .not_valid_after(now + VALIDITY)
        .add_extension(x509.SubjectAlternativeName(names), critical=False)
        .add_extension(x509.BasicConstraints(ca=True, path_length=0), critical=True)
        .sign(private, SHA256())
    )
