"""What each pipeline works on: dataclasses, which are options and files of YAML alike.

Nothing here imports TFX, so that a file is checked in a moment. The annotations and the Attributes
of a docstring are also the JSON Schema: see ``hub_tfx_pipelines.config_file``.
"""

from dataclasses import dataclass, field, replace
from typing import Annotated, Any, Literal, TypeVar

from hub_tfx._config import Checked, Form, Range
from hub_tfx.data.span_patterns import SpanPattern
from hub_tfx.embed.config import EmbedConfig
from hub_tfx.embed.generations import DEFAULT_KEEP, check_root_name
from hub_tfx.errors import ConfigError
from hub_tfx.evaluate.config import EvaluateConfig
from hub_tfx.finetune.config import FineTuneConfig
from hub_tfx.lineage.connection import Connection
from hub_tfx.module.handle import IN_REPOSITORY, ModuleHandle, checked_handle
from hub_tfx.module.manifest import parse_digest
from hub_tfx.module.policy import SafetyPolicy
from hub_tfx.module.spec import ModuleFormat
from hub_tfx.repository.card import Card, read_card
from hub_tfx.repository.names import ModuleName, Reference, check_settable
from hub_tfx.retrain.config import RetrainConfig, Window, check_window
from hub_tfx.store.lock_file import LockFile
from hub_tfx_pipelines.platform import PlatformConfig
from hub_tfx_pipelines.splits import InputConfig, OutputConfig


def _handle(text: str) -> str:
    checked_handle(text)
    return text


def _name(text: str) -> str:
    return str(ModuleName.parse(text))


def _path(card: Card) -> str:
    if card.path is None:
        raise ConfigError("the card is not that of a file: save it, and read it with read_card")
    return card.path


Handle = Annotated[str, Form("the handle of a module", _handle)]
Digest = Annotated[str, Form("a SHA-256 digest in hex", parse_digest)]
Name = Annotated[str, Form("a name as publisher/model", _name)]
Alias = Annotated[str, Form("an alias", check_settable)]
Place = Annotated[
    Connection, Form("where ML Metadata is", Connection.parse, held=Connection, text=str)
]
CardFile = Annotated[Card, Form("the path of a card", read_card, held=Card, text=_path)]

Root = Annotated[str, Form("a directory, s3://… or gs://…", check_root_name)]


LockPath = Annotated[
    LockFile,
    Form("the path of a lock file", LockFile.read, held=LockFile, text=lambda lock: lock.path),
]
_Config = TypeVar("_Config", bound="PipelineConfig")
_Judged = TypeVar("_Judged", bound="FineTunePipelineConfig")


