"""Settings, from the environment through `env`.

A fresh checkout runs with none set.
"""

import socket

import dj_database_url
from django.utils.translation import gettext_lazy as _
from environs import validate

from heygen_portal.console import theme
from heygen_portal.env import BASE_DIR, env, stored_secret, stored_secrets
from heygen_portal.runtime.text import catalogues, sqlite_text

VAR = env.path("VAR_DIR", BASE_DIR / "var")
VAR.mkdir(parents=True, exist_ok=True)  # SQLite does not create folders

DEBUG = env.bool("DEBUG", False)
KEYS_FOLDER = VAR / "keys"  # of bin/serve and of a restored backup
# Default keys are for local use only. Production refuses to start with them: see production.py.
SECRET_KEY = stored_secret("DJANGO_SECRET_KEY", KEYS_FOLDER, "not-secret-for-looking-around-only")
SECRET_KEY_FALLBACKS = stored_secrets("DJANGO_SECRET_KEY_FALLBACKS", KEYS_FOLDER)
FIELD_ENCRYPTION_KEY = stored_secret("FIELD_ENCRYPTION_KEY", KEYS_FOLDER, "not-secret-either")
# Retired keys verify and unwrap what they once signed and wrapped: docs/keys.md.
FIELD_ENCRYPTION_KEY_FALLBACKS = stored_secrets("FIELD_ENCRYPTION_KEY_FALLBACKS", KEYS_FOLDER)
SALT_KEY = [FIELD_ENCRYPTION_KEY, *FIELD_ENCRYPTION_KEY_FALLBACKS]  # for encrypted fields; the first key encrypts
ALLOWED_HOSTS = env.list("ALLOWED_HOSTS", ["localhost", "127.0.0.1", "[::1]"])
CSRF_TRUSTED_ORIGINS: list[str] = env.list("CSRF_TRUSTED_ORIGINS", [])

INSTALLED_APPS = [
    "daphne",
    "unfold.apps.BasicAppConfig",  # the admin theme, without its own site class
    "unfold.contrib.filters",
    "heygen_portal.console.app.PortalAdminConfig",
    "heygen_portal.people.access",  # before Django's app, whose createsuperuser it replaces
    "django.contrib.auth",
    "django.contrib.contenttypes",
    "django.contrib.sessions",
    "django.contrib.messages",
    "whitenoise.runserver_nostatic",
    "django.contrib.staticfiles",
    "channels",
    "csp",
    "axes",
    "allauth.account",
    "allauth.socialaccount",
    "allauth.socialaccount.providers.openid_connect",
    "allauth.mfa",
    "heygen_portal",
    "avatars",
    "sessions",
]

MIDDLEWARE = [
    "django.middleware.security.SecurityMiddleware",
    "heygen_portal.runtime.static_files.StaticFilesMiddleware",
    "heygen_portal.runtime.csp.PortalCSPMiddleware",
    "django.contrib.sessions.middleware.SessionMiddleware",
    "heygen_portal.branding.languages.OfferedLanguagesMiddleware",
    "django.middleware.common.CommonMiddleware",
    "django.middleware.csrf.CsrfViewMiddleware",
    "django.contrib.auth.middleware.AuthenticationMiddleware",
    # Deny by default: views open to strangers are marked @login_not_required.
    "django.contrib.auth.middleware.LoginRequiredMiddleware",
    "django.contrib.messages.middleware.MessageMiddleware",
    "django.middleware.clickjacking.XFrameOptionsMiddleware",
    "allauth.account.middleware.AccountMiddleware",
    "heygen_portal.people.preferences.time_zones.TimeZoneMiddleware",
    "heygen_portal.people.access.second_factor.SecondFactorMiddleware",
    "axes.middleware.AxesMiddleware",
    "heygen_portal.runtime.refusals.TooManyRequestsMiddleware",
]

