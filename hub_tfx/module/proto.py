"""The messages of a saved_model.pb. Runs nothing, imports no TensorFlow.

They come from TensorBoard's copy of TensorFlow's protos; those that it does not have are described
here.
"""

import warnings
from collections.abc import Iterator
from contextlib import contextmanager
from functools import cache
from pathlib import Path
from typing import Any

from google.protobuf import descriptor_pb2, descriptor_pool, message_factory, text_format
from google.protobuf.message import DecodeError, Message

from hub_tfx._files import read_regular, why
from hub_tfx.errors import NotAModuleError
from hub_tfx.module.files import SAVED_MODEL, SAVED_MODEL_TEXT, why_no_module

# tensorflow/core/protobuf/saved_model.proto; tensorflow_hub/module_attachment.proto and
# image_module_info.proto. Imported from where they are, they would import TensorFlow.
_MESSAGES = """
  name: "hub_tfx/module.proto" package: "hub_tfx" syntax: "proto3"
  message_type { name: "SavedModel"
    field { name: "saved_model_schema_version" number: 1 type: TYPE_INT64 label: LABEL_OPTIONAL }
    field { name: "meta_graphs" number: 2 type: TYPE_MESSAGE label: LABEL_REPEATED
            type_name: ".tensorboard.MetaGraphDef" }
  }
  message_type { name: "ModuleAttachment"
    field { name: "key" number: 1 type: TYPE_STRING label: LABEL_OPTIONAL }
    field { name: "value" number: 2 type: TYPE_BYTES label: LABEL_OPTIONAL }
  }
  message_type { name: "ImageSize"
    field { name: "height" number: 1 type: TYPE_INT32 label: LABEL_OPTIONAL }
    field { name: "width" number: 2 type: TYPE_INT32 label: LABEL_OPTIONAL }
  }
  message_type { name: "ImageModuleInfo"
    field { name: "default_image_size" number: 1 type: TYPE_MESSAGE label: LABEL_OPTIONAL
            type_name: ".hub_tfx.ImageSize" }
  }
"""


@contextmanager
def damage_reported(path: Path) -> Iterator[None]:
    """Messages that parse may still point at nodes, names and types that are not there."""
    try:
        yield
    except (
        LookupError,
        TypeError,
        ValueError,
        AttributeError,
        RecursionError,
        DecodeError,
    ) as error:
        what = f"{type(error).__name__}: {error}"
        raise NotAModuleError(f"{path}: its saved_model.pb is damaged ({what})") from error
    except OSError as error:
        raise NotAModuleError(f"{path}: its files cannot be read: {why(error)}") from error


def read_graphs(path: Path) -> Iterator[Any]:
    """The MetaGraphDefs of a module's directory, as they are stored."""
    yield from read_saved_model(path).meta_graphs


def read_saved_model(path: Path, name: str | None = None) -> Any:
    """The SavedModel of a module's directory.

    Args:
      path: the directory.
      name: of the file; None for that which TensorFlow reads of the two that there may be.
    """
    saved_model: Any = saved_model_class()()
    binary, text = path / SAVED_MODEL, path / SAVED_MODEL_TEXT
    try:
        if name != SAVED_MODEL_TEXT and binary.exists():
            parse_whole(saved_model, read_regular(binary))
        elif text.exists():
            text_format.Parse(read_regular(text), saved_model)
        else:
            raise NotAModuleError(f"{path} is not a module: {why_no_module(path)}")
    except (DecodeError, text_format.ParseError, UnicodeDecodeError) as error:
        raise NotAModuleError(f"{path}: its saved_model.pb is damaged ({error})") from error
    return saved_model


def parse_whole(message: Message, data: bytes) -> None:
    """Parses bytes; raises DecodeError also where protobuf stops before their end and only warns.

    Another reader might go on, and see what we have not seen.
    """
    with warnings.catch_warnings():
        warnings.simplefilter("ignore", RuntimeWarning)
        read: int = message.ParseFromString(data)
    if read != len(data):
        raise DecodeError(f"bytes follow after its end, which is at {read}")


def saved_model_class() -> type[Message]:
    """The message of a saved_model.pb."""
    return message_classes()["SavedModel"]


@cache
def message_classes() -> dict[str, type[Message]]:
    """Name -> class of each message that is described here."""
    from tensorboard.compat.proto import meta_graph_pb2

    file = text_format.Parse(_MESSAGES, descriptor_pb2.FileDescriptorProto())
    file.dependency.append(meta_graph_pb2.DESCRIPTOR.name)
    pool = descriptor_pool.Default()
    pool.Add(file)
    factory = message_factory.MessageFactory(pool)
    found = pool.FindFileByName(file.name).message_types_by_name
    return {name: factory.GetPrototype(descriptor) for name, descriptor in found.items()}
