"""ModuleResolver: a verified copy of the module and its properties, or nothing."""

from pathlib import Path

import pytest
import tfx.v1 as tfx
from cards import write_card
from hostile_modules import build

import hub_tfx
from hub_tfx.artifacts import HubModule, read_module
from hub_tfx.components.module_resolver.component import ModuleResolver, ModuleResolverSpec
from hub_tfx.components.module_resolver.executor import Executor
from hub_tfx.components.remote_state import reads_remote_state
from hub_tfx.components.skipping import given
from hub_tfx.errors import (
    ConfigError,
    DigestMismatchError,
    FetchError,
    HandleError,
    InputError,
    NotAModuleError,
    UnsafeModuleError,
)
from hub_tfx.module.manifest import Manifest
from hub_tfx.module.policy import SafetyPolicy
from hub_tfx.repository.publish import publish
from hub_tfx.store.lock_file import Locked, add_to_lock_file
from hub_tfx.testing import minimal_module, serve


@pytest.fixture
def artifact(tmp_path):
    made = HubModule()
    made.uri = str(tmp_path / "ModuleResolver" / "module" / "1")
    return made


@pytest.fixture
def source(tmp_path):
    return minimal_module(tmp_path / "source")


def resolve(artifact, handle, **parameters):
    Executor().Do({}, {"module": [artifact]}, {"handle": str(handle), **parameters})


def properties_of(artifact):
    return {
        name: value.string_value or value.int_value
        for name, value in artifact.mlmd_artifact.custom_properties.items()
    }


def test_the_artifact_holds_a_copy_that_outlives_the_source_and_the_cache(
    tmp_path, artifact, source, cache_dir
):
    manifest = Manifest.of_directory(source)
    resolve(artifact, source)
    source.rename(tmp_path / "elsewhere")
    cache_dir.rename(tmp_path / "other_cache")
    assert Manifest.of_directory(Path(artifact.uri, "module")) == manifest
    assert Path(artifact.uri, "manifest.json").read_text() == manifest.to_json()


def test_an_alias_of_a_repository_is_the_number_that_it_had(tmp_path, artifact, source):
    module = hub_tfx.ResolvedModule.of_directory(source)
    made = publish(
        module, tmp_path / "r", "acme/words", card=write_card(tmp_path), aliases=["stable"]
    )
    resolve(artifact, f"repo+{tmp_path}/r//acme/words@stable")
    assert properties_of(artifact)["handle"] == made.handle == f"repo+{tmp_path}/r//acme/words/1"
    assert properties_of(artifact)["version"] == 1


IN_USE = "acme/words@stable"


def test_a_fallback_is_taken_while_there_is_no_version(tmp_path, artifact, source):
    """Also where there is no repository yet, which the first publication makes."""
    handle = f"repo+{tmp_path}/r//{IN_USE}"
    digest = Manifest.of_directory(source).digest
    resolve(artifact, handle, fallback=str(source), fallback_digest=digest)
    assert properties_of(artifact)["handle"] == str(source)
    with pytest.raises(DigestMismatchError):
        resolve(artifact, handle, fallback=str(source), fallback_digest="0" * 64)


def test_a_version_is_taken_instead_of_the_fallback(tmp_path, artifact, source):
    """That of the alias, or the newest one where the alias has not been set yet."""
    handle = f"repo+{tmp_path}/r//{IN_USE}"
    for number, aliases in [(1, ()), (2, ["stable"]), (3, ())]:
        module = hub_tfx.ResolvedModule.of_directory(
            minimal_module(tmp_path / f"{number}", dim=number)
        )
        card = write_card(tmp_path)
        publish(module, tmp_path / "r", "acme/words", card=card, aliases=aliases)
        resolve(artifact, handle, fallback=str(source))
        assert properties_of(artifact)["version"] == min(number, 2)


def test_an_optional_version_that_is_not_there_is_no_artifact(tmp_path, artifact):
    outputs = {"module": [artifact]}
    properties = {"handle": f"repo+{tmp_path}/r//{IN_USE}", "optional": 1}
    Executor().Do({}, outputs, properties)
    assert outputs == {"module": []}
    context = Executor.Context(tmp_dir=str(tmp_path), unique_id="1")
    outputs = {"module": [artifact]}
    Executor(context).Do({}, outputs, properties)
    assert not given(outputs, "module")  # There it is an artifact without properties.
    assert not Path(artifact.uri).exists()


def test_a_repository_that_cannot_be_read_is_not_one_without_a_version(tmp_path, artifact, source):
    (tmp_path / "r" / "-").mkdir(parents=True)
    (tmp_path / "r" / "-" / "repository.json").write_text('{"layout": 99}')
    with pytest.raises(InputError, match="is a repository of layout 99"):
        resolve(artifact, f"repo+{tmp_path}/r//{IN_USE}", fallback=str(source))
    assert not Path(artifact.uri).exists()