@dataclass(frozen=True, kw_only=True)
class PipelineConfig(Checked):
    """What every pipeline works on, and how it runs.

    Attributes:
      pipeline_name: the name under which ML Metadata keeps its runs.
      pipeline_root: folder for the artifacts.
      data_root: folder with the input.
      module: handle of the module that the pipeline starts from; None for none.
      module_digest: the digest that the module must have; None for any.
      preprocessor: handle of a module that takes the features and feeds the other one; None for
        none.
      preprocessor_digest: the digest that the preprocessor must have; None for any.
      lock_file: the lock file that says which digest each of these handles, and that of a baseline,
        stands for, a LockFile or its path; a handle that it does not name is refused. It is read
        when the pipeline is made. None for none.
      policy: what becomes of a module with ops that are on no list of harmless ones: ``strict``
        refuses it, ``warn`` says so, ``off`` does not look. None for strict for a module from
        elsewhere, and warn for one of this machine.
      allow_ops: names of ops that are allowed all the same. Those of packages that are imported to
        run a module are allowed, too.
      example_gen: ``import`` for TFRecord files of tf.Example, ``csv`` for CSV files.
      input_config, output_config: patterns with {SPAN} and {VERSION}, and splits, for ExampleGen;
        a ``tfx.proto.Input`` or ``tfx.proto.Output`` is taken as well. By default all files of
        data_root, split into train and eval 2:1.
      metadata: where ML Metadata is, a Connection or the text of one: the path of a SQLite file,
        ``mysql://USER@HOST:PORT/DATABASE?password_env=NAME``, ``postgresql://…`` or
        ``grpc://HOST:PORT``. None where the runner brings its own. A password is never part of it.
      metadata_path: the same for a SQLite file, by its path.
      enable_cache: whether steps whose inputs are those of an earlier run are skipped.
      beam_pipeline_args: options of every Beam step. Beam runs in the step's own process unless
        they name another runner.
      platform: what the steps get where the pipeline is compiled for a platform. A run on this
        machine reads none of it.
    """

    pipeline_name: str
    pipeline_root: str
    data_root: str
    module: Handle | None
    module_digest: Digest | None = None
    preprocessor: Handle | None = None
    preprocessor_digest: Digest | None = None
    lock_file: LockPath | None = None
    policy: Literal["strict", "warn", "off"] | None = None
    allow_ops: tuple[str, ...] = ()
    example_gen: Literal["import", "csv"] = "import"
    input_config: InputConfig | None = None
    output_config: OutputConfig | None = None
    metadata: Place | None = None
    metadata_path: str | None = None
    enable_cache: bool = True
    beam_pipeline_args: tuple[str, ...] = ()
    platform: PlatformConfig = field(default_factory=PlatformConfig)

    def __post_init__(self) -> None:
        object.__setattr__(self, "input_config", InputConfig.of(self.input_config))
        object.__setattr__(self, "output_config", OutputConfig.of(self.output_config))
        super().__post_init__()
        for name in ("module", "preprocessor"):
            if getattr(self, f"{name}_digest") is not None and getattr(self, name) is None:
                raise ConfigError(f"{name}_digest is that of {name}: give both")
        if self.metadata is not None and self.metadata_path is not None:
            raise ConfigError("metadata and metadata_path are the same: give one of the two")

    def pinned(self: _Config) -> _Config:
        """The same config with the digests of the lock file, and without the file.

        Raises:
          ConfigError: the file does not name a handle, or names another digest than the config.
        """
        if self.lock_file is None:
            return self
        changes: dict[str, Any] = {"lock_file": None}
        for name in ("module", "preprocessor"):
            if (handle := getattr(self, name)) is not None:
                pin = self.lock_file.pin(handle, getattr(self, f"{name}_digest"))
                changes |= {name: pin[0].url, f"{name}_digest": pin[1]}
        return replace(self, **changes)

    @property
    def connection(self) -> Connection | None:
        """Where ML Metadata is; None where the runner brings its own."""
        if self.metadata_path is None:
            return self.metadata
        return Connection.sqlite(self.metadata_path)

    @property
    def safety(self) -> SafetyPolicy:
        """Which modules its steps take."""
        return SafetyPolicy(self.policy, self.allow_ops, self.imports)

    @property
    def imports(self) -> tuple[str, ...]:
        """The packages that are imported to run its modules."""
        feeding = (getattr(self, name, None) for name in ("embed", "fine_tune"))
        return tuple(sorted({package for job in feeding if job for package in job.imports}))

    @property
    def folders(self) -> tuple[str, ...]:
        """The folders that the steps read and write, on any filesystem that Beam knows."""
        return (self.data_root, self.pipeline_root)

    @property
    def handles(self) -> tuple[str, ...]:
        """The handles that its steps resolve."""
        return tuple(handle for handle in (self.module, self.preprocessor) if handle is not None)


@dataclass(frozen=True, kw_only=True)
class EmbeddingsRoot(Checked):
    """Where the embeddings of each run become a generation, the latest of which others read.

    Attributes:
      root: directory, ``s3://…`` or ``gs://…``.
      keep: how many generations stay, the latest among them.
    """

    root: Root
    keep: Annotated[int, Range(least=1)] = DEFAULT_KEEP


