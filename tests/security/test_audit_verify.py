"""Nothing of a trail can be changed, left out, moved, added or cut off without being found."""

import gzip
import hmac
import json
import os
import random
import shutil
from collections.abc import Callable, Iterator
from dataclasses import replace
from pathlib import Path

import pytest
from hypothesis import given
from hypothesis import strategies as st

from mobius_infra.core import ConfigurationError
from mobius_infra.security import (
    Checkpoint,
    TrailError,
    TrailVersionError,
    _audit_read,
    _audit_verify,
    leaf_hash,
    load_tree,
    read_trail,
    verify_consistency,
    verify_inclusion,
    verify_trail,
)
from mobius_infra.security._audit_chain import START, Chain, ChainKey, Head, head_of
from mobius_infra.security._audit_checkpoint import Signer
from mobius_infra.security._audit_entry import encode
from mobius_infra.security._audit_segment import Segment, name_of, pack, segments, settled
from mobius_infra.security._merkle import Frontier

from .audit_support import (
    KEY,
    OTHER,
    RULES,
    body,
    detected,
    finds,
    lines,
    opened,
    small_trail,
    wrong,
)


def many(path: Path, records: int = 40, max_bytes: int = 2_000) -> Checkpoint:
    """Make a trail of several files, and return its head."""
    with opened(path, rules=replace(RULES, max_bytes=max_bytes)) as store:
        for number in range(records):
            store.append([body("a", details={"x": number})], 1.0, checkpoint=number % 10 == 9)
        head = store.append([], 1.0, checkpoint=True).checkpoint
    assert head is not None
    return head


def flips(file: Path) -> Iterator[tuple[int, int]]:
    """Flip each bit of a file in turn, and back."""
    # In place: to begin a file anew takes ten times as long as to verify it.
    with file.open("r+b", buffering=0) as handle:
        for place, byte in enumerate(file.read_bytes()):
            for bit in range(8):
                os.pwrite(handle.fileno(), bytes([byte ^ 1 << bit]), place)
                yield place, bit
            os.pwrite(handle.fileno(), bytes([byte]), place)


def test_a_trail_as_it_was_written_is_right(tmp_path: Path) -> None:
    head = small_trail(tmp_path)
    report = verify_trail(tmp_path, [KEY])
    assert (report.ok, report.size, report.records, report.first) == (True, 5, 3, 0)
    assert (report.checkpoints, report.unchecked, report.repaired) == (1, 0, 0)
    assert report.attested is None
    assert report.completeness == "completeness not attested"
    report = verify_trail(tmp_path, [KEY], head=head)
    assert (report.ok, report.attested) == (True, 4)
    assert report.completeness == "complete up to entry 3"
    assert report.root == load_tree(tmp_path).root().hex()


def test_every_single_bit_is_watched(tmp_path: Path) -> None:
    small_trail(tmp_path, 1)
    file = tmp_path / name_of(0)
    whole = file.read_bytes()
    assert len(whole) > 700
    files = settled(tmp_path)
    for place, bit in flips(file):
        # Without a head, which only a cut end needs.
        assert wrong(files), (place, bit)
    assert file.read_bytes() == whole
    assert not detected(tmp_path)


def test_every_line_that_is_gone_moved_doubled_or_cut_is_found(tmp_path: Path) -> None:
    head = small_trail(tmp_path, 3)
    file = tmp_path / name_of(0)
    whole = lines(tmp_path)
    there = range(len(whole) - 1)  # the last is the checkpoint, which the head does not cover
    for one in there:
        file.write_bytes(b"".join(whole[:one] + whole[one + 1 :]))
        assert detected(tmp_path, head)
        assert detected(tmp_path)
        for other in range(len(whole)):
            if other != one:
                moved = [*whole]
                moved[one], moved[other] = moved[other], moved[one]
                file.write_bytes(b"".join(moved))
                assert detected(tmp_path)
            file.write_bytes(b"".join([*whole[:other], whole[one], *whole[other:]]))
            assert detected(tmp_path)
        file.write_bytes(b"".join(whole[: one + 1][:-1]))
        assert detected(tmp_path, head)
    file.write_bytes(b"".join(whole[:-1]))
    assert not detected(tmp_path, head)
    for length in reversed(range(file.stat().st_size)):
        os.truncate(file, length)
        assert wrong([Segment(0, file)], head), length


