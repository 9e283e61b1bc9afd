"""Lines to copy that use a module: those that are right for its format and its signatures."""

import shlex
from collections.abc import Iterator, Mapping
from dataclasses import dataclass

from hub_tfx.module.spec import CALL, ModuleFormat, SignatureSpec, TensorInfo

_TEXT = "hello world"
_PIXELS = 224
"""Of an image whose size the module does not tell."""


@dataclass(frozen=True)
class Used:
    """A version as its snippets need it.

    Attributes:
      url: handle of the version on this server.
      name: ``publisher/model``.
      version: number of the version.
      digest: digest of the module.
      format: format of the module.
      signatures: signatures of the module.
      default: the signature that is meant where none is named; None where there is none.
      fine_tunable: whether its weights can be trained, as far as is known.
      archive_sha256: SHA-256 of the archive.
    """

    url: str
    name: str
    version: int
    digest: str
    format: ModuleFormat
    signatures: Mapping[str, SignatureSpec]
    default: str | None
    fine_tunable: bool
    archive_sha256: str


@dataclass(frozen=True)
class Snippet:
    """Code to copy.

    Attributes:
      title: what it uses, such as ``hub.KerasLayer``.
      language: ``python`` or ``shell``.
      code: the lines.
    """

    title: str
    language: str
    code: str


def snippets(used: Used) -> tuple[Snippet, ...]:
    """The snippets that are valid for a module, the most common first."""
    python = (
        ("hub.load", _load(used)),
        ("hub.KerasLayer", _keras_layer(used)),
        ("hub.Module", _hub_module(used)),
        ("TFX pipeline", _pipeline(used)),
    )
    shell = (("hub-tfx embed", _embed(used)), ("curl", _curl(used)))
    return (
        *(Snippet(title, "python", code) for title, code in python if code),
        *(Snippet(title, "shell", code) for title, code in shell if code),
    )


def _load(used: Used) -> str:
    lines = ["import tensorflow as tf", "import tensorflow_hub as hub", ""]
    lines.append(f"model = hub.load({_quoted(used.url)})")
    if call := _call(used):
        lines.append(f"outputs = {call}")
    else:
        del lines[0]
    return "\n".join(lines)


def _call(used: Used) -> str | None:
    """A call of the loaded module; None where its arguments cannot be told."""
    if used.format == "saved_model" and (call := used.signatures.get(CALL)):
        samples = _samples(call)
        if samples is not None and len(samples) == 1:
            return f"model({next(iter(samples.values()))})"
    name = _named(used)
    samples = None if name is None else _samples(used.signatures[name])
    if name is None or not samples:
        return None
    return f"model.signatures[{_quoted(name)}]({_arguments(samples)})"


def _keras_layer(used: Used) -> str | None:
    arguments = _keras_arguments(used)
    if arguments is None:
        return None
    made = ", ".join((_quoted(used.url), *arguments))
    lines = ["import tensorflow_hub as hub", "", f"layer = hub.KerasLayer({made})"]
    return "\n".join(lines)


def _keras_arguments(used: Used) -> tuple[str, ...] | None:
    """Arguments after the handle; None where a layer cannot hold the module."""
    if used.format == "saved_model" and CALL in used.signatures:
        return ("trainable=True",) if used.fine_tunable else ()
    name = _named(used)
    if name is None or not _samples(used.signatures[name]):
        return None
    outputs = sorted(used.signatures[name].outputs)
    if used.format == "tf1_hub" and name == "default" and "default" in outputs:
        return ()
    if len(outputs) != 1:
        return (f"signature={_quoted(name)}", "signature_outputs_as_dict=True")
    return (f"signature={_quoted(name)}", f"output_key={_quoted(outputs[0])}")