ROOT_URLCONF = "heygen_portal.urls"
ASGI_APPLICATION = "heygen_portal.asgi.application"
TEMPLATES = [
    {
        "BACKEND": "django.template.backends.django.DjangoTemplates",
        "DIRS": [BASE_DIR / "templates"],
        "APP_DIRS": True,
        "OPTIONS": {
            "context_processors": [
                "django.template.context_processors.request",
                "django.template.context_processors.i18n",
                "django.contrib.auth.context_processors.auth",
                "django.contrib.messages.context_processors.messages",
                "heygen_portal.branding.context.languages",
            ],
        },
    },
]

# Storage

DATABASES = {
    "default": dj_database_url.parse(
        env.str("DATABASE_URL", f"sqlite:///{VAR}/db.sqlite3"),
        # Keep connections, because opening one costs more than most queries.
        conn_max_age=600,
        conn_health_checks=True,
    )
}
if DATABASES["default"]["ENGINE"] == "django.db.backends.sqlite3":
    DATABASES["default"]["OPTIONS"] = {
        "factory": sqlite_text.Connection,
        "timeout": 20,  # seconds that a writer waits for the lock
        # Take the write lock at the start of a transaction, because upgrading a read lock later can fail.
        "transaction_mode": "IMMEDIATE",
        "init_command": (
            "PRAGMA journal_mode=WAL; PRAGMA synchronous=NORMAL; PRAGMA busy_timeout=20000;"
            # Each request thread has its own connection, by default with a 2 MB page cache. The system caches the file.
            "PRAGMA cache_size=-256;"
        ),
    }
    # A file, as in production, because threads cannot share a database in memory.
    DATABASES["default"]["TEST"] = {"NAME": VAR / "test.sqlite3"}
elif DATABASES["default"]["ENGINE"] == "django.db.backends.postgresql":
    DATABASES["default"]["ENGINE"] = "heygen_portal.postgresql"
    DATABASES["default"]["OPTIONS"] = {
        "connect_timeout": 5,
        # A server whose machine or network is gone: after 10 s of silence, three probes, 3 s apart.
        "keepalives_idle": 10,
        "keepalives_interval": 3,
        "keepalives_count": 3,
        "tcp_user_timeout": 20_000,
        **DATABASES["default"].get("OPTIONS", {}),
    }
DEFAULT_AUTO_FIELD = "django.db.models.BigAutoField"
MEDIA_ROOT = VAR / "media"
# "X-Accel-Redirect" (nginx) or "X-Sendfile" (Apache, lighttpd), for a proxy that can read MEDIA_ROOT.
SEND_FILES_WITH = env.str("SEND_FILES_WITH", "")
SEND_FILES_PREFIX = env.str("SEND_FILES_PREFIX", "/protected-media/")
# The server limits requests (heygen_portal/server/limits.py). Larger uploads than this go to a temporary file.
FILE_UPLOAD_MAX_MEMORY_SIZE = 64 * 1024
DATA_UPLOAD_MAX_MEMORY_SIZE = 1024 * 1024

# Where the nightly check of the record writes what the seals were; best where the database's owner cannot write.
HISTORY_ANCHOR_FILE = env.str("HISTORY_ANCHOR_FILE", "")

# Monitors: docs/operations.md. Without a token only this machine may read /health/work.