@pytest.mark.parametrize(
    ("parameters", "complaint"),
    [
        ({"handle": "/a", "fallback": "/b"}, "/a does not lead into a repository"),
        ({"handle": "https://example.org/1", "optional": True}, "does not lead into a repository"),
        ({"handle": "repo+/r//a/b", "fallback_digest": "0" * 64}, "fallback_digest is that of"),
        ({"handle": "repo+/r//a/b", "fallback": "/b", "optional": True}, "leave optional out"),
        ({"handle": "repo+/r//a/b", "fallback": "https://me:x@example.org/1"}, "a credential"),
    ],
)
def test_a_fallback_that_makes_no_sense_is_refused(parameters, complaint):
    with pytest.raises(ConfigError, match=complaint):
        ModuleResolver(**parameters)


@pytest.mark.parametrize(
    ("handle", "digest", "reads"),
    [
        ("repo+/r//a/b@stable", None, True),
        ("repo+/r//a/b", None, True),
        ("repo+/r//a/b/3", None, False),
        ("repo+/r//a/b@stable", "0" * 64, False),
        ("/a", None, True),
        ("/a", "0" * 64, False),
        ("https://example.org/text/1", None, True),
        ("https://example.org/text/1", "0" * 64, False),
    ],
)
def test_only_a_handle_that_may_stand_for_another_module_is_read_each_time(handle, digest, reads):
    assert reads_remote_state(ModuleResolver(handle, digest)) is reads


def test_a_lock_file_gives_the_digest_and_the_number_of_an_alias(tmp_path):
    lock = tmp_path / "x.json"
    url, alias = "https://example.org/text/1", "repo+/r//a/b@stable"
    add_to_lock_file(lock, {url: Locked("1" * 64), alias: Locked("2" * 64, "repo+/r//a/b/3")})
    first, second = (ModuleResolver(handle, lock_file=lock) for handle in (url, alias))
    assert (first.exec_properties["handle"], first.exec_properties["digest"]) == (url, "1" * 64)
    assert second.exec_properties["handle"] == "repo+/r//a/b/3"
    assert second.exec_properties["digest"] == "2" * 64
    assert not reads_remote_state(first)
    for given_too, complaint in [
        ({"handle": "/other"}, "is not in the lock file"),
        ({"handle": url, "digest": "3" * 64}, "but the lock file"),
        ({"handle": alias, "optional": True}, "leave fallback and optional out"),
        ({"handle": tfx.dsl.experimental.RuntimeParameter("h", str)}, "before the pipeline runs"),
    ]:
        with pytest.raises(ConfigError, match=complaint):
            ModuleResolver(**given_too, lock_file=lock)
    with pytest.raises(ConfigError, match="refuse or follow"):
        ModuleResolver(url, new_bytes="ignore")


def test_the_copy_does_not_share_its_files_with_the_cache(artifact, source, cache_dir):
    resolve(artifact, source)
    (copy,) = Path(artifact.uri, "module").glob("saved_model.pb")
    (cached,) = cache_dir.rglob("saved_model.pb")
    before = cached.read_bytes()
    copy.write_bytes(b"damaged")
    assert cached.read_bytes() == before


def test_the_properties_say_what_the_module_is(artifact, text_module_dir, module_format):
    with serve({"/acme/text/3": text_module_dir}) as url:
        resolve(artifact, f"{url}/acme/text/3")
    spec, manifest = hub_tfx.inspect(text_module_dir), Manifest.of_directory(text_module_dir)
    assert properties_of(artifact) == {
        "handle": f"{url}/acme/text/3",
        "version": 3,
        "digest": manifest.digest,
        "format": module_format,
        "signatures": ",".join(spec.signatures),
        "embedding_dim": 4,
        "size_bytes": manifest.size_bytes,
    }


def test_a_handle_without_a_version_has_no_version_property(artifact, source):
    resolve(artifact, source)
    assert "version" not in properties_of(artifact)


def test_images_have_an_embedding_dim_too(artifact, image_module_dir):
    resolve(artifact, image_module_dir)
    assert properties_of(artifact)["embedding_dim"] == 4


def test_what_was_resolved_is_what_the_next_step_reads(artifact, text_module_dir):
    resolve(artifact, text_module_dir)
    module = read_module(artifact)
    assert module.digest == Manifest.of_directory(text_module_dir).digest
    assert module.handle == str(text_module_dir)
    assert module.spec == hub_tfx.inspect(text_module_dir)


def test_the_cache_dir_parameter_wins_over_the_environment(tmp_path, artifact, source, cache_dir):
    resolve(artifact, source, cache_dir=str(tmp_path / "named"))
    assert list((tmp_path / "named").rglob("saved_model.pb"))
    assert not cache_dir.exists()