def test_a_cut_end_is_found_by_the_head_alone(tmp_path: Path) -> None:
    head = small_trail(tmp_path, 6)
    file = tmp_path / name_of(0)
    file.write_bytes(b"".join(lines(tmp_path)[:4]))
    report = verify_trail(tmp_path, [KEY])
    assert report.ok
    assert report.completeness == "completeness not attested"
    report = verify_trail(tmp_path, [KEY], head=head)
    assert [each.kind for each in report.problems] == ["missing"]
    assert "entries 4 to 6: the expected head has 7" in report.problems[0].reason
    assert report.completeness == "completeness not attested"


def test_samples_of_a_large_trail_of_many_files(tmp_path: Path) -> None:
    head = many(tmp_path / "a", 300, 8_000)
    with opened(tmp_path / "a") as store:
        store.pack()
    files = [each.path for each in segments(tmp_path / "a")]
    assert len(files) > 5
    assert finds(tmp_path / "a", head=head).ok  # type: ignore[union-attr]
    draw = random.Random(7)
    for _ in range(25):
        file = draw.choice(files)
        packed = file.read_bytes()
        content = bytearray(gzip.decompress(packed) if file.suffix == ".gz" else packed)
        content[draw.randrange(len(content))] ^= 1 << draw.randrange(8)
        file.write_bytes(gzip.compress(content) if file.suffix == ".gz" else bytes(content))
        assert detected(tmp_path / "a")
        file.write_bytes(packed)
    for file in files:
        kept = file.read_bytes()
        file.unlink()
        assert detected(tmp_path / "a", head)
        file.write_bytes(kept)


def test_a_changed_compressed_file_is_found_or_says_the_same(tmp_path: Path) -> None:
    with opened(tmp_path, rules=replace(RULES, max_bytes=100)) as store:
        for _ in range(2):
            store.append([body()], 1.0)
        store.pack()
    file = segments(tmp_path)[0].path
    assert file.suffix == ".gz"
    before, files = lines(tmp_path), settled(tmp_path)
    for place, bit in flips(file):
        assert wrong(files) or lines(tmp_path) == before, (place, bit)


def test_one_change_is_one_problem_and_says_where(tmp_path: Path) -> None:
    small_trail(tmp_path, 6)
    file = tmp_path / name_of(0)
    whole = lines(tmp_path)
    file.write_bytes(b"".join(whole).replace(b'{"x":3}', b'{"x":4}'))
    report = verify_trail(tmp_path, [KEY])
    assert [(each.kind, each.entry, each.file) for each in report.problems] == [
        ("changed", 4, name_of(0))
    ]
    assert report.size == 8
    file.write_bytes(b"".join(whole[:3] + whole[5:]))
    [problem] = verify_trail(tmp_path, [KEY]).problems
    assert (problem.kind, problem.entry, problem.reason) == ("missing", 3, "entries 3 to 4")
    file.write_bytes(b"".join([*whole[:3], whole[4], whole[3], *whole[5:]]))
    report = verify_trail(tmp_path, [KEY])
    assert [each.kind for each in report.problems] == ["missing", "out of place"]


def test_a_hundred_problems_are_listed_and_all_are_counted(tmp_path: Path) -> None:
    small_trail(tmp_path, 150)
    file = tmp_path / name_of(0)
    file.write_bytes(file.read_bytes().replace(b'"action":"a"', b'"action":"b"'))
    report = verify_trail(tmp_path, [KEY])
    assert (len(report.problems), report.found, report.ok) == (100, 150, False)


def test_without_the_key_nothing_right_can_be_written(tmp_path: Path) -> None:
    head = small_trail(tmp_path, 3)
    forged = Chain.start()
    key = ChainKey(OTHER)
    fields = Head(1, head.trail, key.id, Chain.start(), 0.0).fields()
    (tmp_path / name_of(0)).write_bytes(forged.add(key, encode(fields)) + forged.add(key, body()))
    report = verify_trail(tmp_path, [KEY])
    assert [each.kind for each in report.problems] == ["unreadable"]
    assert key.id in report.problems[0].reason


def test_another_trail_in_its_place_is_found(tmp_path: Path) -> None:
    head = small_trail(tmp_path / "a")
    small_trail(tmp_path / "b", 9)
    report = verify_trail(tmp_path / "b", [KEY], head=head)
    assert [each.reason for each in report.problems] == ["the expected head is of another trail"]
    shutil.copy(tmp_path / "a" / name_of(0), tmp_path / "a" / name_of(5))
    assert detected(tmp_path / "a")


