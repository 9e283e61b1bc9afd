"""`hub-tfx create`: build and export new modules."""

from collections.abc import Sequence
from typing import TYPE_CHECKING, Any

import click

from hub_tfx._quiet import quiet_libraries
from hub_tfx.cli.options import current_directory_on_path
from hub_tfx.cli.output import json_option, print_fields, print_json
from hub_tfx.module.spec import ModuleFormat
from hub_tfx.module.user_function import import_function, variants

if TYPE_CHECKING:
    from hub_tfx.module.create.export import CreatedModule

output_option = click.option(
    "--output",
    required=True,
    metavar="DIR",
    help="Write the module to this new directory; one that is there is never replaced.",
)


@click.group()
def create() -> None:
    """Build and export new modules."""


@create.command("text-embedding")
@click.option(
    "--vectors",
    required=True,
    metavar="FILE",
    help="Read word vectors of GloVe, fastText (.vec) or word2vec (text or binary), packed or not.",
)
@click.option(
    "--strict",
    is_flag=True,
    help="End with an error at the first line that gives no word, instead of leaving it out.",
)
@output_option
@click.option(
    "--format",
    "module_format",
    type=click.Choice(["tf1_hub", "saved_model"]),
    default="tf1_hub",
    show_default=True,
    help="Write the module in TF1 hub format or as a TF2 SavedModel.",
)
@click.option(
    "--num-oov-buckets",
    type=click.IntRange(min=1),
    default=1,
    show_default=True,
    metavar="N",
    help="Add N rows for words outside the vocabulary, which are chosen by hash.",
)
@click.option(
    "--oov-seed",
    type=int,
    metavar="N",
    help="Fill the rows for words outside the vocabulary with random vectors of the seed N.  "
    "[zero vectors]",
)
@json_option
def text_embedding(
    vectors: str,
    strict: bool,
    output: str,
    module_format: ModuleFormat,
    num_oov_buckets: int,
    oov_seed: int | None,
    as_json: bool,
) -> None:
    """Make a text embedding module from a file of word vectors.

    Texts are put in lower case, rid of punctuation, split at white space, and become the sum of
    their words' vectors divided by the square root of the number of words.
    """
    from hub_tfx.module.vectors import read_word_vectors

    read = read_word_vectors(vectors, strict=strict)
    quiet_libraries()
    from hub_tfx.module.create import text_embedding_module

    created = text_embedding_module(
        read.vocabulary,
        read.vectors,
        output,
        format=module_format,
        num_oov_buckets=num_oov_buckets,
        oov_seed=oov_seed,
    )
    _report(created, as_json, read.left_out)


@create.command("module")
@click.option(
    "--module-fn",
    required=True,
    metavar="PACKAGE.MODULE:FUNCTION",
    help="Build the graph with this function, which calls hub.add_signature.",
)
@output_option
@click.option(
    "--checkpoint",
    metavar="PATH",
    help="Take the values of variables from this checkpoint: a prefix, or a directory for its "
    "latest.",
)
@click.option(
    "--drop-collection",
    "drop_collections",
    multiple=True,
    metavar="NAME",
    help="Leave this graph collection out of the module; may be repeated.",
)
@json_option
def module_command(
    module_fn: str,
    output: str,
    checkpoint: str | None,
    drop_collections: tuple[str, ...],
    as_json: bool,
) -> None:
    """Make a module in TF1 hub format from a graph of your own.

    The function is imported with the current directory on Python's path. If it has a parameter
    is_training, two variants are built: one without tags (is_training=False) and one tagged train
    (is_training=True).
    """
    quiet_libraries()
    with current_directory_on_path():
        function = import_function(module_fn)
        from hub_tfx.module.create import module

        created = module(function, variants(function), output, checkpoint, drop_collections)
    _report(created, as_json)


def _report(created: "CreatedModule", as_json: bool, left_out: Sequence[str] = ()) -> None:
    document: dict[str, Any] = {
        "path": str(created.path),
        "digest": created.digest,
        "format": created.spec.format,
    }
    if as_json:
        signatures = created.spec.to_dict()["signatures"]
        tags = [list(t) for t in created.spec.tags]
        all_left_out = [*left_out, *created.left_out]
        print_json(document | {"tags": tags, "signatures": signatures, "left_out": all_left_out})
    else:
        print_fields(document | {"signatures": ", ".join(created.spec.signatures)})