@dataclass(frozen=True, kw_only=True)
class EmbedPipelineConfig(PipelineConfig):
    """What the embedding pipeline works on, besides what every pipeline does.

    Attributes:
      module: handle of the module that embeds.
      embed: what to feed, keep and write.
      incremental: whether rows that feed the same are copied from the embeddings of the last run of
        this pipeline. Such a run is never skipped, since each makes the next one's input.
      state_dir: directory that names the last embeddings, from which rows are copied: for runners
        that cannot resolve artifacts of earlier runs, such as Vertex AI Pipelines.
      embeddings: where the embeddings become the latest generation; None where they do not.
    """

    pipeline_name: str = "embed"
    module: Handle
    embed: EmbedConfig = field(default_factory=EmbedConfig)
    incremental: bool = False
    state_dir: str | None = None
    embeddings: EmbeddingsRoot | None = None

    @property
    def folders(self) -> tuple[str, ...]:
        state = () if self.state_dir is None else (self.state_dir,)
        return super().folders + state + _roots(self.embeddings)


def _roots(embeddings: EmbeddingsRoot | None) -> tuple[str, ...]:
    return () if embeddings is None else (embeddings.root,)


@dataclass(frozen=True, kw_only=True)
class Gate(Checked):
    """What the new module of a pipeline must be to be blessed.

    Attributes:
      config: what is measured, and what it takes.
      splits: splits of the Examples that it is measured on; best one that training never reads.
      baseline: handle of the module to compare it with. None for the version in use of what is
        published, if there is one.
      baseline_digest: the digest that the baseline must have; None for any.
    """

    config: EvaluateConfig
    splits: tuple[str, ...] = ("eval",)
    baseline: Handle | None = None
    baseline_digest: Digest | None = None

    def __post_init__(self) -> None:
        super().__post_init__()
        if self.config.decides is None:
            raise ConfigError(
                "config names neither label nor pairs, by which vectors can be judged: name a "
                "feature"
            )
        if self.baseline_digest is not None and self.baseline is None:
            raise ConfigError("baseline_digest is that of baseline: give both")


@dataclass(frozen=True, kw_only=True)
class Publication(Checked):
    """Where a blessed module becomes a version.

    Attributes:
      repository: directory, ``s3://…`` or ``gs://…``.
      name: ``publisher/model``.
      card: what people read about it; in a file, the path of the card.
      aliases: aliases that stand for the new version. The version that the first of them stands for
        is the one in use; without aliases it is the newest.
    """

    repository: str
    name: Name
    card: CardFile
    aliases: tuple[Alias, ...] = ()

    @property
    def handle(self) -> str:
        """Handle of the version in use, whichever that is when it is resolved."""
        alias = next(iter(self.aliases), None)
        reference = Reference(ModuleName.parse(self.name), alias=alias)
        return ModuleHandle.parse(f"{IN_REPOSITORY}{self.repository}//{reference}").url

    def in_use(self) -> str | None:
        """Handle of the version in use now, with its number; None where there is none yet."""
        from hub_tfx.repository.in_use import handle_in_use

        return handle_in_use(ModuleHandle.parse(self.handle))


@dataclass(frozen=True, kw_only=True)
class FineTunePipelineConfig(PipelineConfig):
    """What the fine-tuning pipeline works on, besides what every pipeline does.

    Attributes:
      fine_tune: what to learn, and how.
      module: handle of the base module; None where module_fn builds a new one.
      module_fn: ``package.module:function`` that builds a new module, where there is no base.
      module_format: format of the new module; see ModuleTrainer.
      warm_start: whether to start from the module that the last run of this pipeline made. The
        first run, which has none, starts as if this were false.
      texts: features that hold text, cleaned by Transform. None for the feature ``text``, which the
        data need not have where ``kept`` names others.
      kept: other features that the module takes, such as encoded images.
      run_fn: ``package.module:function`` that trains in place of ours.
      gate: how the new module is judged; None where it is not.
      publication: where it is published if it is blessed; None where it is not published.
      eval_config: path of a tfma.EvalConfig in JSON, by which TFX's own Evaluator judges the
        serving model as well, on the splits of the gate; None where it does not. Nothing depends on
        its verdict.
    """

    pipeline_name: str = "finetune"
    fine_tune: FineTuneConfig
    module: Handle | None = None
    module_fn: str | None = None
    module_format: ModuleFormat | None = None
    warm_start: bool = False
    texts: tuple[str, ...] | None = None
    kept: tuple[str, ...] = ()
    run_fn: str | None = None
    gate: Gate | None = None
    publication: Publication | None = None
    eval_config: str | None = None

    def pinned(self: _Judged) -> _Judged:
        pinned, gate = super().pinned(), self.gate
        if self.lock_file is None or gate is None or gate.baseline is None:
            return pinned
        baseline, digest = self.lock_file.pin(gate.baseline, gate.baseline_digest)
        return replace(pinned, gate=replace(gate, baseline=baseline.url, baseline_digest=digest))

    @property
    def folders(self) -> tuple[str, ...]:
        published = self.publication
        return super().folders + (() if published is None else (published.repository,))

    @property
    def handles(self) -> tuple[str, ...]:
        baseline = None if self.gate is None else self.gate.baseline
        return super().handles + (() if baseline is None else (baseline,))

    def __post_init__(self) -> None:
        super().__post_init__()
        missing = [self.module, self.module_fn].count(None)
        if missing == 0 or (missing == 2 and self.run_fn is None):
            raise ConfigError(
                "give either module, the handle of the module to start from, or module_fn, which "
                "builds a new one"
            )
        if self.publication is not None and self.gate is None:
            raise ConfigError(
                "publication needs a gate, since what is published must be judged first: give both"
            )


