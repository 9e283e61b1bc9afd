"""Is this a module that others can build on?

    report = check("modules/flowers/1")
    report.passed, [(c.name, c.outcome, c.why, c.fix) for c in report.checks]

Everything but `hermetic` is read from saved_model.pb, without TensorFlow.
"""

import importlib.util
import os
from collections.abc import Callable, Iterable, Iterator, Mapping, Sequence
from dataclasses import asdict, dataclass, replace
from pathlib import Path
from typing import Any, Literal

from hub_tfx.errors import ConfigError
from hub_tfx.module.check import graph as graphs
from hub_tfx.module.check.common import common_signatures, kind_of, problems
from hub_tfx.module.check.hermetic import run_moved
from hub_tfx.module.functions import call_traces
from hub_tfx.module.inspect import inspect, meta_graphs
from hub_tfx.module.limited import run_limited
from hub_tfx.module.policy import SafetyPolicy, fix, told
from hub_tfx.module.proto import damage_reported
from hub_tfx.module.safety import judge_graphs
from hub_tfx.module.spec import CALL, ModuleFormat, ModuleSpec, SignatureSpec

Outcome = Literal["pass", "fail", "not-applicable"]

_ATTRIBUTES = ("variables", "trainable_variables", "regularization_losses")
_NO_WEIGHTS = "it has no weights to train"


@dataclass(frozen=True)
class Check:
    """One question and its answer.

    Attributes:
      name: of the check, such as ``common-signatures``.
      outcome: ``pass``, ``fail`` or ``not-applicable``.
      why: what was found.
      fix: what the module's author is to do; empty unless it failed.
    """

    name: str
    outcome: Outcome
    why: str
    fix: str = ""


@dataclass(frozen=True)
class CheckReport:
    """All checks of one module, in the order in which they are shown."""

    path: Path
    format: ModuleFormat
    checks: tuple[Check, ...]

    @property
    def passed(self) -> bool:
        return not self.failures

    @property
    def failures(self) -> tuple[Check, ...]:
        return tuple(check for check in self.checks if check.outcome == "fail")

    def to_dict(self) -> dict[str, Any]:
        return {
            "path": str(self.path),
            "format": self.format,
            "passed": self.passed,
            "checks": [asdict(check) for check in self.checks],
        }


def check(
    path: str | os.PathLike[str],
    *,
    run: bool = True,
    timeout_s: float = 600,
    imports: Sequence[str] = (),
    tags: Sequence[str] = (),
    policy: SafetyPolicy | None = None,
) -> CheckReport:
    """Checks the module in a directory; changes nothing there.

    Args:
      path: the module's directory.
      run: whether to load and run a copy of it, in a child process with TensorFlow. One in which
        something is found that the policy does not allow is not run.
      timeout_s: how long that may take.
      imports: packages that are imported before, such as those that register its ops, which are
        allowed then.
      tags: of the graph that is run, where there are several; none for the one for inference.
      policy: which ops are allowed; where its mode is off, none are looked at. None for one without
        exceptions.

    Raises:
      ConfigError: there is no such package.
      SignatureError: there is no such tag set.
      NotAModuleError: the directory holds no module, or a damaged one.
      UnsafeModuleError: reading it takes more memory or time than any real module needs.
      OutputError: there is no room for the copy.
    """
    path, policy = Path(path), policy or SafetyPolicy()
    policy = replace(policy, imports=(*policy.imports, *imports))
    found = run_limited(
        f"{__name__}:read_checks", path, is_trusted=True, tags=[*tags], policy=policy.to_json()
    )
    _check_installed(imports)
    checks = [Check(**document) for document in found["checks"]]
    if not run:
        last = _NOT_RUN
    elif found["is_dangerous"]:
        last = _TOO_DANGEROUS
    else:
        last = _hermetic(path, timeout_s, imports, tags)
    return CheckReport(path, found["format"], (*checks, _named("hermetic", last)))


def read_checks(path: Path, tags: Sequence[str], policy: str) -> dict[str, Any]:
    """What is read from the graph alone, as a document for JSON; ``policy`` is in JSON, too."""
    module = _Module(path, inspect(path).tagged(tags), meta_graphs(path))
    with damage_reported(path):
        checks = [_named(name, function(module)) for name, function in _CHECKS.items()]
        checks.append(_named("safe-ops", _safe_ops(module, SafetyPolicy.from_json(policy))))
        is_dangerous = checks[-1].outcome == "fail" or any(map(module.leads_out, module.assets))
    return {
        "format": module.spec.format,
        "checks": [asdict(check) for check in checks],
        "is_dangerous": is_dangerous,
    }


