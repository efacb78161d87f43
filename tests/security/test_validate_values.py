"""E-mail addresses, wallets and JSON."""

import json
from hashlib import sha3_256
from typing import Any

import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from mobius_infra.core import ConfigurationError
from mobius_infra.security import Email, InvalidInputError, JsonText, Wallet
from mobius_infra.security._base58 import BECH32, BECH32M, _polymod, base58, segwit
from mobius_infra.security._keccak import keccak_256, sponge
from mobius_infra.security._wallets import ethereum_checksummed
from tests.security.support import calm, reason

# --- e-mail


@pytest.mark.parametrize(
    ("address", "expected"),
    [
        ("ada@example.org", "ada@example.org"),
        ("Ada.L+x'y@Sub.Example.ORG", "Ada.L+x'y@sub.example.org"),
        ("ada@пример.com", "ada@xn--e1afmkfd.com"),
        ("a@b.co", "a@b.co"),
    ],
)
def test_addresses_that_people_have_pass(address: str, expected: str) -> None:
    assert Email()(address) == expected


@pytest.mark.parametrize(
    ("address", "expected"),
    [
        ("ada", "syntax"),
        ("@example.org", "local"),
        ("ada@", "host"),
        ("ada@example", "host"),
        ("ada@example.org.", "host"),
        ("ada@example.1", "host"),
        ("ada@[10.0.0.1]", "host"),
        ("ada@10.0.0.1", "host"),
        ("ada@exa_mple.org", "host"),
        ("ada@-a.org", "host"),
        ('"ada b"@example.org', "local"),
        ("ada b@example.org", "local"),
        (".ada@example.org", "local"),
        ("ada..b@example.org", "local"),
        ("a@b@example.org", "local"),
        ("ada\r\nBcc: x@example.org", "local"),
        ("ada@example.org\n", "host"),
        ("a" * 65 + "@example.org", "local"),
        ("a@" + "b" * 250 + ".org", "length"),
        ("ada@example.org\u202e", "host"),
        ("adä@example.org", "local"),
    ],
)
def test_other_addresses_are_refused(address: str, expected: str) -> None:
    assert reason(Email(), address) == expected


# --- wallets

ADDRESSES: dict[Any, list[str]] = {
    "ethereum": [  # EIP-55
        "0x5aAeb6053F3E94C9b9A09f33669435E7Ef1BeAed",
        "0xfB6916095ca1df60bB79Ce92cE3Ea74c37c5d359",
        "0xdbF03B407c01E7cD3CBea99509d93f8DDDC8C6FB",
        "0xD1220A0cf47c7B9Be7A2E6BA89F429762e7b9aDb",
        "0x52908400098527886E0F7030069857D2E4169EE7",
        "0x8617E340B3D01FA5F11F306F4090FD50E238070D",
        "0xde709f2102306220921060314715629080e2fb77",
        "0x27b1fdb04752bbc536007a920d24acb045561c26",
    ],
    "bitcoin": [
        "1A1zP1eP5QGefi2DMPTfTL5SLmv7DivfNa",
        "3J98t1WpEZ73CNmQviecrnyiWrnqRhWNLy",
        "BC1QW508D6QEJXTDG4Y5R3ZARVARY0C5XW7KV8F3T4",  # BIP 173
        "bc1qrp33g0q5c5txsp9arysrx4k6zdkfs4nce4xj0gdcccefvpysxf3qccfmv3",
        "bc1p0xlxvlhemja6c4dqv22uapctqupfhlxm9h8z3k2e72q4k9hcz7vqzk5jj0",  # BIP 350
    ],
    "ton": [
        "EQCxE6mUtQJKFnGfaROTKOt1lZbDiiX1kCixRv7Nw2Id_sDs",
        "EQDtFpEwcFAEcRe5mLVh2N6C0x-_hJEM7W61_JLnSF74p4q2",
        "EQDtFpEwcFAEcRe5mLVh2N6C0x+/hJEM7W61/JLnSF74p4q2",
        "UQDtFpEwcFAEcRe5mLVh2N6C0x-_hJEM7W61_JLnSF74p9dz",
    ],
    "solana": [
        "So11111111111111111111111111111111111111112",
        "TokenkegQfeZyiNwAJbNbGKPFXCWuBvf9Ss623VQ5DA",
        "11111111111111111111111111111111",
    ],
}
EACH = [(chain, address) for chain, each in ADDRESSES.items() for address in each]


