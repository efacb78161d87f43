"""Encryption of a kilobyte, beside cryptography's bare call: the floor."""

import os
from typing import Any

import pytest
from cryptography.fernet import Fernet
from cryptography.hazmat.primitives.ciphers.aead import AESGCM

from mobius_infra.security import Cipher, Key

DATA = os.urandom(1_000)


@pytest.mark.benchmark(group="cipher: encrypt 1 kB")
class TestEncrypt:
    def test_aes_gcm(self, benchmark: Any) -> None:
        aead, nonce = AESGCM(os.urandom(32)), os.urandom(12)
        benchmark(aead.encrypt, nonce, DATA, b"user:7")

    def test_mobius_infra(self, benchmark: Any) -> None:
        benchmark(Cipher.from_keys(Key.generate()).encrypt, DATA, "user:7")

    def test_fernet(self, benchmark: Any) -> None:
        benchmark(Fernet(Fernet.generate_key()).encrypt, DATA)


@pytest.mark.benchmark(group="cipher: decrypt 1 kB")
class TestDecrypt:
    def test_aes_gcm(self, benchmark: Any) -> None:
        aead, nonce = AESGCM(os.urandom(32)), os.urandom(12)
        benchmark(aead.decrypt, nonce, aead.encrypt(nonce, DATA, b"user:7"), b"user:7")

    def test_mobius_infra(self, benchmark: Any) -> None:
        cipher = Cipher.from_keys(Key.generate())
        benchmark(cipher.decrypt, cipher.encrypt(DATA, "user:7"), "user:7")

    def test_fernet(self, benchmark: Any) -> None:
        fernet = Fernet(Fernet.generate_key())
        benchmark(fernet.decrypt, fernet.encrypt(DATA))