HEALTH_TOKEN = env.str("HEALTH_TOKEN", "")
HEALTH_START_SECONDS = env.int("HEALTH_START_SECONDS", 120)  # for a first sign of life, after a start
HEALTH_TICK_SECONDS = env.int("HEALTH_TICK_SECONDS", 30)  # since beat and worker last worked
HEALTH_OVERDUE_SECONDS = env.int("HEALTH_OVERDUE_SECONDS", 30)  # of a session's deadline
HEALTH_PROVIDER_MINUTES = env.int("HEALTH_PROVIDER_MINUTES", 10)  # since the provider last answered
HEALTH_WEBHOOK_MINUTES = env.int("HEALTH_WEBHOOK_MINUTES", 5)  # since a webhook's message could have been sent
HEALTH_CHECK_HOURS = env.int("HEALTH_CHECK_HOURS", 48)  # since the last integrity check
HEALTH_SYNC_HOURS = env.int("HEALTH_SYNC_HOURS", 48)  # since the last sync of the catalogue
HEALTH_BACKUP_HOURS = env.int("HEALTH_BACKUP_HOURS", 26)  # since the last backup
METRICS_SECONDS = env.int("METRICS_SECONDS", 15)  # between two snapshots of a process's metrics
# Staff are mailed about a check that has failed for so long, and again when it passes.
INCIDENT_MINUTES = env.int("INCIDENT_MINUTES", 5)
# A file that `manage.py backup`, or another backup, touches when it has succeeded. Empty: backups are not monitored.
BACKUP_STAMP_FILE = env.str("BACKUP_STAMP_FILE", "")
# A file that worker, beat and monitor renew, for the health check of a container.
ALIVE_FILE = env.str("ALIVE_FILE", "")

# Broker, channel layer, cache

REDIS_URL = env.str("REDIS_URL", "redis://127.0.0.1:8379/0")
# A server that accepts connections and does not answer counts as away after two seconds. Keepalive finds one whose
# machine or network is gone: after 4 s of silence, three probes, 1 s apart.
_REDIS_TIMES = {
    "socket_timeout": 2,
    "socket_connect_timeout": 2,
    "socket_keepalive": True,
    "socket_keepalive_options": {
        getattr(socket, name): value  # macOS has not all of them
        for name, value in (("TCP_KEEPIDLE", 4), ("TCP_KEEPINTVL", 1), ("TCP_KEEPCNT", 3))
        if hasattr(socket, name)
    },
}
CHANNEL_LAYERS = {
    "default": {
        # Messages to a tab are worth nothing to a tab that is not there: publish/subscribe, nothing stored.
        "BACKEND": "heygen_portal.redis.channel_layer.PortalChannelLayer",
        "CONFIG": {"hosts": [{"address": REDIS_URL, **_REDIS_TIMES}]},
    }
}
CACHES = {
    "default": {
        "BACKEND": "heygen_portal.redis.cache.PortalCache",
        "LOCATION": REDIS_URL,
        "OPTIONS": {"serializer": "heygen_portal.redis.serializer.JSONSerializer"},
        "VERSION": 2,  # values of version 1 are pickles, which are never read
    }
}
CELERY_BROKER_URL = REDIS_URL
CELERY_BROKER_CONNECTION_RETRY_ON_STARTUP = True
# A worker that waits for messages drops a silent connection after at most five seconds: the wait of one second for a
# message, and two of these intervals.
CELERY_BROKER_TRANSPORT_OPTIONS = {**_REDIS_TIMES, "health_check_interval": 2}
CELERY_BROKER_CONNECTION_MAX_RETRIES = None  # a worker that gave up would have to be started by hand
CELERY_WORKER_CONSUMER = "heygen_portal.runtime.jobs.consumer:SteadyConsumer"
# Nobody waits longer for the broker: what was not queued is found in the database.
CELERY_TASK_PUBLISH_RETRY_POLICY = {"max_retries": 1, "interval_start": 0.1}
CELERY_TASK_IGNORE_RESULT = True
CELERY_TASK_SERIALIZER = CELERY_RESULT_SERIALIZER = "json"
CELERY_ACCEPT_CONTENT = CELERY_RESULT_ACCEPT_CONTENT = ["json"]  # a pickle from the broker would run code
CELERY_WORKER_HIJACK_ROOT_LOGGER = False
CELERY_TIMEZONE = "UTC"

# Overrides of rate limits. The defaults are in budgets.py; docs/budgets.md has examples.
BUDGETS: dict[str, str] = env.dict("BUDGETS", {})
BUDGET_FACTOR = env.float("BUDGET_FACTOR", 1.0)  # multiplies each budget

