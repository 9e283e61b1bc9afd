"""Embeddings that are written without a module, to be pushed; and what a root then holds.

As a program, `python pushes.py FOLDER CALL…` kills a push at each of these system calls, one after
the other, and prints what the root was left with each time.
"""

import hashlib
import json
import shutil
import sys
from collections import Counter
from collections.abc import Sequence
from pathlib import Path

import pyarrow as pa
import pyarrow.parquet as pq
from killing import kill_points

from hub_tfx.data.filesystems import paths_below
from hub_tfx.embed.digests import DIGEST_BYTES
from hub_tfx.embed.generations import list_generations, uri_of
from hub_tfx.embed.manifest import ModuleRef, OutputManifest, WrittenColumn, WrittenFile
from hub_tfx.embed.output.layout import DIGESTS, EMBEDDINGS, OutputLayout, tag_of
from hub_tfx.embed.output.push import push_generation
from hub_tfx.embed.output.read_back import read_embeddings

Vectors = Sequence[Sequence[float]]


def digest_of(module: str) -> str:
    return hashlib.sha256(module.encode()).hexdigest()


def write_embeddings(
    folder: Path,
    vectors: Vectors,
    module: str = "module",
    split: str = "",
    *,
    signature: str = "s",
    order: str = "",
    inputs: str = "examples",
) -> str:
    """An output as a job leaves it; the parts of a split are not what tf.Examples are.

    Args:
      folder: where it goes.
      vectors: vectors of its rows.
      module: which module has made it.
      split: name of a split; a directory of Parquet if empty.
      signature: name of the signature.
      order: what tells the bytes of a split from others that mean the same.
      inputs: the file that was embedded.
    """
    layout = (
        OutputLayout.of_split(str(folder), str(folder), split)
        if split
        else OutputLayout.of_directory(str(folder), "parquet")
    )
    content = json.dumps([order, vectors]).encode()
    if not split:
        sink = pa.BufferOutputStream()
        pq.write_table(pa.table({"vector": pa.array(vectors, pa.list_(pa.float32()))}), sink)
        content = sink.getvalue().to_pybytes()
    digests = b"".join(hashlib.md5(str(v).encode()).digest()[:DIGEST_BYTES] for v in vectors)
    hashes = [hashlib.sha256(held).hexdigest() for held in (content, digests)]
    ending = "tfrecord.gz" if split else "parquet"
    part = WrittenFile(
        f"embeddings-00000-of-00001-{tag_of(*hashes)}.{ending}", len(vectors), len(content), *hashes
    )
    manifest = OutputManifest(
        version="0",
        module=ModuleRef(f"hub/{module}", digest_of(module)),
        preprocessor=None,
        signature=signature,
        made_with=None,
        embedding_dim=len(vectors[0]),
        columns={"vector": WrittenColumn("default", "float32", (len(vectors[0]),))},
        config={},
        format="tfrecord" if split else "parquet",
        rows=len(vectors),
        files=(part,),
        inputs={inputs: len(vectors)},
        run=f"job of {folder.name}",
    )
    for path, held in (
        (layout.parts_named(manifest, EMBEDDINGS)[0], content),
        (layout.parts_named(manifest, DIGESTS)[0], digests),
        (layout.manifest, manifest.to_json().encode()),
    ):
        Path(path).parent.mkdir(parents=True, exist_ok=True)
        Path(path).write_bytes(held)
    return str(folder)


def vectors_in(place: str | Path) -> list[list[float]]:
    """The vectors in a root or an output, whose files are checked on the way."""
    return read_embeddings(str(place))[0].tolist()


def check_whole(root: Path) -> list[int]:
    """The numbers of the generations of a root, each of which can be read."""
    found = list_generations(root)
    for generation in found:
        assert len(vectors_in(uri_of(root, generation))) == generation.rows
    return [generation.number for generation in found]


def check_nothing_left(root: Path) -> None:
    """Asserts that a root holds its generations and nothing that is half done."""
    numbers = set(map(str, check_whole(root)))
    tops = {parts[0] for parts in paths_below(str(root))}
    for top in tops - numbers - {"-", "latest.json"}:
        assert list((root / top).iterdir()) == [root / top / "generation.json"], top
    assert not [*(root / "-" / "work").glob("*")]
    for number in numbers:
        assert {path.name for path in (root / number).iterdir()} == {
            *("claim.json", "generation.json", "manifest.json", "digests"),
            next((root / number).glob("embeddings-*")).name,
        }


# --- Killed at each system call ------------------------------------------------------------------


def sweep(folder: Path, calls: Sequence[str]) -> Counter[str]:
    """Counts the latest generation of the roots that killed pushes left."""
    root, before = folder / "root", folder / "before"
    outputs = [write_embeddings(folder / str(n), [[n, n]] * (n + 1)) for n in range(4)]
    for output in outputs[:2]:
        push_generation(root, output, keep=2)
    shutil.copytree(root, before, copy_function=shutil.copy)

    def prepare() -> None:
        shutil.rmtree(root)
        shutil.copytree(before, root)

    left = Counter[str]()

    def push() -> None:
        push_generation(root, outputs[2], keep=2)

    for call in kill_points(prepare, push, calls):
        latest = check_whole(root)[-1]
        assert vectors_in(root) == [[latest - 1.0] * 2] * latest
        left[f"{call}: {latest}"] += 1
        push_generation(root, outputs[3], keep=2)
        assert vectors_in(root) == [[3.0, 3.0]] * 4
        check_nothing_left(root)
    return left


if __name__ == "__main__":
    print(json.dumps(sweep(Path(sys.argv[1]), sys.argv[2:])))
