"""Django's settings. The environment is read here and nowhere else (see lsp_site.declared for the table)."""

from __future__ import annotations

import os
import sys
from pathlib import Path
from typing import Any

from lsp_site import env_file
from lsp_site.configuration import ConfigurationFaults, own_key, read
from lsp_site.running import embedded

BASE_DIR = Path(__file__).resolve().parent.parent

try:
    _faults_of_file = env_file.fill(os.environ, BASE_DIR)  # what is set in the environment itself wins
    _c = read(os.environ, BASE_DIR, _faults_of_file)
    LSP_HOME: Path = _c["LSP_HOME"]
    _secret_key: bytes = _c["SECRET_KEY"] or own_key(_c.values, "secret_key")
    PREIMAGE_KEY: str = (_c["PREIMAGE_KEY"] or own_key(_c.values, "preimage_key")).hex()
except ConfigurationFaults as _faults:
    sys.exit(str(_faults))

SECRET_KEY: str = _secret_key.hex()
MISSING_NODE_VARIABLES: tuple[str, ...] = _c.missing_node_variables

# --- The node

LND_GRPC: str = _c["LND_GRPC"] or ""
LND_TLS_CERT: str | None = _c["LND_TLS_CERT"]
LND_MACAROON: str = _c["LND_MACAROON"] or ""  # a path, or hex
LND_NETWORK: str = _c["LND_NETWORK"] or ""
CHAIN_RPC: str | None = _c["CHAIN_RPC"]  # holds a password
CHAIN_RPC_CERT: str | None = _c["CHAIN_RPC_CERT"]
LIGHTNING_NODE: str = _c["LIGHTNING_NODE"]
NODE_RECOGNISED_BY = "orders.queries.may_be_our_node"  # by its key, once for each connection
NODE_URIS: tuple[str, ...] = _c["NODE_URIS"] or ()
DIAL_PRIVATE_ADDRESSES: bool = _c["DIAL_PRIVATE_ADDRESSES"]

# --- Orders and payments

ORDER_LIFETIME_SECONDS: int = _c["ORDER_LIFETIME_SECONDS"]
LATE_PRICE_SLACK_PERCENT: int = _c["LATE_PRICE_SLACK_PERCENT"]
DEEP_LATE_SLACK_PERCENT: int = _c["DEEP_LATE_SLACK_PERCENT"]
CLAIM_WINDOW_SECONDS: int = _c["CLAIM_WINDOW_SECONDS"]
CLAIM_WINDOW_ONCHAIN_SECONDS: int = _c["CLAIM_WINDOW_ONCHAIN_SECONDS"]
OPEN_WINDOW_SECONDS: int = _c["OPEN_WINDOW_SECONDS"]
GIVE_UP_GRACE_SECONDS: int = _c["GIVE_UP_GRACE_SECONDS"]
GIVE_UP_GRACE_ONCHAIN_SECONDS: int = _c["GIVE_UP_GRACE_ONCHAIN_SECONDS"]
SMALL_SURPLUS: str = _c["SMALL_SURPLUS"]
HOLD_CLTV_BLOCKS: int = _c["HOLD_CLTV_BLOCKS"]
PUBLISH_MARGIN_BLOCKS: int = _c["PUBLISH_MARGIN_BLOCKS"]
PARALLEL_OPENINGS: int = _c["PARALLEL_OPENINGS"]
SPARE_BLOCKS: int = _c["SPARE_BLOCKS"]
ONCHAIN_ENABLED: bool = _c["ONCHAIN_ENABLED"]
ONCHAIN_CONFIRMATIONS: int = _c["ONCHAIN_CONFIRMATIONS"]
ZERO_CONF_MAX_SAT: int = _c["ZERO_CONF_MAX_SAT"]
ZERO_CONF_NODE_MAX_SAT: int = _c["ZERO_CONF_NODE_MAX_SAT"]
ZERO_CONF_TOTAL_MAX_SAT: int = _c["ZERO_CONF_TOTAL_MAX_SAT"]
ZERO_CONF_MAX_SATVBYTE: int = _c["ZERO_CONF_MAX_SATVBYTE"]
ONCHAIN_RESERVE_SAT: int = _c["ONCHAIN_RESERVE_SAT"]
REFUND_RESERVE_SAT: int = _c["REFUND_RESERVE_SAT"]
MOST_NODE_SAT: int = _c["MOST_NODE_SAT"]
RATE_SOURCE: str | None = _c["RATE_SOURCE"]
RATE_MAX_AGE_SECONDS: int = _c["RATE_MAX_AGE_SECONDS"]
MOST_CHANNEL_IN_CURRENCY: int = _c["MOST_CHANNEL_IN_CURRENCY"]
MOST_NODE_IN_CURRENCY: int = _c["MOST_NODE_IN_CURRENCY"]
UNPAID_SHARE_PERCENT: int = _c["UNPAID_SHARE_PERCENT"]
UNPAID_ORDERS_PER_CLIENT: int = _c["UNPAID_ORDERS_PER_CLIENT"]
MOST_UNPAID_ORDERS: int = _c["MOST_UNPAID_ORDERS"]
MOST_CLOSES_A_DAY: int = _c["MOST_CLOSES_A_DAY"]
CLAIM_PATIENCE_SECONDS: int = _c["CLAIM_PATIENCE_SECONDS"]
DEPOSIT_PATIENCE_SECONDS: int = _c["DEPOSIT_PATIENCE_SECONDS"]
#: So long a paid order waits for room before its payment goes back; with a node named, until that was dialled.
PLACE_SECONDS: int = 5
BUY_RATE: str = _c["BUY_RATE"]
READ_RATE: str = _c["READ_RATE"]
CLAIM_RATE: str = _c["CLAIM_RATE"]
LOGIN_RATE: str = _c["LOGIN_RATE"]
STAFF_MFA: str = _c["STAFF_MFA"]
STAFF_SESSION_SECONDS: int = _c["STAFF_SESSION_SECONDS"]
STAFF_IDLE_SECONDS: int = _c["STAFF_IDLE_SECONDS"]
IDEMPOTENCY_SECONDS: int = _c["IDEMPOTENCY_SECONDS"]

