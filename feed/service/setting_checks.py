"""Checks of the settings that only the parts of a service understand."""

from __future__ import annotations

from feed.catalogue.encoder_choice import check_encoder
from feed.config import Settings
from feed.domain import InvalidInputError
from feed.environment import RANKING_PREFIX
from feed.features.canonical_address import read_tracking_parameters
from feed.features.sections import read_aliases
from feed.models.ranker import default_ranker
from feed.service.access import check_access_settings
from feed.service.addresses import parse_networks
from feed.service.cors import read_origins
from feed.sources.configured import check_source_settings
from feed.storage.redis_store import RedisStore
from feed.watching.alert_settings import check_alert_settings


def check_service_settings(settings: Settings) -> None:
    """Refuse settings with which nothing can be served.

    Raises:
        InvalidInputError: names the setting and the rule.
    """
    check_access_settings(settings)
    check_encoder(settings)
    check_source_settings(settings)
    check_ranking(settings)
    check_alert_settings(settings)
    parse_networks(settings.trusted_proxies)
    read_origins(settings.cors_origins)
    RedisStore(settings).close()  # the address is read, and nothing is sent


def check_ranking(settings: Settings) -> None:
    """Refuse settings with which no feed can be ranked.

    Raises:
        InvalidInputError: a weight is that of a feature that does not exist, or the aliases of
            sections or the tracking parameters are not written as they must be.
    """
    read_aliases(settings.section_aliases)
    read_tracking_parameters(settings.tracking_parameters)
    try:
        default_ranker(settings.ranking.weights)
    except InvalidInputError as error:
        raise InvalidInputError(
            error.field_name.replace("weights", f"{RANKING_PREFIX}WEIGHTS", 1), error.rule
        ) from None
