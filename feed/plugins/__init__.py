"""Plugins: a newsroom's own candidate sources, features, rankers and rules, and what they may see.

A plugin imports this package and nothing else of feed. See `protocols` for what each kind does.
"""

from feed.arrays import Floats, Matrix, Rows
from feed.plugins.moments import Articles, Moment, ReaderSeen
from feed.plugins.protocols import (
    FittedPlugin,
    PluginExamples,
    PluginFeature,
    PluginRanker,
    PluginRule,
    PluginSource,
)

__all__ = [
    "Articles",
    "FittedPlugin",
    "Floats",
    "Matrix",
    "Moment",
    "PluginExamples",
    "PluginFeature",
    "PluginRanker",
    "PluginRule",
    "PluginSource",
    "ReaderSeen",
    "Rows",
]