LSPS1_ALIASES: bool = _c["LSPS1_ALIASES"]
LSPS1_OVER_LIGHTNING: bool = _c["LSPS1_OVER_LIGHTNING"]
LSPS1_ANNOUNCED: bool = _c["LSPS1_ANNOUNCED"]
LSPS2_ENABLED: bool = _c["LSPS2_ENABLED"]
LSPS2_VALID_SECONDS: int = _c["LSPS2_VALID_SECONDS"]
LSPS2_CLTV_BLOCKS: int = _c["LSPS2_CLTV_BLOCKS"]
LSPS2_HOLD_SECONDS: int = _c["LSPS2_HOLD_SECONDS"]
LSPS2_PURCHASES_PER_PEER: int = _c["LSPS2_PURCHASES_PER_PEER"]
LSPS2_PURCHASES: int = _c["LSPS2_PURCHASES"]
LSPS2_EXPOSURE_SAT: int = _c["LSPS2_EXPOSURE_SAT"]
LSPS2_PEER_EXPOSURE_SAT: int = _c["LSPS2_PEER_EXPOSURE_SAT"]
LSPS2_ABORTS_PER_PEER: int = _c["LSPS2_ABORTS_PER_PEER"]
LSPS2_ON_OLD_LND: bool = _c["LSPS2_ON_OLD_LND"]
LSPS5_ENABLED: bool = _c["LSPS5_ENABLED"]
LSPS5_WEBHOOKS_PER_PEER: int = _c["LSPS5_WEBHOOKS_PER_PEER"]
LSPS5_WEBHOOKS: int = _c["LSPS5_WEBHOOKS"]
LSPS5_RATE: str = _c["LSPS5_RATE"]
LSPS5_COOLDOWN_SECONDS: int = _c["LSPS5_COOLDOWN_SECONDS"]
LSPS5_KEPT_SECONDS: int = _c["LSPS5_KEPT_SECONDS"]

# --- Opening channels

