"""Every setting and parameter once, with its unit and its default."""

from __future__ import annotations

from dataclasses import dataclass, field
from pathlib import Path

from feed.setting_fields import LEAST, setting

HOUR_S = 3600.0
DAY_S = 86400.0


@dataclass(frozen=True, slots=True, kw_only=True)
class RankingConfig:
    """Every parameter of a feed request.

    `FEED_RANKING_<NAME>` sets one for the whole installation; an experiment's variant can
    override most of them.
    """

    slate_size: int = setting(
        200,
        "articles in one ranked list, from which the pages of a feed are taken",
        between=(1, 10_000),
        title="Length of a ranked list",
    )
    candidates_per_source: int = setting(
        100,
        "candidates that one source may propose",
        between=(1, 10_000),
        title="Candidates per source",
    )
    candidate_cap: int = setting(
        120,
        "candidates scored, taken from the sources in turn",
        between=(1, 10_000),
        title="Candidates in all",
    )
    max_age_hours: float = setting(
        72.0,
        "age above which only pinned articles are candidates, hours; doubled while fewer than ten "
        "articles are young enough",
        between=(LEAST, 100_000),
        title="Greatest age of an article",
    )
    use_ranker: bool = setting(
        True,
        "whether the learned ranker is used when the model has one",
        title="Use the learned ranker",
    )
    use_collaborative: bool = setting(
        True,
        "whether collaborative filtering is used: what readers of a similar taste read",
        title="Use collaborative filtering",
    )
    use_content: bool = setting(
        True,
        "whether ranking uses what articles are about (the content sources and features)",
        title="Use the content of articles",
    )
    use_plugins: bool = setting(
        True,
        "whether the sources, features and rules of plugins are used",
        title="Use plugins",
    )
    trending_boost: float = setting(
        0.3,
        "strength of the trending factor: score * (1 + boost * trend)",
        between=(0, 100),
        title="Boost of trending articles",
    )
    trending_half_life_minutes: float = setting(
        30.0,
        "half-life of the trending rate, minutes; the same for every variant",
        only=(30, 120),
        title="Half-life of trending",
    )
    followed_boost: float = setting(
        0.5,
        "strength of a follow: score * (1 + boost) in followed sections and sources",
        between=(0, 100),
        title="Boost of what a reader follows",
    )
    section_decay: float = setting(
        0.9,
        "factor on the score for each earlier article of the same section; the lower, the more "
        "varied",
        between=(0, 1),
        title="Variety of sections",
    )
    source_decay: float = setting(
        1.0,
        "factor on the score for each earlier article of the same source; the lower, the more "
        "varied",
        between=(0, 1),
        title="Variety of sources",
    )
    decay_floor: float = setting(
        0.5,
        "lowest value of the section and source factors",
        between=(0, 1),
        title="Lowest section and source factor",
    )
    mmr_lambda: float = setting(
        0.9,
        "1 ranks only by score, 0 only by difference from the articles above (MMR)",
        between=(0, 1),
        title="Score against variety",
    )
    calibration: float = setting(
        0.0,
        "weight of nearness to the mixture of sections that the reader reads; 0 is off",
        between=(0, 1),
        title="Sections as the reader reads them",
    )
    duplicate_similarity: float = setting(
        0.95,
        "cosine similarity from which two texts count as the same; articles of one series never do",
        between=(0, 1),
        title="When two articles are the same text",
    )
    fatigue_after: int = setting(
        3,
        "impressions without a click after which the score is lowered",
        between=(0, 1000),
        title="Impressions before fatigue",
    )
    fatigue_factor: float = setting(
        0.7,
        "factor on the score for each further impression",
        between=(0, 1),
        title="Strength of fatigue",
    )
    explore_slots: int = setting(
        1,
        "slots of the first page drawn at random from the exploration pool",
        between=(0, 100),
        title="Slots drawn by chance",
    )
    explore_from: int = setting(
        4,
        "first slot that exploration may take",
        between=(0, 100),
        title="First slot drawn by chance",
        is_slot=True,
    )
    explore_by_need: bool = setting(
        False,
        "whether articles whose click rate is less certain are drawn more often; otherwise all are "
        "drawn equally often",
        title="Draw by need",
    )
    first_page: int = setting(
        20,
        "number of slots that count as the first page",
        between=(1, 100),
        title="Length of the first page",
    )
    session_minutes: float = setting(
        60.0,
        "age up to which events belong to the current session, minutes",
        between=(LEAST, 10_000),
        title="Length of a session",
    )
    profile_half_life_hours: float = setting(
        72.0,
        "half-life of an event's weight in a reader's profile, hours",
        between=(LEAST, 100_000),
        title="Memory of a profile",
    )
    fold_in_half_life_hours: float = setting(
        24.0,
        "half-life of an event's weight in fold-in, which places a reader among the collaborative "
        "factors, hours",
        between=(LEAST, 100_000),
        title="Memory of fold-in",
    )
    weights: dict[str, float] = setting(
        {},
        "day-one weights, which rank until a ranker is learned, where they differ from the "
        "built-in ones, by feature",
        title="Day-one weights",
    )