# Receivers of webhooks inside the portal's own network, as networks or addresses: docs/webhooks.md. Others are refused.
WEBHOOK_INTERNAL_NETWORKS: list[str] = env.list("WEBHOOK_INTERNAL_NETWORKS", [])
WEBHOOK_LOG_DAYS = env.int("WEBHOOK_LOG_DAYS", 30)  # after the last attempt of a delivery
# Hosts that tools of the organisation's own may call, also by a suffix such as .example.com. Empty: all public ones.
TOOL_HOSTS: list[str] = env.list("TOOL_HOSTS", [])

# Our LiveKit server, for accounts with own rooms. Browsers and avatars connect to the public URL.

LIVEKIT_URL = env.str("LIVEKIT_URL", "")
LIVEKIT_PUBLIC_URL = env.str("LIVEKIT_PUBLIC_URL", "") or LIVEKIT_URL
LIVEKIT_API_KEY = env.str("LIVEKIT_API_KEY", "")
LIVEKIT_API_SECRET = env.str("LIVEKIT_API_SECRET", "")

# The provider of a first run

EMULATOR_URL = env.str("EMULATOR_URL", "")
EMULATOR_API_KEY = env.str("EMULATOR_API_KEY", "")

# Users

SESSION_SERIALIZER = "django.contrib.sessions.serializers.JSONSerializer"
AUTHENTICATION_BACKENDS = [
    "axes.backends.AxesStandaloneBackend",
    "heygen_portal.people.access.role_backend.RoleBackend",  # decides about permissions
    "django.contrib.auth.backends.ModelBackend",  # signs in
]
AUTH_PASSWORD_VALIDATORS = [
    {"NAME": f"django.contrib.auth.password_validation.{name}"}
    for name in ("UserAttributeSimilarityValidator", "MinimumLengthValidator", "CommonPasswordValidator")
]
LOGIN_URL = "account_login"
LOGIN_REDIRECT_URL = "/"
LOGOUT_REDIRECT_URL = "account_login"
# axes only logs sign-ins; people/sign_in/throttle.py limits attempts.
AXES_LOCK_OUT_AT_FAILURE = False
AXES_ENABLE_ACCESS_FAILURE_LOG = False
AXES_ENABLE_ADMIN = False
AXES_VERBOSE = False
# Number of trusted proxies that append to X-Forwarded-For. 0: the client's address is the socket's peer.
PROXY_COUNT = env.int("PROXY_COUNT", 0)
AXES_HANDLER = "heygen_portal.people.sign_in.sign_in_log.PortalAxesHandler"
AXES_CLIENT_IP_CALLABLE = "heygen_portal.runtime.client_address.of"
# The sign-in log has names, addresses and browsers. Older rows are deleted every night.
SIGN_IN_LOG_DAYS = env.int("SIGN_IN_LOG_DAYS", 90)
# The organisation's privacy notice, linked from the start page.
PRIVACY_NOTICE_URL = env.str("PRIVACY_NOTICE_URL", "")

# allauth: sign-in, single sign-on and second factor. See docs/decisions/signing-in.md.
ACCOUNT_ADAPTER = "heygen_portal.people.sign_in.adapters.AccountAdapter"
ACCOUNT_FORMS = {
    "login": "heygen_portal.people.sign_in.forms.SignInForm",
    "reauthenticate": "heygen_portal.people.sign_in.forms.ReauthenticateForm",
    "reset_password": "heygen_portal.people.sign_in.forms.ResetPasswordForm",
    "reset_password_from_key": "heygen_portal.people.sign_in.forms.NewPasswordForm",
}
ACCOUNT_LOGIN_METHODS = {"username"}
ACCOUNT_EMAIL_VERIFICATION = "none"  # addresses come with an invitation, from an administrator or from the directory
ACCOUNT_EMAIL_UNKNOWN_ACCOUNTS = False  # no mail to unknown addresses
ACCOUNT_SESSION_REMEMBER = True
# Seconds for which a proof of identity gives access to exports, roles, keys and personal data.
ACCOUNT_REAUTHENTICATION_TIMEOUT = 600
# people/sign_in/throttle.py replaces allauth's limits, which lock users out without saying how long to wait.
ACCOUNT_RATE_LIMITS = False
MFA_ADAPTER = "heygen_portal.people.sign_in.adapters.SecondFactorAdapter"
MFA_FORMS = {
    "authenticate": "heygen_portal.people.sign_in.forms.CodeForm",
    "reauthenticate": "heygen_portal.people.sign_in.forms.ReauthenticateCodeForm",
    "activate_totp": "heygen_portal.people.sign_in.forms.SetUpSecondFactorForm",
}
MFA_TOTP_TOLERANCE = 1  # phone clocks may be off by one step
STAFF_NEEDS_SECOND_FACTOR = env.bool("STAFF_NEEDS_SECOND_FACTOR", False)