FUNDING_MIN_CONFS: int = _c["FUNDING_MIN_CONFS"]
FUNDING_CONF_TARGET: int = _c["FUNDING_CONF_TARGET"]
MAX_FUNDING_FEE_SAT: int = _c["MAX_FUNDING_FEE_SAT"]
FEE_BUDGET_PERCENT: int = _c["FEE_BUDGET_PERCENT"]
FEE_BUDGET_FLOOR_SAT: int = _c["FEE_BUDGET_FLOOR_SAT"]
FUNDING_LEASE_SECONDS: int = _c["FUNDING_LEASE_SECONDS"]
FRESH_ATTEMPT_SECONDS: int = _c["FRESH_ATTEMPT_SECONDS"]
PUBLISH_PATIENCE_SECONDS: int = _c["PUBLISH_PATIENCE_SECONDS"]
FINAL_DEPTH_BLOCKS: int = _c["FINAL_DEPTH_BLOCKS"]
BUMP_AFTER_SECONDS: int = _c["BUMP_AFTER_SECONDS"]
EARLY_CLOSE_GRACE_SECONDS: int = _c["EARLY_CLOSE_GRACE_SECONDS"]
EARLY_CLOSE_KEEPS_CHAIN_FEES: bool = _c["EARLY_CLOSE_KEEPS_CHAIN_FEES"]
REFUND_BUMP_AFTER_SECONDS: int = _c["REFUND_BUMP_AFTER_SECONDS"]
BOOKS_CHECK_SECONDS: int = _c["BOOKS_CHECK_SECONDS"]
CAPITAL_COST_PPM: int = _c["CAPITAL_COST_PPM"]
FIGURES_KEPT_DAYS: int = _c["FIGURES_KEPT_DAYS"]
ALERTS_KEPT_DAYS: int = _c["ALERTS_KEPT_DAYS"]
PREFLIGHT_DRY_RUN: bool = _c["PREFLIGHT_DRY_RUN"]
RETRY_FIRST_SECONDS: int = _c["RETRY_FIRST_SECONDS"]
RETRY_MAX_SECONDS: int = _c["RETRY_MAX_SECONDS"]
ALERT_URL: tuple[str, ...] = _c["ALERT_URL"] or ()
METRICS_TOKEN: str = _c["METRICS_TOKEN"] or ""
SNAPSHOT_MAX_AGE_SECONDS: int = _c["SNAPSHOT_MAX_AGE_SECONDS"]
HEARTBEAT_STALE_SECONDS: int = _c["HEARTBEAT_STALE_SECONDS"]

# --- The server

LISTEN_HOST: str
LISTEN_PORT: int
LISTEN_HOST, LISTEN_PORT = _c["LISTEN"]
WORKERS: int = _c["WORKERS"]
WEB_PROCESSES: int = _c["WEB_PROCESSES"]
STREAM_THREADS: int = _c["STREAM_THREADS"]
PAUSE_IF_BEHIND: bool = _c["PAUSE_IF_BEHIND"]
V1_LEGACY_ERRORS: bool = _c["V1_LEGACY_ERRORS"]
PUBLIC_URL: str = _c["PUBLIC_URL"]
TRUSTED_PROXIES: int | tuple[str, ...] = _c["TRUSTED_PROXIES"]
BLOCK_EXPLORER_URL: str = _c["BLOCK_EXPLORER_URL"] or ""
NODE_EXPLORER_URL: str = _c["NODE_EXPLORER_URL"] or ""
DEBUG: bool = _c["DEBUG"]
ALLOWED_HOSTS: list[str] = list(_c["ALLOWED_HOSTS"])
CSRF_TRUSTED_ORIGINS: list[str] = list(_c["CSRF_TRUSTED_ORIGINS"])

# --- Database: PostgreSQL only, never a pool (after a fork it hands one process another's rows)

DATABASE_IS_EMBEDDED: bool = _c["DATABASE_URL"] is None
_embedded: dict[str, Any] = {
    "HOST": str(embedded.socket_folder(LSP_HOME)),
    "PORT": str(embedded.PORT),
    "USER": embedded.USER,
    "NAME": embedded.DATABASE,
}
_described: dict[str, Any] = _c["DATABASE_URL"] or _embedded
DATABASES: dict[str, dict[str, Any]] = {
    "default": {
        "CONN_MAX_AGE": 60,
        **_described,
        "ENGINE": "orders.postgres",
        "CONN_HEALTH_CHECKS": True,
        "ATOMIC_REQUESTS": False,  # the beats of an operation are its own transactions
        "OPTIONS": {"connect_timeout": 10, **_described.get("OPTIONS", {})},
    }
}
DEFAULT_AUTO_FIELD = "django.db.models.BigAutoField"