@dataclass(frozen=True)
class _Module:
    """What the checks look at."""

    path: Path
    spec: ModuleSpec
    graphs: tuple[Any, ...]

    @property
    def is_tf1(self) -> bool:
        return self.spec.format == "tf1_hub"

    @property
    def has_weights(self) -> bool:
        return any(graphs.has_weights(graph) for graph in self.graphs)

    @property
    def assets(self) -> list[str]:
        """Names of the assets of all graphs."""
        return sorted({name for graph in self.graphs for name in graphs.asset_names(graph)})

    def leads_out(self, name: str) -> bool:
        """Whether a name of an asset, or a link that it is, leads out of assets/."""
        return not self._asset(name).is_relative_to(self._assets)

    def lacks(self, name: str) -> bool:
        """Whether an asset is not a file in assets/, and does not lead out of it either."""
        return not self.leads_out(name) and not self._asset(name).is_file()

    @property
    def _assets(self) -> Path:
        return Path(os.path.realpath(self.path / "assets"))

    def _asset(self, name: str) -> Path:
        return Path(os.path.realpath(self._assets / name))

    @property
    def train_graph(self) -> Any:
        """The variant of the TF1 hub format for training, or None; the one with fewest tags."""
        tagged = [g for g in self.graphs if "train" in g.meta_info_def.tags]
        return min(tagged, key=lambda g: len(g.meta_info_def.tags), default=None)


_Finding = tuple[Outcome, str, str]


def _pass(why: str) -> _Finding:
    return "pass", why, ""


def _fail(why: str, fix: str) -> _Finding:
    return "fail", why, fix


def _not_applicable(why: str) -> _Finding:
    return "not-applicable", why, ""


def _named(name: str, finding: _Finding) -> Check:
    return Check(name, *finding)


_NOT_RUN = _not_applicable("it was not run (--no-run)")
_TOO_DANGEROUS = _not_applicable("it was not run, since running it may do harm: see what failed")
_IN_TF2 = _not_applicable("it belongs to the TF1 hub format")
_IN_TF1 = _not_applicable("it belongs to TF2 SavedModels")


# --- Both formats --------------------------------------------------------------------------------


def _common_signatures(module: _Module) -> _Finding:
    spec = module.spec
    kinds = common_signatures(spec)
    names = ", ".join(sorted(spec.signatures))
    if not kinds and any(kind_of(name, s) for name, s in spec.signatures.items()):
        return _fail(
            f"no signature has a name that users of text or image modules look for, only {names}",
            "call one of them default",
        )
    if not kinds:
        return _not_applicable(f"it is for neither text nor images: {names}")
    found = [p for name, kind in kinds.items() for p in problems(name, kind, spec.signatures[name])]
    if found:
        return _fail(
            "; ".join(found),
            "export keys, dtypes and shapes as hub_tfx.module.check.common lists them",
        )
    return _pass(", ".join(f"{name} ({kind})" for name, kind in kinds.items()))


def _batch_dimension(module: _Module) -> _Finding:
    fixed = list(
        dict.fromkeys(
            closed
            for variant in module.spec.variants
            for name, signature in variant.signatures.items()
            for closed in _closed(name, signature)
        )
    )
    if fixed:
        return _fail(
            f"only one batch size is taken: {'; '.join(fixed)}",
            "export with None as the first dimension of every input and output",
        )
    return _pass("every signature takes batches of any size")


def _closed(name: str, signature: SignatureSpec) -> Iterator[str]:
    """Inputs and outputs with a fixed first dimension. Signatures that take no batch may have
    them: a list of the module's labels, say."""
    if not any(info.shape for info in signature.inputs.values()):
        return
    for side, infos in (("input", signature.inputs), ("output", signature.outputs)):
        for key, info in infos.items():
            if info.shape and info.shape[0] is not None:
                yield f"{name}: {side} {key} is {info}"


def _assets(module: _Module) -> _Finding:
    names = module.assets
    literal = sorted({name for graph in module.graphs for name in graphs.literal_files(graph)})
    found = [f"{name!r} points outside of assets" for name in names if module.leads_out(name)]
    found += [f"{name!r} is not in assets" for name in names if module.lacks(name)]
    found += [f"the graph reads {name!r}, which is not an asset" for name in literal]
    if found:
        return _fail(
            "; ".join(found),
            "name the files by tf.saved_model.Asset (in TF1 in the collection ASSET_FILEPATHS) and "
            "export again",
        )
    return _pass(f"{', '.join(names)} in assets" if names else "the graph needs no files")


def _safe_ops(module: _Module, policy: SafetyPolicy) -> _Finding:
    if policy.mode_for(is_remote=True) == "off":
        return _not_applicable("it was not looked at (--policy off)")
    verdict = judge_graphs(module.path, module.graphs)
    if findings := policy.refused(verdict):
        return _fail(told(findings), f"export it without them; {fix(findings)}")
    return _pass(str(verdict) if verdict.ok else f"{verdict}, all of them allowed by name")


