"""Beam steps of a compiled pipeline that run as jobs on Dataflow: what their workers need.

The step's container sends the job. Its workers need hub_tfx as well, so they run in the image of
the steps unless something else brings it to them.
"""

from collections.abc import Sequence
from dataclasses import replace
from typing import TYPE_CHECKING, Any

from hub_tfx.errors import ConfigError

if TYPE_CHECKING:
    from hub_tfx_pipelines.configs import PipelineConfig

_NEEDED = {"project": "PROJECT", "region": "REGION", "temp_location": "gs://BUCKET/temp"}
"""Options that a job cannot do without: a container has no gcloud, which might know them."""
_BRINGING_CODE = (
    *("sdk_container_image", "worker_harness_container_image"),
    *("setup_file", "requirements_file", "extra_packages"),
)


def with_workers(config: "PipelineConfig") -> "tuple[PipelineConfig, Sequence[str]]":
    """The config with what Dataflow's workers need, and what people should know about that.

    Args:
      config: config of a pipeline, which names the image of its steps.

    Raises:
      ConfigError: an option that every job needs is missing, a place is not in a bucket, or the
        steps have several images, so that it is not clear which one the workers should have.
    """
    from apache_beam.options.pipeline_options import StandardOptions

    from hub_tfx.beam.runner import parse_beam_arguments

    options = parse_beam_arguments(config.beam_pipeline_args)
    if "dataflow" not in str(options.view_as(StandardOptions).runner).lower():
        return config, ()
    known = options.get_all_options()
    _check_needed(known)
    if any(known.get(option) for option in _BRINGING_CODE):
        return config, ()
    image = _image_of_workers(config)
    arguments = (*config.beam_pipeline_args, f"--sdk_container_image={image}")
    said = (
        f"Dataflow's workers run in {image}, as the steps do; --sdk_container_image names another"
    )
    return replace(config, beam_pipeline_args=arguments), (said,)


def _check_needed(options: "dict[str, Any]") -> None:
    missing = [f"--{name}={value}" for name, value in _NEEDED.items() if not options.get(name)]
    if missing:
        raise ConfigError(
            f"Beam options: a Dataflow job needs more of them: add {' '.join(missing)}"
        )
    for name in ("temp_location", "staging_location"):
        place = options.get(name)
        if place and not place.startswith("gs://"):
            raise ConfigError(f"Beam options: --{name} {place} is not in a bucket: write gs://…")


def _image_of_workers(config: "PipelineConfig") -> str:
    platform = config.platform
    own = [
        step for step, given in platform.steps.items() if given.image not in (None, platform.image)
    ]
    if own:
        raise ConfigError(
            f"Beam options: {own[0]} has an image of its own, so say in which image Dataflow's "
            "workers run: add --sdk_container_image=IMAGE"
        )
    assert platform.image is not None
    return platform.image