def test_a_rewritten_history_by_who_has_the_key_is_found_by_the_head(tmp_path: Path) -> None:
    head = small_trail(tmp_path / "a")
    [first, *_] = lines(tmp_path / "a")
    chain = Chain.start()
    head_fields = {**json.loads(first)}
    del head_fields["n"], head_fields["mac"]
    written = [chain.add(ChainKey(KEY), encode(head_fields))]
    assert written == [first]
    written += [chain.add(ChainKey(KEY), body("other")) for _ in range(8)]
    (tmp_path / "a" / name_of(0)).write_bytes(b"".join(written))
    assert not detected(tmp_path / "a")
    report = verify_trail(tmp_path / "a", [KEY], head=head)
    assert [(each.kind, each.reason) for each in report.problems] == [
        ("head", "is another trail up to there")
    ]


def test_a_head_that_none_of_the_keys_signed_attests_nothing(tmp_path: Path) -> None:
    head = small_trail(tmp_path)
    for changed in (
        replace(head, size=2),
        replace(head, root="00" * 32),
        replace(head, signature=""),
        replace(head, signature="é"),
        replace(head, key="no key"),
        Signer(OTHER).sign(head.trail, head.size, bytes.fromhex(head.root), 1.0),
    ):
        report = verify_trail(tmp_path, [KEY], head=changed)
        assert not report.ok
        assert report.attested is None
    assert verify_trail(
        tmp_path, [KEY],
        head=Signer(OTHER).sign(head.trail, head.size, bytes.fromhex(head.root), 1.0),
        public_keys=[Signer(OTHER).public_key],
    ).attested == 4  # fmt: skip


def test_every_bit_of_a_checkpoint_counts() -> None:
    checkpoint = Signer(KEY).sign("ab" * 16, 7, bytes(32), 1.5)
    public = Signer(KEY).public_key
    text = checkpoint.to_json().encode()
    assert Checkpoint.parse(text.decode()).is_signed_by(public)
    for place in range(len(text)):
        for bit in range(8):
            changed = bytearray(text)
            changed[place] ^= 1 << bit
            try:
                found = Checkpoint.parse(changed.decode())
            except (ConfigurationError, UnicodeDecodeError):
                continue
            assert not found.is_signed_by(public), (place, bit)


@pytest.mark.parametrize("text", ["", "[]", "{}", "null", "1" * 5000, "[" * 99_999])
def test_what_is_no_checkpoint_is_refused(text: str) -> None:
    with pytest.raises(ConfigurationError, match="checkpoint"):
        Checkpoint.parse(text)


def test_a_checkpoint_in_the_trail_by_a_key_that_is_not_given_is_said(tmp_path: Path) -> None:
    with opened(tmp_path, sign_with=OTHER) as store:
        store.append([body()], 1.0, checkpoint=True)
    report = verify_trail(tmp_path, [KEY])
    assert (report.ok, report.checkpoints, report.unchecked) == (True, 0, 1)
    report = verify_trail(tmp_path, [KEY], public_keys=[Signer(OTHER).public_key])
    assert (report.ok, report.checkpoints, report.unchecked) == (True, 1, 0)


def test_a_trail_by_a_newer_release_is_refused_by_name(tmp_path: Path) -> None:
    chain, key = Chain.start(), ChainKey(KEY)
    fields = Head(2, "t", key.id, Chain.start(), 0.0).fields()
    (tmp_path / name_of(0)).write_bytes(chain.add(key, encode(fields)))
    for read in (lambda: verify_trail(tmp_path, [KEY]), lambda: opened(tmp_path).__enter__()):
        with pytest.raises(TrailVersionError, match=r"0\.jsonl: is of version 2.*update") as caught:
            read()
        assert caught.value.version == 2


def test_no_trail_is_no_right_trail(tmp_path: Path) -> None:
    for path in (tmp_path, tmp_path / "none"):
        with pytest.raises(TrailError, match=str(path)):
            verify_trail(path, [KEY])
    with pytest.raises(ConfigurationError, match="keys"):
        verify_trail(tmp_path, [])