@dataclass(frozen=True, kw_only=True)
class RetrainPipelineConfig(FineTunePipelineConfig):
    """What the retraining pipeline works on, besides what the fine-tuning pipeline does.

    Attributes:
      module: handle of the base module: it is in use until a version is published, and a new one is
        a reason to train.
      warm_start: whether to start from the version in use, unless the base module is new.
      gate: how the new module is judged. Its baseline is the version in use, so none is named here.
      publication: where it is published if it is better than the version in use.
      retrain: when there is anything to learn from.
      window: which spans are learned from; the newest one by default.
      embed_window: which spans are embedded; None for those that are learned from.
      schema_file: a Schema of TFX, by which ExampleValidator finds anomalies. None for one that is
        inferred from the rows themselves, in which next to nothing is an anomaly.
      embed: how the rows are embedded with the version in use afterwards, incrementally; None for
        the way in which they are fed in training, and nothing kept of them.
      state_dir: directory that names what was learned last and the last embeddings: for runners
        that cannot resolve artifacts of earlier runs, such as Vertex AI Pipelines.
      embeddings: where the embeddings become the latest generation; None where they do not.
    """

    pipeline_name: str = "retrain"
    module: Handle = field()
    warm_start: bool = True
    gate: Gate = field()
    publication: Publication = field()
    retrain: RetrainConfig = field(default_factory=RetrainConfig)
    window: Window = field(default_factory=Window)
    embed_window: Window | None = None
    schema_file: str | None = None
    embed: EmbedConfig | None = None
    state_dir: str | None = None
    embeddings: EmbeddingsRoot | None = None

    @property
    def folders(self) -> tuple[str, ...]:
        more = (self.schema_file, self.state_dir)
        given = tuple(folder for folder in more if folder is not None)
        return super().folders + given + _roots(self.embeddings)

    @property
    def corpus_window(self) -> Window | None:
        """Which spans are embedded, if these are not those that are learned from."""
        return None if self.embed_window == self.window else self.embed_window

    @property
    def patterns(self) -> list[SpanPattern]:
        """The pattern of each split of the input."""
        if self.input_config is None:
            return [SpanPattern("single_split", "*")]  # As TFX has it.
        return [SpanPattern(split.name, split.pattern) for split in self.input_config.splits]

    def check_baseline(self) -> None:
        """Raises ConfigError where the gate names a baseline before anybody has pinned one."""
        if self.gate.baseline is not None:
            raise ConfigError(
                "baseline is the version in use where a module is trained again: leave "
                "gate.baseline out (--baseline)"
            )

    def __post_init__(self) -> None:
        super().__post_init__()
        if self.eval_config is not None:
            raise ConfigError(
                "eval_config is for the fine-tuning pipeline: TFX's Evaluator fails in a run that "
                "has nothing to learn from; leave it out"
            )
        if self.window.since == "published" and not self.warm_start:
            raise ConfigError(
                "window.since is published: a training that starts from the base would learn only "
                "what is new; leave warm_start true, or give window.last"
            )
        for window in (self.window, self.embed_window or self.window):
            check_window(window, self.patterns)
