"""Ways of tampering with an archive: each changes its files, by name."""

import io
import tarfile
from collections.abc import Callable
from hashlib import sha256
from pathlib import Path

from history.notes import SigningKey

Files = dict[str, bytes]


def repack(source: Path, target: Path, change: Callable[[Files], None], *, sums: bool) -> None:
    """Write the archive again with something changed, with new sums where the one who tampers thinks of them."""
    files: Files = {}
    with tarfile.open(source) as tar:
        for member in tar.getmembers():
            content = tar.extractfile(member)
            assert content
            files[member.name] = content.read()
    change(files)
    if sums:
        del files["SHA256SUMS"]
        stated = (f"{sha256(content).hexdigest()}  {name}\n" for name, content in sorted(files.items()))
        files["SHA256SUMS"] = "".join(stated).encode()
    with tarfile.open(target, "w") as tar:
        for name, content_now in files.items():
            member = tarfile.TarInfo(name)
            member.size = len(content_now)
            tar.addfile(member, io.BytesIO(content_now))


def lines(files: Files) -> list[bytes]:
    return files["events.jsonl"].splitlines(keepends=True)


def put(files: Files, changed: list[bytes]) -> None:
    files["events.jsonl"] = b"".join(changed)


def flip_a_byte(files: Files) -> None:
    changed = lines(files)
    changed[49] = changed[49].replace(b"Chapter", b"Chaptfr")
    put(files, changed)


def change_an_actor(files: Files) -> None:
    changed = lines(files)
    changed[49] = changed[49].replace(b"import:sample", b"import:simple")
    put(files, changed)


def other_spelling(files: Files) -> None:
    changed = lines(files)
    changed[49] = changed[49].replace(b'"causation":null', b'"causation": null')
    put(files, changed)


def delete(files: Files) -> None:
    put(files, lines(files)[:49] + lines(files)[50:])


def reorder(files: Files) -> None:
    changed = lines(files)
    changed[49], changed[50] = changed[50], changed[49]
    put(files, changed)


def insert(files: Files) -> None:
    put(files, lines(files)[:49] + lines(files)[48:])


def swap_data(files: Files) -> None:
    changed = lines(files)
    (one, mark, data), (other, _, other_data) = (changed[p].partition(b',"data":') for p in (49, 59))
    changed[49], changed[59] = one + mark + other_data, other + mark + data
    put(files, changed)


def truncate(files: Files) -> None:
    put(files, lines(files)[:305])


def break_a_line(files: Files) -> None:
    changed = lines(files)
    changed[49] = b"{}\n"
    put(files, changed)


def add_an_event(files: Files) -> None:
    put(files, [*lines(files), lines(files)[-1]])


def change_a_leaf(files: Files) -> None:
    tile = files["tile/0/000"]
    files["tile/0/000"] = tile[: 49 * 32] + b"0" * 32 + tile[50 * 32 :]


def change_a_node(files: Files) -> None:
    files["tile/1/000.p/1"] = b"0" * 32


def lose_a_tile(files: Files) -> None:
    del files["tile/0/001.p/54"]


def change_the_newest_checkpoint(files: Files) -> None:
    files["checkpoint"] = files["checkpoint"].replace(b"310", b"309")


def another_key(files: Files) -> None:
    files["verifier.keys"] = f"{SigningKey('climate.example/log', b'1' * 32).verifier}\n".encode()


def change_a_command(files: Files) -> None:
    files["commands.jsonl"] = files["commands.jsonl"].replace(b'"result":null', b'"result":"{}"', 1)


def add_a_file(files: Files) -> None:
    files["more"] = b"more"