def _hub_module(used: Used) -> str | None:
    name = _named(used)
    samples = None if name is None else _samples(used.signatures[name])
    if used.format != "tf1_hub" or name is None or not samples:
        return None
    more = "" if name == "default" else f", signature={_quoted(name)}"
    given = next(iter(samples.values())) if len(samples) == 1 else _dictionary(samples)
    trained = ", trainable=True" if used.fine_tunable else ""
    return "\n".join(
        (
            "import tensorflow.compat.v1 as tf",
            "import tensorflow_hub as hub",
            "",
            "with tf.Graph().as_default():",
            f"    module = hub.Module({_quoted(used.url)}{trained})",
            f"    outputs = module({given}{more}, as_dict=True)",
        )
    )


def _pipeline(used: Used) -> str:
    return "\n".join(
        (
            "import hub_tfx",
            "",
            "resolver = hub_tfx.ModuleResolver(",
            f"    {_quoted(used.url)},",
            f"    digest={_quoted(used.digest)},",
            ")",
            "embeddings = hub_tfx.EmbeddingGenerator(",
            '    examples=example_gen.outputs["examples"],',
            '    module=resolver.outputs["module"],',
            ")",
        )
    )


def _embed(used: Used) -> str:
    name = used.default or next(iter(sorted(used.signatures)), None)
    lines = [f"hub-tfx embed --module {shlex.quote(used.url)}", f"  --digest {used.digest}"]
    if used.default is None and name is not None:
        lines.append(f"  --signature {shlex.quote(name)}")
    inputs = used.signatures[name].fed_inputs.values() if name is not None else ()
    paths = " --image-paths" if any(info.is_image for info in inputs) else ""
    lines.append(f"  --input corpus.csv{paths} --output embedded")
    return " \\\n".join(lines)


def _curl(used: Used) -> str:
    file = f"{used.name.replace('/', '-')}-{used.version}.tar.gz"
    url = shlex.quote(f"{used.url}?tf-hub-format=compressed")
    return "\n".join(
        (
            f"curl -fL -o {file} {url}",
            f'echo "{used.archive_sha256}  {file}" | sha256sum -c',
        )
    )


def _named(used: Used) -> str | None:
    """A signature that can be called by its name: the default one, otherwise the first."""
    names = sorted(name for name in used.signatures if name != CALL)
    if used.default in names:
        return used.default
    return "serving_default" if "serving_default" in names else next(iter(names), None)


def _samples(signature: SignatureSpec) -> dict[str, str] | None:
    """Input -> an expression of a tensor for it; None where one cannot be written in a line."""
    inputs = signature.fed_inputs
    if not inputs or any(info.kind != "dense" or info.shape is None for info in inputs.values()):
        return None
    return {key: _sample(info) for key, info in inputs.items()}


def _sample(info: TensorInfo) -> str:
    sizes = [*_sizes(info)]
    if info.dtype == "string":
        text = _quoted(_TEXT)
        if len(sizes) == 1 and sizes[0] == 1:
            return f"tf.constant([{text}])"
        return f"tf.fill({sizes}, {text})" if sizes else f"tf.constant({text})"
    return f"tf.zeros({sizes}, tf.{info.dtype})"


def _sizes(info: TensorInfo) -> Iterator[int]:
    assert info.shape is not None
    for axis, size in enumerate(info.shape):
        is_pixels = info.is_image and axis in (1, 2)
        is_colours = info.is_image and axis == 3
        yield size or (_PIXELS if is_pixels else 3 if is_colours else 1)


def _arguments(samples: Mapping[str, str]) -> str:
    if all(key.isidentifier() for key in samples):
        return ", ".join(f"{key}={sample}" for key, sample in samples.items())
    return f"**{_dictionary(samples)}"


def _dictionary(samples: Mapping[str, str]) -> str:
    return "{" + ", ".join(f"{_quoted(key)}: {sample}" for key, sample in samples.items()) + "}"


def _quoted(text: str) -> str:
    """A literal of Python, in double quotes where it can be."""
    literal = repr(text)
    return f'"{literal[1:-1]}"' if literal[0] == "'" and '"' not in literal else literal