def test_files_continue_each_other(tmp_path: Path) -> None:
    head = many(tmp_path)
    files = segments(tmp_path)
    assert len(files) > 4
    assert finds(tmp_path, head=head).attested == head.size  # type: ignore[union-attr]
    # A file that is gone, in the middle or at the begin, is missed.
    for gone in files[:-1]:
        content = gone.path.read_bytes()
        gone.path.unlink()
        report = verify_trail(tmp_path, [KEY])
        assert [each.kind for each in report.problems] == ["missing"]
        assert report.problems[0].entry == gone.first
        gone.path.write_bytes(content)
    # One by another name is not at its place.
    files[1].path.rename(tmp_path / name_of(files[1].first + 1))
    assert detected(tmp_path)


def test_a_new_key_writes_and_old_ones_are_read(tmp_path: Path) -> None:
    small_trail(tmp_path)
    with pytest.raises(ConfigurationError, match=rf"with the key {KEY.id.hex()}"):
        opened(tmp_path, OTHER).__enter__()
    with opened(tmp_path, OTHER, KEY) as store:
        store.append([body()], 2.0)
    assert len(segments(tmp_path)) == 2
    report = finds(tmp_path, OTHER, KEY)
    assert report is not None
    assert report.ok
    [problem] = verify_trail(tmp_path, [OTHER]).problems[:1]
    assert problem.kind == "unreadable"


def test_what_was_dropped_leaves_its_root_and_what_was_taken_away_is_missed(tmp_path: Path) -> None:
    rules = replace(RULES, max_bytes=1_000, keep=100.0)
    whole = load_tree_after(tmp_path / "whole")
    with opened(tmp_path / "a", rules=rules, now=0.0) as store:
        for at in range(0, 400, 10):
            store.append([body(at=float(at))], float(at))
        facts = [each.kind for each in store.facts]
        head = store.append([], 400.0, checkpoint=True).checkpoint
    assert "dropped" in facts
    assert whole
    files = segments(tmp_path / "a")
    assert files[0].first > 0
    report = verify_trail(tmp_path / "a", [KEY], head=head)
    assert (report.ok, report.first, report.attested) == (True, files[0].first, report.size - 1)
    dropped = [json.loads(each) for each in lines(tmp_path / "a") if b'"dropped"' in each]
    assert dropped[-1]["size"] == files[0].first
    first = head_of(files[0].path.read_bytes().splitlines()[0])
    assert first is not None
    assert dropped[-1]["root"] == first.chain.tree.root().hex()
    files[0].path.unlink()
    report = verify_trail(tmp_path / "a", [KEY], head=head)
    assert [each.kind for each in report.problems] == ["missing"]
    assert "nobody dropped" in report.problems[0].reason


@pytest.fixture
def meanwhile(monkeypatch: pytest.MonkeyPatch) -> Callable[[Callable[[], object]], None]:
    """Give a function that says what happens once, after the files were listed by a reader."""

    def setup(happens: Callable[[], object]) -> None:
        def listed(directory: Path) -> list[Segment]:
            files = settled(directory)
            monkeypatch.undo()
            happens()
            return files

        for reader in (_audit_verify, _audit_read):
            monkeypatch.setattr(reader, "settled", listed)

    return setup


def test_what_retention_drops_while_a_trail_is_read_is_no_problem(
    tmp_path: Path, meanwhile: Callable[[Callable[[], object]], None]
) -> None:
    with opened(tmp_path, rules=replace(RULES, max_bytes=100, keep=10.0)) as store:

        def drop(now: float) -> None:
            before = segments(tmp_path)
            store.append([body(at=now)], now)
            assert segments(tmp_path)[0].first > before[0].first

        for at in range(4):
            store.append([body(at=float(at))], float(at))
        meanwhile(lambda: drop(12.5))  # those of 0 and 1, so that a part is left
        head = store.append([], 4.0, checkpoint=True).checkpoint
        report = verify_trail(tmp_path, [KEY], head=head)
        assert (report.problems, report.size) == ((), store.size)
        assert report.first == segments(tmp_path)[0].first > 0
        assert report.attested == (head.size if head is not None else None)
        meanwhile(lambda: drop(30.0))
        assert [each.at for each in read_trail(tmp_path)] == [12.5]
        meanwhile(lambda: drop(50.0))
        tree = load_tree(tmp_path)
        assert (tree.size, tree.root()) == (store.size, store._chain.tree.root())


@pytest.mark.parametrize(("gone", "kind"), [(0, "missing"), (1, "unreadable"), (-1, "unreadable")])
def test_what_is_taken_away_while_a_trail_is_read_is_a_problem(
    tmp_path: Path, gone: int, kind: str, meanwhile: Callable[[Callable[[], object]], None]
) -> None:
    head = many(tmp_path)
    meanwhile(segments(tmp_path)[gone].path.unlink)
    assert kind in {each.kind for each in verify_trail(tmp_path, [KEY], head=head).problems}