@pytest.mark.parametrize(("chain", "address"), EACH)
def test_an_address_passes_for_its_chain_alone(chain: Any, address: str) -> None:
    assert Wallet(chain)(address) == address
    for other in ADDRESSES.keys() - {chain}:
        assert reason(Wallet(other), address) is not None


# Those with letters of one case have none; nor have those of Solana.
WITH_CHECKSUM = [
    (chain, address)
    for chain, address in EACH
    if chain in ("bitcoin", "ton") or address in ADDRESSES["ethereum"][:4]
]


@pytest.mark.parametrize(("chain", "address"), WITH_CHECKSUM)
@settings(calm, max_examples=25)
@given(st.data())
def test_a_wrong_letter_is_found(chain: Any, address: str, data: st.DataObject) -> None:
    at = data.draw(st.integers(0, len(address) - 1))
    # Of wrong digits, EIP-55 misses one in four thousand; of wrong capitals, none.
    swapped = address[at].swapcase()
    letter = swapped if chain == "ethereum" else data.draw(st.sampled_from("aB3xQ7"))
    wrong = address[:at] + letter + address[at + 1 :]
    if chain == "ton":  # which is one more alphabet for the same bytes
        wrong = wrong.replace("+", "-").replace("/", "_")
    if wrong not in (address, address.replace("+", "-").replace("/", "_")):
        assert reason(Wallet(chain), wrong) in {"checksum", "syntax"}


@pytest.mark.parametrize(
    ("chain", "address"),
    [
        ("ethereum", "5aAeb6053F3E94C9b9A09f33669435E7Ef1BeAed"),
        ("ethereum", "0x5aAeb6053F3E94C9b9A09f33669435E7Ef1BeA"),
        ("ethereum", "0x5aAeb6053F3E94C9b9A09f33669435E7Ef1BeAed\n"),
        ("ethereum", "0x" + "٣" * 40),
        ("bitcoin", "mipcBbFg9gMiCh81Kj8tqqdgoZub1ZJRfn"),  # the test network
        ("bitcoin", "tb1qw508d6qejxtdg4y5r3zarvary0c5xw7kxpjzsx"),
        ("bitcoin", "bc1qw508d6qejxtdg4y5r3zarvary0c5xw7kv8f3T4"),  # both cases
        ("bitcoin", "bc1p0xlxvlhemja6c4dqv22uapctqupfhlxm9h8z3k2e72q4k9hcz7vqh2y7hd"),  # bech32
        ("bitcoin", "bc1qw508d6qejxtdg4y5r3zarvary0c5xw7kemeawh"),  # bech32m
        ("bitcoin", "bc1pw5dgrnzv"),
        ("bitcoin", "BC1QR508D6QEJXTDG4Y5R3ZARVARYV98GJ9P"),
        ("bitcoin", "bc1zw508d6qejxtdg4y5r3zarvaryvqyzf3du"),  # bits that are not zeros
        ("bitcoin", "bc1gmk9yu"),
        ("bitcoin", "1" * 34),
        ("ton", "kQD8uRo6OBbQ97jCx2EIuKm8Wmt6Vb15-KsQHFLbKSMiYIny"),  # the test network
        ("ton", "EQDtFpEwcFAEcRe5mLVh2N6C0x-/hJEM7W61_JLnSF74p4q2"),  # both alphabets
        ("ton", "0:fcb91a3a3816d0f7b8c2c76108b8a9bc5a6b7a55bd79f8ab101c52db29232260"),
        ("solana", "So1111111111111111111111111111111111111111"),
        ("solana", "0okenkegQfeZyiNwAJbNbGKPFXCWuBvf9Ss623VQ5DA"),
        ("solana", "z" * 44),  # 33 bytes
        ("solana", "1" * 100_000),
    ],
)
def test_other_forms_are_refused(chain: Any, address: str) -> None:
    assert reason(Wallet(chain), address) in {"syntax", "checksum", "length"}


