"""A retraining pipeline that is compiled before anything that it names is there.

What a container reaches is refused where the machine that compiles has it, too. So the input comes
afterwards: see ``Retraining.bring_input``. Only the training is a stand-in.
"""

import json
from collections.abc import Mapping
from dataclasses import dataclass, field
from pathlib import Path
from typing import Any

import numpy as np
from cards import write_card
from judged import WORDS, labelled_rows
from tfx_helpers import write_tfrecord

from hub_tfx.module.create import text_embedding_module
from hub_tfx.module.manifest import Manifest

STAND_IN = Path(__file__).parent / "stand_in"
ROWS = 150
_SCHEMA = """
feature { name: "text" type: BYTES value_count { min: 1 max: 1 } presence { min_count: 1 } }
feature {
  name: "topic" type: BYTES domain: "topic"
  value_count { min: 1 max: 1 } presence { min_count: 1 }
}
string_domain { name: "topic" value: "no" value: "yes" }
"""
_TOLD = {"base": 0.0, "good": 0.7}
"""How well each module tells the topic of a word."""


@dataclass(frozen=True)
class Retraining:
    """A pipeline, with the folders that it works on.

    Attributes:
      shared: folder of the input, which several pipelines may share.
      root: folder of what the pipeline itself makes.
      digest: that of the base module.
    """

    shared: Path
    root: Path
    digest: str = field(init=False)

    def __post_init__(self) -> None:
        self.root.mkdir(parents=True)
        made = self.shared / "made"
        if not made.exists():
            _make_modules(made)
        object.__setattr__(self, "digest", Manifest.of_directory(made / "base").digest)

    @property
    def variables(self) -> Mapping[str, str]:
        """What the steps need of the environment."""
        return {
            "PYTHONPATH": str(STAND_IN),
            "TEST_LEARNS": str(self.shared / "made" / "good"),
            "TFHUB_CACHE_DIR": str(self.root / "cache"),
        }

    def write_config(self, **more: Any) -> Path:
        """Writes the file of the pipeline; YAML is JSON as well."""
        config = {
            "pipeline": "retrain",
            "data_root": str(self.shared / "data"),
            "pipeline_root": str(self.root / "artifacts"),
            "module": str(self.shared / "volume"),
            "module_digest": self.digest,
            "input_config": {"splits": [{"name": "rows", "pattern": "span-{SPAN}/*"}]},
            "fine_tune": {"label": "topic", "steps": 1, "batch_size": 8},
            "run_fn": "stand_in_training:run_fn",
            "schema_file": str(self.shared / "schema.pbtxt"),
            "gate": {
                "splits": ["train", "eval"],
                "config": {"label": "topic", "replicates": 200, "folds": 3},
            },
            "publication": {
                "repository": str(self.root / "modules"),
                "name": "acme/words",
                "card": str(write_card(self.root)),
                "aliases": ["stable"],
            },
            "embed": {"keep": ["text"]},
            **more,
        }
        path = self.root / "retrain.yaml"
        path.write_text(json.dumps(config))
        return path

    def bring_input(self) -> None:
        """Puts the base module, the schema and the rows of a first span where the config says."""
        (self.shared / "made" / "base").rename(self.shared / "volume")
        (self.shared / "schema.pbtxt").write_text(_SCHEMA)
        rows = [{"text": row["text"], "topic": row["topic"]} for row in labelled_rows(ROWS)]
        write_tfrecord(self.shared / "data" / "span-1" / "rows.tfrecord.gz", rows)


def _make_modules(folder: Path) -> None:
    """Modules in which two neighbours, which are of different topics, differ by ``_TOLD`` alone."""
    rng = np.random.default_rng(0)
    sign = np.array([(word % 2) * 2.0 - 1 for word in range(len(WORDS))])
    for name, told in _TOLD.items():
        noise = np.repeat(rng.normal(size=(len(WORDS) // 2, 3)), 2, axis=0)
        text_embedding_module(WORDS, noise + np.outer(sign, [told, 0, 0]), folder / name)