def test_a_file_that_is_listed_and_leads_nowhere_is_a_problem(tmp_path: Path) -> None:
    many(tmp_path)
    first = segments(tmp_path)[0].path
    first.unlink()
    first.symlink_to(tmp_path / "none")
    with pytest.raises(TrailError, match="can't be read"):
        list(read_trail(tmp_path))
    assert "unreadable" in {each.kind for each in verify_trail(tmp_path, [KEY]).problems}


def load_tree_after(path: Path) -> int:
    many(path)
    return load_tree(path).size


def test_proofs_of_a_trail_hold_against_its_checkpoints(tmp_path: Path) -> None:
    with opened(tmp_path, rules=replace(RULES, max_bytes=2_000)) as store:
        heads = [store.append([body()], 1.0, checkpoint=True).checkpoint for _ in range(40)]
    tree, all_lines = load_tree(tmp_path), lines(tmp_path)
    for old, new in zip(heads, heads[7:], strict=False):
        assert old is not None
        assert new is not None
        roots = bytes.fromhex(old.root), bytes.fromhex(new.root)
        proof = tree.prove_consistency(old.size, new.size)
        assert verify_consistency(old.size, new.size, proof, *roots)
        place = old.size - 1
        inclusion = tree.prove_inclusion(place, new.size)
        leaf = leaf_hash(all_lines[place].rstrip(b"\n"))
        assert verify_inclusion(leaf, place, new.size, inclusion, roots[1])
        assert not verify_inclusion(leaf_hash(b"other"), place, new.size, inclusion, roots[1])


@given(st.binary(min_size=32, max_size=32), st.binary(max_size=300))
def test_codes_are_hmac_sha_256(before: bytes, data: bytes) -> None:
    secret = KEY.derive("audit chain v1")
    assert ChainKey(KEY).code(before, data) == hmac.digest(secret, before + data, "sha256")


def test_an_entry_of_another_place_does_not_follow() -> None:
    key, here, there = ChainKey(KEY), Chain.start(), Chain.start()
    there.tree = Frontier(1, [bytes(32)])
    assert not here.follow(key, there.copy().add(key, body()).rstrip())
    assert here.follow(key, Chain.start().add(key, body()).rstrip())


def test_the_first_entry_follows_nothing(tmp_path: Path) -> None:
    chain, key = Chain(b"1" * 32, Chain.start().tree), ChainKey(KEY)
    fields = Head(1, "t", key.id, chain, 0.0).fields()
    (tmp_path / name_of(0)).write_bytes(chain.copy().add(key, encode(fields)))
    assert [each.kind for each in verify_trail(tmp_path, [KEY]).problems] == ["changed"]
    assert bytes(32) == START


def test_compressing_twice_gives_the_same_file(tmp_path: Path) -> None:
    many(tmp_path, 12, 1_000)
    first = segments(tmp_path)[0]
    content = first.path.read_bytes()
    pack(first)
    packed = segments(tmp_path)[0]
    assert packed.packed
    one = packed.path.read_bytes()
    assert not first.path.exists()
    first.path.write_bytes(content)
    assert not segments(tmp_path)[0].packed  # where both are, the plain one is read
    pack(first)
    assert packed.path.read_bytes() == one
    pack(first)  # another process was first, or dropped it
    assert packed.path.read_bytes() == one


def test_a_file_of_another_trail_does_not_continue_this_one(tmp_path: Path) -> None:
    for name in ("a", "b"):
        many(tmp_path / name)
    mine, others = segments(tmp_path / "a")[1:3], segments(tmp_path / "b")[1:3]
    assert [each.first for each in mine] == [each.first for each in others]
    shutil.copy(others[0].path, mine[0].path)
    first, *_ = verify_trail(tmp_path / "a", [KEY]).problems
    assert (first.kind, first.entry) == ("changed", mine[0].first)
    assert first.reason == "does not go on where the file before it ends"


def test_a_last_line_without_end_is_torn(tmp_path: Path) -> None:
    small_trail(tmp_path)
    file = tmp_path / name_of(0)
    file.write_bytes(file.read_bytes()[:-1])
    assert [each.kind for each in verify_trail(tmp_path, [KEY]).problems] == ["torn"]