def test_a_wallet_may_be_of_several_chains() -> None:
    check = Wallet("ton", "solana")
    assert reason(check, ADDRESSES["ton"][0]) is None
    assert reason(check, ADDRESSES["solana"][0]) is None
    assert reason(check, ADDRESSES["bitcoin"][0]) == "syntax"
    assert repr(check) == "Wallet('ton', 'solana')"


@pytest.mark.parametrize("chains", [(), ("dogecoin",)])
def test_a_chain_that_is_not_known_is_refused(chains: Any) -> None:
    with pytest.raises(ConfigurationError):
        Wallet(*chains)


@calm
@given(st.text(max_size=100))
def test_no_text_breaks_a_wallet(text: str) -> None:
    assert reason(Wallet("ethereum", "bitcoin", "ton", "solana"), text) in {
        None, "syntax", "checksum", "length", "bytes", "encoding",
    }  # fmt: skip


@calm
@given(st.binary(max_size=400))
def test_the_permutation_is_that_of_sha_3(data: bytes) -> None:
    assert sponge(data, 0x06) == sha3_256(data).digest()


def test_keccak_has_its_own_padding() -> None:
    assert keccak_256(b"").hex().startswith("c5d2460186f7233c927e7db2dcc703c0")
    assert keccak_256(b"abc").hex().startswith("4e03657aea45a94fc7d47ba826c8d667")


@calm
@given(st.binary(min_size=20, max_size=20))
def test_a_checksummed_address_passes_and_one_of_swapped_case_does_not(data: bytes) -> None:
    address = ethereum_checksummed(f"0x{data.hex()}")
    assert Wallet("ethereum")(address) == address
    swapped = f"0x{address[2:].swapcase()}"
    digits = address[2:]
    if digits not in (digits.lower(), digits.upper()):
        assert reason(Wallet("ethereum"), swapped) == "checksum"


def bech32(version: int, groups: list[int]) -> str:
    """Write groups of five bits as an address, with a right checksum in any case (BIP 173)."""
    prefix, values = [3, 3, 0, 2, 3], [version, *groups]  # bc, expanded
    checksum = _polymod([*prefix, *values, *[0] * 6]) ^ (BECH32M if version else BECH32)
    values += [checksum >> shift & 31 for shift in range(25, -1, -5)]
    return "bc1" + "".join("qpzry9x8gf2tvdw0s3jn54khce6mua7l"[value] for value in values)


def test_what_is_over_in_the_last_group_of_an_address_is_zeros() -> None:
    assert segwit(bech32(0, [0] * 51 + [16]), "bc") == (0, bytes(31) + b"\x01")
    for padding in range(1, 16):
        assert segwit(bech32(0, [0] * 51 + [padding]), "bc") is None, padding
    # Nor is there a whole group too many.
    assert segwit(bech32(1, [0] * 5), "bc") == (1, bytes(3))
    assert segwit(bech32(1, [0] * 6), "bc") is None


def test_base58_keeps_leading_zeros() -> None:
    assert base58("11z") == b"\0\x00\x39"
    assert base58("0") is None
    assert segwit(
        "bc1pw508d6qejxtdg4y5r3zarvary0c5xw7kw508d6qejxtdg4y5r3zarvary0c5xw7kt5nd6y", "bc"
    )


# --- JSON