# Single sign-on with an OpenID Connect directory. Only expected users get in, and none gets a role by it.
OIDC_ISSUER = env.str("OIDC_ISSUER", "").rstrip("/")
OIDC_DOMAINS: list[str] = env.list("OIDC_DOMAINS", [])
SOCIALACCOUNT_ADAPTER = "heygen_portal.people.sign_in.adapters.SingleSignOnAdapter"
SOCIALACCOUNT_EMAIL_AUTHENTICATION = SOCIALACCOUNT_EMAIL_AUTHENTICATION_AUTO_CONNECT = True
SOCIALACCOUNT_STORE_TOKENS = False
SOCIALACCOUNT_PROVIDERS = {
    "openid_connect": {
        "APPS": [
            {
                "provider_id": "sso",
                "name": env.str("OIDC_NAME", "") or _("your organisation"),
                "client_id": env.str("OIDC_CLIENT_ID", ""),
                "secret": env.str("OIDC_CLIENT_SECRET", ""),
                "settings": {
                    "server_url": OIDC_ISSUER,
                    "oauth_pkce_enabled": True,
                    "verified_email": env.bool("OIDC_VOUCHES_FOR_ADDRESSES", False),
                },
            }
        ]
        if OIDC_ISSUER
        else []
    }
}

# Mail: invitations, password resets, security mail. Without a server, invitation links are shown to copy.

EMAIL_HOST = env.str("EMAIL_HOST", "")
EMAIL_PORT = env.int("EMAIL_PORT", 587)
EMAIL_HOST_USER = env.str("EMAIL_HOST_USER", "")
EMAIL_HOST_PASSWORD = env.str("EMAIL_HOST_PASSWORD", "")
EMAIL_USE_TLS = env.bool("EMAIL_USE_TLS", True)
EMAIL_TIMEOUT = 10
# Address of the portal for links in mail that no request caused. Empty: from ALLOWED_HOSTS and HTTPS.
PORTAL_URL = env.str("PORTAL_URL", "").rstrip("/")
DEFAULT_FROM_EMAIL = env.str("EMAIL_FROM", "") or "HeyGen Portal <portal@localhost>"

# Languages

LANGUAGE_CODE = "es"
# A folder with further catalogues, as fr/LC_MESSAGES/django.mo: more languages, or other words for those here.
_MORE_TRANSLATIONS = env.path("TRANSLATIONS_DIR", None)
LOCALE_PATHS = [*([_MORE_TRANSLATIONS] if _MORE_TRANSLATIONS else []), BASE_DIR / "locale", BASE_DIR / "locale_theme"]
LANGUAGES = catalogues.languages_in(LOCALE_PATHS[:-1], LANGUAGE_CODE)
FORMAT_MODULE_PATH = "heygen_portal.console.formats"
TIME_ZONE = env.str("TIME_ZONE", "UTC")
USE_TZ = True

# Pages