# --- Django

INSTALLED_APPS = [
    "lsp_site.apps.StaffConfig",
    "django.contrib.contenttypes",
    "django.contrib.sessions",
    "django.contrib.messages",
    "whitenoise.runserver_nostatic",
    "django.contrib.staticfiles",
    "corsheaders",
    "rest_framework",
    "drf_spectacular",
    "drf_spectacular_sidecar",
    "django_q",
    "lightning.apps.LightningConfig",
    "simulator.apps.SimulatorConfig",
    "orders.apps.OrdersConfig",
    "watch.apps.WatchConfig",
    "streams.apps.StreamsConfig",
    "lsp_site.apps.SiteConfig",
    "django.contrib.auth",  # the last: of some of its commands the site has its own
]

MIDDLEWARE = [
    "lsp_site.middleware.ClientAddress",
    "django.middleware.security.SecurityMiddleware",
    "whitenoise.middleware.WhiteNoiseMiddleware",
    "corsheaders.middleware.CorsMiddleware",
    "django.contrib.sessions.middleware.SessionMiddleware",
    "django.middleware.common.CommonMiddleware",
    "django.middleware.csrf.CsrfViewMiddleware",
    "lsp_site.sessions.StaffAuthentication",
    "django.contrib.messages.middleware.MessageMiddleware",
    "django.middleware.clickjacking.XFrameOptionsMiddleware",
    "lsp_site.middleware.OwnContentAlone",
]

ROOT_URLCONF = "lsp_site.urls"
WSGI_APPLICATION = "lsp_site.wsgi.application"
APPEND_SLASH = False
TEMPLATES = [
    {
        "BACKEND": "django.template.backends.django.DjangoTemplates",
        "DIRS": [BASE_DIR / "templates"],
        "APP_DIRS": True,
        "OPTIONS": {
            "context_processors": [
                "django.template.context_processors.request",
                "django.contrib.auth.context_processors.auth",
                "django.contrib.messages.context_processors.messages",
            ]
        },
    }
]
LANGUAGE_CODE = "en"
TIME_ZONE = "UTC"
USE_TZ = True
STATIC_URL = "/static/"
STATIC_ROOT = None
WHITENOISE_USE_FINDERS = True  # served from where the packages have them: nothing to collect
DATA_UPLOAD_MAX_MEMORY_SIZE = 64 * 1024
FILE_UPLOAD_HANDLERS = ["django.core.files.uploadhandler.MemoryFileUploadHandler"]
AUTHENTICATION_BACKENDS = ["lsp_site.logins.StaffBackend"]
AUTH_PASSWORD_VALIDATORS = [
    {"NAME": f"django.contrib.auth.password_validation.{name}"}
    for name in ("UserAttributeSimilarityValidator", "MinimumLengthValidator", "CommonPasswordValidator")
]
#: Nothing is shared through it (requests are counted in a table): the queue only notes its own figures.
CACHES = {"default": {"BACKEND": "django.core.cache.backends.locmem.LocMemCache"}}

# --- Safety of pages

_is_https = PUBLIC_URL.startswith("https://")
SESSION_COOKIE_SECURE = CSRF_COOKIE_SECURE = _is_https
SESSION_COOKIE_HTTPONLY = True
SESSION_COOKIE_SAMESITE = CSRF_COOKIE_SAMESITE = "Lax"
SESSION_COOKIE_AGE = STAFF_SESSION_SECONDS
SECURE_HSTS_SECONDS = 30 * 24 * 3600 if _is_https else 0
SECURE_CONTENT_TYPE_NOSNIFF = True
SECURE_REFERRER_POLICY = "same-origin"
SECURE_PROXY_SSL_HEADER = ("HTTP_X_FORWARDED_PROTO", "https") if TRUSTED_PROXIES else None
X_FRAME_OPTIONS = "DENY"
CSRF_FAILURE_VIEW = "lsp_site.error_pages.forged"
DEFAULT_EXCEPTION_REPORTER_FILTER = "lsp_site.logs.SecretsHidden"