@calm
@given(
    st.recursive(
        st.none() | st.booleans() | st.integers(-(10**20), 10**20)
        | st.floats(allow_nan=False, allow_infinity=False)
        | st.text(st.characters(codec="utf-8"), max_size=5),
        lambda inner: st.lists(inner, max_size=3)
        | st.dictionaries(st.text(st.characters(codec="utf-8"), max_size=3), inner, max_size=3),
        max_leaves=10,
    ),
    st.booleans(),
)  # fmt: skip
def test_json_within_its_limits_says_what_it_says(value: Any, ascii_only: bool) -> None:
    text = json.dumps(value, ensure_ascii=ascii_only)
    assert JsonText()(text) == value
    assert JsonText()(text.encode()) == value


@pytest.mark.parametrize(
    ("text", "expected"),
    [
        ("[" * 5 + "]" * 5, "depth"),
        ("[" * 50_000, "depth"),
        ('{"a":' * 5 + "1" + "}" * 5, "depth"),
        ("[" + "1," * 20 + "1]", "items"),
        ("[" + "[]," * 20 + "[]]", "items"),
        ('"' + "a" * 70_000 + '"', "length"),
        ('"' + "é" * 40_000 + '"', "bytes"),
        (b"a" * 70_000, "bytes"),
        (b"\xff", "encoding"),
        ("\ufeff1", "syntax"),
        (b"\xef\xbb\xbf1", "syntax"),
        ('{"a": 1, "a": 2}', "duplicate"),
        ('[{"b": {"a": 1, "\\u0061": 2}}]', "duplicate"),
        ("NaN", "number"),
        ("[-Infinity]", "number"),
        ("1e999", "number"),
        ("1" * 400, "number"),
        ('"\\ud800"', "encoding"),
        ('["\\udc00\\ud800"]', "encoding"),
        ('{"\\ud800": 1}', "encoding"),
        ("", "syntax"),
        ("{'a': 1}", "syntax"),
        ("[1,]", "syntax"),
        ("[1] [2]", "syntax"),
        ('"a', "syntax"),
        ('"a\n"', "syntax"),
        ("]]]]][[[[[[", "syntax"),
        (None, "type"),
        ({}, "type"),
    ],
)  # fmt: skip
def test_json_that_is_too_much_or_none_is_refused(text: Any, expected: str) -> None:
    assert reason(JsonText(deepest=4, most_items=20), text) == expected


def test_brackets_and_commas_in_strings_do_not_count() -> None:
    check = JsonText(deepest=1, most_items=2)
    assert check('["[[[{{{,,,,\\"[[[,"]') == ['[[[{{{,,,,"[[[,']
    assert JsonText()('"\\ud83d\\ude00"') == "😀"


def test_json_is_counted_before_it_is_parsed(monkeypatch: pytest.MonkeyPatch) -> None:
    def loads(*_args: object, **_options: object) -> None:
        raise AssertionError

    monkeypatch.setattr(json, "loads", loads)
    assert reason(JsonText(), "[" * 60_000) == "depth"
    assert reason(JsonText(), "[" + "0," * 30_000) == "items"


@calm
@given(st.text(st.sampled_from('[]{},:"\\u0d8 \ne1-.'), max_size=40))
def test_no_text_breaks_the_limits(text: str) -> None:
    try:
        said = JsonText(deepest=3)(text)
    except InvalidInputError:
        return
    assert json.loads(text) == said


@pytest.mark.parametrize(
    "limits",
    [{"most_bytes": 0}, {"deepest": 0}, {"deepest": 201}, {"most_items": 0}, {"deepest": True}],
)
def test_limits_that_can_not_be_are_refused(limits: dict[str, Any]) -> None:
    with pytest.raises(ConfigurationError):
        JsonText(**limits)


def test_the_deepest_that_may_be_asked_for_is_parsed() -> None:
    assert JsonText(deepest=200)("[" * 200 + "]" * 200) is not None