STATIC_URL = "static/"
STATICFILES_DIRS = [BASE_DIR / "static"]
# Filled by bin/setup or `manage.py collectstatic`. Belongs to the code, not to the data in VAR_DIR.
STATIC_ROOT = BASE_DIR / "var" / "static"
STATIC_ROOT.mkdir(parents=True, exist_ok=True)
STORAGES = {
    "default": {"BACKEND": "django.core.files.storage.FileSystemStorage"},
    "staticfiles": {"BACKEND": "heygen_portal.runtime.static_files.PortalStaticFilesStorage"},
}
_LIVEKIT_SOURCES = [LIVEKIT_PUBLIC_URL, LIVEKIT_PUBLIC_URL.replace("ws", "http", 1)] if LIVEKIT_PUBLIC_URL else []
# Hosts of HeyGen's rooms. Built in, so that video does not depend on a setting.
_HEYGEN_ROOMS = ["https://*.livekit.cloud", "wss://*.livekit.cloud"]
# A form redirects to the directory, and browsers check redirects of forms too.
_DIRECTORY = ["/".join(OIDC_ISSUER.split("/")[:3])] if OIDC_ISSUER else []
CONTENT_SECURITY_POLICY = {
    "DIRECTIVES": {
        "default-src": ["'self'"],
        "connect-src": ["'self'", *_LIVEKIT_SOURCES, *_HEYGEN_ROOMS, *env.list("CSP_CONNECT_SRC", [])],
        "img-src": ["'self'", "data:"],
        "media-src": ["'self'", "blob:"],
        "object-src": ["'none'"],
        "base-uri": ["'none'"],
        "form-action": ["'self'", *_DIRECTORY],
        "frame-ancestors": ["'none'"],
    },
}

UNFOLD = theme.UNFOLD

# Safe defaults; behind HTTPS set HTTPS=1

HTTPS = env.bool("HTTPS", False)
SESSION_COOKIE_SECURE = CSRF_COOKIE_SECURE = HTTPS
CSRF_COOKIE_HTTPONLY = True  # forms carry the token themselves
SECURE_HSTS_SECONDS = 31_536_000 if HTTPS else 0
SECURE_PROXY_SSL_HEADER = ("HTTP_X_FORWARDED_PROTO", "https") if HTTPS else None
SECURE_REFERRER_POLICY = "same-origin"
X_FRAME_OPTIONS = "DENY"
SILENCED_SYSTEM_CHECKS = [
    # HSTS for subdomains and its preload list, and the redirect to HTTPS, are decided in the proxy.
    "security.W005",
    "security.W008",
    "security.W021",
    # Reported by the portal's own checks, as errors.
    "security.W004",  # HTTPS
    "security.W009",  # DJANGO_SECRET_KEY
    "security.W012",  # HTTPS
    "security.W016",  # HTTPS
    "security.W018",  # DEBUG
    "security.W025",  # DJANGO_SECRET_KEY_FALLBACKS
]

# "text" for people, "json" for programs: one object per line, with request, session and trace.
LOG_FORMAT = env.str("LOG_FORMAT", "text", validate=validate.OneOf(("text", "json")))
# OpenTelemetry traces are sent there by OTLP over HTTP, for example http://127.0.0.1:4318. Empty: no traces.
OTEL_EXPORTER_OTLP_ENDPOINT = env.str("OTEL_EXPORTER_OTLP_ENDPOINT", "").rstrip("/")
OTEL_SERVICE_NAME = env.str("OTEL_SERVICE_NAME", "heygen-portal")
LOGGING = {
    "version": 1,
    "disable_existing_loggers": False,
    "formatters": {
        "text": {"format": "{asctime} {levelname} {name}: {message}", "style": "{"},
        "json": {"()": "heygen_portal.runtime.logs.JSONFormatter"},
    },
    "handlers": {"stderr": {"class": "logging.StreamHandler", "formatter": LOG_FORMAT}},
    "root": {"handlers": ["stderr"], "level": env.str("LOG_LEVEL", "INFO")},
    # One line per call and two per tick would bury the important lines.
    "loggers": {
        name: {"level": "WARNING"}
        for name in ("axes", "httpx", "httpcore", "celery.worker.strategy", "celery.app.trace", "celery.beat")
    },
}