#: Wallets in browsers use the API: open to every origin, and no cookie goes with it.
CORS_ALLOW_ALL_ORIGINS = True
CORS_ALLOW_CREDENTIALS = False
CORS_ALLOW_HEADERS = ("content-type", "idempotency-key")
CORS_EXPOSE_HEADERS = ("Retry-After",)
CORS_URLS_REGEX = r"^/(?!admin)"

# --- API

REST_FRAMEWORK = {
    "DEFAULT_RENDERER_CLASSES": ["rest_framework.renderers.JSONRenderer"],
    "DEFAULT_PARSER_CLASSES": ["orders.api.parsers.StrictJSONParser"],
    "DEFAULT_AUTHENTICATION_CLASSES": [],
    "DEFAULT_PERMISSION_CLASSES": ["rest_framework.permissions.AllowAny"],
    "UNAUTHENTICATED_USER": None,
    "DEFAULT_SCHEMA_CLASS": "drf_spectacular.openapi.AutoSchema",
    "EXCEPTION_HANDLER": "orders.api.errors.handle",
    "TEST_REQUEST_DEFAULT_FORMAT": "json",
}
SPECTACULAR_SETTINGS = {
    "TITLE": "LSP channel request",
    "DESCRIPTION": "Buy a Lightning channel: quote, pay, name your node.",
    "VERSION": "0.0.1",
    "OAS_VERSION": "3.1.0",
    "SERVE_INCLUDE_SCHEMA": False,
    "SERVE_URLCONF": "lsp_site.described",
    "SERVE_AUTHENTICATION": [],
    "SWAGGER_UI_DIST": "SIDECAR",
    "SWAGGER_UI_FAVICON_HREF": "SIDECAR",
    "SCHEMA_PATH_PREFIX": "",
    "COMPONENT_SPLIT_REQUEST": True,
    "ENUM_NAME_OVERRIDES": {"PaymentStateEnum": "orders.wire.PaymentState"},
    "ENABLE_DJANGO_DEPLOY_CHECK": False,  # the schema has its own check: make check
}

# --- Queue: it may run a task twice or stop without a word, and no money step rests on it

_TASK_SECONDS = 300
Q_CLUSTER = {
    "name": "lsp",
    "orm": "default",
    "workers": WORKERS,
    "timeout": _TASK_SECONDS,
    # The clock of `retry` starts when a task is pulled, not when it begins: it covers those queued before it.
    "retry": _TASK_SECONDS * (2 + -(-(WORKERS + 1) // WORKERS)) + 60,
    "queue_limit": WORKERS,
    "bulk": 1,
    "poll": 0.2,
    "save_limit": -1,  # successes are not kept: the journal is the record; keeping them makes tasks run twice
    "max_attempts": 5,
    "ack_failures": False,
    "catch_up": False,
    "recycle": 500,
    "label": "Queue",
}

# --- Logs: one line for each event, key=value, to stderr

LOGGING = {
    "version": 1,
    "disable_existing_loggers": False,
    "formatters": {"line": {"()": "lsp_site.logs.KeyValueFormatter"}},
    "filters": {
        "meant_unavailable": {"()": "lsp_site.logs.MeantUnavailable"},
        "askers_fault": {"()": "lsp_site.logs.AskersFault"},
    },
    "handlers": {"stderr": {"class": "logging.StreamHandler", "formatter": "line", "filters": ["askers_fault"]}},
    "root": {"handlers": ["stderr"], "level": "INFO"},
    "loggers": {
        "django": {"handlers": [], "level": "INFO", "propagate": True},
        "django.request": {"handlers": [], "filters": ["meant_unavailable"], "level": "INFO", "propagate": True},
        "django.server": {"handlers": [], "level": "INFO", "propagate": True},
        "django-q": {"handlers": [], "level": "WARNING", "propagate": True},
        # Its lines may repeat a URL, which is a secret: watch.alerting says what failed.
        "apprise": {"handlers": [], "level": "CRITICAL", "propagate": True},
    },
}