def test_the_pinned_digest_is_accepted_and_another_publishes_nothing(artifact, source):
    resolve(artifact, source, digest=Manifest.of_directory(source).digest)
    refused = HubModule()
    refused.uri = artifact.uri + "0"
    with pytest.raises(DigestMismatchError, match="is pinned"):
        resolve(refused, source, digest="0" * 64)
    assert not Path(refused.uri).exists()
    assert properties_of(refused) == {}


@pytest.mark.parametrize(
    ("make", "error"),
    [
        (lambda path: path / "missing", FetchError),
        (lambda path: path, NotAModuleError),
        (lambda path: "nobody://acme/text/1", HandleError),
    ],
)
def test_what_cannot_be_resolved_publishes_nothing(tmp_path, artifact, make, error):
    folder = tmp_path / "folder"
    folder.mkdir()
    with pytest.raises(error):
        resolve(artifact, make(folder))
    assert not Path(artifact.uri).exists()


# --- The component --------------------------------------------------------------------------------


@pytest.mark.parametrize(
    "handle",
    [
        "https://someone:secret@example.org/text/1",
        "https://example.org/text/1?X-Goog-Signature=secret",
        "https://example.org/text/1?secret",
    ],
)
def test_a_handle_that_may_hold_a_credential_is_refused_at_construction(handle):
    with pytest.raises(ConfigError, match="kept in ML Metadata: resolve it before") as refused:
        ModuleResolver(handle=handle)
    assert "secret" not in str(refused.value)


def test_a_credential_in_a_runtime_parameter_is_refused_before_it_is_used(artifact):
    with pytest.raises(ConfigError, match="may be a credential") as refused:
        resolve(artifact, "https://someone:secret@localhost:1/text/1")
    assert "secret" not in str(refused.value)


@pytest.mark.parametrize("handle", ["", "https:///text/1", "https://example.org/a b"])
def test_a_handle_that_cannot_be_parsed_is_refused_at_construction(handle):
    with pytest.raises(HandleError):
        ModuleResolver(handle=handle)


@pytest.mark.parametrize("digest", ["abc", "x" * 64, "0" * 63])
def test_a_digest_that_is_none_is_refused_at_construction(digest):
    with pytest.raises(ConfigError, match="64 hex digits"):
        ModuleResolver(handle="https://example.org/text/1", digest=digest)


def test_handle_and_digest_may_be_runtime_parameters():
    runtime_parameter = tfx.dsl.experimental.RuntimeParameter
    handle = runtime_parameter(name="handle", ptype=str, default="https://example.org/text/1")
    digest = runtime_parameter(name="digest", ptype=str)
    component = ModuleResolver(handle=handle, digest=digest)
    assert component.spec.exec_properties["handle"] is handle
    assert component.spec.exec_properties["digest"] is digest


def test_the_parameters_hold_what_makes_the_execution_cache_true():
    component = ModuleResolver(handle="https://example.org/text/1", digest="0" * 64)
    assert component.exec_properties == {
        "handle": "https://example.org/text/1",
        "digest": "0" * 64,
        "cache_dir": None,
        "fallback": None,
        "fallback_digest": None,
        "optional": None,
        "new_bytes": None,
        "this_run": None,
        "hub_tfx_version": hub_tfx.__version__,
    }
    assert component.outputs["module"].type is HubModule


def test_names_of_outputs_and_parameters_are_unique():
    names = [*ModuleResolverSpec.OUTPUTS, *ModuleResolverSpec.PARAMETERS]
    assert len(set(names)) == len(names)


def test_a_module_that_the_policy_refuses_is_no_artifact(tmp_path, artifact):
    module = build(tmp_path / "hostile", "rows")
    with serve({"/acme/text/1": module}) as url:
        with pytest.raises(UnsafeModuleError, match="op ReadFile in node 'evil'"):
            resolve(artifact, f"{url}/acme/text/1")
        assert not Path(artifact.uri).exists()
        allowing = SafetyPolicy(allow_ops=("ReadFile",))
        resolve(artifact, f"{url}/acme/text/1", policy=allowing.to_json())
    assert read_module(artifact).digest == Manifest.of_directory(module).digest


def test_a_policy_is_a_parameter_only_where_it_says_something():
    def properties(policy):
        return ModuleResolver("https://hub.test/m/1", policy=policy).exec_properties

    assert "policy" not in properties(None)
    assert properties(SafetyPolicy()) == properties(None)
    given = SafetyPolicy("warn", imports=("tensorflow_text",))
    assert SafetyPolicy.from_json(properties(given)["policy"]) == given


def test_an_artifact_that_may_do_harm_is_refused_where_the_environment_says_so(
    tmp_path, artifact, monkeypatch
):
    resolve(artifact, build(tmp_path / "hostile", "graph"))
    read_module(artifact)
    monkeypatch.setenv("HUB_TFX_POLICY", "strict")
    with pytest.raises(UnsafeModuleError, match="op WriteFile"):
        read_module(artifact)
