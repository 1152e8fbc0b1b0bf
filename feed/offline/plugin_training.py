"""Lets a plugin's ranker learn from the examples that the built-in trees would learn from."""

from __future__ import annotations

from feed.models.plugin_ranker import TaughtByPlugin
from feed.models.schema import FEATURES
from feed.offline.examples import Examples
from feed.offline.ranker_training import neutral_values
from feed.plugins.calling import told
from feed.plugins.loading import PluginError
from feed.plugins.protocols import PluginExamples, PluginRanker
from feed.training_config import TrainingConfig


def fit_with_plugin(
    plugin: PluginRanker, examples: Examples, head: str, config: TrainingConfig
) -> TaughtByPlugin | None:
    """Return what a plugin has learned; None if there are too few lists, or it learns nothing.

    Args:
        plugin: the ranker.
        examples: lists with their clicks.
        head: "pool" or "slate".
        config: fewest lists, seed.

    Raises:
        PluginError: the plugin fails.
    """
    if len(examples) < config.ranker_min_impressions:
        return None
    try:
        fitted = plugin.fit(to_learn_from(examples, head, config.seed))
    except Exception as error:  # the code is somebody else's and may raise anything
        raise PluginError(f"ranker {plugin.name}: fit failed: {told(error)}") from error
    if fitted is None:
        return None
    for method in ("margin", "save"):
        if not callable(getattr(fitted, method, None)):
            raise PluginError(f"ranker {plugin.name}: what fit returns has no method {method}")
    return TaughtByPlugin(plugin.name, fitted, neutral_values(examples.features))


def to_learn_from(examples: Examples, head: str, seed: int) -> PluginExamples:
    """Return examples as plugins see them: read-only, with the names of the features."""
    columns = (examples.features.view(), examples.clicked.view(), examples.sizes.view())
    for column in columns:
        column.setflags(write=False)
    features, clicked, sizes = columns
    return PluginExamples(
        features=features,
        names=tuple(feature.name for feature in FEATURES),
        clicked=clicked,
        sizes=sizes,
        head=head,
        seed=seed,
    )