@dataclass(frozen=True, slots=True, kw_only=True)
class Settings:
    """How one installation runs. Each is read from `FEED_<NAME>` in the environment.

    `ranking` holds what a feed is ranked with where no experiment says otherwise.
    """

    data_dir: Path = setting(Path("data"), "directory of the store, the archive and the models")
    data_url: str = setting(
        "file://",
        "where archive, models, reports and backups are: file:// (data_dir), or an object store as "
        "s3://bucket/prefix, gs:// or az://",
    )
    data_cache_mb: int = setting(
        4096,
        "with an object store, megabytes of its archive that this machine keeps, and as many again "
        "of models",
        between=(1, 999_999),
    )
    redis_url: str = setting(
        "",
        "redis:// or unix:// address of the store, or redis://host:port,host:port for several "
        "nodes of a cluster; empty: feed starts one",
    )
    redis_cluster: bool = setting(False, "whether redis_url names nodes of a Redis Cluster")
    partitions: int = setting(
        16, "number of reader partitions; fixed when data is first written", between=(1, 4096)
    )
    namespace: str = setting("feed", "prefix of every key in the store")
    host: str = setting(
        "127.0.0.1", "address to bind; any address other than loopback needs keys or tokens"
    )
    port: int = setting(8000, "TCP port of the web service", between=(1, 65_535))
    web: int = setting(2, "number of web processes", between=(1, 256))
    workers: int = setting(
        1, "number of workers that feed serve starts with its own store", between=(1, 256)
    )
    worker_metrics_port: int = setting(
        0,
        "TCP port at which feed worker serves its own metrics, without a key; 0: none. Where "
        "feed serve runs the worker, /metrics has them",
        between=(0, 65_535),
    )
    api_keys: str = setting(
        "",
        "accepted API keys as [name:]scope:sha256-hex, separated by commas; the scopes are read, "
        "write, admin, metrics and site",
    )
    site_key: str = setting("", "public key with which a browser asks for an anonymous token")
    token_secret: str = setting(
        "",
        "HS256 secrets of readers' tokens as [kid:]secret, separated by commas; each 32 bytes or "
        "more",
    )
    token_keys: str = setting(
        "", "JWKS or PEM file with the public keys for readers' tokens (EdDSA, RS256)"
    )
    token_issuer: str = setting("", "the iss that readers' tokens must have; empty: any")
    token_audience: str = setting("", "the aud that readers' tokens must have; empty: none")
    token_leeway_seconds: float = setting(
        30.0,
        "seconds by which clocks may differ when a reader's token is checked",
        between=(0, 3600),
    )
    anonymous_token_days: float = setting(
        30.0, "days an anonymous reader's token is valid", between=(LEAST, 3650)
    )
    anonymous_per_minute: int = setting(
        30,
        "anonymous readers that one address may make per minute; 0: no limit",
        between=(0, 1_000_000),
    )
    trusted_proxies: str = setting(
        "", "addresses or networks of trusted proxies (X-Forwarded-For), separated by commas"
    )
    public_metrics: bool = setting(
        False, "whether /metrics and /v1/about-ranking are open to callers without a key"
    )
    oidc_issuer: str = setting(
        "",
        "https address of the OpenID Connect provider at which people sign in to the desk; "
        "empty: only API keys open it",
    )
    oidc_client_id: str = setting("", "name of this installation at the OpenID Connect provider")
    oidc_client_secret: str = setting(
        "", "secret of this installation at the provider; empty: the provider asks for none"
    )
    oidc_roles: str = setting(
        "",
        "the claim that decides who may do what on the desk, and the role for each of its values, "
        "such as groups: editors=editor, admins=admin",
    )
    cursor_secret: str = setting(
        "", "key that signs cursors; empty: feed makes one and keeps it in the store"
    )
    cors_origins: str = setting(
        "", "origins whose pages may call from a browser, separated by commas; *: every origin"
    )
    encoder: str = setting("sentence", "article encoder: sentence, tfidf, none or onnx:DIRECTORY")
    plugins: str = setting(
        "", "packages whose plugins rank, as package or package:plugin, separated by commas"
    )
    request_budget_ms: int = setting(
        300,
        "milliseconds one feed request may take before it falls back to a simpler feed",
        between=(1, 600_000),
    )
    store_timeout_ms: int = setting(
        150, "milliseconds one store round trip may take", between=(1, 600_000)
    )
    poll_seconds: float = setting(
        0.4,
        "seconds between checks for new articles, counters and models",
        between=(0.01, 60),
    )
    max_body_bytes: int = setting(
        4_000_000, "largest accepted request body, bytes", between=(1000, 1_000_000_000)
    )
    rate_per_minute: int = setting(
        0, "requests a minute for one key or address; 0: no limit", between=(0, 1_000_000_000)
    )
    store_memory_mb: int = setting(
        0,
        "memory the embedded store may use before it refuses writes, MB; 0: no limit",
        between=(0, 100_000_000),
    )
    store_fsync: str = setting(
        "everysec",
        "when the embedded store flushes to disk: everysec or always",
        among=("everysec", "always"),
    )
    store_confirmed_by: str = setting(
        "primary",
        "where a change must have arrived before it is acknowledged: primary, replica or disk",
    )
    stream_max_events: int = setting(
        2_000_000,
        "unarchived records that the streams may hold before events are answered with 503",
        between=(1, 1_000_000_000),
    )
    archive_seconds: float = setting(
        5.0, "longest time between two archive files, seconds", between=(0, 3600)
    )
    archive_events: int = setting(
        50_000,
        "number of records at which a new archive file is written at once",
        between=(1, 100_000_000),
    )
    retention_days: int = setting(
        90, "days the archive keeps events; 0: for ever", between=(0, 100_000)
    )
    article_days: int = setting(
        90,
        "days after which the catalogue drops an article that nobody reads any more; 0: never",
        between=(0, 100_000),
    )
    reader_ttl_days: int = setting(
        60, "days a reader without events is kept in the store", between=(1, 100_000)
    )
    slate_ttl_minutes: int = setting(30, "minutes a cursor stays usable", between=(1, 100_000))
    section_aliases: str = setting(
        "", "further names of sections, such as football=Sport, soccer=Sport"
    )
    time_zone: str = setting(
        "UTC", "time zone of the newsroom, such as America/New_York; experiments count its days"
    )
    metrics_file: str = setting(
        "",
        "TOML file with your own metrics for experiments; empty: metrics.toml in data_dir, if it "
        "is there",
    )
    sources: str = setting(
        "",
        "feeds to poll, added at each start: addresses, and files that hold addresses or OPML, "
        "separated by commas or spaces",
    )
    source_networks: str = setting(
        "",
        "hosts and networks besides the public ones that may be polled, separated by commas, "
        "such as 10.0.0.0/8,feeds.intranet",
    )
    tracking_parameters: str = setting(
        "utm_*, at_*, mc_*, pk_*, mtm_*, hsa_*, fbclid, gclid, gclsrc, gbraid, wbraid, dclid, "
        "msclkid, twclid, ttclid, yclid, igshid, igsh, li_fat_id, mkt_tok, cmp, cmpid, icid, "
        "ocid, ito, ncid, smid, smtyp, xtor, wt_mc, wt_zmc, ref, ref_src, ref_url, referrer, "
        "src, source, partner, campaign, rss, feed, from, share, _ga, _gl, traffic_source, "
        "ns_mchannel, ns_source, ns_campaign, spm, guccounter, __twitter_impression",
        "parameters of an article's address that do not tell which page it is; * is any text",
    )
    watch_minutes: float = setting(
        60.0,
        "minutes between two reports of a running experiment that the worker makes; 0: never",
        between=(0, 100_000),
    )
    alert_url: str = setting(
        "", "http:// or https:// address of the webhook that gets the alerts of experiments"
    )
    alert_secret: str = setting(
        "", "secret that signs these alerts, 32 bytes or more; empty: they are not signed"
    )
    public_url: str = setting("", "address at which people reach this service, for links in alerts")
    log_level: str = setting(
        "info",
        "lowest level that is logged: debug, info, warning or error",
        among=("debug", "info", "warning", "error"),
    )
    otlp_endpoint: str = setting(
        "",
        "http:// or https:// address of an OpenTelemetry collector that gets traces of requests "
        "(needs feed[otlp]); empty: no traces",
    )
    ranking: RankingConfig = field(default_factory=RankingConfig)