def _hermetic(
    path: Path, timeout_s: float, imports: Sequence[str], tags: Sequence[str]
) -> _Finding:
    passed, why = run_moved(path, timeout_s, imports, tags)
    if passed:
        return _pass(f"a copy in another place runs: {why}")
    fix = "export it again with everything it needs inside, and try `hub.load` on a copy"
    if "--import" in why:
        fix = "name the package that registers the op, by --import, here and wherever it is run"
    return _fail(f"a copy in another place does not run: {why}", fix)


def _check_installed(imports: Iterable[str]) -> None:
    for name in imports:
        try:
            found = importlib.util.find_spec(name)
        except (ImportError, ValueError):
            found = None
        if found is None:
            raise ConfigError(
                f"there is no package {name} (--import): install it, or correct its name"
            )


# --- TF1 hub format ------------------------------------------------------------------------------


def _train_tags(module: _Module) -> _Finding:
    if not module.is_tf1:
        return _IN_TF2
    if module.train_graph is not None:
        return _pass("there is a variant tagged train")
    if not module.has_weights:
        return _not_applicable(_NO_WEIGHTS)
    tags = ", ".join("{" + ", ".join(tags) + "}" for tags in module.spec.tags)
    return _fail(
        f"there is no variant tagged train, only {tags}",
        'export with tags_and_args=[(set(), {…}), ({"train"}, {"is_training": True, …})]',
    )


def _regularization(module: _Module) -> _Finding:
    if not module.is_tf1:
        return _IN_TF2
    if module.train_graph is None:
        return _not_applicable("there is no variant tagged train")
    losses = graphs.collection(module.train_graph, "regularization_losses")
    if losses:
        return _pass(f"the train variant has {len(losses)} in REGULARIZATION_LOSSES")
    if not module.has_weights:
        return _not_applicable(_NO_WEIGHTS)
    return _fail(
        "the train variant has nothing in REGULARIZATION_LOSSES",
        "give layers a regularizer; to say that none is meant, add tf.constant(0.0) to the "
        "collection",
    )


def _update_ops(module: _Module) -> _Finding:
    if not module.is_tf1:
        return _IN_TF2
    if module.train_graph is None:
        return _not_applicable("there is no variant tagged train")
    norms = graphs.trained_batch_norms(module.train_graph)
    if not norms:
        return _not_applicable("the train variant has no batch normalization")
    updates = graphs.collection(module.train_graph, "update_ops")
    if updates:
        return _pass(f"the train variant has {len(updates)} in UPDATE_OPS")
    return _fail(
        f"{norms[0]} is trained by the batch, but UPDATE_OPS is empty: its moving averages would "
        "stay as they are",
        "add the updates of moving averages to tf.compat.v1.GraphKeys.UPDATE_OPS",
    )


# --- TF2 SavedModel ------------------------------------------------------------------------------


def _callable(module: _Module) -> _Finding:
    if module.is_tf1:
        return _IN_TF1
    traces = [trace for graph in module.graphs for trace in call_traces(graph) or ()]
    if not traces:
        return _fail(
            f"it has no {CALL}: only signatures, which cannot be trained",
            f"save an object whose {CALL} is a tf.function of (inputs, training=False)",
        )
    if not module.has_weights:
        return _not_applicable(_NO_WEIGHTS)
    return _of_training([trace.arguments.get("training") for trace in traces])


def _of_training(values: Iterable[Any]) -> _Finding:
    """``values``: what each trace has for ``training``: the constant, or a TensorInfo for any."""
    traced = {value if isinstance(value, bool) else value and "any" for value in values}
    if "any" in traced or {True, False} <= traced:
        return _pass(f"{CALL} is traced for training and for inference")
    if traced == {None}:
        return _fail(
            f"{CALL} takes no argument training",
            "give it one, also if nothing depends on it, and trace it for True and for False",
        )
    missing = True not in traced
    return _fail(
        f"{CALL} is not traced for training={missing}",
        f"call get_concrete_function(…, training={missing}) before saving",
    )


def _saved_attributes(module: _Module) -> _Finding:
    if module.is_tf1:
        return _IN_TF1
    if not module.has_weights:
        return _not_applicable(_NO_WEIGHTS)
    saved = {name for graph in module.graphs for name in graphs.attributes(graph)}
    missing = [name for name in _ATTRIBUTES if name not in saved]
    if missing:
        return _fail(
            f"it was saved without {', '.join(missing)}",
            "set them as lists, empty ones too, on a tf.train.Checkpoint: the properties of a "
            "tf.Module or a Keras model are not saved under these names",
        )
    return _pass(", ".join(_ATTRIBUTES))


_CHECKS: Mapping[str, Callable[[_Module], _Finding]] = {
    "common-signatures": _common_signatures,
    "batch-dimension": _batch_dimension,
    "assets": _assets,
    "train-tags": _train_tags,
    "regularization": _regularization,
    "update-ops": _update_ops,
    "callable": _callable,
    "saved-attributes": _saved_attributes,
}
